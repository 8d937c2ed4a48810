//! Hostile and hard pairs of all verifiers that this crate judges without running code.

use std::collections::BTreeMap;

use retort_records::{Message, Verdict};
use retort_verify::Case;
use serde_json::Value;

use super::{rows, text, verifier};

/// The settings of a row, `name=value` each, as the verifier's JSON.
fn settings(row: &Value) -> String {
    let kind = text(row, "kind");
    let pairs = row["set"].as_array().into_iter().flatten().filter_map(|pair| pair.as_str()?.split_once('='));
    let value = |value: &str| serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    let map: serde_json::Map<String, Value> = pairs.map(|(name, given)| (name.to_owned(), value(given))).collect();
    let whole = if map.is_empty() { Value::String(kind.to_owned()) } else { serde_json::json!({ kind: map }) };
    whole.to_string()
}

/// Whether a verdict is one that the row allows.
fn allowed(expected: &str, verdict: Verdict) -> bool {
    match expected {
        "correct" => verdict == Verdict::Correct,
        "incorrect" => verdict == Verdict::Incorrect,
        "not_correct" => verdict != Verdict::Correct,
        "not_incorrect" => verdict != Verdict::Incorrect,
        other => panic!("the test data expect `{other}`"),
    }
}

/// Judges the rows and prints the misses by family; gives hits, rows, and the wrong answers called correct.
fn judge(rows: &[Value]) -> (usize, usize, Vec<String>) {
    let (mut all, mut hits, mut false_correct) = (0, 0, Vec::new());
    let mut families: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows.iter().filter(|row| matches!(text(row, "kind"), "math" | "choice" | "number")) {
        let messages = [Message::user(text(row, "prompt"))];
        let case = Case { messages: &messages, ..Case::of(text(row, "prediction"), text(row, "reference_answer")) };
        let outcome = verifier(&settings(row)).verify(&case);
        all += 1;
        if allowed(text(row, "expected"), outcome.verdict) {
            hits += 1;
            continue;
        }
        *families.entry(text(row, "family").to_owned()).or_default() += 1;
        let said = format!("{row}: {:?} by {} ({})", outcome.verdict, outcome.method, outcome.reason);
        println!("{said}");
        if outcome.verdict == Verdict::Correct {
            false_correct.push(said);
        }
    }
    println!("{hits} of {all} as expected; misses by family: {families:?}");
    (hits, all, false_correct)
}

#[test]
fn adversarial() {
    let Some(rows) = rows("verifiers/adversarial.jsonl") else { return };
    let (hits, all, false_correct) = judge(&rows);
    assert!(false_correct.is_empty(), "{}", false_correct.join("\n"));
    assert!(hits * 100 >= all * 95, "{hits} of {all}");
}

/// Pairs of our own of the same kinds, and pairs like them that must not be taken for those.
#[test]
fn hostile() {
    let rows: Vec<Value> = include_str!("hostile.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("the file is JSON Lines"))
        .collect();
    let (hits, all, false_correct) = judge(&rows);
    assert!(false_correct.is_empty(), "{}", false_correct.join("\n"));
    assert_eq!(hits, all);
}
