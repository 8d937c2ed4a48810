//! The pipeline file: YAML text to checked settings.

pub mod document;
mod read;
pub mod schema;
mod schema_check;

pub use read::{PipelineFile, Read, read};
pub(crate) use schema_check::violations;
