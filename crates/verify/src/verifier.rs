//! The trait of all verifiers, what they look at, and how several verdicts become one.

use std::borrow::Cow;

use retort_records::{
    Check, Message, Verdict,
    completion::{self, ThinkForm},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything a verifier may look at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Case<'a> {
    /// The conversation that was answered.
    pub messages: &'a [Message],
    /// Everything the model added, think tags included.
    pub completion: &'a str,
    /// The text inside the think tags, where the teacher split it off.
    pub reasoning: Option<&'a str>,
    /// The text after the think tags, where the teacher split it off. Answer verifiers look at it first.
    pub answer: Option<&'a str>,
    /// Whether the text was cut off: never correct.
    pub truncated: bool,
    /// The known right answer.
    pub reference_answer: Option<&'a str>,
    /// Tests of a programming task, as JSON.
    pub tests: Option<&'a str>,
    /// Language of the prompt (ISO 639-1), where known.
    pub language: Option<&'a str>,
}

impl<'a> Case<'a> {
    /// A case of a bare prediction and its reference answer.
    pub fn of(completion: &'a str, reference_answer: &'a str) -> Self {
        Self { completion, reference_answer: Some(reference_answer), ..Self::default() }
    }

    /// The text in which to look for the answer: `answer` where the teacher split it off, else what follows the
    /// reasoning in the completion. `None` when nothing follows it.
    pub fn answer_text(&self) -> Option<&'a str> {
        let text = match self.answer {
            Some(answer) => Some(answer),
            None => completion::split(self.completion).answer,
        };
        text.filter(|text| !text.trim().is_empty())
    }

    /// The reasoning: `reasoning` where the teacher split it off, else the text inside the think tags.
    pub fn reasoning_text(&self) -> Option<&'a str> {
        self.reasoning.or_else(|| completion::split(self.completion).reasoning)
    }

    /// The text of the last message of the user.
    pub fn prompt_text(&self) -> Option<&'a str> {
        self.messages.iter().rev().find(|message| message.role == "user").map(|message| message.content.as_str())
    }

    /// What every answer verifier checks before it compares anything: the answer text and the reference answer, or the
    /// outcome that is already certain.
    pub(crate) fn answer_and_reference(&self) -> Result<(&'a str, &'a str), Outcome> {
        if self.truncated {
            return Err(Outcome::new(Verdict::Incorrect, "truncated", "the completion was cut off"));
        }
        let Some(reference) = self.reference_answer.map(str::trim).filter(|text| !text.is_empty()) else {
            return Err(Outcome::new(Verdict::Undecided, "no_reference", "the prompt has no reference answer"));
        };
        // A reference answer may be a whole completion with its reasoning.
        let parts = completion::split(reference);
        let reference = parts.answer.filter(|_| parts.form != ThinkForm::Absent).unwrap_or(reference);
        match self.answer_text() {
            Some(answer) => Ok((answer, reference)),
            None => {
                let unfinished = completion::split(self.completion).form == ThinkForm::Unclosed;
                let reason = if unfinished { "the reasoning never ends" } else { "the completion has no answer" };
                Err(Outcome::new(Verdict::Incorrect, "no_answer", reason))
            }
        }
    }
}

/// One verifier's verdict on one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// How it was reached, in one word or two, such as `exact` or `numeric`.
    pub method: Cow<'static, str>,
    /// Why, in words.
    pub reason: String,
    /// The final value that was found in the completion.
    pub extracted_answer: Option<String>,
}

impl Outcome {
    /// An outcome without an extracted answer.
    pub fn new(verdict: Verdict, method: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self { verdict, method: method.into(), reason: reason.into(), extracted_answer: None }
    }

    /// The same outcome with the answer it is about.
    #[must_use]
    pub fn with_answer(mut self, answer: impl Into<String>) -> Self {
        self.extracted_answer = Some(answer.into());
        self
    }
}

/// Something that judges a completion.
pub trait Verifier: Send + Sync {
    /// Its name in pipeline files and in `checks`.
    fn name(&self) -> &'static str;
    /// Its verdict on one case. Never panics and never fails: what it cannot tell is undecided.
    fn verify(&self, case: &Case<'_>) -> Outcome;
}

/// How the verdicts of several verifiers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Require {
    /// Correct when all say correct; incorrect when any says incorrect; else undecided.
    #[default]
    All,
    /// Correct when any says correct; else undecided when any is undecided; else incorrect.
    Any,
}

/// The joint verdict of several verifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The joint verdict.
    pub verdict: Verdict,
    /// The first answer that a verifier found.
    pub extracted_answer: Option<String>,
    /// Each verifier's own verdict, in their order.
    pub checks: Vec<Check>,
}

/// Asks every verifier and joins their verdicts. A truncated completion is never correct, and no verifiers at all
/// leave every case undecided.
pub fn judge(verifiers: &[Box<dyn Verifier>], require: Require, case: &Case<'_>) -> Judgement {
    let mut extracted_answer = None;
    let mut checks = Vec::with_capacity(verifiers.len());
    for verifier in verifiers {
        let outcome = verifier.verify(case);
        extracted_answer = extracted_answer.or(outcome.extracted_answer);
        checks.push(Check {
            verifier: verifier.name().to_owned(),
            verdict: outcome.verdict,
            method: outcome.method.into_owned(),
            reason: outcome.reason,
        });
    }
    let any = |verdict| checks.iter().any(|check| check.verdict == verdict);
    let verdict = match require {
        _ if checks.is_empty() => Verdict::Undecided,
        Require::All if any(Verdict::Incorrect) => Verdict::Incorrect,
        Require::Any if any(Verdict::Correct) => Verdict::Correct,
        _ if any(Verdict::Undecided) => Verdict::Undecided,
        Require::All => Verdict::Correct,
        Require::Any => Verdict::Incorrect,
    };
    let verdict = if case.truncated && verdict == Verdict::Correct { Verdict::Incorrect } else { verdict };
    Judgement { verdict, extracted_answer, checks }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Verdict);

    impl Verifier for Fixed {
        fn name(&self) -> &'static str {
            "fixed"
        }
        fn verify(&self, _: &Case<'_>) -> Outcome {
            Outcome::new(self.0, "fixed", "")
        }
    }

    fn joint(require: Require, verdicts: &[Verdict], truncated: bool) -> Verdict {
        let verifiers: Vec<Box<dyn Verifier>> =
            verdicts.iter().map(|verdict| Box::new(Fixed(*verdict)) as Box<dyn Verifier>).collect();
        judge(&verifiers, require, &Case { truncated, ..Case::default() }).verdict
    }

    #[test]
    fn verdicts_join() {
        use Verdict::{Correct, Incorrect, Undecided};
        assert_eq!(joint(Require::All, &[Correct, Correct], false), Correct);
        assert_eq!(joint(Require::All, &[Correct, Undecided], false), Undecided);
        assert_eq!(joint(Require::All, &[Undecided, Incorrect], false), Incorrect);
        assert_eq!(joint(Require::Any, &[Incorrect, Correct, Undecided], false), Correct);
        assert_eq!(joint(Require::Any, &[Incorrect, Undecided], false), Undecided);
        assert_eq!(joint(Require::Any, &[Incorrect, Incorrect], false), Incorrect);
        assert_eq!(joint(Require::All, &[], false), Undecided);
        assert_eq!(joint(Require::All, &[Correct], true), Incorrect);
    }

    #[test]
    fn the_answer_is_what_follows_the_reasoning() {
        let text = |completion| Case { completion, ..Case::default() }.answer_text();
        assert_eq!(text("<think>3</think>4"), Some("4"));
        assert_eq!(text("3</think>4"), Some("4"));
        assert_eq!(text("<think>3"), None);
        assert_eq!(text("4"), Some("4"));
        let split = Case { completion: "<think>3", answer: Some("5"), ..Case::default() };
        assert_eq!(split.answer_text(), Some("5"));
    }
}
