//! Rows to shards.

use crate::digest::HashingWriter;
use crate::schema::fields;
use crate::{FileDigest, TableError, scan};
use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use retort_records::Row;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows that are converted to Arrow together. Reasoning rows are 30–130 KB each, so batches stay small.
pub(crate) const BATCH_ROWS: usize = 256;

/// When a row group and a shard are full. Both count uncompressed text too, because reasoning rows are large.
#[derive(Debug, Clone, Copy)]
pub struct ShardLimits {
    /// Rows of one row group.
    pub row_group_rows: usize,
    /// Bytes of one row group while it is built: what the writer holds in memory.
    pub row_group_bytes: usize,
    /// Rows of one shard.
    pub shard_rows: usize,
    /// Compressed bytes of one shard.
    pub shard_bytes: usize,
}

impl Default for ShardLimits {
    fn default() -> Self {
        Self { row_group_rows: 4096, row_group_bytes: 64 << 20, shard_rows: 100_000, shard_bytes: 1 << 30 }
    }
}

/// What a finished table consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFiles {
    /// Number of rows.
    pub rows: u64,
    /// The shards, in order.
    pub files: Vec<FileDigest>,
}

/// Writes one table, shard by shard. The same rows give the same bytes.
pub struct TableWriter<T: Row> {
    folder: PathBuf,
    limits: ShardLimits,
    fields: Vec<FieldRef>,
    /// Whether a row has a value in one of the columns that few tables need.
    sparse: bool,
    batch: Vec<T>,
    shard: Option<Shard>,
    done: TableFiles,
}

struct Shard {
    path: PathBuf,
    writer: ArrowWriter<HashingWriter>,
    rows: usize,
}

impl<T: Row> TableWriter<T> {
    /// Starts a table in `folder`, which is created.
    pub fn create(folder: &Path, limits: ShardLimits) -> Result<Self, TableError> {
        std::fs::create_dir_all(folder).map_err(TableError::io("create", folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            limits,
            fields: fields::<T>(T::TABLE)?,
            sparse: T::SPARSE.is_empty(),
            batch: Vec::with_capacity(BATCH_ROWS),
            shard: None,
            done: TableFiles::default(),
        })
    }

    /// Adds one row.
    pub fn push(&mut self, row: T) -> Result<(), TableError> {
        self.batch.push(row);
        if self.batch.len() == BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    /// Number of rows added so far.
    pub fn rows(&self) -> u64 {
        self.done.rows + self.batch.len() as u64
    }

    /// Writes what is left, makes it durable and says what was written. An empty table has one shard without rows,
    /// so that its columns can still be read.
    pub fn finish(mut self) -> Result<TableFiles, TableError> {
        self.write_batch()?;
        if self.shard.is_none() && self.done.files.is_empty() {
            self.shard = Some(self.open_shard()?);
        }
        self.close_shard()?;
        crate::sync_folder(&self.folder)?;
        Ok(self.done)
    }

    fn write_batch(&mut self) -> Result<(), TableError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let encode = |reason: String| TableError::Encode { table: T::TABLE, reason };
        let mut batch =
            serde_arrow::to_record_batch(&self.fields, &self.batch).map_err(|error| encode(error.to_string()))?;
        if !self.sparse && uses::<T>(&batch) {
            self.widen()?;
        }
        if !self.sparse {
            batch = without_sparse::<T>(&batch).map_err(|error| encode(error.to_string()))?;
        }
        let mut shard = match self.shard.take() {
            Some(shard) => shard,
            None => self.open_shard()?,
        };
        shard.writer.write(&batch).map_err(|error| encode(error.to_string()))?;
        shard.rows += self.batch.len();
        self.done.rows += self.batch.len() as u64;
        self.batch.clear();
        if shard.writer.in_progress_size() >= self.limits.row_group_bytes {
            shard.writer.flush().map_err(|error| encode(error.to_string()))?;
        }
        let full = shard.rows >= self.limits.shard_rows || shard.writer.bytes_written() >= self.limits.shard_bytes;
        self.shard = Some(shard);
        if full { self.close_shard() } else { Ok(()) }
    }

    /// Writes what is written so far again, with the columns that few tables need: all shards have the same columns.
    fn widen(&mut self) -> Result<(), TableError> {
        self.sparse = true;
        self.close_shard()?;
        if self.done.files.is_empty() {
            return Ok(());
        }
        let narrow = self.folder.with_extension("narrow");
        std::fs::rename(&self.folder, &narrow).map_err(TableError::io("rename", &self.folder))?;
        std::fs::create_dir_all(&self.folder).map_err(TableError::io("create", &self.folder))?;
        let waiting = std::mem::take(&mut self.batch);
        self.done = TableFiles::default();
        for row in scan::<T>(&narrow)? {
            self.push(row?)?;
        }
        self.write_batch()?;
        self.batch = waiting;
        std::fs::remove_dir_all(&narrow).map_err(TableError::io("remove", &narrow))
    }

    fn open_shard(&self) -> Result<Shard, TableError> {
        let path = self.folder.join(format!("part-{:05}.parquet", self.done.files.len()));
        crate::abort_point("before-write");
        let file = File::create(&path).map_err(TableError::io("create", &path))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(self.limits.row_group_rows))
            .set_created_by("retort".to_owned())
            .build();
        let columns = self.fields.iter().filter(|field| self.sparse || !T::SPARSE.contains(&field.name().as_str()));
        let schema = Arc::new(Schema::new(columns.cloned().collect::<Vec<_>>()));
        let writer = ArrowWriter::try_new(HashingWriter::new(file), schema, Some(properties))
            .map_err(|source| TableError::Parquet { path: path.clone(), source })?;
        Ok(Shard { path, writer, rows: 0 })
    }

    fn close_shard(&mut self) -> Result<(), TableError> {
        let Some(shard) = self.shard.take() else { return Ok(()) };
        let name = shard.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let hashing =
            shard.writer.into_inner().map_err(|source| TableError::Parquet { path: shard.path.clone(), source })?;
        self.done.files.push(hashing.finish(name).map_err(TableError::io("write", &shard.path))?);
        Ok(())
    }
}

/// Whether a row has a value in a column that few tables need.
fn uses<T: Row>(batch: &RecordBatch) -> bool {
    let values = |name: &&str| batch.column_by_name(name).is_some_and(|column| column.null_count() < column.len());
    T::SPARSE.iter().any(values)
}

fn without_sparse<T: Row>(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let fields = batch.schema_ref().fields().iter().enumerate();
    let kept = fields.filter(|(_, field)| !T::SPARSE.contains(&field.name().as_str())).map(|(index, _)| index);
    batch.project(&kept.collect::<Vec<_>>())
}
