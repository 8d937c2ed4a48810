//! Hostile rows for every verifier but `math` and `choice`: nothing wrong is `correct`, nothing is flaky.
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::path::PathBuf;

use retort_records::Verdict;
use retort_verify::{Case, VerifierSettings};
use serde_json::{Map, Value, json};

/// The verifier that a row names, with its settings (`key=value`, the value as JSON).
fn settings(row: &Value) -> VerifierSettings {
    let mut given = Map::new();
    for text in row["set"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let (key, value) = text.split_once('=').expect("key=value");
        given.insert(key.into(), serde_json::from_str(value).unwrap_or_else(|_| value.into()));
    }
    serde_json::from_value(json!({ row["kind"].as_str().expect("a kind"): given })).expect("settings")
}

#[test]
fn hostile_rows_are_judged_as_expected() {
    let Some(folder) = std::env::var_os("RETORT_TEST_DATA") else {
        return eprintln!("SKIPPED: the hostile rows are needed: set RETORT_TEST_DATA");
    };
    let path = PathBuf::from(folder).join("verifiers/adversarial.jsonl");
    let text = std::fs::read_to_string(path).expect("adversarial.jsonl");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    let rows: Vec<&Value> = rows.iter().filter(|row| row["kind"] != "math" && row["kind"] != "choice").collect();
    assert!(!rows.is_empty());
    let mut missed = Vec::new();
    for row in &rows {
        let verifier = match settings(row).build() {
            Ok(verifier) => verifier,
            Err(error) => {
                eprintln!("SKIPPED: {error}");
                continue;
            }
        };
        let tests = match &row["tests"] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let case = Case {
            completion: row["prediction"].as_str().expect("a prediction"),
            reference_answer: row["reference_answer"].as_str(),
            tests: tests.as_deref(),
            ..Case::default()
        };
        let verdicts: Vec<Verdict> = (0..3).map(|_| verifier.verify(&case).verdict).collect();
        let expected = row["expected"].as_str().expect("an expectation");
        let holds = |verdict: &Verdict| match expected {
            "correct" => *verdict == Verdict::Correct,
            "incorrect" => *verdict == Verdict::Incorrect,
            "not_correct" => *verdict != Verdict::Correct,
            "not_incorrect" => *verdict != Verdict::Incorrect,
            other => panic!("{other}"),
        };
        if !verdicts.iter().all(|verdict| holds(verdict) && *verdict == verdicts[0]) {
            missed.push(format!("{verdicts:?}, expected {expected}: {row}"));
        }
    }
    assert!(missed.is_empty(), "{} of {}: {missed:#?}", missed.len(), rows.len());
}
