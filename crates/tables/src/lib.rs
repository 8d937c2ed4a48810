//! Parquet in and out: typed rows are scanned, mapped, grouped and written, and whole folders are committed at once.
//!
//! A table is a folder of shards `part-00000.parquet`, `part-00001.parquet`, …, whose rows keep the order of their
//! prompts. This crate knows nothing about what rows mean: it takes any [`retort_records::Row`] and gives it back, whole or
//! only some of its [`Columns`]. Files that others wrote, of any columns, are [`ForeignTable`]s.

mod abort;
mod columns;
mod damage;
mod digest;
mod error;
mod folder;
mod foreign;
mod map;
mod scan;
mod schema;
mod walk;
mod write;

pub use abort::abort_point;
pub use columns::{Columns, check_columns};
pub use digest::{FileDigest, file_digest, sha256_hex};
pub use error::TableError;
pub use folder::{PendingFolder, sync_folder};
pub use foreign::{ForeignRow, ForeignTable, Unreadable, scan_json};
pub use map::{RowFunction, apply_rows};
pub use scan::{Scan, scan, scan_all};
pub use schema::{Column, columns};
pub use walk::{Follow, Groups, follow, groups};
pub use write::{ShardLimits, TableFiles, TableWriter};
