//! `math` on some thousand pairs of our own, beside the banks: announcements in many languages, spellings, kinds of answers,
//! and answers that are nearly right.

use retort_records::Verdict;

use super::{judge, text};

/// `{"prediction", "reference_answer", "verdict"}`; `undecided` where the pair really is ambiguous.
const VARIANTS: &str = include_str!("variants.jsonl");

#[test]
fn pairs_of_our_own() {
    let mut wrong = Vec::new();
    for line in VARIANTS.lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("the file is JSON Lines");
        let (prediction, reference) = (text(&row, "prediction"), text(&row, "reference_answer"));
        let expected: Verdict = serde_json::from_value(row["verdict"].clone()).expect("a verdict");
        let forth = judge(prediction, reference);
        if forth.verdict != expected {
            wrong.push(format!("{line}: {:?} by {} ({})", forth.verdict, forth.method, forth.reason));
        }
        // A completion as reference answer may be less sure, never the opposite.
        let back = judge(reference, prediction);
        if back.verdict != expected && back.verdict != Verdict::Undecided {
            wrong.push(format!("{line}, swapped: {:?} by {} ({})", back.verdict, back.method, back.reason));
        }
    }
    println!("{} pairs", VARIANTS.lines().count());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
