//! Files of other people to rows, whatever their first bytes say they are.

mod json;
mod separated;
mod text;
mod utf8;

use super::unusable::Unusable;
use retort_pipeline::PipelineError;
use retort_tables::{ForeignTable, Unreadable};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A row as it stands in a file.
pub struct RawRow {
    /// Which row of the file it is, from 1; blank lines are no rows.
    pub number: u64,
    /// The row, or why it cannot be parsed.
    pub value: Result<Value, Unusable>,
    /// Columns of which the value cannot be shown.
    pub unreadable: Vec<Unreadable>,
}

/// The rows of one file; an error is one of reading it.
pub type RawRows = Box<dyn Iterator<Item = Result<RawRow, PipelineError>>>;

/// A file whose rows can be read.
pub struct RawFile {
    /// Its columns, where the file says them itself.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: RawRows,
}

/// How files of rows may end, before `.gz` and `.zst`.
pub const ENDINGS: [&str; 9] = ["jsonl", "ndjson", "json", "csv", "tsv", "parquet", "arrow", "feather", "ipc"];
/// How compressed files may end.
pub const COMPRESSED: [&str; 4] = ["gz", "gzip", "zst", "zstd"];

/// Opens a file, or a folder that `Dataset.save_to_disk` wrote. Of Parquet and Arrow only the columns that `wanted` names are
/// read.
pub fn open(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<RawFile, PipelineError> {
    if path.is_dir() || is_columnar(path)? {
        return columnar(path, wanted);
    }
    let input = text::open(path)?;
    let rows = match ending(path).as_str() {
        "json" => json::whole(path, input)?,
        "csv" | "tsv" => return separated::open(path, input),
        _ => json::lines(path, input)?,
    };
    Ok(RawFile { columns: Vec::new(), rows })
}

/// How a file's name ends, in lower case, compression left out.
pub fn ending(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let mut parts = name.rsplit('.');
    let last = parts.next().unwrap_or_default();
    if COMPRESSED.contains(&last) { parts.next().unwrap_or_default().to_owned() } else { last.to_owned() }
}

fn is_columnar(path: &Path) -> Result<bool, PipelineError> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(PipelineError::io("read", path))?;
    file.take(8).read_to_end(&mut start).map_err(PipelineError::io("read", path))?;
    let begins = |mark: &[u8]| start.starts_with(mark);
    let marked = begins(b"PAR1") || begins(b"PARE") || begins(b"ARROW1") || begins(&[0xff; 4]);
    Ok(marked || matches!(ending(path).as_str(), "parquet" | "arrow" | "feather" | "ipc"))
}

fn columnar(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<RawFile, PipelineError> {
    let table = ForeignTable::open(path)?;
    let columns: Vec<String> = table.columns().iter().map(|column| column.name.clone()).collect();
    let names: Vec<&str> = columns.iter().map(String::as_str).filter(|name| wanted(name)).collect();
    let rows = table.rows_of(&names)?.zip(1..).map(|(row, number)| {
        let row = row?;
        Ok(RawRow { number, value: Ok(row.value), unreadable: row.unreadable })
    });
    Ok(RawFile { columns, rows: Box::new(rows) })
}
