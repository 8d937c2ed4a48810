//! What can go wrong inside a stage.

use retort_pipeline::PipelineError;
use retort_tables::TableError;

/// An error of the engine, or of one of the crates that stages join.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The engine's own.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A table at rest is unusable.
    #[error(transparent)]
    Table(#[from] TableError),
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
    /// A checkpoint cannot be put to work.
    #[error(transparent)]
    Local(#[from] retort_local::LocalError),
}

impl From<StageError> for PipelineError {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Pipeline(error) => error,
            StageError::Table(error) => error.into(),
            other => Self::Library(Box::new(other)),
        }
    }
}
