//! CSV: separators as they come, quoted cells, and rows that have as many cells as the header.

use super::text::Input;
use super::{RawFile, RawRow, ending};
use crate::import::unusable::Unusable;
use csv::{ByteRecord, ReaderBuilder};
use retort_pipeline::PipelineError;
use retort_records::json_lines::utf8;
use serde_json::{Map, Value};
use std::path::Path;

/// Opens a file with a header; the character that separates its cells best is taken as the separator.
pub fn open(path: &Path, mut input: Input) -> Result<RawFile, PipelineError> {
    let fail = |reason: String| PipelineError::argument(format!("cannot read `{}`: {reason}", path.display()));
    let start = input.fill_buf().map_err(PipelineError::io("read", path))?;
    let separator = match start {
        // Excel's own word for it, on a line before the header.
        [b's', b'e', b'p', b'=', mark, rest @ ..] => {
            let (mark, line) = (*mark, rest.iter().position(|byte| *byte == b'\n').map_or(start.len(), |end| end + 6));
            input.consume(line);
            mark
        }
        _ if ending(path) == "tsv" => b'\t',
        start => separator(start),
    };
    let mut reader = ReaderBuilder::new().delimiter(separator).flexible(true).from_reader(input);
    let header = reader.byte_headers().map_err(|error| fail(error.to_string()))?.clone();
    let mut columns: Vec<String> = Vec::with_capacity(header.len());
    for (index, name) in header.iter().enumerate() {
        let name = utf8(name).map_err(|reason| fail(format!("the header: {reason}")))?.trim();
        // The column that pandas writes for its index has no name.
        let name = if name.is_empty() { format!("column {}", index + 1) } else { name.to_owned() };
        if columns.contains(&name) {
            return Err(fail(format!("two columns are called `{name}`")));
        }
        columns.push(name);
    }
    let (names, shown) = (columns.clone(), path.to_owned());
    let rows = reader.into_byte_records().zip(1..).map(move |(record, number)| match record {
        Ok(record) => Ok(RawRow { number, value: row(&names, &record), unreadable: Vec::new() }),
        Err(error) => Err(PipelineError::argument(format!("cannot read `{}`: {error}", shown.display()))),
    });
    Ok(RawFile { columns, rows: Box::new(rows) })
}

fn row(names: &[String], record: &ByteRecord) -> Result<Value, Unusable> {
    if record.len() != names.len() {
        return Err(("ragged_row", format!("{} cells, and the header has {}", record.len(), names.len())));
    }
    let mut row = Map::with_capacity(names.len());
    for (name, cell) in names.iter().zip(record) {
        let cell = utf8(cell).map_err(|reason| ("not_utf8", format!("column `{name}`: {reason}")))?;
        // An empty cell is no value.
        row.insert(name.clone(), if cell.is_empty() { Value::Null } else { cell.into() });
    }
    Ok(Value::Object(row))
}

/// Of comma, semicolon, tab and bar the one that stands most often in the header, outside of quotes.
fn separator(start: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut quoted = false;
    for byte in start {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            byte if !quoted => counts.iter_mut().filter(|(mark, _)| mark == byte).for_each(|(_, count)| *count += 1),
            _ => {}
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or_default();
    counts.iter().find(|(_, count)| *count == most).map_or(b',', |(mark, _)| *mark)
}

#[cfg(test)]
mod tests {
    use super::separator;

    #[test]
    fn the_header_says_the_separator() {
        for (header, wanted) in [
            ("a,b,c\n1;2;3;4", b','),
            ("a;b;c\r\n", b';'),
            ("\"a,b,c,d\";b\n", b';'),
            ("a\tb", b'\t'),
            ("prompt", b','),
            ("a|b", b'|'),
        ] {
            assert_eq!(separator(header.as_bytes()), wanted, "{header}");
        }
    }
}
