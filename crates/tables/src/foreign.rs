//! Parquet of any columns, written by anyone.

use crate::TableError;
use crate::write::BATCH_ROWS;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::path::Path;

/// The rows of one Parquet file of any columns, as JSON values.
pub fn scan_json(
    path: &Path,
) -> Result<impl Iterator<Item = Result<serde_json::Value, TableError>> + use<>, TableError> {
    let file = File::open(path).map_err(TableError::io("read", path))?;
    let path = path.to_owned();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(BATCH_ROWS).build())
        .map_err(|source| TableError::Parquet { path: path.clone(), source })?;
    Ok(reader.flat_map(move |batch| {
        let rows: Result<Vec<serde_json::Value>, TableError> = batch
            .map_err(|source| TableError::Parquet { path: path.clone(), source: source.into() })
            .and_then(|batch| {
                serde_arrow::from_record_batch(&batch).map_err(|error| TableError::Columns {
                    path: path.clone(),
                    table: "any",
                    reason: error.to_string(),
                })
            });
        match rows {
            Ok(rows) => rows.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }
    }))
}
