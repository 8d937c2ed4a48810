//! What a command can fail with.

use retort_local::LocalError;
use retort_pipeline::PipelineError;

/// Why a command could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A pipeline, a finished stage or a file could not be used.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A checkpoint could not be used.
    #[error(transparent)]
    Local(#[from] LocalError),
}

impl Failure {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Pipeline(error) => error.hint(),
            Self::Local(_) => None,
        }
    }
}
