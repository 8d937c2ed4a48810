//! Judges the rows `{"prediction": …, "reference_answer": …}` of a JSON Lines file with `math`.
//!
//! `math_pairs FILE` writes one verdict a line; `math_pairs FILE ROUNDS` judges the file so many times on one core and
//! writes verdicts and megabytes of predictions per second of processor time, which other programs do not lengthen.

use std::{env, fs, io::Write, process::ExitCode, time::Instant};

use retort_verify::{Case, VerifierSettings};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(file) = arguments.next() else { return ExitCode::from(2) };
    let rounds: Option<u32> = arguments.next().and_then(|rounds| rounds.parse().ok());
    let Ok(text) = fs::read_to_string(&file) else { return ExitCode::from(2) };
    let rows: Vec<serde_json::Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let field = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let pairs: Vec<_> = rows.iter().map(|row| (field(row, "prediction"), field(row, "reference_answer"))).collect();
    let Ok(verifier) = serde_json::from_str::<VerifierSettings>("\"math\"") else { return ExitCode::from(2) };
    let Ok(verifier) = verifier.build() else { return ExitCode::from(2) };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let written = match rounds {
        None => pairs.iter().try_for_each(|(prediction, reference)| {
            let outcome = verifier.verify(&Case::of(prediction, reference));
            let row = serde_json::json!({
                "verdict": outcome.verdict, "method": outcome.method, "reason": outcome.reason,
                "extracted_answer": outcome.extracted_answer, "prediction": prediction, "reference_answer": reference,
            });
            writeln!(out, "{row}")
        }),
        Some(rounds) => {
            let (start, before) = (Instant::now(), processor_seconds());
            let mut correct = 0usize;
            for _ in 0..rounds {
                for (prediction, reference) in &pairs {
                    let outcome = verifier.verify(&Case::of(prediction, reference));
                    correct += usize::from(outcome.verdict == retort_records::Verdict::Correct);
                }
            }
            let wall = start.elapsed().as_secs_f64();
            let seconds = match (before, processor_seconds()) {
                (Some(before), Some(after)) => after - before,
                _ => wall,
            };
            let verdicts = f64::from(rounds) * pairs.len() as f64;
            let bytes = f64::from(rounds) * pairs.iter().map(|(prediction, _)| prediction.len() as f64).sum::<f64>();
            writeln!(
                out,
                "{}",
                serde_json::json!({
                    "verdicts": verdicts, "correct": correct, "seconds": seconds, "wall_seconds": wall,
                    "verdicts_per_second": verdicts / seconds, "megabytes_per_second": bytes / seconds / 1e6,
                })
            )
        }
    };
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

/// Processor time of this process so far, where the kernel tells it.
fn processor_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/schedstat").ok()?;
    text.split_ascii_whitespace().next()?.parse::<f64>().ok().map(|nanoseconds| nanoseconds / 1e9)
}
