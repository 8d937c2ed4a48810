//! `format`: think tags, an answer after them, an answer box or answer tags.

use retort_records::{
    Verdict,
    completion::{self, ThinkForm},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Case, Outcome, Verifier, VerifyError, math::extract::last_box};

/// Whether a completion must have reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Think {
    /// It must.
    #[default]
    Required,
    /// It may.
    Optional,
    /// It must not.
    Forbidden,
}

/// Settings of `format`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FormatSettings {
    /// Whether there must be reasoning in `<think>` tags.
    pub think: Think,
    /// Accept `reasoning</think>answer`, as written after a template that already opened the tag.
    pub allow_prefilled: bool,
    /// Accept `<think></think>` with nothing inside.
    pub allow_empty_think: bool,
    /// The answer must have a closed `\boxed{…}` that is not empty.
    pub require_box: bool,
    /// The answer must be exactly one `<answer>…</answer>`, as in DeepSeek-R1-Zero's template.
    pub require_answer_tags: bool,
    /// The answer must have a closed code fence; with a language's name, one of that language.
    pub require_code_fence: Option<String>,
}

impl Default for FormatSettings {
    fn default() -> Self {
        Self {
            think: Think::Required,
            allow_prefilled: true,
            allow_empty_think: false,
            require_box: false,
            require_answer_tags: false,
            require_code_fence: None,
        }
    }
}

impl FormatSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        Ok(Box::new(Format { settings: self.clone() }))
    }

    /// The first rule that the case breaks, with its name and what is wrong.
    fn broken(&self, case: &Case<'_>) -> Option<(&'static str, &'static str)> {
        if case.truncated {
            return Some(("truncated", "the completion was cut off"));
        }
        let parts = completion::split(case.completion);
        // Servers that split the reasoning off may leave a completion without tags.
        let separate = parts.form == ThinkForm::Absent && case.reasoning.is_some_and(|text| !is_invisible(text));
        match (self.think, parts.form) {
            (_, ThinkForm::Unclosed) => return Some(("think_unclosed", "`<think>` is never closed")),
            (_, ThinkForm::Several) => return Some(("think_several", "`</think>` occurs more than once")),
            (Think::Forbidden, ThinkForm::Absent) if !separate => {}
            (Think::Forbidden, _) => return Some(("think_present", "there is reasoning")),
            (Think::Required, ThinkForm::Absent) if !separate => {
                return Some(("think_missing", "there are no think tags"));
            }
            (_, ThinkForm::Empty) if !self.allow_empty_think => {
                return Some(("think_empty", "there is nothing between the think tags"));
            }
            (_, ThinkForm::Prefilled) if !self.allow_prefilled => {
                return Some(("think_unopened", "`</think>` without `<think>`"));
            }
            _ => {}
        }
        if parts.reasoning.is_some_and(is_invisible) && !self.allow_empty_think {
            return Some(("think_empty", "there is nothing to be seen between the think tags"));
        }
        if parts.reasoning.is_some_and(|reasoning| reasoning.contains(completion::THINK_OPEN)) {
            return Some(("think_nested", "`<think>` occurs more than once"));
        }
        let Some(answer) = case.answer_text().filter(|answer| !is_invisible(answer)) else {
            return Some(("answer_missing", "nothing follows the reasoning"));
        };
        if answer.contains(completion::THINK_OPEN) {
            return Some(("think_several", "`<think>` occurs after the reasoning"));
        }
        if self.require_answer_tags && !one_answer_tag(answer) {
            return Some(("answer_tags", "the answer is not exactly one `<answer>…</answer>`"));
        }
        if self.require_box && last_box(answer).is_none_or(is_invisible) {
            return Some(("box_missing", "the answer has no box, or an empty or open one"));
        }
        match &self.require_code_fence {
            Some(language) if !has_fence(answer, language) => Some(("code_fence", "the answer has no such code fence")),
            _ => None,
        }
    }
}

/// Whether a text shows nothing: white space, controls, and the characters that Unicode draws as nothing.
fn is_invisible(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c,
                '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{300}'..='\u{36f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
    })
}

fn one_answer_tag(answer: &str) -> bool {
    let inner = answer.trim().strip_prefix("<answer>").and_then(|rest| rest.strip_suffix("</answer>"));
    inner.is_some_and(|inner| !is_invisible(inner) && !inner.contains("<answer>") && !inner.contains("</answer>"))
}

/// Whether a closed fence of `language` (any when empty) stands in the text.
fn has_fence(text: &str, language: &str) -> bool {
    let mut open: Option<bool> = None;
    for line in text.lines() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        match open {
            Some(true) if info.trim().is_empty() => return true,
            Some(_) => open = None,
            None => open = Some(language.is_empty() || info.trim().eq_ignore_ascii_case(language)),
        }
    }
    false
}

struct Format {
    settings: FormatSettings,
}

impl Verifier for Format {
    fn name(&self) -> &'static str {
        "format"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        match self.settings.broken(case) {
            Some((method, reason)) => Outcome::new(Verdict::Incorrect, method, reason),
            None => Outcome::new(Verdict::Correct, "format", "the form is as asked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(settings: &FormatSettings, completion: &str) -> String {
        let outcome = settings.build().unwrap().verify(&Case { completion, ..Case::default() });
        assert_eq!(outcome.verdict == Verdict::Correct, outcome.method == "format");
        outcome.method.into_owned()
    }

    #[test]
    fn every_think_form_is_judged() {
        let default = FormatSettings::default();
        for (completion, expected) in [
            ("<think>a</think>b", "format"),
            ("a</think>b", "format"),
            ("<think>\n\n</think>b", "think_empty"),
            ("<think>a", "think_unclosed"),
            ("<think>a</think>b</think>c", "think_several"),
            ("<think>a<think>b</think>c", "think_nested"),
            ("<think>a</think>b<think>c", "think_several"),
            ("b", "think_missing"),
            ("<think>a</think>", "answer_missing"),
            ("", "think_missing"),
            ("<think>\u{200b}</think>b", "think_empty"),
            ("\u{feff}\u{2060}</think>b", "think_empty"),
            ("<think>a</think>\u{200b}\u{ad}", "answer_missing"),
            ("<think>a</think>\u{3164}\u{e0001}", "answer_missing"),
        ] {
            assert_eq!(method(&default, completion), expected, "{completion}");
        }
        let strict = FormatSettings { allow_prefilled: false, ..default.clone() };
        assert_eq!(method(&strict, "a</think>b"), "think_unopened");
        let forbidden = FormatSettings { think: Think::Forbidden, ..default };
        assert_eq!(method(&forbidden, "<think>a</think>b"), "think_present");
        assert_eq!(method(&forbidden, "b"), "format");
    }

    #[test]
    fn separate_reasoning_counts() {
        let case = Case { completion: "b", reasoning: Some("a"), answer: Some("b"), ..Case::default() };
        assert_eq!(FormatSettings::default().build().unwrap().verify(&case).verdict, Verdict::Correct);
        let cut = Case { truncated: true, ..case };
        assert_eq!(FormatSettings::default().build().unwrap().verify(&cut).method, "truncated");
    }

    #[test]
    fn answers_may_need_a_box_tags_or_code() {
        let boxed = FormatSettings { require_box: true, ..Default::default() };
        assert_eq!(method(&boxed, r"<think>a</think>\boxed{3}"), "format");
        assert_eq!(method(&boxed, r"<think>a</think>\boxed{3"), "box_missing");
        assert_eq!(method(&boxed, r"<think>\boxed{3}</think>3"), "box_missing");
        assert_eq!(method(&boxed, "<think>a</think>\\boxed{\u{200b}}"), "box_missing");
        let tags = FormatSettings { require_answer_tags: true, ..Default::default() };
        assert_eq!(method(&tags, "<think>\na\n</think>\n<answer>\n9\n</answer>"), "format");
        assert_eq!(method(&tags, "<think>a</think><answer>9</answer> so"), "answer_tags");
        assert_eq!(method(&tags, "<think>a</think><answer>\u{200b}</answer>"), "answer_tags");
        let code = FormatSettings { require_code_fence: Some("python".into()), ..Default::default() };
        assert_eq!(method(&code, "<think>a</think>\n```python\nx\n```\n"), "format");
        assert_eq!(method(&code, "<think>a</think>\n```js\nx\n```\n"), "code_fence");
        assert_eq!(method(&code, "<think>a</think>\n```python\nx\n"), "code_fence");
    }
}
