//! Typed conditions on one rollout: keep it, or drop it with a reason and a measure.
//!
//! A condition that is not set keeps everything. The conditions stand in a fixed order ([`FilterSettings`]'s field
//! order), and the first that fails gives the `drop_reason`.

use retort_records::{FinishReason, Verdict, VerdictRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::r1::{R1Filters, r1_reasons};
use crate::{DropReason, PromptView, SettingsError, TextView};

/// Conditions that a rollout must meet to be kept. Each one is off until it is set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterSettings {
    /// Keep these verdicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub verdict: Option<Vec<Verdict>>,
    /// `false` keeps whole texts, `true` only those that were cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
    /// Keep these finish reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub finish_reason: Option<Vec<FinishReason>>,
    /// Fewest tokens of the whole completion, counted by the tokenizer of the model to be trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tokens: Option<u32>,
    /// Most tokens of the whole completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Fewest tokens of the reasoning; a rollout without reasoning has 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_reasoning_tokens: Option<u32>,
    /// Most tokens of the reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_reasoning_tokens: Option<u32>,
    /// Keep prompts of these subject areas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub domain: Option<Vec<String>>,
    /// Keep prompts in these languages (ISO 639-1). A prompt whose source names no language is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub language: Option<Vec<String>>,
    /// Keep prompts from these sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub source: Option<Vec<String>>,
    /// Keep rollouts by these models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub teacher: Option<Vec<String>>,
    /// The rejection filters of DeepSeek-R1 on the reasoning. `r1: {}` turns all of them on with our thresholds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r1: Option<R1Filters>,
}

impl FilterSettings {
    /// Refuses empty lists, which would drop every row, and lower bounds above upper bounds.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let empty = |key, is_empty: Option<bool>| match is_empty {
            Some(true) => Err(SettingsError::EmptyList { key }),
            _ => Ok(()),
        };
        empty("verdict", self.verdict.as_ref().map(Vec::is_empty))?;
        empty("finish_reason", self.finish_reason.as_ref().map(Vec::is_empty))?;
        empty("domain", self.domain.as_ref().map(Vec::is_empty))?;
        empty("language", self.language.as_ref().map(Vec::is_empty))?;
        empty("source", self.source.as_ref().map(Vec::is_empty))?;
        empty("teacher", self.teacher.as_ref().map(Vec::is_empty))?;
        crossed("min_tokens", self.min_tokens, "max_tokens", self.max_tokens)?;
        crossed("min_reasoning_tokens", self.min_reasoning_tokens, "max_reasoning_tokens", self.max_reasoning_tokens)?;
        self.r1.as_ref().map_or(Ok(()), R1Filters::validate)
    }

    /// Whether a condition looks at the text of rollout and prompt, which is far larger than all that the others look at.
    pub fn reads_text(&self) -> bool {
        // Where nobody counted the reasoning, the text tells whether there is any.
        self.r1.is_some() || self.min_reasoning_tokens.is_some() || self.max_reasoning_tokens.is_some()
    }
}

fn crossed(
    low: &'static str,
    low_given: Option<u32>,
    high: &'static str,
    high_given: Option<u32>,
) -> Result<(), SettingsError> {
    match (low_given, high_given) {
        (Some(a), Some(b)) if a > b => {
            Err(SettingsError::Crossed { low, low_given: a.to_string(), high, high_given: b.to_string() })
        }
        _ => Ok(()),
    }
}

/// What the conditions look at of one judged rollout.
#[derive(Debug, Clone, Copy)]
pub struct RowView<'a> {
    /// The verdict on it.
    pub verdict: &'a VerdictRow,
    /// Why its text ended.
    pub finish_reason: FinishReason,
    /// Tokens of the whole completion.
    pub total_tokens: u32,
    /// Tokens of its reasoning; `None` when it has none or nobody counted them.
    pub reasoning_tokens: Option<u32>,
    /// Its text, needed where [`FilterSettings::reads_text`].
    pub text: Option<TextView<'a>>,
    /// The prompt it answers.
    pub prompt: PromptView<'a>,
}

/// Every condition of `settings` that the row fails, in the order of the settings; empty when the row is kept. The first is
/// what the row is dropped for.
pub fn failed(settings: &FilterSettings, row: &RowView<'_>) -> Vec<DropReason> {
    let mut reasons: Vec<DropReason> = conditions(settings, row).collect();
    if let Some(r1) = &settings.r1 {
        match &row.text {
            Some(text) => reasons.extend(r1_reasons(r1, row.finish_reason, text, &row.prompt)),
            None => reasons.push(DropReason::new("no_text", "the text was not read")),
        }
    }
    reasons
}

/// The failing conditions on narrow columns.
fn conditions<'a>(settings: &'a FilterSettings, row: &'a RowView<'a>) -> impl Iterator<Item = DropReason> + 'a {
    let checks: [fn(&FilterSettings, &RowView<'_>) -> Option<DropReason>; 9] = [
        |settings, row| {
            let verdict = row.verdict.verdict;
            fails(settings.verdict.as_ref(), &verdict)
                .then(|| DropReason::new(verdict.word(), check_texts(row.verdict)))
        },
        |settings, row| match (settings.truncated, row.verdict.truncated) {
            (Some(false), true) => {
                let (tokens, finish) = (row.total_tokens, finish_name(row.finish_reason));
                Some(DropReason::new("truncated", format!("cut off after {tokens} tokens, finish reason {finish}")))
            }
            (Some(true), false) => Some(DropReason::new("not_truncated", "the text is whole")),
            _ => None,
        },
        |settings, row| {
            let finish = row.finish_reason;
            fails(settings.finish_reason.as_ref(), &finish)
                .then(|| DropReason::new("finish_reason", finish_name(finish)))
        },
        |settings, row| {
            let tokens = Some(row.total_tokens);
            let range = Range { low: settings.min_tokens, high: settings.max_tokens };
            range.check(tokens, ["too_short", "too_long", "tokens_unknown"], "tokens")
        },
        |settings, row| {
            let without = row.text.is_some_and(|text| text.reasoning.is_none());
            let tokens = row.reasoning_tokens.or(without.then_some(0));
            let range = Range { low: settings.min_reasoning_tokens, high: settings.max_reasoning_tokens };
            let reasons = ["reasoning_too_short", "reasoning_too_long", "reasoning_tokens_unknown"];
            range.check(tokens, reasons, "tokens of reasoning")
        },
        |settings, row| listed(settings.domain.as_ref(), row.prompt.domain, "domain"),
        |settings, row| match row.prompt.language {
            Some(language) => listed(settings.language.as_ref(), language, "language"),
            None if settings.language.is_some() => Some(DropReason::new("language", "the source names no language")),
            None => None,
        },
        |settings, row| listed(settings.source.as_ref(), row.prompt.source, "source"),
        |settings, row| listed(settings.teacher.as_ref(), &row.verdict.teacher, "teacher"),
    ];
    checks.into_iter().filter_map(move |check| check(settings, row))
}

fn fails<T: PartialEq>(allowed: Option<&Vec<T>>, given: &T) -> bool {
    allowed.is_some_and(|allowed| !allowed.contains(given))
}

fn listed(allowed: Option<&Vec<String>>, given: &str, reason: &'static str) -> Option<DropReason> {
    let fails = allowed.is_some_and(|allowed| !allowed.iter().any(|allowed| allowed == given));
    fails.then(|| DropReason::new(reason, given))
}

/// Allowed lengths, both ends included.
struct Range {
    low: Option<u32>,
    high: Option<u32>,
}

impl Range {
    fn check(&self, tokens: Option<u32>, reasons: [&'static str; 3], unit: &str) -> Option<DropReason> {
        let [below, above, unknown] = reasons;
        if self.low.is_none() && self.high.is_none() {
            return None;
        }
        let Some(tokens) = tokens else { return Some(DropReason::new(unknown, format!("nobody counted the {unit}"))) };
        match (self.low, self.high) {
            (Some(low), _) if tokens < low => Some(DropReason::new(below, format!("{tokens} {unit}, at least {low}"))),
            (_, Some(high)) if tokens > high => {
                Some(DropReason::new(above, format!("{tokens} {unit}, at most {high}")))
            }
            _ => None,
        }
    }
}

/// The verifiers' own words for the verdict: those that agree with it, or all when none does.
fn check_texts(row: &VerdictRow) -> String {
    let text = |only: Option<Verdict>| {
        let checks = row.checks.iter().filter(|check| only.is_none_or(|verdict| check.verdict == verdict));
        checks.map(|check| format!("{}: {}", check.verifier, check.reason)).collect::<Vec<_>>().join("; ")
    };
    let agreeing = text(Some(row.verdict));
    if agreeing.is_empty() { text(None) } else { agreeing }
}

/// The finish reason as the rollouts table spells it.
fn finish_name(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Abort => "abort",
        FinishReason::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use retort_records::{Check, LengthRow, Message, Prompt, Rollout};

    use super::*;

    struct Owned {
        rollout: Rollout,
        prompt: Prompt,
        verdict: VerdictRow,
        lengths: LengthRow,
    }

    impl Owned {
        fn view(&self) -> RowView<'_> {
            RowView {
                verdict: &self.verdict,
                finish_reason: self.rollout.finish_reason,
                total_tokens: self.lengths.total_tokens,
                reasoning_tokens: self.lengths.reasoning_tokens,
                text: Some(TextView {
                    completion: &self.rollout.completion,
                    reasoning: self.rollout.reasoning.as_deref(),
                    answer: self.rollout.answer.as_deref(),
                }),
                prompt: PromptView {
                    domain: &self.prompt.domain,
                    language: self.prompt.language.as_deref(),
                    source: &self.prompt.source,
                    messages: &self.prompt.messages,
                    reference_answer: self.prompt.reference_answer.as_deref(),
                },
            }
        }
    }

    fn row() -> Owned {
        Owned {
            rollout: Rollout {
                rollout_id: "r".into(),
                prompt_id: "p".into(),
                sample_index: 0,
                teacher: "t".into(),
                completion: "<think>\nTwo and two.\n</think>\n\n4".into(),
                reasoning: Some("Two and two.".into()),
                answer: Some("4".into()),
                finish_reason: FinishReason::Stop,
                prompt_tokens: None,
                completion_tokens: None,
                seed: None,
                sampling: "{}".into(),
                source_id: None,
            },
            prompt: Prompt {
                prompt_id: "p".into(),
                ordinal: 0,
                messages: vec![Message::user("2 + 2?")],
                reference_answer: Some("4".into()),
                domain: "math".into(),
                source: "s".into(),
                source_id: None,
                language: None,
                tests: None,
                beyond_text: None,
            },
            verdict: VerdictRow {
                rollout_id: "r".into(),
                prompt_id: "p".into(),
                sample_index: 0,
                teacher: "t".into(),
                truncated: false,
                verdict: Verdict::Incorrect,
                extracted_answer: Some("5".into()),
                checks: vec![Check {
                    verifier: "math".into(),
                    verdict: Verdict::Incorrect,
                    method: "exact".into(),
                    reason: "5 is not 4".into(),
                }],
                verifier_version: "1".into(),
            },
            lengths: LengthRow {
                rollout_id: "r".into(),
                prompt_id: "p".into(),
                tokenizer_id: "x".into(),
                reasoning_tokens: Some(4),
                answer_tokens: Some(1),
                total_tokens: 9,
            },
        }
    }

    fn reason(settings: FilterSettings, row: &Owned) -> Option<(&'static str, String)> {
        failed(&settings, &row.view()).into_iter().next().map(|reason| (reason.reason, reason.detail))
    }

    #[test]
    fn nothing_set_keeps_everything() {
        assert_eq!(failed(&FilterSettings::default(), &row().view()), []);
        assert_eq!(serde_json::from_str::<FilterSettings>("{}").unwrap(), FilterSettings::default());
        assert_eq!(serde_json::to_string(&FilterSettings::default()).unwrap(), "{}");
    }

    #[test]
    fn each_condition_gives_its_reason_and_measure() {
        let none = FilterSettings::default;
        let mut row = row();
        let strings = |text: &str| Some(vec![text.to_owned()]);
        for (settings, expected) in [
            (FilterSettings { verdict: Some(vec![Verdict::Correct]), ..none() }, ("incorrect", "math: 5 is not 4")),
            (FilterSettings { truncated: Some(true), ..none() }, ("not_truncated", "the text is whole")),
            (FilterSettings { finish_reason: Some(vec![FinishReason::Length]), ..none() }, ("finish_reason", "stop")),
            (FilterSettings { min_tokens: Some(10), ..none() }, ("too_short", "9 tokens, at least 10")),
            (FilterSettings { max_tokens: Some(8), ..none() }, ("too_long", "9 tokens, at most 8")),
            (
                FilterSettings { min_reasoning_tokens: Some(5), ..none() },
                ("reasoning_too_short", "4 tokens of reasoning, at least 5"),
            ),
            (
                FilterSettings { max_reasoning_tokens: Some(3), ..none() },
                ("reasoning_too_long", "4 tokens of reasoning, at most 3"),
            ),
            (FilterSettings { domain: strings("code"), ..none() }, ("domain", "math")),
            (FilterSettings { language: strings("en"), ..none() }, ("language", "the source names no language")),
            (FilterSettings { source: strings("other"), ..none() }, ("source", "s")),
            (FilterSettings { teacher: strings("other"), ..none() }, ("teacher", "t")),
        ] {
            assert_eq!(reason(settings, &row), Some((expected.0, expected.1.to_owned())));
        }
        assert_eq!(reason(FilterSettings { min_tokens: Some(9), max_tokens: Some(9), ..none() }, &row), None);
        assert_eq!(reason(FilterSettings { verdict: Some(vec![Verdict::Incorrect]), ..none() }, &row), None);

        row.verdict.truncated = true;
        let detail = reason(FilterSettings { truncated: Some(false), ..none() }, &row);
        assert_eq!(detail, Some(("truncated", "cut off after 9 tokens, finish reason stop".to_owned())));

        row.lengths.reasoning_tokens = None;
        let reasoning = FilterSettings { max_reasoning_tokens: Some(3), ..none() };
        assert_eq!(reason(reasoning.clone(), &row).unwrap().0, "reasoning_tokens_unknown");
        row.rollout.reasoning = None;
        assert_eq!(reason(reasoning, &row), None, "no reasoning is reasoning of no tokens");
    }

    #[test]
    fn the_first_reason_is_the_first_of_all() {
        let settings = FilterSettings {
            verdict: Some(vec![Verdict::Correct]),
            max_tokens: Some(1),
            teacher: Some(vec!["other".into()]),
            ..FilterSettings::default()
        };
        let row = row();
        let all: Vec<_> = failed(&settings, &row.view()).into_iter().map(|reason| reason.reason).collect();
        assert_eq!(all, ["incorrect", "too_long", "teacher"]);
        assert_eq!(reason(settings, &row).unwrap().0, "incorrect");
    }

    #[test]
    fn settings_that_drop_everything_are_refused() {
        let empty = FilterSettings { domain: Some(vec![]), ..FilterSettings::default() };
        assert_eq!(
            empty.validate().unwrap_err().to_string(),
            "`domain` is an empty list, allowed is at least one value"
        );
        let crossed = FilterSettings { min_tokens: Some(5), max_tokens: Some(4), ..FilterSettings::default() };
        assert_eq!(
            crossed.validate().unwrap_err().to_string(),
            "`min_tokens` is `5`, above `max_tokens`, which is `4`"
        );
        assert!(serde_json::from_str::<FilterSettings>("{\"verdicts\": []}").is_err());
    }
}
