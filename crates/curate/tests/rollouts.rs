//! R1's filters on rollouts that reasoning models really wrote: 1,875 on trick puzzles (misguided attention, CC0-1.0), 70
//! on MATH-500 (supershybrid pilot, MIT), 150 of a base model (NeMo-Skills, Apache-2.0). The data is not in the repository:
//! set `RETORT_TEST_DATA`. `cargo test --release -p retort-curate --test rollouts -- --nocapture` prints the report with
//! examples to judge.

// An integration test is all test code, which the lints only know of functions marked so.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use retort_curate::r1::{R1Filters, r1_reasons};
use retort_curate::{PromptView, TextView};
use retort_records::{FinishReason, Message, Prompt, Rollout, completion};
use serde_json::Value;

fn rows(file: &str) -> Option<Vec<(Prompt, Rollout)>> {
    let Some(folder) = std::env::var_os("RETORT_TEST_DATA") else {
        eprintln!("SKIPPED: {file} is not in the repository, set RETORT_TEST_DATA");
        return None;
    };
    let path = PathBuf::from(folder).join("rollouts").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(text.lines().map(|line| row(&serde_json::from_str(line).unwrap())).collect())
}

/// One row in our form. None has a finish reason; the pilot's row of 32,768 tokens is the one that was cut.
fn row(value: &Value) -> (Prompt, Rollout) {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    // Rows without a `thinking` column of their own may have it in the text.
    let inline = text("text");
    let parts = completion::split(&inline);
    let own = Some(text("thinking")).filter(|text| !text.trim().is_empty());
    let inside = own.is_none() && parts.form != completion::ThinkForm::Absent;
    let reasoning = own.or_else(|| parts.reasoning.map(String::from));
    let answer = if inside { parts.answer.unwrap_or_default().to_owned() } else { inline.clone() };
    let whole = value["full"].as_str().map(String::from).or(inside.then(|| inline.clone()));
    let prompt = Prompt {
        prompt_id: text("prompt_id"),
        ordinal: 0,
        messages: vec![Message::user(text("prompt"))],
        reference_answer: value["answer"].as_str().map(String::from),
        domain: "math".into(),
        source: String::new(),
        source_id: None,
        language: None,
        tests: None,
        beyond_text: None,
    };
    let rollout = Rollout {
        rollout_id: format!("{} {} {}", text("model"), text("prompt_id"), text("sample")),
        prompt_id: text("prompt_id"),
        sample_index: 0,
        teacher: text("model"),
        completion: whole.unwrap_or_else(|| completion::join(reasoning.as_deref(), &answer)),
        reasoning,
        answer: Some(answer).filter(|answer| !answer.is_empty()),
        finish_reason: if value["tokens"] == 32768 { FinishReason::Length } else { FinishReason::Unknown },
        prompt_tokens: None,
        completion_tokens: None,
        seed: None,
        sampling: String::new(),
        source_id: None,
    };
    (prompt, rollout)
}

/// Rows, rows dropped by any reason, and rows dropped by each.
#[derive(Debug, PartialEq)]
struct Report {
    rows: usize,
    dropped: usize,
    by_reason: Vec<(&'static str, usize)>,
}

/// Filters the rows of a file and prints what was dropped, with up to ten examples of each reason.
fn report(file: &str, settings: &R1Filters) -> Option<Report> {
    let rows = rows(file)?;
    let mut examples: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    let mut dropped = 0;
    let begin = std::time::Instant::now();
    for (prompt, rollout) in &rows {
        let text = TextView {
            completion: &rollout.completion,
            reasoning: rollout.reasoning.as_deref(),
            answer: rollout.answer.as_deref(),
        };
        let prompt = PromptView {
            domain: &prompt.domain,
            language: prompt.language.as_deref(),
            source: &prompt.source,
            messages: &prompt.messages,
            reference_answer: prompt.reference_answer.as_deref(),
        };
        let reasons = r1_reasons(settings, rollout.finish_reason, &text, &prompt);
        dropped += usize::from(!reasons.is_empty());
        for reason in reasons {
            examples.entry(reason.reason).or_default().push(format!("{}: {}", rollout.rollout_id, reason.detail));
        }
    }
    let bytes: usize = rows.iter().map(|(_, rollout)| rollout.completion.len()).sum();
    let speed = bytes as f64 / begin.elapsed().as_secs_f64() / 1e6;
    println!("\n{file}: {} rows, {dropped} dropped, {speed:.0} MB/s", rows.len());
    for (reason, texts) in &examples {
        println!("  {reason}: {}", texts.len());
        // Ten over the whole file, not the first ten of one model.
        for text in texts.iter().step_by(texts.len().div_ceil(10)) {
            println!("    {text}");
        }
    }
    let by_reason = examples.into_iter().map(|(reason, texts)| (reason, texts.len())).collect();
    Some(Report { rows: rows.len(), dropped, by_reason })
}

/// The counts behind the precision that `explain` states. They may change with the rules; then read the examples again.
#[test]
fn filters_on_real_rollouts() {
    let settings = R1Filters { max_foreign_words: Some(0), ..R1Filters::default() };
    let misguided = [
        ("leaked_answer", 1),
        ("long_paragraph", 194),
        ("missing_think_close", 27),
        ("mixed_language", 6),
        ("repetition", 5),
    ];
    for (file, rows, dropped, by_reason) in [
        ("misguided_attention_open_weights_3x.jsonl", 1875, 226, misguided.to_vec()),
        ("supershybrid_math500_r1_pilot.jsonl", 70, 9, vec![("long_paragraph", 8), ("truncated", 1)]),
        ("nemo_skills_math_3x.jsonl", 150, 0, vec![]),
    ] {
        let expected = Report { rows, dropped, by_reason };
        if let Some(found) = report(file, &settings) {
            assert_eq!(found, expected, "{file}");
        }
    }
}
