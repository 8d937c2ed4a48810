//! The pipeline file: YAML text to checked settings.

pub mod assignment;
pub mod document;
mod read;
pub mod schema;
pub mod schema_check;

pub use read::{PipelineFile, Read, read};
