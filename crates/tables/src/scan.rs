//! Shards to rows.

use crate::columns::{leaves, named};
use crate::write::BATCH_ROWS;
use crate::{Columns, TableError};
use arrow::datatypes::Fields;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use retort_records::Row;
use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// The rows of a table in order, decoded batch by batch as they are asked for.
pub struct Scan<T> {
    batches: Batches<T>,
    rows: std::vec::IntoIter<T>,
    total: u64,
}

/// Opens the table in `folder` to read the columns that `T` names and no others. The columns of every shard are checked
/// as it is reached.
pub fn scan<T: Columns>(folder: &Path) -> Result<Scan<T>, TableError> {
    let wanted = named::<T>()?;
    let shards = shards(folder)?.into_iter().map(Shard::open).collect::<Result<Vec<_>, _>>()?;
    let total = shards.iter().map(Shard::rows).sum();
    let batches = Batches { shards: shards.into_iter(), open: None, wanted, row: PhantomData };
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
        match ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()) {
            Ok(footer) => Ok(Self { path, footer }),
            Err(source) => Err(TableError::Parquet { path, source }),
        }
    }

    fn rows(&self) -> u64 {
        self.footer.metadata().file_metadata().num_rows() as u64
    }

    fn read(self, table: &'static str, wanted: &Fields) -> Result<(PathBuf, ParquetRecordBatchReader), TableError> {
        let Self { path, footer } = self;
        let columns = match leaves(footer.schema().fields(), wanted) {
            Ok(columns) => ProjectionMask::leaves(footer.parquet_schema(), columns),
            Err(reason) => return Err(TableError::Columns { path, table, reason }),
        };
        let file = File::open(&path).map_err(TableError::io("read", &path))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer);
        match builder.with_projection(columns).with_batch_size(BATCH_ROWS).build() {
            Ok(reader) => Ok((path, reader)),
            Err(source) => Err(TableError::Parquet { path, source }),
        }
    }
}

/// The batches of all shards; nothing comes after an error.
struct Batches<T> {
    shards: std::vec::IntoIter<Shard>,
    open: Option<(PathBuf, ParquetRecordBatchReader)>,
    wanted: Fields,
    row: PhantomData<T>,
}

impl<T: Columns> Batches<T> {
    fn batch(&mut self) -> Result<Option<Vec<T>>, TableError> {
        let table = T::Table::TABLE;
        loop {
            let (path, mut reader) = match self.open.take() {
                Some(open) => open,
                None => match self.shards.next() {
                    Some(shard) => shard.read(table, &self.wanted)?,
                    None => return Ok(None),
                },
            };
            let Some(batch) = reader.next() else { continue };
            let batch = batch.map_err(|source| TableError::Parquet { path: path.clone(), source: source.into() })?;
            let rows = serde_arrow::from_record_batch(&batch).map_err(|error| TableError::Columns {
                path: path.clone(),
                table,
                reason: error.to_string(),
            })?;
            self.open = Some((path, reader));
            return Ok(Some(rows));
        }
    }
}

impl<T: Columns> Iterator for Batches<T> {
    type Item = Result<Vec<T>, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if batch.is_err() {
            self.shards = Vec::new().into_iter();
        }
        batch.transpose()
    }
}

impl<T: Columns> Scan<T> {
    /// Number of rows of the whole table.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The rows in batches of a few hundred.
    pub fn batches(self) -> impl Iterator<Item = Result<Vec<T>, TableError>> + Send {
        let begun: Vec<T> = self.rows.collect();
        std::iter::once(begun).filter(|rows| !rows.is_empty()).map(Ok).chain(self.batches)
    }
}

impl<T: Columns> Iterator for Scan<T> {
    type Item = Result<T, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.batches.next()? {
                Ok(batch) => self.rows = batch.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
