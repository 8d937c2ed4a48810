//! Files of other people to rows.

use retort_pipeline::PipelineError;
use retort_records::json_lines::JsonLines;
use serde_json::Value;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// A row as it stands in a file, or why it cannot be parsed.
type RawRow = Result<Value, String>;

/// The rows of one file; an error is one of reading it.
pub type RawRows = Box<dyn Iterator<Item = Result<RawRow, PipelineError>>>;

/// The rows of the file at `path`.
pub fn rows_of(path: &Path) -> Result<RawRows, PipelineError> {
    let open = || File::open(path).map_err(PipelineError::io("read", path));
    match path.extension().unwrap_or_default().to_string_lossy().as_ref() {
        "parquet" => {
            Ok(Box::new(retort_tables::scan_json(path)?.map(|row| Ok(row.map_err(|error| error.to_string())))))
        }
        "json" => {
            let mut text = String::new();
            open()?.read_to_string(&mut text).map_err(PipelineError::io("read", path))?;
            match serde_json::from_str(&text) {
                Ok(Value::Array(rows)) => Ok(parsed(rows)),
                Ok(Value::Object(map)) if map.len() == 1 && map.values().all(Value::is_array) => Ok(parsed(
                    map.into_values().flat_map(|rows| rows.as_array().cloned().unwrap_or_default()).collect(),
                )),
                Ok(_) => Ok(Box::new(std::iter::once(Ok(Err("the file is not a list of rows".to_owned()))))),
                // Many `.json` files hold one object a line.
                Err(_) => Ok(lines(path, open()?)),
            }
        }
        "csv" => {
            let mut reader = csv::Reader::from_reader(open()?);
            let headers = reader.headers().cloned().map_err(|error| PipelineError::argument(error.to_string()))?;
            Ok(Box::new(reader.into_records().map(move |record| {
                let row = |record: csv::StringRecord| {
                    let cells = headers.iter().zip(record.iter());
                    cells.map(|(name, cell)| (name.to_owned(), Value::from(cell))).collect()
                };
                Ok(record.map(row).map_err(|error| error.to_string()))
            })))
        }
        _ => Ok(lines(path, open()?)),
    }
}

fn parsed(rows: Vec<Value>) -> RawRows {
    Box::new(rows.into_iter().map(|row| Ok(Ok(row))))
}

/// The rows of a file that has one on each line.
fn lines(path: &Path, file: File) -> RawRows {
    let path = path.to_owned();
    Box::new(JsonLines::new(BufReader::new(file)).map(move |line| {
        let line = line.map_err(PipelineError::io("read", &path))?;
        // Files that were put together from others may hold their marks.
        let row = |text: &str| serde_json::from_str(text.trim_start_matches('\u{feff}'));
        Ok(line.text().and_then(|text| row(text).map_err(|error| error.to_string())))
    }))
}
