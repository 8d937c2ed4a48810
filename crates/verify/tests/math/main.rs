//! `math` on real and hand-made cases: banks of other graders, kinds of answers, perturbed answers, attacks, properties.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what the banks show is for people to read")]

mod adversarial;
mod attacks;
mod banks;
mod kinds;
mod metamorphic;
mod perturbations;
mod properties;
mod rollouts;
mod variants;

use std::sync::LazyLock;

use retort_verify::{Case, Outcome, Verifier, VerifierSettings};
use serde_json::Value;

/// The rows of a file of the test data; `None`, loudly, without the data.
fn rows(file: &str) -> Option<Vec<Value>> {
    let Ok(folder) = std::env::var("RETORT_TEST_DATA") else {
        eprintln!("SKIPPED: {file}: set RETORT_TEST_DATA to the folder of test data");
        return None;
    };
    let text = std::fs::read_to_string(format!("{folder}/{file}")).expect("the test data is complete");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("the test data is JSON Lines")).collect())
}

fn text<'v>(row: &'v Value, key: &str) -> &'v str {
    row[key].as_str().unwrap_or_default()
}

fn verifier(json: &str) -> Box<dyn Verifier> {
    serde_json::from_str::<VerifierSettings>(json)
        .expect("the settings are right")
        .build()
        .expect("the verifier builds")
}

/// `math` with its defaults.
static MATH: LazyLock<Box<dyn Verifier>> = LazyLock::new(|| verifier("\"math\""));

fn judge(prediction: &str, reference: &str) -> Outcome {
    MATH.verify(&Case::of(prediction, reference))
}
