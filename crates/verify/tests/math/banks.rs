//! `math` against the banks of real and hand-made cases in `RETORT_TEST_DATA/verifiers`.

use retort_records::Verdict;
use retort_verify::{Case, Verifier};
use serde_json::Value;

use super::{rows, text, verifier};

fn wanted(expected: bool) -> Verdict {
    if expected { Verdict::Correct } else { Verdict::Incorrect }
}

/// Judges every pair and prints the misses; gives hits, rows, and the positions of wrong answers called correct.
fn judge(verifier: &dyn Verifier, pairs: &[(usize, &str, &str, bool)]) -> (usize, usize, Vec<usize>) {
    let (mut hits, mut false_correct) = (0, Vec::new());
    for (at, prediction, reference, expected) in pairs {
        let outcome = verifier.verify(&Case::of(prediction, reference));
        if outcome.verdict == wanted(*expected) {
            hits += 1;
            continue;
        }
        if outcome.verdict == Verdict::Correct {
            false_correct.push(*at);
        }
        let short = |text: &str| text.chars().rev().take(120).collect::<Vec<_>>().into_iter().rev().collect::<String>();
        println!(
            "row {at}: expected {expected}, {:?} by {} ({}); found {:?}; prediction {:?}, reference {:?}",
            outcome.verdict,
            outcome.method,
            outcome.reason,
            outcome.extracted_answer,
            short(prediction),
            short(reference)
        );
    }
    println!("{hits} of {} rows, wrong answers called correct: {false_correct:?}", pairs.len());
    (hits, pairs.len(), false_correct)
}

#[test]
fn math_verify_cases() {
    let Some(rows) = rows("verifiers/math_verify_cases.jsonl") else { return };
    let pairs: Vec<_> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| {
            row.get("dubious").is_none_or(Value::is_null) && row.get("policy").is_none_or(Value::is_null)
        })
        .map(|(at, row)| (at, text(row, "pred"), text(row, "gold"), row["expected"].as_bool().unwrap_or_default()))
        .collect();
    let (hits, all, false_correct) = judge(&*verifier("\"math\""), &pairs);
    assert!(hits * 100 >= all * 97, "{hits} of {all}");
    assert!(false_correct.is_empty());
}

#[test]
fn real_pairs() {
    let Some(rows) = rows("verifiers/real_pairs.jsonl") else { return };
    let pairs: Vec<_> = rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| Some((at, text(row, "pred"), text(row, "gold"), row["consensus"].as_bool()?)))
        .collect();
    let (hits, all, false_correct) = judge(&*verifier("\"math\""), &pairs);
    assert!(hits * 1000 >= all * 995, "{hits} of {all}");
    assert!(false_correct.is_empty());
}

/// Rows of other graders that follow another policy: lists without brackets have an order for Hendrycks' string
/// comparison, and a missing reference answer makes NeMo-Skills say "different" where nobody can tell.
const OTHER_POLICY: [usize; 3] = [1, 8, 67];

#[test]
fn other_verifier_cases() {
    let Some(rows) = rows("verifiers/other_verifier_cases.jsonl") else { return };
    let pairs: Vec<_> = rows
        .iter()
        .enumerate()
        .filter(|(at, _)| !OTHER_POLICY.contains(at))
        .map(|(at, row)| (at, text(row, "pred"), text(row, "gold"), row["expected"].as_bool().unwrap_or_default()))
        .collect();
    let (hits, all, false_correct) = judge(&*verifier("\"math\""), &pairs);
    assert_eq!(hits, all);
    assert!(false_correct.is_empty());
}

#[test]
fn latex_parse_cases() {
    let Some(rows) = rows("verifiers/latex_parse_cases.jsonl") else { return };
    let (mut hits, mut all) = (0, 0);
    for (at, row) in rows.iter().enumerate() {
        let Some(expected) = row["value"].as_str() else { continue };
        all += 1;
        let latex = text(row, "latex");
        let expected_value = match expected {
            "oo" => f64::INFINITY,
            "-oo" => f64::NEG_INFINITY,
            other => other.parse().unwrap_or(f64::NAN),
        };
        let found = retort_verify::math::value(latex);
        let close = found.is_some_and(|(re, im)| {
            im.abs() < 1e-12
                && (re == expected_value || (re - expected_value).abs() <= 1e-9 * expected_value.abs().max(1e-12))
        });
        if close {
            hits += 1;
        } else {
            println!("row {at}: {latex:?} expected {expected}, found {found:?}");
        }
    }
    println!("{hits} of {all}");
    assert!(hits * 100 >= all * 95, "{hits} of {all}");
}
