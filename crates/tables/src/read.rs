//! Shards to rows.

use crate::write::BATCH_ROWS;
use crate::{TableError, schema};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::{FileReader, SerializedFileReader};
use retort_records::Row;
use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// The rows of a table in order, read batch by batch.
pub struct Scan<T> {
    shards: std::vec::IntoIter<PathBuf>,
    open: Option<(PathBuf, ParquetRecordBatchReader)>,
    rows: std::vec::IntoIter<T>,
    total: u64,
    row: PhantomData<T>,
}

/// Opens the table in `folder`. The columns of every shard are checked as it is reached.
pub fn scan<T: Row>(folder: &Path) -> Result<Scan<T>, TableError> {
    let shards = shards(folder)?;
    let total = shards.iter().map(|path| shard_rows(path)).sum::<Result<u64, _>>()?;
    Ok(Scan { shards: shards.into_iter(), open: None, rows: Vec::new().into_iter(), total, row: PhantomData })
}

/// Number of rows of the table in `folder`, from the shards' footers.
pub fn table_rows(folder: &Path) -> Result<u64, TableError> {
    shards(folder)?.iter().map(|path| shard_rows(path)).sum()
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

fn shard_rows(path: &Path) -> Result<u64, TableError> {
    let file = File::open(path).map_err(TableError::io("read", path))?;
    let reader =
        SerializedFileReader::new(file).map_err(|source| TableError::Parquet { path: path.to_owned(), source })?;
    Ok(reader.metadata().file_metadata().num_rows() as u64)
}

impl<T: Row> Scan<T> {
    /// Number of rows of the whole table.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The rows in batches of a few hundred.
    pub fn batches(mut self) -> impl Iterator<Item = Result<Vec<T>, TableError>> {
        std::iter::from_fn(move || self.next_batch().transpose())
    }

    fn next_batch(&mut self) -> Result<Option<Vec<T>>, TableError> {
        loop {
            if self.open.is_none() {
                let Some(path) = self.shards.next() else { return Ok(None) };
                let reader = open_shard::<T>(&path)?;
                self.open = Some((path, reader));
            }
            let Some((path, reader)) = &mut self.open else { continue };
            match reader.next() {
                None => self.open = None,
                Some(Err(source)) => {
                    return Err(TableError::Parquet { path: path.clone(), source: source.into() });
                }
                Some(Ok(batch)) => {
                    let rows = serde_arrow::from_record_batch(&batch).map_err(|error| TableError::Columns {
                        path: path.clone(),
                        table: T::TABLE,
                        reason: error.to_string(),
                    })?;
                    return Ok(Some(rows));
                }
            }
        }
    }
}

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

fn open_shard<T: Row>(path: &Path) -> Result<ParquetRecordBatchReader, TableError> {
    let file = File::open(path).map_err(TableError::io("read", path))?;
    let parquet = |source| TableError::Parquet { path: path.to_owned(), source };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet)?;
    let found = builder.schema();
    for field in schema::fields::<T>()? {
        let reason = match found.field_with_name(field.name()) {
            Err(_) => format!("column `{}` is missing", field.name()),
            Ok(column) if column.data_type() != field.data_type() => {
                format!("column `{}` is {}, expected {}", field.name(), column.data_type(), field.data_type())
            }
            Ok(_) => continue,
        };
        return Err(TableError::Columns { path: path.to_owned(), table: T::TABLE, reason });
    }
    builder.with_batch_size(BATCH_ROWS).build().map_err(parquet)
}

impl<T: Row> Iterator for Scan<T> {
    type Item = Result<T, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.next_batch() {
                Ok(Some(batch)) => self.rows = batch.into_iter(),
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Consecutive rows with an equal key.
pub struct Groups<I: Iterator, F> {
    rows: std::iter::Peekable<I>,
    key: F,
}

/// Splits ordered rows into runs of equal `key`. Only one run is in memory at a time.
pub fn groups<T, E, I, F>(rows: I, key: F) -> Groups<I, F>
where
    I: Iterator<Item = Result<T, E>>,
    F: Fn(&T) -> String,
{
    Groups { rows: rows.peekable(), key }
}

impl<T, E, I, F> Iterator for Groups<I, F>
where
    I: Iterator<Item = Result<T, E>>,
    F: Fn(&T) -> String,
{
    type Item = Result<Vec<T>, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = match self.rows.next()? {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        let key = (self.key)(&first);
        let mut group = vec![first];
        while let Some(Ok(row)) = self.rows.next_if(|row| row.as_ref().is_ok_and(|row| (self.key)(row) == key)) {
            group.push(row);
        }
        Some(Ok(group))
    }
}

/// Walks a table alongside another whose rows come in the same order, so that joining them needs no memory.
pub struct Follow<P: Row> {
    partner: Scan<P>,
    by: fn(&P) -> &str,
    current: Option<P>,
}

/// Joins by walking: see [`Follow::partner_of`]. `by` names the partner's key.
pub fn follow<P: Row>(partner: Scan<P>, by: fn(&P) -> &str) -> Follow<P> {
    Follow { partner, by, current: None }
}

impl<P: Row> Follow<P> {
    /// The partner whose key is `key`. Keys must come in the partner's order; a key may be asked again.
    pub fn partner_of(&mut self, table: &'static str, key: &str) -> Result<&P, TableError> {
        let matches = |row: &Option<P>, by: fn(&P) -> &str| row.as_ref().is_some_and(|row| by(row) == key);
        while !matches(&self.current, self.by) {
            match self.partner.next() {
                Some(row) => self.current = Some(row?),
                None => {
                    return Err(TableError::Unmatched { table, partner: P::TABLE, id: key.to_owned() });
                }
            }
        }
        self.current.as_ref().ok_or_else(|| TableError::Unmatched { table, partner: P::TABLE, id: key.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ShardLimits, TableWriter, follow, groups, scan};
    use proptest::prelude::*;
    use retort_records::{Check, Message, Prompt, Verdict, VerdictRow};

    fn prompt(ordinal: u64, text: &str, answer: Option<&str>) -> Prompt {
        Prompt {
            prompt_id: format!("p{ordinal}"),
            ordinal,
            messages: vec![Message::user(text)],
            reference_answer: answer.map(str::to_owned),
            domain: "math".into(),
            source: "test".into(),
            source_id: None,
            language: None,
            tests: None,
        }
    }

    fn verdict(prompt: u64, sample_index: u32) -> VerdictRow {
        VerdictRow {
            rollout_id: format!("r{prompt}-{sample_index}"),
            prompt_id: format!("p{prompt}"),
            sample_index,
            teacher: "t".into(),
            truncated: false,
            verdict: Verdict::Undecided,
            extracted_answer: None,
            checks: vec![Check {
                verifier: "math".into(),
                verdict: Verdict::Correct,
                method: "m".into(),
                reason: "r".into(),
            }],
            verifier_version: "1".into(),
        }
    }

    fn write<T: Row>(folder: &Path, rows: &[T], limits: ShardLimits) -> crate::TableFiles {
        let mut writer = TableWriter::create(folder, limits).unwrap();
        for row in rows {
            writer.push(row.clone()).unwrap();
        }
        writer.finish().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn what_is_written_is_read(texts in proptest::collection::vec((".{0,40}", proptest::option::of(".{0,5}")), 0..700),
                                   shard_rows in 1_usize..400) {
            let folder = tempfile::tempdir().unwrap();
            let rows: Vec<Prompt> =
                texts.iter().enumerate().map(|(i, (text, answer))| prompt(i as u64, text, answer.as_deref())).collect();
            let limits = ShardLimits { shard_rows, row_group_rows: 100, ..ShardLimits::default() };
            let files = write(folder.path(), &rows, limits);
            prop_assert_eq!(files.rows, rows.len() as u64);
            let read: Vec<Prompt> = scan(folder.path()).unwrap().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(&read, &rows);
            let again = tempfile::tempdir().unwrap();
            prop_assert_eq!(write(again.path(), &rows, limits), files);
        }
    }

    #[test]
    fn nested_columns_and_words_survive() {
        let folder = tempfile::tempdir().unwrap();
        let rows: Vec<VerdictRow> = (0..3).map(|i| verdict(0, i)).collect();
        write(folder.path(), &rows, ShardLimits::default());
        let read: Vec<VerdictRow> = scan(folder.path()).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(read, rows);
        let columns = crate::columns::<VerdictRow>().unwrap();
        let found = columns.iter().find(|column| column.name == "verdict").unwrap();
        assert_eq!((found.data_type.as_str(), found.nullable), ("LargeUtf8", false));
    }

    #[test]
    fn tables_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[prompt(0, "x", None)], ShardLimits::default());
        let error = scan::<VerdictRow>(folder.path()).unwrap().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("column `rollout_id` is missing"), "{error}");
    }

    #[test]
    fn groups_and_partners_stream() {
        let (rows, prompts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let verdicts: Vec<VerdictRow> = [(0, 0), (0, 1), (2, 0)].map(|(p, i)| verdict(p, i)).into();
        write(rows.path(), &verdicts, ShardLimits::default());
        write(prompts.path(), &[0, 1, 2].map(|i| prompt(i, "x", None)), ShardLimits::default());
        let mut partners = follow(scan::<Prompt>(prompts.path()).unwrap(), |p| &p.prompt_id);
        let sizes: Vec<(u64, usize)> = groups(scan::<VerdictRow>(rows.path()).unwrap(), |row| row.prompt_id.clone())
            .map(|group| {
                let group = group.unwrap();
                (partners.partner_of("verdicts", &group[0].prompt_id).unwrap().ordinal, group.len())
            })
            .collect();
        assert_eq!(sizes, [(0, 2), (2, 1)]);
        assert!(partners.partner_of("verdicts", "p1").is_err());
    }
}
