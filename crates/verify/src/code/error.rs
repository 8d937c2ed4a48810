//! What can go wrong around a program that is nobody's fault but the machine's or the settings'.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why no program can be run. A program that fails is never an error: it is a verdict.
#[derive(Debug, Error)]
pub enum CodeError {
    /// No sandbox works here. Nothing runs without one.
    #[error("no isolation for untrusted programs: {reason}: {fix}")]
    NoIsolation {
        /// What stands in the way.
        reason: String,
        /// What removes it.
        fix: String,
    },
    /// The machine lacks what the sandbox needs.
    #[error("no isolation for untrusted programs: {0} is not supported")]
    Unsupported(String),
    /// A step of the sandbox's set-up failed.
    #[error("the sandbox cannot {step}: {source}")]
    Step {
        /// The step, to follow "cannot".
        step: &'static str,
        /// The system's word on it.
        source: io::Error,
    },
    /// A system call around the sandbox failed.
    #[error("the sandbox cannot be watched: {0}")]
    Io(io::Error),
    /// A command or path with a NUL byte.
    #[error("a NUL byte in `{0}`")]
    NulByte(String),
    /// A setting with a value that cannot be used.
    #[error("setting `{setting}` is `{given}`, allowed: {allowed}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// The value as given.
        given: String,
        /// What is allowed instead.
        allowed: &'static str,
    },
    /// The command is not installed.
    #[error("command `{0}` is not on `PATH`: install it, or name another in `command`")]
    NoCommand(String),
    /// The command is installed where programs cannot see it.
    #[error("command `{0}` is not visible inside the sandbox: add its folder to `read_only_paths`")]
    HiddenCommand(PathBuf),
    /// The data lie among the system's folders, which programs must see.
    #[error("programs would see the folder of the data, `{0}`, among the system's: work in another folder")]
    VisibleData(PathBuf),
    /// The machine ran out of memory while a program was within its limits.
    #[error("the kernel killed a program that was within its limits: the machine has too little memory")]
    OutOfMemory,
}
