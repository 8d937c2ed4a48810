//! Verifies the rows of a JSONL file with one verifier: the work of the command `retort verify`.
//!
//! A row is copied to the output as it was written, key by key, with its verdict added. Rows are read in batches, judged
//! on all cores and written in their order; what is in memory is two batches.

use crate::error::PipelineError;
use crate::file::document::{Document, pointer_step};
use crate::file::{schema, violations};
use crate::problem::did_you_mean;
use rayon::prelude::*;
use retort_records::{Message, Verdict};
use retort_verify::{Case, Outcome, Verifier, VerifierSettings};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, Write};
use std::path::Path;

/// Keys that hold the reference answer; the first that a row has counts.
const REFERENCE_KEYS: [&str; 4] = ["reference_answer", "gold", "reference", "answer"];
/// Keys that are added to every row; a row's own values under them are replaced.
const ADDED: [&str; 4] = ["verdict", "extracted_answer", "method", "reason"];
/// Lines that are judged together.
const BATCH_LINES: usize = 2048;
/// Bytes after which a batch is full.
const BATCH_BYTES: usize = 8 << 20;
/// The longest line that is read; of a longer one only the number is kept.
const MAX_LINE: usize = 64 << 20;

/// Rows by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileCounts {
    /// Rows judged correct.
    pub correct: u64,
    /// Rows judged incorrect.
    pub incorrect: u64,
    /// Rows that stay undecided, lines that are no rows among them.
    pub undecided: u64,
    /// Lines that are no rows: not JSON, or no JSON object.
    pub not_rows: u64,
    /// Bytes read.
    pub bytes: u64,
}

impl FileCounts {
    /// All rows.
    pub fn rows(&self) -> u64 {
        self.correct + self.incorrect + self.undecided
    }
}

/// The verifier called `name` with settings given as `key=value`, where the value is YAML and the key may be a path of
/// keys with dots.
pub fn verifier(name: &str, settings: &[String]) -> Result<Box<dyn Verifier>, PipelineError> {
    let names = retort_verify::names();
    if !names.contains(&name) {
        let help = did_you_mean(name, names.iter().copied()).map(|help| format!("\nhelp: {help}")).unwrap_or_default();
        let message = format!("there is no verifier `{name}`; verifiers: {}{help}", names.join(", "));
        return Err(PipelineError::Argument(message));
    }
    let mut given = Value::Object(Map::new());
    for text in settings {
        let wrong = |reason: String| PipelineError::Argument(format!("`--set {text}`: {reason}"));
        let (path, value) = text.split_once('=').ok_or_else(|| wrong("expected `key=value`".into()))?;
        let value: Value = serde_saphyr::from_str(value).map_err(|error| wrong(error.without_snippet().to_string()))?;
        let mut place = &mut given;
        for step in path.split('.') {
            if !place.is_object() && !place.is_null() {
                return Err(wrong(format!("`{step}` cannot stand inside a value that is not a map")));
            }
            place = &mut place[step];
        }
        *place = value;
    }
    let whole = json!({ name: given });
    let fail = |problems: Vec<crate::Problem>| {
        let lines = problems.into_iter().map(|problem| match problem.help {
            Some(help) => format!("{}\nhelp: {help}", problem.message),
            None => problem.message,
        });
        PipelineError::Argument(format!("settings of `{name}`: {}", lines.collect::<Vec<_>>().join("\n")))
    };
    let document = Document::parse(whole.to_string()).map_err(fail)?;
    let wanted = schema::of_verifier(name).unwrap_or_default();
    if let Ok(validator) = jsonschema::validator_for(&wanted) {
        let problems = violations(&document, &format!("/{}", pointer_step(name)), &validator, &wanted);
        if !problems.is_empty() {
            return Err(fail(problems));
        }
    }
    let settings: VerifierSettings = serde_json::from_value(whole)
        .map_err(|error| PipelineError::Argument(format!("settings of `{name}`: {error}")))?;
    Ok(settings.build()?)
}

/// One row judged, as a line of JSON without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedRow {
    /// The row with its verdict.
    pub json: String,
    verdict: Verdict,
}

impl JudgedRow {
    /// Whether the prediction is right.
    pub fn correct(&self) -> bool {
        self.verdict == Verdict::Correct
    }
}

/// Judges one prediction. `tests` is what `code` runs.
pub fn verify_one(
    verifier: &dyn Verifier,
    prediction: &str,
    reference_answer: Option<&str>,
    tests: Option<&str>,
) -> JudgedRow {
    let case = Case { completion: prediction, reference_answer, tests, ..Case::default() };
    let outcome = verifier.verify(&case);
    let mut row = json!({ "prediction": prediction });
    if let Some(reference) = reference_answer {
        row["reference_answer"] = reference.into();
    }
    let mut json = row.to_string();
    json.pop();
    finish(&mut json, &outcome);
    JudgedRow { json, verdict: outcome.verdict }
}

/// Judges every line of `input` and writes one line for each that is not blank, in order. `advanced` is told of the
/// counts after each batch.
pub fn verify_lines(
    verifier: &dyn Verifier,
    input: &mut (dyn BufRead + Send),
    mut output: impl Write,
    name: &Path,
    advanced: &mut dyn FnMut(&FileCounts),
) -> Result<FileCounts, PipelineError> {
    let mut lines = Lines { input, number: 0 };
    let mut counts = FileCounts::default();
    let mut batch = lines.batch().map_err(PipelineError::io("read", name))?;
    while !batch.is_empty() {
        // The next batch is read while this one is judged.
        let (judged, next) = rayon::join(
            || batch.par_iter().with_max_len(8).map(|line| line.judge(verifier)).collect::<Vec<_>>(),
            || lines.batch(),
        );
        for (line, row) in batch.iter().zip(judged) {
            match row.verdict {
                Verdict::Correct => counts.correct += 1,
                Verdict::Incorrect => counts.incorrect += 1,
                Verdict::Undecided => counts.undecided += 1,
            }
            counts.not_rows += u64::from(row.no_row);
            counts.bytes += line.bytes as u64;
            let written = output.write_all(row.json.as_bytes()).and_then(|()| output.write_all(b"\n"));
            written.map_err(PipelineError::io("write", "the output"))?;
        }
        advanced(&counts);
        batch = next.map_err(PipelineError::io("read", name))?;
    }
    output.flush().map_err(PipelineError::io("write", "the output"))?;
    Ok(counts)
}

/// Numbered lines.
struct Lines<'a> {
    input: &'a mut (dyn BufRead + Send),
    number: u64,
}

struct Line {
    number: u64,
    text: Vec<u8>,
    /// Length in the file.
    bytes: usize,
}

impl Lines<'_> {
    /// The next lines that are not blank; none at the end.
    fn batch(&mut self) -> std::io::Result<Vec<Line>> {
        let (mut batch, mut held) = (Vec::new(), 0);
        while batch.len() < BATCH_LINES && held < BATCH_BYTES {
            let Some(line) = self.line()? else { break };
            if !line.text.trim_ascii().is_empty() || line.bytes > MAX_LINE {
                held += line.text.len();
                batch.push(line);
            }
        }
        Ok(batch)
    }

    fn line(&mut self) -> std::io::Result<Option<Line>> {
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
        Ok(Some(Line { number: self.number, text, bytes }))
    }
}

/// What became of a line.
struct Judged {
    json: String,
    verdict: Verdict,
    no_row: bool,
}

impl Line {
    fn judge(&self, verifier: &dyn Verifier) -> Judged {
        let no_row = |method: &'static str, reason: String| {
            let outcome = Outcome::new(Verdict::Undecided, method, reason);
            let mut json = format!("{{\"line\":{}", self.number);
            finish(&mut json, &outcome);
            Judged { json, verdict: outcome.verdict, no_row: true }
        };
        if self.bytes > MAX_LINE {
            return no_row("not_json", format!("the line is longer than {} MiB", MAX_LINE >> 20));
        }
        let text = match std::str::from_utf8(&self.text) {
            Ok(text) => text.trim(),
            Err(error) => return no_row("not_json", format!("not UTF-8 after {} bytes", error.valid_up_to())),
        };
        let row: Fields<'_> = match serde_json::from_str(text) {
            Ok(row) => row,
            Err(error) if error.is_data() => return no_row("not_object", "the line is no JSON object".into()),
            Err(error) => return no_row("not_json", error.to_string()),
        };
        let outcome = row.judge(verifier);
        let mut json = String::with_capacity(text.len() + 128);
        for (key, value) in &row.0 {
            if !ADDED.contains(&key.as_ref()) {
                json.push(if json.is_empty() { '{' } else { ',' });
                json.push_str(&quoted(key));
                json.push(':');
                json.push_str(value.get());
            }
        }
        if json.is_empty() {
            json.push('{');
        }
        finish(&mut json, &outcome);
        Judged { json, verdict: outcome.verdict, no_row: false }
    }
}

/// Adds the verdict to a JSON object that is still open, and closes it.
fn finish(json: &mut String, outcome: &Outcome) {
    let added = json!({
        "verdict": outcome.verdict,
        "extracted_answer": outcome.extracted_answer,
        "method": outcome.method,
        "reason": outcome.reason,
    });
    if !json.ends_with('{') {
        json.push(',');
    }
    json.push_str(&added.to_string()[1..]);
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The keys of a row in their order, with their values as they were written.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Fields<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    // Of a key that stands twice the last value counts, as in Python.
                    match fields.iter_mut().find(|(known, _)| *known == key) {
                        Some(field) => field.1 = value,
                        None => fields.push((key.into(), value)),
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl Fields<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.get())
    }

    /// The value as text: a JSON string's content, and anything but null as it is written.
    fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        as_text(self.get(key)?)
    }

    fn judge(&self, verifier: &dyn Verifier) -> Outcome {
        let nothing = |verdict, reason: &str| Outcome::new(verdict, "no_prediction", reason);
        let prediction = match self.get("prediction") {
            None => return nothing(Verdict::Undecided, "the row has no key `prediction`"),
            Some("null") => return nothing(Verdict::Incorrect, "the prediction is null"),
            Some(json) if matches!(json.as_bytes().first(), Some(b'[' | b'{' | b't' | b'f')) => {
                let kind = match json.as_bytes().first() {
                    Some(b'[') => "a list",
                    Some(b'{') => "an object",
                    _ => "true or false",
                };
                let reason = format!("the prediction is {kind}, expected text or a number");
                return Outcome::new(Verdict::Undecided, "not_text", reason);
            }
            Some(json) => match as_text(json) {
                Some(text) => text,
                None => {
                    return Outcome::new(Verdict::Undecided, "not_text", "the prediction holds half a surrogate pair");
                }
            },
        };
        let reference = REFERENCE_KEYS.iter().find_map(|key| self.text(key));
        let (tests, language, prompt) = (self.text("tests"), self.text("language"), self.text("prompt"));
        let messages: Vec<Message> = prompt.map(Message::user).into_iter().collect();
        let finish = self.text("finish_reason");
        let case = Case {
            messages: &messages,
            completion: &prediction,
            truncated: matches!(finish.as_deref(), Some("length" | "content_filter" | "abort")),
            reference_answer: reference.as_deref(),
            tests: tests.as_deref(),
            language: language.as_deref(),
            ..Case::default()
        };
        let outcome = verifier.verify(&case);
        match outcome.verdict {
            // No verifier may call a truncated completion right, whatever it checks.
            Verdict::Correct if case.truncated => Outcome { verdict: Verdict::Incorrect, ..outcome },
            _ => outcome,
        }
    }
}

fn as_text(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first() {
        Some(b'n') => None,
        // Half a surrogate pair is JSON but no text.
        Some(b'"') => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
        _ => Some(Cow::Borrowed(json)),
    }
}
