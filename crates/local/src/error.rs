//! What can keep a checkpoint from working.

use std::path::PathBuf;

/// An error of loading or asking a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The one prompt that was given cannot be completed.
    #[error("the prompt cannot be used: {0}")]
    Prompt(String),
    /// A checkpoint has no tokenizer.
    #[error("{reason}")]
    NoTokenizer {
        /// What is there instead, and what to do.
        reason: String,
    },
    /// A tokenizer or chat template is unusable.
    #[error(transparent)]
    Chat(#[from] retort_chat::ChatError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Weights(#[from] retort_weights::Error),
    /// A model cannot be loaded or run.
    #[error(transparent)]
    Student(#[from] retort_student::Error),
}

impl LocalError {
    /// Wraps an error of the file system with the file.
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { path, source }
    }
}
