//! What can keep a pipeline from running.

use crate::problem::Problem;
use std::path::PathBuf;

/// An error of checking, planning or running a pipeline. Advice stands apart from what is wrong: [`PipelineError::hint`].
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
    /// What a stage works with (a tokenizer, a teacher, a checkpoint, …) is unusable.
    #[error(transparent)]
    Library(Box<dyn std::error::Error + Send + Sync>),
    /// A stage cannot do its work.
    #[error("stage `{stage}`: {reason}")]
    Stage {
        /// The stage.
        stage: String,
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A stage did its work and no row is left of it.
    #[error("stage `{stage}`: {reason}")]
    NoRows {
        /// The stage.
        stage: String,
        /// Where they went.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// An argument names something that is not there.
    #[error("{reason}")]
    Argument {
        /// What is wrong: the value given and what is allowed.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// What should be written cannot be put into JSON.
    #[error("cannot write {what} as JSON: {source}")]
    Json {
        /// What it is.
        what: &'static str,
        /// Why not.
        source: serde_json::Error,
    },
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

    /// Wraps an error of serialisation with what was to be written.
    pub fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { what, source }
    }

    /// A stage's own reason.
    pub fn stage(stage: &str, reason: impl Into<String>) -> Self {
        Self::Stage { stage: stage.to_owned(), reason: reason.into(), hint: None }
    }

    /// An argument that names something that is not there.
    pub fn argument(reason: impl Into<String>) -> Self {
        Self::Argument { reason: reason.into(), hint: None }
    }

    /// The same error with advice, where there is room for it.
    #[must_use]
    pub fn with_hint(mut self, advice: impl Into<String>) -> Self {
        if let Self::Stage { hint, .. } | Self::NoRows { hint, .. } | Self::Argument { hint, .. } = &mut self {
            *hint = Some(advice.into());
        }
        self
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Stage { hint, .. } | Self::NoRows { hint, .. } | Self::Argument { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}
