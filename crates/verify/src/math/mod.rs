//! `math`: mathematical equality of the final answer with the reference answer.

mod ball;
mod clean;
mod eval;
mod expr;
pub mod extract;
mod identity;
mod lexer;
mod limits;
mod parse;
mod value;
mod words;

use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Case, Outcome, Verifier, VerifyError};

/// Settings of `math`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MathSettings {}

impl MathSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        Ok(Box::new(Math))
    }
}

struct Math;

impl Verifier for Math {
    fn name(&self) -> &'static str {
        "math"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        let (answer, reference) = match case.answer_and_reference() {
            Ok(texts) => texts,
            Err(outcome) => return outcome,
        };
        let Some(found) = extract::last_box(answer) else {
            return Outcome::new(Verdict::Undecided, "no_answer", "no box");
        };
        let expected = extract::last_box(reference).unwrap_or(reference);
        let key = |text: &str| text.replace("dfrac", "frac").split_whitespace().collect::<String>();
        let verdict = if key(found) == key(expected) {
            Verdict::Correct
        } else if let (Some(a), Some(b)) = (crate::number::decimal(found), crate::number::decimal(expected)) {
            if a == b { Verdict::Correct } else { Verdict::Incorrect }
        } else {
            Verdict::Undecided
        };
        Outcome::new(verdict, "text", "first cut").with_answer(found)
    }
}
