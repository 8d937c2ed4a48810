//! Shards to rows.

use crate::columns::{leaves, named};
use crate::damage::guarded;
use crate::write::BATCH_ROWS;
use crate::{Columns, TableError};
use arrow::array::RecordBatch;
use arrow::datatypes::Fields;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use retort_records::Row;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The rows of a table in order, decoded batch by batch as they are asked for.
pub struct Scan<T> {
    batches: Batches,
    rows: std::vec::IntoIter<T>,
    total: u64,
}

/// Opens the table in `folder` to read the columns that `T` names and no others. The columns of every shard are checked
/// as it is reached.
pub fn scan<T: Columns>(folder: &Path) -> Result<Scan<T>, TableError> {
    scan_all(&[folder])
}

/// Opens the tables in `folders` as one: their rows come one table after the other.
pub fn scan_all<T: Columns>(folders: &[impl AsRef<Path>]) -> Result<Scan<T>, TableError> {
    let wanted = named::<T>()?;
    let mut all = Vec::new();
    for folder in folders {
        all.extend(shards(folder.as_ref())?);
    }
    let shards = all.into_iter().map(Shard::open).collect::<Result<Vec<_>, _>>()?;
    let total = shards.iter().map(Shard::rows).sum();
    let batches =
        Batches { table: T::Table::TABLE, sparse: T::Table::SPARSE, shards: shards.into_iter(), open: None, wanted };
    Ok(Scan { batches, rows: Vec::new().into_iter(), total })
}

fn shards(folder: &Path) -> Result<Vec<PathBuf>, TableError> {
    let mut shards = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(TableError::io("read", folder))? {
        let path = entry.map_err(TableError::io("read", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("part-") && path.extension().is_some_and(|extension| extension == "parquet") {
            shards.push(path);
        }
    }
    shards.sort();
    if shards.is_empty() { Err(TableError::Empty { path: folder.to_owned() }) } else { Ok(shards) }
}

/// A shard and its footer.
struct Shard {
    path: PathBuf,
    footer: ArrowReaderMetadata,
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self, TableError> {
        let file = File::open(&path).map_err(TableError::io("read", &path))?;
        match undamaged(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())) {
            Ok(footer) => Ok(Self { path, footer }),
            Err(source) => Err(TableError::Parquet { path, source }),
        }
    }

    fn rows(&self) -> u64 {
        self.footer.metadata().file_metadata().num_rows() as u64
    }

    fn read(
        self,
        table: &'static str,
        wanted: &Fields,
        sparse: &'static [&'static str],
    ) -> Result<(PathBuf, ParquetRecordBatchReader), TableError> {
        let Self { path, footer } = self;
        let columns = match leaves(footer.schema().fields(), wanted, sparse) {
            Ok(columns) => ProjectionMask::leaves(footer.parquet_schema(), columns),
            Err(reason) => return Err(TableError::Columns { path, table, reason }),
        };
        let file = File::open(&path).map_err(TableError::io("read", &path))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer).with_projection(columns);
        match undamaged(|| builder.with_batch_size(BATCH_ROWS).build()) {
            Ok(reader) => Ok((path, reader)),
            Err(source) => Err(TableError::Parquet { path, source }),
        }
    }
}

/// What `read` gives; its panic is an error as any other.
fn undamaged<R>(read: impl FnOnce() -> Result<R, ParquetError>) -> Result<R, ParquetError> {
    guarded(read).unwrap_or_else(|reason| Err(ParquetError::General(reason)))
}

/// The batches of all shards, each with its shard; nothing comes after an error.
struct Batches {
    table: &'static str,
    sparse: &'static [&'static str],
    wanted: Fields,
    shards: std::vec::IntoIter<Shard>,
    open: Option<(PathBuf, ParquetRecordBatchReader)>,
}

impl Batches {
    fn batch(&mut self) -> Result<Option<(PathBuf, RecordBatch)>, TableError> {
        loop {
            let (path, mut reader) = match self.open.take() {
                Some(open) => open,
                None => match self.shards.next() {
                    Some(shard) => shard.read(self.table, &self.wanted, self.sparse)?,
                    None => return Ok(None),
                },
            };
            let batch = undamaged(|| Ok(reader.next().transpose()?));
            let batch = batch.map_err(|source| TableError::Parquet { path: path.clone(), source })?;
            let Some(batch) = batch else { continue };
            self.open = Some((path.clone(), reader));
            return Ok(Some((path, batch)));
        }
    }
}

impl Iterator for Batches {
    type Item = Result<(PathBuf, RecordBatch), TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if batch.is_err() {
            self.shards = Vec::new().into_iter();
        }
        batch.transpose()
    }
}

fn rows<T: Columns>(path: PathBuf, batch: &RecordBatch) -> Result<Vec<T>, TableError> {
    serde_arrow::from_record_batch(batch).map_err(|error| TableError::Columns {
        path,
        table: T::Table::TABLE,
        reason: error.to_string(),
    })
}

impl<T: Columns> Scan<T> {
    /// Number of rows of the whole table.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The rows in batches of a few hundred.
    pub fn batches(mut self) -> impl Iterator<Item = Result<Vec<T>, TableError>> + Send {
        std::iter::from_fn(move || self.batch())
    }

    fn batch(&mut self) -> Option<Result<Vec<T>, TableError>> {
        if self.rows.len() > 0 {
            return Some(Ok(self.rows.by_ref().collect()));
        }
        Some(self.batches.next()?.and_then(|(path, batch)| rows(path, &batch)))
    }
}

impl<T: Columns> Iterator for Scan<T> {
    type Item = Result<T, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.batch()? {
                Ok(batch) => self.rows = batch.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
