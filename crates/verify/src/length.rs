//! `length`: bounds on characters or words.

use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Case, Outcome, Verifier, VerifyError};

/// A part of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Everything the model added.
    #[default]
    Completion,
    /// The text inside the think tags.
    Reasoning,
    /// The text after them.
    Answer,
}

impl Part {
    /// That part of a case; `None` when it has none.
    pub(crate) fn of<'a>(self, case: &Case<'a>) -> Option<&'a str> {
        match self {
            Self::Completion => Some(case.completion),
            Self::Reasoning => case.reasoning_text(),
            Self::Answer => case.answer_text(),
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Unicode characters.
    #[default]
    Characters,
    /// Runs of anything but white space.
    Words,
}

/// Settings of `length`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LengthSettings {
    /// Which part of the completion is measured. A missing part has length 0.
    pub part: Part,
    /// What is counted.
    pub unit: Unit,
    /// Smallest allowed length.
    pub min: Option<u64>,
    /// Largest allowed length.
    pub max: Option<u64>,
}

impl LengthSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return Err(VerifyError::Setting {
                verifier: "length",
                setting: "max",
                given: max.to_string(),
                allowed: format!("from `min`, {min}"),
            });
        }
        Ok(Box::new(Length { settings: self.clone() }))
    }
}

struct Length {
    settings: LengthSettings,
}

impl Verifier for Length {
    fn name(&self) -> &'static str {
        "length"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        let text = self.settings.part.of(case).unwrap_or_default();
        let (length, unit) = match self.settings.unit {
            Unit::Characters => (text.chars().count() as u64, "characters"),
            Unit::Words => (text.split_whitespace().count() as u64, "words"),
        };
        let (verdict, method) = match (self.settings.min, self.settings.max) {
            (Some(min), _) if length < min => (Verdict::Incorrect, "too_short"),
            (_, Some(max)) if length > max => (Verdict::Incorrect, "too_long"),
            _ => (Verdict::Correct, "length"),
        };
        Outcome::new(verdict, method, format!("{length} {unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive() {
        let settings = LengthSettings { part: Part::Answer, unit: Unit::Words, min: Some(2), max: Some(3) };
        let verifier = settings.build().unwrap();
        for (answer, method) in [("a", "too_short"), ("a b", "length"), ("a b c", "length"), ("a b c d", "too_long")] {
            let completion = format!("<think>x y z w</think>{answer}");
            assert_eq!(verifier.verify(&Case { completion: &completion, ..Case::default() }).method, method);
        }
        assert!(LengthSettings { min: Some(2), max: Some(1), ..Default::default() }.build().is_err());
    }
}
