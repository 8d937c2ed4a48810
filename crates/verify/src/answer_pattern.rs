//! `answer-pattern`: what follows the last occurrence of a mark such as GSM8K's `####`.

use regex::Regex;
use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Case, Outcome, Verifier, VerifyError, error::last_line, number::last_number, text::normalized};

/// Settings of `answer-pattern`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerPatternSettings {
    /// The mark before the answer, as plain text. The answer is the rest of the line after its last occurrence.
    pub prefix: String,
    /// A regular expression in place of the mark. With a group, the answer is what its first group matched last;
    /// without one, the rest of the line after the last match.
    pub regex: Option<String>,
}

impl Default for AnswerPatternSettings {
    fn default() -> Self {
        Self { prefix: "####".into(), regex: None }
    }
}

impl AnswerPatternSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        let mark = match &self.regex {
            Some(pattern) => Mark::Pattern(Regex::new(pattern).map_err(|error| VerifyError::Pattern {
                verifier: "answer-pattern",
                setting: "regex",
                given: pattern.clone(),
                message: last_line(&error.to_string()),
            })?),
            None if self.prefix.trim().is_empty() => {
                return Err(VerifyError::Setting {
                    verifier: "answer-pattern",
                    setting: "prefix",
                    given: self.prefix.clone(),
                    allowed: "any text that is not only white space".into(),
                });
            }
            None => Mark::Prefix(self.prefix.clone()),
        };
        Ok(Box::new(AnswerPattern { mark }))
    }
}

enum Mark {
    Prefix(String),
    Pattern(Regex),
}

impl Mark {
    /// The answer after the mark's last occurrence.
    fn answer<'t>(&self, text: &'t str) -> Option<&'t str> {
        let rest_of_line = |from: usize| text[from..].trim_start().lines().next().unwrap_or_default().trim();
        let answer = match self {
            Self::Prefix(prefix) => rest_of_line(text.rfind(prefix.as_str())? + prefix.len()),
            Self::Pattern(pattern) => {
                let last = pattern.captures_iter(text).last()?;
                match last.get(1) {
                    Some(group) => group.as_str().trim(),
                    None => rest_of_line(last.get(0)?.end()),
                }
            }
        };
        (!answer.is_empty()).then_some(answer)
    }
}

struct AnswerPattern {
    mark: Mark,
}

impl Verifier for AnswerPattern {
    fn name(&self) -> &'static str {
        "answer-pattern"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        let (text, reference) = match case.answer_and_reference() {
            Ok(texts) => texts,
            Err(outcome) => return outcome,
        };
        // Data sets such as GSM8K keep the whole solution, mark included, as the reference answer.
        let reference = self.mark.answer(reference).unwrap_or(reference);
        let Some(answer) = self.mark.answer(text) else {
            return Outcome::new(Verdict::Incorrect, "no_answer", "the answer's mark is missing");
        };
        match (last_number(answer), last_number(reference)) {
            (Some(found), Some(expected)) if found.doubt() != expected.doubt() => {
                let reason = found.doubt().or(expected.doubt()).unwrap_or_default();
                Outcome::new(Verdict::Undecided, "changed", reason).with_answer(found.text)
            }
            (Some(found), Some(expected)) if found.is_value() && expected.is_value() => {
                let verdict = if found.value == expected.value { Verdict::Correct } else { Verdict::Incorrect };
                Outcome::new(verdict, "number", "compared as numbers").with_answer(found.text)
            }
            _ => {
                let equal = normalized(answer) == normalized(reference);
                let verdict = if equal { Verdict::Correct } else { Verdict::Incorrect };
                Outcome::new(verdict, "text", "compared as normalised text").with_answer(answer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(settings: AnswerPatternSettings, text: &str, reference: &str) -> Verdict {
        settings.build().unwrap().verify(&Case::of(text, reference)).verdict
    }

    #[test]
    fn the_last_mark_counts() {
        let with = |prefix: &str| AnswerPatternSettings { prefix: prefix.into(), regex: None };
        assert_eq!(verdict(with("####"), "#### 3\nno\n#### 1,000", "1000"), Verdict::Correct);
        assert_eq!(verdict(with("####"), "#### 3\nno\n#### 4", "3"), Verdict::Incorrect);
        assert_eq!(verdict(with("A:"), "A: 18", "steps\nA: 18"), Verdict::Correct);
        assert_eq!(verdict(with("A:"), "it is 18", "18"), Verdict::Incorrect);
        assert_eq!(verdict(with("A:"), "A:\nParis.", "paris"), Verdict::Correct);
        for changed in ["#### 5 million", "#### not 5", "#### <5", "#### 4 or 5"] {
            assert_eq!(verdict(with("####"), changed, "5"), Verdict::Undecided, "{changed}");
        }
        let group = AnswerPatternSettings { regex: Some(r"<<(.*?)>>".into()), ..Default::default() };
        assert_eq!(verdict(group, "<<2>> <<3>>", "3"), Verdict::Correct);
    }

    #[test]
    fn bad_settings_are_refused() {
        let error = AnswerPatternSettings { regex: Some("(".into()), ..Default::default() }.build().err().unwrap();
        assert!(error.to_string().contains("`(`"), "{error}");
        assert!(AnswerPatternSettings { prefix: " ".into(), regex: None }.build().is_err());
    }
}
