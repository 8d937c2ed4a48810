//! What can keep a pipeline from running.

use crate::problem::Problem;
use std::path::PathBuf;

/// An error of checking, planning or running a pipeline.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The pipeline file has problems; each points at the text.
    #[error("`{}` has {} problem(s)", path.display(), problems.len())]
    Problems {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
    /// A file or folder cannot be used.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A table at rest is unusable.
    #[error(transparent)]
    Table(#[from] retort_tables::TableError),
    /// A tokenizer or chat template is unusable.
    #[error(transparent)]
    Chat(#[from] retort_chat::ChatError),
    /// A verifier cannot be built.
    #[error(transparent)]
    Verify(#[from] retort_verify::VerifyError),
    /// A teacher cannot be asked.
    #[error(transparent)]
    Teacher(#[from] retort_teacher::TeacherError),
    /// A checkpoint cannot be read, written or merged.
    #[error(transparent)]
    Weights(#[from] retort_weights::Error),
    /// A student cannot be loaded, trained or asked.
    #[error(transparent)]
    Student(#[from] retort_student::Error),
    /// A stage cannot do its work.
    #[error("stage `{stage}`: {reason}")]
    Stage {
        /// The stage.
        stage: String,
        /// Why.
        reason: String,
    },
    /// An argument names something that is not there.
    #[error("{0}")]
    Argument(String),
    /// Another run holds the folder.
    #[error("`{}` is in use by process {process}", path.display())]
    Locked {
        /// The run's folder.
        path: PathBuf,
        /// The process that holds it, as far as it is known.
        process: String,
    },
    /// The user stopped the run; what was committed stays.
    #[error("interrupted in stage `{stage}`")]
    Interrupted {
        /// The stage that was running.
        stage: String,
    },
}

impl PipelineError {
    /// Wraps an error of the file system with what was tried and where.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// A stage's own reason.
    pub fn stage(stage: &str, reason: impl Into<String>) -> Self {
        Self::Stage { stage: stage.to_owned(), reason: reason.into() }
    }
}
