//! The Python that runs on either side: what a program is started with, and what judges it.

use serde_json::{Value, json};

use super::CodeError;
use super::command::Resolved;
use super::sandbox::{Limits, Program, Sandbox, Status};

const START: &str = include_str!("python/start.py");
const PRELOAD: &str = include_str!("python/preload.py");
const LAUNCH: &str = include_str!("python/launch.py");
const WIRE: &str = include_str!("python/wire.py");
const SOLUTION: &str = include_str!("python/solution.py");
const JUDGE: &str = include_str!("python/judge.py");

/// Prints each part of the list `PARTS`, compiled, as a line of hexadecimal digits.
const COMPILE: &str =
    "import marshal\nfor part in PARTS:\n    print(marshal.dumps(compile(part, 'driver.py', 'exec')).hex())\n";

/// Python text that defines the drivers' functions. Two interpreters start for each program, and compiling the drivers
/// would take about as long as starting one: the interpreter itself compiles them once, in the sandbox.
#[derive(Debug, Clone)]
pub(super) struct Drivers {
    solution: String,
    judge: String,
    launch: String,
}

impl Drivers {
    /// Compiles the drivers for this Python; with another command there is nothing to compile.
    pub(super) fn new(sandbox: &Sandbox, command: &Resolved) -> Result<Self, CodeError> {
        let [solution, judge] = [SOLUTION, JUDGE].map(|body| format!("{START}\n\n{PRELOAD}\n\n{WIRE}\n\n{body}"));
        let launch = format!("{START}\n\n{PRELOAD}\n\n{LAUNCH}");
        if command.starts_without_site() {
            let parts = python_literal(&json!([solution, judge, launch]));
            let program = Program {
                file: "main.py",
                source: &format!("PARTS = {parts}\n{COMPILE}"),
                command: &driver_command(command),
            };
            let result = sandbox.run(&program, b"", &Limits::of_seconds(60.0))?;
            let text = String::from_utf8_lossy(&result.stdout);
            let codes: Vec<&str> = text.split_ascii_whitespace().collect();
            if let (Status::Exited(0), [solution, judge, launch]) = (result.status, codes.as_slice()) {
                let load = |code: &str| format!("import marshal\nexec(marshal.loads(bytes.fromhex('{code}')))\n");
                return Ok(Self { solution: load(solution), judge: load(judge), launch: load(launch) });
            }
        }
        Ok(Self { solution, judge, launch })
    }

    /// The file that loads a program and serves its functions.
    pub(super) fn solution(&self, payload: &Value) -> String {
        format!("{}\n\nserve({})\n", self.solution, python_literal(payload))
    }

    /// The file that runs tests against a program in another sandbox.
    pub(super) fn judge(&self, payload: &Value) -> String {
        format!("{}\n\njudge({})\n", self.judge, python_literal(payload))
    }

    /// The file that runs a whole program.
    pub(super) fn launcher(&self, payload: &Value) -> String {
        format!("{}\n\nexec(*launch({}))\n", self.launch, python_literal(payload))
    }
}

/// The command that runs a driver.
pub(super) fn driver_command(command: &Resolved) -> Vec<String> {
    let mut words: Vec<String> = command.command.first().cloned().into_iter().collect();
    words.extend(["-s", "-S", "{file}"].map(String::from));
    words
}

/// Strings, lists, `null` and objects as Python writes them: JSON's strings are Python's, and only `null` differs.
pub(super) fn python_literal(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Array(items) => format!("[{}]", items.iter().map(python_literal).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| format!("{}: {}", json!(key), python_literal(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::String(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_becomes_python() {
        let value = json!({"a": [null, true, false, 1.5, -2], "b\"": "\u{1}\n\u{e9}\\"});
        assert_eq!(python_literal(&value), r#"{"a": [None, True, False, 1.5, -2], "b\"": "\u0001\né\\"}"#);
    }
}
