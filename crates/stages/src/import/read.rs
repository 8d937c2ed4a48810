//! Files of other people to rows.

use retort_pipeline::PipelineError;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

type RawRows = Box<dyn Iterator<Item = Result<Value, String>>>;

/// The rows of one file; a row that cannot be parsed is an item with the reason.
pub fn rows_of(path: &Path) -> Result<RawRows, PipelineError> {
    let open = || File::open(path).map_err(PipelineError::io("read", path));
    match path.extension().unwrap_or_default().to_string_lossy().as_ref() {
        "parquet" => Ok(Box::new(retort_tables::scan_json(path)?.map(|row| row.map_err(|error| error.to_string())))),
        "json" => {
            let mut text = String::new();
            open()?.read_to_string(&mut text).map_err(PipelineError::io("read", path))?;
            match serde_json::from_str(&text) {
                Ok(Value::Array(rows)) => Ok(Box::new(rows.into_iter().map(Ok))),
                Ok(Value::Object(map)) if map.len() == 1 && map.values().all(Value::is_array) => {
                    let rows = map.into_values().flat_map(|rows| rows.as_array().cloned().unwrap_or_default());
                    Ok(Box::new(rows.collect::<Vec<_>>().into_iter().map(Ok)))
                }
                Ok(_) => Ok(Box::new(std::iter::once(Err("the file is not a list of rows".to_owned())))),
                // Many `.json` files hold one object a line.
                Err(_) => Ok(Box::new(lines(BufReader::new(open()?)))),
            }
        }
        "csv" => {
            let mut reader = csv::Reader::from_reader(open()?);
            let headers = reader.headers().cloned().map_err(|error| PipelineError::argument(error.to_string()))?;
            Ok(Box::new(reader.into_records().map(move |record| {
                let record = record.map_err(|error| error.to_string())?;
                let cells = headers.iter().zip(record.iter());
                Ok(cells.map(|(name, cell)| (name.to_owned(), Value::from(cell))).collect())
            })))
        }
        _ => Ok(Box::new(lines(BufReader::new(open()?)))),
    }
}

fn lines(reader: BufReader<File>) -> impl Iterator<Item = Result<Value, String>> {
    reader.lines().filter(|line| line.as_ref().is_ok_and(|line| !line.trim().is_empty()) || line.is_err()).map(|line| {
        let line = line.map_err(|error| error.to_string())?;
        serde_json::from_str(line.trim_start_matches('\u{feff}')).map_err(|error| error.to_string())
    })
}
