//! The stage kinds, one file each, and the commands on single files: here the walls between the other crates are crossed.
//!
//! This crate knows nothing about terminals or flags.

mod asking;
mod compose;
mod dropping;
mod error;
mod evaluate;
mod explain;
mod export;
mod filter;
mod import;
mod judge;
mod kinds;
mod lengths;
mod local_teacher;
mod merge;
mod model_config;
mod narrow;
mod once;
mod pair;
mod report;
mod rows;
mod sample;
mod select;
mod synthesize;
mod token_rows;
mod train;
mod verify;

pub use error::StageError;
pub use explain::{explain, explained_names};
pub use kinds::engine;
pub use once::inspect::inspect;
pub use once::schemas::schema_files;
pub use once::show::{Shown, show};
pub use once::verify::{FileCounts, JudgedRow, verifier, verify_lines, verify_one};
pub use train::preview::{InspectedRow, InspectedToken};
