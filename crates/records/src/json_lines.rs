//! Lines of a JSONL file: read in batches, rows kept as they are written, key by key.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::BufRead;

/// Lines that are read together.
const BATCH_LINES: usize = 2048;
/// Bytes after which a batch is full.
const BATCH_BYTES: usize = 8 << 20;
/// The longest line that is read; of a longer one only the number is kept.
const MAX_LINE: usize = 64 << 20;

/// Numbered lines.
pub struct JsonLines<R> {
    input: R,
    number: u64,
}

/// One line.
pub struct JsonLine {
    /// From 1.
    pub number: u64,
    text: Vec<u8>,
    /// Length in the file.
    pub bytes: usize,
}

impl<R: BufRead> JsonLines<R> {
    /// The lines of `input` from its beginning.
    pub fn new(input: R) -> Self {
        Self { input, number: 0 }
    }

    /// The next lines that are not blank; none at the end.
    pub fn batch(&mut self) -> std::io::Result<Vec<JsonLine>> {
        let (mut batch, mut held) = (Vec::new(), 0);
        while batch.len() < BATCH_LINES && held < BATCH_BYTES {
            let Some(line) = self.next().transpose()? else { break };
            held += line.text.len();
            batch.push(line);
        }
        Ok(batch)
    }

    fn line(&mut self) -> std::io::Result<Option<JsonLine>> {
        let (mut text, mut bytes) = (Vec::new(), 0);
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(buffer.len(), |end| end + 1);
            if buffer.is_empty() && bytes == 0 {
                return Ok(None);
            }
            bytes += used;
            if bytes <= MAX_LINE {
                text.extend_from_slice(&buffer[..used]);
            } else {
                text = Vec::new();
            }
            self.input.consume(used);
            if end.is_some() || used == 0 {
                break;
            }
        }
        self.number += 1;
        if self.number == 1 && text.starts_with("\u{feff}".as_bytes()) {
            text.drain(..3);
        }
        Ok(Some(JsonLine { number: self.number, text, bytes }))
    }
}

/// The lines that are not blank, one by one.
impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = std::io::Result<JsonLine>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.line().transpose()? {
                Ok(line) if line.text.trim_ascii().is_empty() && line.bytes <= MAX_LINE => {}
                line => return Some(line),
            }
        }
    }
}

impl JsonLine {
    /// The line as text, without its end; else why it is none.
    pub fn text(&self) -> Result<&str, String> {
        if self.bytes > MAX_LINE {
            return Err(format!("the line is longer than {} MiB", MAX_LINE >> 20));
        }
        let text = utf8(&self.text)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        Ok(text.strip_suffix('\r').unwrap_or(text))
    }

    /// The line as a row; else a word and a sentence for why it is none.
    pub fn fields(&self) -> Result<RowFields<'_>, (&'static str, String)> {
        let text = self.text().map_err(|reason| ("not_json", reason))?;
        match serde_json::from_str(text.trim()) {
            Ok(row) => Ok(row),
            Err(error) if error.is_data() => Err(("not_object", "the line is no JSON object".into())),
            Err(error) => Err(("not_json", error.to_string())),
        }
    }
}

/// The bytes as text; else where they are none, and what they may be.
pub fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let guess = if maybe_latin_1(bytes, at) {
            "; this may be Latin-1: convert the file with `iconv -f WINDOWS-1252 -t UTF-8`"
        } else {
            ""
        };
        format!("not UTF-8 after {at} bytes{guess}")
    })
}

/// Whether the byte `at`, which is no UTF-8, may be one of Latin-1 or Windows-1252: it stands alone within or beside a word.
pub fn maybe_latin_1(bytes: &[u8], at: usize) -> bool {
    let around = [at.checked_sub(1).map(|before| bytes[before]), bytes.get(at + 1).copied()];
    let alone = around.iter().flatten().all(u8::is_ascii);
    alone && around.iter().flatten().any(u8::is_ascii_alphabetic)
}

/// The keys of a row in their order, with their values as they were written.
pub struct RowFields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for RowFields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = RowFields<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push((key.into(), value));
                }
                Ok(RowFields(without_repeats(fields)))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// Of a key that stands several times the last value counts, as in Python, at the place of the first.
fn without_repeats<'a>(fields: Vec<(Cow<'a, str>, &'a RawValue)>) -> Vec<(Cow<'a, str>, &'a RawValue)> {
    let mut last: HashMap<&str, usize> = fields.iter().enumerate().map(|(at, (key, _))| (&**key, at)).collect();
    if last.len() == fields.len() {
        return fields;
    }
    let values: Vec<Option<&RawValue>> =
        fields.iter().map(|(key, _)| last.remove(&**key).map(|at| fields[at].1)).collect();
    fields.into_iter().zip(values).filter_map(|((key, _), value)| Some((key, value?))).collect()
}

impl RowFields<'_> {
    /// A value as it is written.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.get())
    }

    /// The value as text: a JSON string's content, and anything but null as it is written.
    pub fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        as_text(self.get(key)?)
    }

    /// The row as one line of JSON: its own keys, but for those that `added` (an object) replaces, then `added`.
    pub fn with(&self, added: &Value) -> String {
        let mut json = String::with_capacity(256);
        for (key, value) in &self.0 {
            if added.get(key.as_ref()).is_none() {
                json.push(if json.is_empty() { '{' } else { ',' });
                json.push_str(&quoted(key));
                json.push(':');
                json.push_str(value.get());
            }
        }
        if json.is_empty() {
            json.push('{');
        }
        close(&mut json, added);
        json
    }
}

/// Adds the keys of `added` (an object) to a JSON object that is still open, and closes it.
pub fn close(json: &mut String, added: &Value) {
    if !json.ends_with('{') {
        json.push(',');
    }
    json.push_str(&added.to_string()[1..]);
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A JSON value as text: a string's content, and anything but null as it is written.
pub fn as_text(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first() {
        Some(b'n') => None,
        // Half a surrogate pair is JSON but no text.
        Some(b'"') => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
        _ => Some(Cow::Borrowed(json)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_repeated_key_the_last_value_counts() {
        let row: RowFields<'_> = serde_json::from_str(r#"{"a": 1, "b": [2], "a": "3", "c": null, "a": 4}"#).unwrap();
        assert_eq!(
            (row.get("a"), row.get("b"), row.get("c"), row.get("d")),
            (Some("4"), Some("[2]"), Some("null"), None)
        );
        assert_eq!(row.with(&serde_json::json!({"b": 5})), r#"{"a":4,"c":null,"b":5}"#);
    }

    #[test]
    fn the_work_grows_with_the_number_of_keys() {
        // Work that grew with their square would take an hour.
        let keys = 1_000_000;
        let row = format!("{{{}}}", (0..keys).map(|key| format!("\"k{key}\":0")).collect::<Vec<_>>().join(","));
        let fields: RowFields<'_> = serde_json::from_str(&row).unwrap();
        assert_eq!(fields.0.len(), keys);
    }
}
