//! Settings of `code`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CodeError;
use super::sandbox::{Limits, SandboxChoice};

/// Settings of `code`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CodeSettings {
    /// Language of the programs: the tag behind their code fences. Function tests need `python`.
    pub language: String,
    /// Command that runs a program; `{file}` stands for its path. It must end with the program: to compile first, use
    /// `[sh, -c, "g++ -O2 -o /tmp/a {file} && /tmp/a"]`.
    pub command: Vec<String>,
    /// Seconds of processor time for each test (for HumanEval and MBPP: for all tests of a program together). By the
    /// clock a program has twice as long and a second more.
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub timeout_seconds: f64,
    /// Memory of a program's processes together, in MiB.
    #[schemars(range(min = 16))]
    pub memory_mb: u32,
    /// Bytes that a program may print.
    #[schemars(range(min = 1024))]
    pub max_output_bytes: u32,
    /// Size of a program's files together, in MiB.
    #[schemars(range(min = 1))]
    pub max_file_mb: u32,
    /// Processes and threads of a program at one time.
    #[schemars(range(min = 1))]
    pub max_processes: u32,
    /// Leave the tests after the first failure out; the verdict is the same.
    pub stop_at_first_failure: bool,
    /// How programs are kept apart from the machine. Without isolation nothing runs.
    pub sandbox: SandboxChoice,
    /// Folders that programs may read beside the system's, such as that of a compiler under `/opt`.
    pub read_only_paths: Vec<PathBuf>,
    /// Folders that programs never see, beside the working folder and the home folder: where the pipeline and its data
    /// lie, known to whoever builds the verifier.
    #[serde(skip)]
    pub private_paths: Vec<PathBuf>,
}

impl Default for CodeSettings {
    fn default() -> Self {
        Self {
            language: "python".into(),
            command: vec!["python3".into(), "{file}".into()],
            timeout_seconds: 6.0,
            memory_mb: 1024,
            max_output_bytes: 16 << 20,
            max_file_mb: 64,
            max_processes: 64,
            stop_at_first_failure: true,
            sandbox: SandboxChoice::Auto,
            read_only_paths: Vec::new(),
            private_paths: Vec::new(),
        }
    }
}

impl CodeSettings {
    /// Refuses values outside their ranges.
    pub(super) fn check(&self) -> Result<(), CodeError> {
        let refuse = |setting, given: String, allowed| Err(CodeError::Setting { setting, given, allowed });
        if self.language.trim().is_empty() {
            return refuse("language", self.language.clone(), "a language such as `python`");
        }
        if !self.command.iter().any(|word| word.contains("{file}")) {
            return refuse("command", self.command.join(" "), "a command with `{file}` in it");
        }
        if !(0.1..=3600.0).contains(&self.timeout_seconds) {
            return refuse("timeout_seconds", self.timeout_seconds.to_string(), "0.1 to 3600");
        }
        for (setting, given, least, allowed) in [
            ("memory_mb", self.memory_mb, 16, "16 or more"),
            ("max_output_bytes", self.max_output_bytes, 1024, "1024 or more"),
            ("max_file_mb", self.max_file_mb, 1, "1 or more"),
            ("max_processes", self.max_processes, 1, "1 or more"),
        ] {
            if given < least {
                return refuse(setting, given.to_string(), allowed);
            }
        }
        Ok(())
    }

    /// The limits of one run.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            cpu: Duration::try_from_secs_f64(self.timeout_seconds).unwrap_or(Duration::from_secs(6)),
            memory_bytes: u64::from(self.memory_mb) << 20,
            processes: self.max_processes,
            file_bytes: u64::from(self.max_file_mb) << 20,
            output_bytes: self.max_output_bytes as usize,
            ..Limits::of_seconds(self.timeout_seconds)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_allowed_and_mistakes_are_named() {
        CodeSettings::default().check().unwrap();
        let read = serde_json::from_str::<CodeSettings>;
        assert_eq!(read("{}").unwrap(), CodeSettings::default());
        assert!(read("{\"timeout\": 3}").unwrap_err().to_string().contains("unknown field `timeout`"));
        for (json, setting) in [
            ("{\"timeout_seconds\": 0}", "timeout_seconds"),
            ("{\"command\": [\"python3\"]}", "command"),
            ("{\"memory_mb\": 1}", "memory_mb"),
            ("{\"language\": \" \"}", "language"),
        ] {
            let error = read(json).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(setting), "{error}");
        }
    }
}
