//! JSON: one row a line, or one value with the rows in it.

use super::text::Input;
use super::{RawRow, RawRows};
use crate::import::turns::is_conversation;
use crate::import::unusable::{Unusable, listed};
use retort_pipeline::PipelineError;
use retort_records::json_lines::{JsonLine, JsonLines, utf8};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::io::{BufRead, Read};
use std::path::Path;

/// Digits that a double holds exactly; a number with more is kept as text.
const EXACT_DIGITS: usize = 15;

/// The rows of a file that has one on each line. A file that is one list over many lines is read as such.
pub fn lines(path: &Path, mut input: Input) -> Result<RawRows, PipelineError> {
    let start = input.fill_buf().map_err(PipelineError::io("read", path))?;
    let first = start.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let first = first.trim_ascii();
    let list = first.starts_with(b"[") && serde_json::from_slice::<Value>(first).is_err();
    if list || first == b"{" {
        return whole(path, input);
    }
    Ok(one_a_line(path, input))
}

/// The rows of a file that is one JSON value; a file that is not may hold one row a line.
pub fn whole(path: &Path, mut input: Input) -> Result<RawRows, PipelineError> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(PipelineError::io("read", path))?;
    let fail = |reason: String| PipelineError::argument(format!("cannot read `{}`: {reason}", path.display()));
    let text = utf8(&bytes).map_err(&fail)?;
    if text.trim().is_empty() {
        return Ok(Box::new(std::iter::empty()));
    }
    match serde_json::from_str(&exact(text)) {
        Ok(value) => Ok(numbered(rows_within(value).map_err(fail)?)),
        Err(error) => {
            // Several values one after another: one a line, or each over many lines.
            let exact = exact(text);
            let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&exact).into_iter().collect();
            match values {
                Ok(values) => Ok(numbered(values)),
                Err(_) if text.trim_start().starts_with('{') => {
                    let input: Input = Box::new(std::io::Cursor::new(bytes));
                    Ok(one_a_line(path, input))
                }
                Err(_) => Err(fail(error.to_string())),
            }
        }
    }
}

fn numbered(rows: Vec<Value>) -> RawRows {
    let row = |(value, number)| Ok(RawRow { number, value: Ok(value), unreadable: Vec::new() });
    Box::new(rows.into_iter().zip(1..).map(row))
}

/// The rows in a value: a list; an object with a list of rows beside what describes it; columns (lists, or objects by index,
/// as pandas writes them); or one row.
fn rows_within(value: Value) -> Result<Vec<Value>, String> {
    let object = match value {
        Value::Array(rows) => return Ok(rows),
        Value::Object(object) => object,
        _ => return Err("it is neither a list of rows nor an object".into()),
    };
    // pandas, `orient="split"`.
    if let (Some(Value::Array(columns)), Some(Value::Array(rows))) = (object.get("columns"), object.get("data")) {
        let names: Option<Vec<&str>> = columns.iter().map(Value::as_str).collect();
        let rows: Option<Vec<&Vec<Value>>> = rows.iter().map(Value::as_array).collect();
        if let (Some(names), Some(rows)) = (names, rows)
            && rows.iter().all(|row| row.len() == names.len())
        {
            let row = |cells: &Vec<Value>| {
                names.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect()
            };
            return Ok(rows.into_iter().map(row).collect());
        }
    }
    let is_rows = |value: &Value| {
        !is_conversation(value) && value.as_array().is_some_and(|rows| rows.first().is_some_and(Value::is_object))
    };
    let lists: Vec<&str> = object.iter().filter(|(_, value)| is_rows(value)).map(|(name, _)| name.as_str()).collect();
    // A list of objects beside texts may be the samples of one row.
    let describes =
        |name: &str| ["prompt", "problem", "question", "instruction", "messages", "conversations"].contains(&name);
    match lists.as_slice() {
        [name] if !object.keys().any(|name| describes(name)) => {
            let name = (*name).to_owned();
            let rows = object.into_iter().find(|(key, _)| *key == name).map(|(_, rows)| rows);
            let Some(Value::Array(rows)) = rows else { return Ok(Vec::new()) };
            return Ok(rows.into_iter().map(unwrapped).collect());
        }
        [_, _, ..] if lists.len() == object.len() => {
            return Err(format!("it holds several lists of rows: {}; give each a file of its own", listed(lists)));
        }
        _ => {}
    }
    // Rows by an id of theirs.
    let by_id = |row: &Value| row.as_object().is_some_and(|row| row.keys().any(|name| describes(name)));
    if !object.is_empty() && object.values().all(by_id) {
        return Ok(object.into_iter().map(|(_, row)| row).collect());
    }
    Ok(columns(&object).unwrap_or_else(|| vec![Value::Object(object)]))
}

/// The dataset viewer of the Hugging Face hub puts each row into an object with its number.
fn unwrapped(row: Value) -> Value {
    match row {
        Value::Object(mut object) if object.contains_key("row_idx") && object["row"].is_object() => {
            object.remove("row").unwrap_or_default()
        }
        row => row,
    }
}

/// Rows out of columns of the same length.
fn columns(object: &Map<String, Value>) -> Option<Vec<Value>> {
    let first = object.values().next()?;
    if let Value::Object(index) = first {
        let keys: Vec<&String> = index.keys().collect();
        // An index of pandas; other objects are values.
        if keys.is_empty() || !keys.iter().enumerate().all(|(at, key)| **key == at.to_string()) {
            return None;
        }
        let same = |value: &Value| value.as_object().is_some_and(|cells| cells.keys().eq(index.keys()));
        if !object.values().all(same) {
            return None;
        }
        let row = |key: &String| object.iter().map(|(name, cells)| (name.clone(), cells[key].clone())).collect();
        return Some(keys.into_iter().map(row).collect());
    }
    let length = first.as_array()?.len();
    let same = |value: &Value| value.as_array().is_some_and(|cells| cells.len() == length);
    if object.len() < 2 || !object.values().all(same) {
        return None;
    }
    let row = |at: usize| object.iter().map(|(name, cells)| (name.clone(), cells[at].clone())).collect();
    Some((0..length).map(row).collect())
}

fn one_a_line(path: &Path, input: Input) -> RawRows {
    let path = path.to_owned();
    Box::new(JsonLines::new(input).zip(1..).map(move |(line, number)| {
        let line = line.map_err(PipelineError::io("read", &path))?;
        Ok(RawRow { number, value: parsed(&line), unreadable: Vec::new() })
    }))
}

fn parsed(line: &JsonLine) -> Result<Value, Unusable> {
    let text = line.text().map_err(|reason| ("not_json", reason))?;
    // Files that were put together from others may hold their marks.
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(&exact(text)).map_err(|error| ("not_json", error.to_string()))
}

/// The JSON with numbers of more digits than a double holds as texts, since an answer of thirty digits must stay what it is,
/// and without what is no number.
fn exact(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let (mut at, mut copied, mut out) = (0, 0, String::new());
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_text(json, at + 1),
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..]
                    .iter()
                    .take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
                let end = at + length.count();
                let digits = bytes[at..end].iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
                if digits.filter(|byte| byte.is_ascii_digit()).count() > EXACT_DIGITS {
                    out.push_str(&json[copied..at]);
                    out.push('"');
                    out.push_str(&json[at..end]);
                    out.push('"');
                    copied = end;
                }
                at = end;
            }
            // Python writes what is no number so; it is no value.
            b'N' | b'I' => {
                let word = ["NaN", "Infinity"].into_iter().find(|word| json[at..].starts_with(word));
                match word {
                    Some(word) => {
                        let minus = usize::from(at > copied && bytes[at - 1] == b'-');
                        out.push_str(&json[copied..at - minus]);
                        out.push_str("null");
                        at += word.len();
                        copied = at;
                    }
                    None => at += 1,
                }
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// The place behind the quotation mark that ends a text which begins at `start`.
fn end_of_text(json: &str, start: usize) -> usize {
    let mut from = start;
    while let Some(found) = json[from..].find('"') {
        let end = from + found;
        let escapes = json.as_bytes()[start..end].iter().rev().take_while(|byte| **byte == b'\\').count();
        if escapes % 2 == 0 {
            return end + 1;
        }
        from = end + 1;
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_numbers_stay_exact() {
        for (written, wanted) in [
            (r#"{"a":123456789012345678901234567890}"#, r#"{"a":"123456789012345678901234567890"}"#),
            (r"[9007199254740993.5, 0.1]", r#"["9007199254740993.5", 0.1]"#),
            (r#"{"a\"1234567890123456789": -12, "b": "1234567890123456789"}"#, ""),
            (r#"{"a": 123456789012345}"#, ""),
            (r#"{"a": NaN, "b": -Infinity, "NaN": "NaN"}"#, r#"{"a": null, "b": null, "NaN": "NaN"}"#),
            (r#""\\" 1234567890123456"#, r#""\\" "1234567890123456""#),
        ] {
            let wanted = if wanted.is_empty() { written } else { wanted };
            assert_eq!(exact(written), wanted);
        }
    }

    #[test]
    fn rows_are_found_in_every_wrapping() {
        let rows = vec![json!({"prompt": "p", "answer": "1"}), json!({"prompt": "q", "answer": "2"})];
        for value in [
            json!(rows),
            json!({"data": rows}),
            json!({"version": 1, "meta": {"a": 1}, "examples": rows}),
            json!({"prompt": {"0": "p", "1": "q"}, "answer": {"0": "1", "1": "2"}}),
            json!({"prompt": ["p", "q"], "answer": ["1", "2"]}),
            json!({"0": rows[0], "1": rows[1]}),
            json!({"columns": ["prompt", "answer"], "index": [0, 1], "data": [["p", "1"], ["q", "2"]]}),
            json!({"features": [], "rows": [{"row_idx": 0, "row": rows[0]}, {"row_idx": 1, "row": rows[1]}]}),
        ] {
            assert_eq!(rows_within(value.clone()), Ok(rows.clone()), "{value}");
        }
        for row in [
            json!({"prompt": "p", "samples": [{"text": "a"}]}),
            json!({"messages": [{"role": "user", "content": "q"}]}),
            json!({"prompt": "p", "completion": "c"}),
        ] {
            assert_eq!(rows_within(row.clone()), Ok(vec![row]));
        }
        assert!(rows_within(json!({"train": rows, "test": rows})).is_err());
    }
}
