//! Tables of any columns, written by anyone: Parquet, Arrow IPC (also called Feather) and the folders that Hugging Face's
//! `Dataset.save_to_disk` writes.
//!
//! What a file is, its first bytes say, not its name. Only the columns asked for are decoded, so a column of a type that
//! nobody needs does no harm. A file that cannot be read is an error; a value that has no form in JSON is told with its row.

mod cells;
mod lengths;

use crate::damage::guarded;
use crate::write::BATCH_ROWS;
use crate::{Column, TableError};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, FieldRef, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use cells::{Cell, UUID, cells, distinct};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::LogicalType;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file or folder of rows, opened: its columns are known, none is decoded yet.
pub struct ForeignTable {
    path: PathBuf,
    files: Vec<ForeignFile>,
    columns: Vec<Column>,
}

/// A row of a foreign table.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignRow {
    /// The columns as a JSON object. Text, whole numbers and floating point are what they are; decimals are text with all
    /// their digits; times are ISO 8601 text, those with a time zone in UTC; binary is text where it is UTF-8; a map is an
    /// object; not-a-number is null.
    pub value: Value,
    /// The columns that this row has a value for that JSON cannot hold: they stand in `value` as null.
    pub unreadable: Vec<Unreadable>,
}

/// Why a value cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The column.
    pub column: String,
    /// Why.
    pub reason: String,
}

/// The rows of one Parquet or Arrow file of any columns, as JSON values; what JSON cannot hold is null. [`ForeignTable`]
/// reads chosen columns and says what could not be shown.
pub fn scan_json(path: &Path) -> Result<impl Iterator<Item = Result<Value, TableError>> + use<>, TableError> {
    Ok(ForeignTable::open(path)?.rows().map(|row| Ok(row?.value)))
}

impl ForeignTable {
    /// Opens a file, or a folder that `save_to_disk` wrote.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let paths = if path.is_dir() { saved_to_disk(path)? } else { vec![path.to_owned()] };
        let files = paths.into_iter().map(ForeignFile::open).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = files.first() else { return Err(unreadable(path, "it names no data files")) };
        let names: Vec<String> = distinct(first.fields.iter().map(|field| field.name().as_str()));
        let columns = names.into_iter().zip(&first.fields).map(|(name, field)| Column {
            name,
            data_type: field.data_type().to_string(),
            nullable: field.is_nullable(),
        });
        let columns: Vec<Column> = columns.collect();
        for file in &files {
            let same = file.fields.iter().map(|field| (field.name(), field.data_type()));
            if !same.eq(first.fields.iter().map(|field| (field.name(), field.data_type()))) {
                return Err(unreadable(&file.path, format!("its columns differ from `{}`", first.path.display())));
            }
        }
        Ok(Self { path: path.to_owned(), files, columns })
    }

    /// The columns in the file's order. Of several with one name, the first keeps it and the next are `NAME.1`, `NAME.2`, …
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// All rows with all columns.
    pub fn rows(self) -> impl Iterator<Item = Result<ForeignRow, TableError>> + use<> {
        let all = (0..self.columns.len()).collect();
        self.project(all)
    }

    /// All rows with the columns `names` and no others, in the file's order.
    pub fn rows_of(
        self,
        names: &[&str],
    ) -> Result<impl Iterator<Item = Result<ForeignRow, TableError>> + use<>, TableError> {
        if let Some(name) = names.iter().find(|name| !self.columns.iter().any(|column| column.name == **name)) {
            let known: Vec<String> = self.columns.iter().map(|column| format!("`{}`", column.name)).collect();
            return Err(unreadable(&self.path, format!("it has no column `{name}`; columns: {}", known.join(", "))));
        }
        let wanted = self.columns.iter().enumerate().filter(|(_, column)| names.contains(&column.name.as_str()));
        let wanted = wanted.map(|(index, _)| index).collect();
        Ok(self.project(wanted))
    }

    fn project(self, wanted: Vec<usize>) -> impl Iterator<Item = Result<ForeignRow, TableError>> + use<> {
        let names: Vec<String> = wanted.iter().map(|index| self.columns[*index].name.clone()).collect();
        let mut failed = false;
        let batches = self.files.into_iter().flat_map(move |file| file.batches(&wanted, &names));
        let batches = batches.take_while(move |batch| !std::mem::replace(&mut failed, batch.is_err()));
        batches.flat_map(|batch| match batch {
            Ok(rows) => rows.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }
}

fn unreadable(path: &Path, reason: impl ToString) -> TableError {
    TableError::Foreign { path: path.to_owned(), reason: reason.to_string() }
}

/// The data files of a folder in the order that its `state.json` gives.
fn saved_to_disk(folder: &Path) -> Result<Vec<PathBuf>, TableError> {
    #[derive(Deserialize)]
    struct State {
        #[serde(rename = "_data_files")]
        data_files: Vec<DataFile>,
        #[serde(default, rename = "_indices_files")]
        indices_files: Option<Vec<DataFile>>,
    }
    #[derive(Deserialize)]
    struct DataFile {
        filename: String,
    }
    #[derive(Deserialize)]
    struct Splits {
        splits: Vec<String>,
    }
    let read = |name: &str| std::fs::read(folder.join(name));
    if let Ok(text) = read("dataset_dict.json") {
        let splits = serde_json::from_slice::<Splits>(&text).map(|splits| splits.splits).unwrap_or_default();
        let splits: Vec<String> = splits.iter().map(|split| format!("`{}`", folder.join(split).display())).collect();
        return Err(unreadable(folder, format!("it holds several splits; name one: {}", splits.join(", "))));
    }
    let state = read("state.json").map_err(|_| {
        unreadable(folder, "a folder must be one that `save_to_disk` wrote, and there is no readable state.json in it")
    })?;
    let state: State = serde_json::from_slice(&state).map_err(|error| unreadable(&folder.join("state.json"), error))?;
    if state.indices_files.is_some_and(|files| !files.is_empty()) {
        return Err(unreadable(
            folder,
            "its rows are chosen by an index file; save it again after `flatten_indices()`",
        ));
    }
    Ok(state.data_files.into_iter().map(|file| folder.join(file.filename)).collect())
}

struct ForeignFile {
    path: PathBuf,
    format: Format,
    fields: Vec<FieldRef>,
}

enum Format {
    Parquet(ArrowReaderMetadata),
    IpcFile,
    IpcStream,
}

impl ForeignFile {
    fn open(path: PathBuf) -> Result<Self, TableError> {
        let mut file = File::open(&path).map_err(TableError::io("read", &path))?;
        let mut start = Vec::new();
        file.by_ref().take(16).read_to_end(&mut start).map_err(TableError::io("read", &path))?;
        let opened = guarded(|| match start.as_slice() {
            [] => Err("the file is empty".to_owned()),
            [b'P', b'A', b'R', b'1', ..] => open_parquet(&file),
            [b'P', b'A', b'R', b'E', ..] => Err("it is encrypted".to_owned()),
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] => lengths::check_file(&path)
                .and_then(|()| ipc_file(&path, None).map(|reader| (Format::IpcFile, fields(&reader.schema())))),
            [0xff, 0xff, 0xff, 0xff, ..] => lengths::check_stream(&path)
                .and_then(|()| ipc_stream(&path, None).map(|reader| (Format::IpcStream, fields(&reader.schema())))),
            start if start.starts_with(b"version https:") => {
                Err("it is a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`".to_owned())
            }
            _ => Err("it does not start as Parquet or Arrow files do".to_owned()),
        });
        match opened.flatten() {
            Ok((format, fields)) => Ok(Self { path, format, fields }),
            Err(reason) => Err(unreadable(&path, reason)),
        }
    }

    /// Its rows with the columns of indices `wanted`, which are called `names`.
    fn batches(
        self,
        wanted: &[usize],
        names: &[String],
    ) -> Box<dyn Iterator<Item = Result<Vec<ForeignRow>, TableError>> + Send> {
        let (path, names) = (self.path, names.to_vec());
        let fields: Vec<FieldRef> = wanted.iter().map(|index| Arc::clone(&self.fields[*index])).collect();
        // Arrow files do not say how many rows they have.
        let expected = match &self.format {
            Format::Parquet(footer) => Some(footer.metadata().file_metadata().num_rows() as u64),
            Format::IpcFile | Format::IpcStream => None,
        };
        let opened = guarded(|| match self.format {
            Format::Parquet(footer) => read_parquet(&path, footer, wanted),
            Format::IpcFile => ipc_file(&path, Some(wanted.to_vec())).map(|reader| Box::new(reader) as Batches),
            Format::IpcStream => ipc_stream(&path, Some(wanted.to_vec())).map(|reader| Box::new(reader) as Batches),
        });
        let batches = match opened.flatten() {
            Ok(batches) => batches,
            Err(reason) => return Box::new(std::iter::once(Err(unreadable(&path, reason)))),
        };
        // Arrow files may hold all rows in one batch.
        let mut slices = batches.flat_map(|batch| match batch {
            Ok(batch) => {
                let starts = (0..batch.num_rows()).step_by(BATCH_ROWS);
                let slice = move |start| Ok(batch.slice(start, BATCH_ROWS.min(batch.num_rows() - start)));
                Box::new(starts.map(slice)) as Batches
            }
            Err(error) => Box::new(std::iter::once(Err(error))),
        });
        let mut read = 0;
        Box::new(std::iter::from_fn(move || {
            let next = || {
                let batch = slices.next()?.map_err(|error| error.to_string());
                Some(batch.and_then(|batch| rows(&batch, &fields, &names)))
            };
            match guarded(next) {
                Ok(Some(Ok(rows))) => {
                    read += rows.len() as u64;
                    Some(Ok(rows))
                }
                Ok(None) => {
                    let all = expected.filter(|all| *all != read)?;
                    Some(Err(unreadable(&path, format!("it ends after {read} of {all} rows"))))
                }
                Ok(Some(Err(reason))) | Err(reason) => Some(Err(unreadable(&path, reason))),
            }
        }))
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

fn fields(schema: &SchemaRef) -> Vec<FieldRef> {
    schema.fields().iter().cloned().collect()
}

/// The Arrow schema that a writer may have left in the file is not looked at: Parquet's own says what there is, and every
/// writer's choice of dictionaries, views and offsets becomes the same few types.
fn open_parquet(file: &File) -> Result<(Format, Vec<FieldRef>), String> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let footer = ArrowReaderMetadata::load(file, options).map_err(|error| error.to_string())?;
    let roots = footer.parquet_schema().root_schema().get_fields();
    let marked = |(field, root): (&FieldRef, &parquet::schema::types::TypePtr)| {
        if root.get_basic_info().logical_type_ref() != Some(&LogicalType::Uuid) {
            return Arc::clone(field);
        }
        let uuid = [(UUID.0.to_owned(), UUID.1.to_owned())];
        Arc::new(Field::clone(field).with_metadata(uuid.into()))
    };
    let fields = footer.schema().fields().iter().zip(roots).map(marked).collect();
    Ok((Format::Parquet(footer), fields))
}

fn read_parquet(path: &Path, footer: ArrowReaderMetadata, wanted: &[usize]) -> Result<Batches, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mask = ProjectionMask::roots(footer.parquet_schema(), wanted.iter().copied());
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer).with_projection(mask);
    let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|error| error.to_string())?;
    Ok(Box::new(reader))
}

fn ipc_file(path: &Path, wanted: Option<Vec<usize>>) -> Result<FileReader<std::io::BufReader<File>>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    FileReader::try_new_buffered(file, wanted).map_err(|error| error.to_string())
}

fn ipc_stream(path: &Path, wanted: Option<Vec<usize>>) -> Result<StreamReader<std::io::BufReader<File>>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    StreamReader::try_new_buffered(file, wanted).map_err(|error| error.to_string())
}

fn rows(batch: &RecordBatch, fields: &[FieldRef], names: &[String]) -> Result<Vec<ForeignRow>, String> {
    let columns: Vec<Cell> =
        fields.iter().zip(batch.columns()).map(|(field, array)| cells(field, array)).collect::<Result<_, _>>()?;
    let row = |index| {
        let (mut value, mut unreadable) = (Map::new(), Vec::new());
        for (name, cell) in names.iter().zip(&columns) {
            let shown = cell(index).unwrap_or_else(|reason| {
                unreadable.push(Unreadable { column: name.clone(), reason });
                Value::Null
            });
            value.insert(name.clone(), shown);
        }
        ForeignRow { value: Value::Object(value), unreadable }
    };
    Ok((0..batch.num_rows()).map(row).collect())
}
