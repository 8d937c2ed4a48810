//! Verifies the rows of a JSONL file with one verifier: the work of the command `retort verify`.
//!
//! A row is copied to the output as it was written, key by key, with its verdict added. Rows are read in batches, judged
//! on all cores and written in their order; what is in memory is two batches.

use crate::error::StageError;
use rayon::prelude::*;
use retort_pipeline::file::assignment::{Assignment, set_inside};
use retort_pipeline::file::document::{Document, pointer_step};
use retort_pipeline::file::schema::generator;
use retort_pipeline::file::schema_check::violations;
use retort_pipeline::{PipelineError, Problem, did_you_mean};
use retort_records::json_lines::{JsonLine, JsonLines, RowFields, as_text, close};
use retort_records::{FinishReason, Message, Verdict};
use retort_verify::{Case, Outcome, Verifier, VerifierSettings};
use serde_json::{Map, Value, json};
use std::io::{BufRead, Write};
use std::path::Path;

/// Keys that hold the reference answer; the first that a row has counts.
const REFERENCE_KEYS: [&str; 4] = ["reference_answer", "gold", "reference", "answer"];
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
/// keys with dots. Programs under test do not see the folder of `input`, which holds what they are tested with.
pub fn verifier(name: &str, settings: &[String], input: Option<&Path>) -> Result<Box<dyn Verifier>, PipelineError> {
    let names = retort_verify::names();
    if !names.contains(&name) {
        let message = format!("there is no verifier `{name}`; verifiers: {}", names.join(", "));
        let error = PipelineError::argument(message);
        return Err(match did_you_mean(name, names.iter().copied()) {
            Some(hint) => error.with_hint(hint),
            None => error,
        });
    }
    let mut given = Value::Object(Map::new());
    for text in settings {
        let wrong = |reason: String| PipelineError::argument(format!("`--set {text}`: {reason}"));
        let Assignment { path, value } = Assignment::parse(text, "key=value").map_err(wrong)?;
        set_inside(&mut given, &path, value).map_err(wrong)?;
    }
    let whole = json!({ name: given });
    let fail = |problems: Vec<Problem>| {
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        let error = PipelineError::argument(format!("settings of `{name}`: {}", messages.join("\n")));
        let hints: Vec<&str> = problems.iter().filter_map(|problem| problem.help.as_deref()).collect();
        if hints.is_empty() { error } else { error.with_hint(hints.join("; ")) }
    };
    let document = Document::parse(whole.to_string()).map_err(fail)?;
    let wanted = settings_schema(name).unwrap_or_default();
    if let Ok(validator) = jsonschema::validator_for(&wanted) {
        let problems = violations(&document, &format!("/{}", pointer_step(name)), &validator, &wanted);
        if !problems.is_empty() {
            return Err(fail(problems));
        }
    }
    let settings: VerifierSettings = serde_json::from_value(whole)
        .map_err(|error| PipelineError::argument(format!("settings of `{name}`: {error}")))?;
    let folder = input.and_then(|file| file.canonicalize().ok()?.parent().map(Path::to_owned));
    Ok(settings.build_beside(folder.as_slice()).map_err(StageError::from)?)
}

/// The schema of one verifier's settings.
fn settings_schema(name: &str) -> Option<Value> {
    let schema = generator().into_root_schema_for::<VerifierSettings>().to_value();
    let mut forms = schema["anyOf"].as_array().into_iter().flatten();
    forms.find_map(|form| form["properties"].get(name)).cloned()
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
    close(&mut json, &added(&outcome));
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
    let mut lines = JsonLines::new(input);
    let mut counts = FileCounts::default();
    let mut batch = lines.batch().map_err(PipelineError::io("read", name))?;
    while !batch.is_empty() {
        // The next batch is read while this one is judged.
        let (judged, next) = rayon::join(
            || batch.par_iter().with_max_len(8).map(|line| Judged::of(line, verifier)).collect::<Vec<_>>(),
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

/// What became of a line.
struct Judged {
    json: String,
    verdict: Verdict,
    no_row: bool,
}

impl Judged {
    fn of(line: &JsonLine, verifier: &dyn Verifier) -> Self {
        let row = match line.fields() {
            Ok(row) => row,
            Err((method, reason)) => {
                let outcome = Outcome::new(Verdict::Undecided, method, reason);
                let mut json = format!("{{\"line\":{}", line.number);
                close(&mut json, &added(&outcome));
                return Judged { json, verdict: outcome.verdict, no_row: true };
            }
        };
        let outcome = judge(&row, verifier);
        let json = row.with(&added(&outcome));
        Judged { json, verdict: outcome.verdict, no_row: false }
    }
}

/// What is added to every row; a row's own values under these keys are replaced.
fn added(outcome: &Outcome) -> Value {
    json!({
        "verdict": outcome.verdict,
        "extracted_answer": outcome.extracted_answer,
        "method": outcome.method,
        "reason": outcome.reason,
    })
}

/// The verdict on one row.
fn judge(row: &RowFields<'_>, verifier: &dyn Verifier) -> Outcome {
    let nothing = |verdict, reason: &str| Outcome::new(verdict, "no_prediction", reason);
    let prediction = match row.get("prediction") {
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
    let reference = REFERENCE_KEYS.iter().find_map(|key| row.text(key));
    let (tests, language, prompt) = (row.text("tests"), row.text("language"), row.text("prompt"));
    let messages: Vec<Message> = prompt.map(Message::user).into_iter().collect();
    let case = Case {
        messages: &messages,
        completion: &prediction,
        truncated: FinishReason::of_row(|key| row.text(key)).truncates(),
        reference_answer: reference.as_deref(),
        tests: tests.as_deref(),
        language: language.as_deref(),
        ..Case::default()
    };
    let outcome = verifier.verify(&case);
    if case.truncated { Outcome { verdict: outcome.verdict.of_truncated(), ..outcome } } else { outcome }
}
