//! Parquet in and out: typed rows are scanned, mapped, grouped and written, and whole folders are committed at once.
//!
//! A table is a folder of shards `part-00000.parquet`, `part-00001.parquet`, …, whose rows keep the order of their
//! prompts. This crate knows nothing about what rows mean: it takes any [`retort_records::Row`] and gives it back.

mod abort;
mod digest;
mod error;
mod folder;
mod read;
mod schema;
mod write;

pub use abort::abort_point;
pub use digest::{FileDigest, file_digest, sha256_hex};
pub use error::TableError;
pub use folder::{PendingFolder, sync_folder};
pub use read::{Follow, Groups, Scan, follow, groups, scan, scan_json, table_rows};
pub use schema::{Column, columns};
pub use write::{ShardLimits, TableFiles, TableWriter, map_rows};
