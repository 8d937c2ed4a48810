//! What can go wrong with a teacher as a whole. What goes wrong with one sample is a [`crate::Failure`].

use std::path::PathBuf;

/// A setting that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SettingProblem {
    /// Where, as a JSON pointer inside the settings.
    pub pointer: String,
    /// What is wrong: the key, the value given and what is allowed. Never contains a secret.
    pub message: String,
}

impl SettingProblem {
    /// A problem of the setting `key`; `wrong` goes on after its name.
    pub(crate) fn new(key: &str, wrong: impl std::fmt::Display) -> Self {
        Self { pointer: format!("/{key}"), message: format!("`{key}` {wrong}") }
    }
}

/// Why a teacher cannot be asked, or cannot be asked any longer.
#[derive(Debug, thiserror::Error)]
pub enum TeacherError {
    /// The settings are wrong; edit the pipeline file.
    #[error("teacher setting {0}")]
    Settings(#[from] SettingProblem),
    /// The secret named by `api_key` cannot be had.
    #[error("api_key `{reference}` cannot be read: {reason}")]
    Secret {
        /// The reference as written: `env:NAME` or `file:PATH`.
        reference: String,
        /// Why, without the secret.
        reason: String,
    },
    /// A file of recorded answers cannot be read.
    #[error("recording `{}` cannot be read: {source}", path.display())]
    RecordingFile {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line of a file of recorded answers is not a recorded answer.
    #[error("recording `{}` line {line}: {reason}", path.display())]
    RecordingLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The server refuses every request: wrong key, unknown model, no credit, forbidden address.
    /// What was sampled before has been delivered; nothing was recorded as dropped because of this.
    #[error("teacher `{teacher}` refuses to be asked: {message}")]
    Refused {
        /// Name of the teacher.
        teacher: String,
        /// The server's words, cleaned.
        message: String,
    },
    /// Too many samples in a row failed for the server's sake. What was sampled before has been delivered; the samples
    /// that failed were not, so that a later run asks for them again.
    #[error("teacher `{teacher}` does not answer: {samples} samples in a row failed, the last with: {message}")]
    Unreachable {
        /// Name of the teacher.
        teacher: String,
        /// How many samples failed in a row.
        samples: usize,
        /// What happened to the last one.
        message: String,
    },
    /// The HTTP client or the runtime could not be started.
    #[error("the sampling runtime cannot start: {0}")]
    Runtime(String),
}
