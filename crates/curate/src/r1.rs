//! The rejection filters of DeepSeek-R1 (arXiv 2501.12948, §2.3.3): "we have filtered out chain-of-thought with mixed
//! languages, long paragraphs, and code blocks". Beside them stand the defects that any set of sampled reasoning has:
//! texts that were cut off or never end their reasoning, loops, refusals, and reasoning that was told its answer.
//!
//! The paper gives no thresholds; those here are ours. All filters read the reasoning only (R1's published example of
//! programming has prose for reasoning and a code block in its answer), except that a refusal is also sought where the
//! answer begins and a leak also in the prompt.

use retort_records::FinishReason;
use retort_records::completion::{self, ThinkForm};
use retort_records::language::{self, Script};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DropReason, PromptView, SettingsError, TextView};

mod excerpt;
pub mod paragraphs;
pub mod phrases;
pub mod repetition;

use excerpt::excerpt;
use repetition::RepetitionSettings;

/// The rejection filters of DeepSeek-R1 and their thresholds. Each number set to `null` and each switch set to its other
/// value turns one filter off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools)] // one switch for each filter without a threshold
pub struct R1Filters {
    /// Drop texts that the token limit or the server cut off.
    pub drop_truncated: bool,
    /// Drop texts that open their reasoning and never close it.
    pub drop_missing_think_close: bool,
    /// Drop texts without any reasoning. Off by default: simple prompts may do without.
    pub require_reasoning: bool,
    /// Drop reasoning in which fewer than this share of the words are in the language of the prompt.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_language_consistency: Option<f64>,
    /// Drop reasoning with more than so many words of another language, however long it is: `0` finds the single foreign
    /// word that the share overlooks. Off by default.
    pub max_foreign_words: Option<u32>,
    /// Drop reasoning with a paragraph of more than so many words. Paragraphs end at a blank line.
    #[schemars(range(min = 1))]
    pub max_paragraph_words: Option<u32>,
    /// Drop reasoning with a paragraph of more than so many Chinese, Japanese or Korean characters. A paragraph of both
    /// kinds may fill its share of both limits.
    #[schemars(range(min = 1))]
    pub max_paragraph_characters: Option<u32>,
    /// What to do with reasoning that holds a fenced code block.
    pub code_blocks: CodeBlocks,
    /// Drop reasoning that runs in a loop.
    pub repetition: Option<RepetitionSettings>,
    /// Drop texts that decline to answer.
    pub drop_refusals: bool,
    /// Drop reasoning that was told its answer: the prompt states the reference answer, or the reasoning speaks of an
    /// answer that it was given.
    pub drop_leaked_answers: bool,
}

/// What to do with fenced code blocks in reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CodeBlocks {
    /// Drop the row (DeepSeek-R1).
    #[default]
    Drop,
    /// Drop the row unless its prompt is of domain `code`.
    AllowInCode,
    /// Keep the row.
    Allow,
}

impl Default for R1Filters {
    fn default() -> Self {
        Self {
            drop_truncated: true,
            drop_missing_think_close: true,
            require_reasoning: false,
            min_language_consistency: Some(0.95),
            max_foreign_words: None,
            max_paragraph_words: Some(300),
            max_paragraph_characters: Some(600),
            code_blocks: CodeBlocks::Drop,
            repetition: Some(RepetitionSettings::default()),
            drop_refusals: true,
            drop_leaked_answers: true,
        }
    }
}

impl R1Filters {
    /// Refuses a share outside [0, 1], empty paragraphs and loops of less than two turns.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if let Some(ratio) = self.min_language_consistency {
            let ok = (0.0..=1.0).contains(&ratio);
            SettingsError::check(ok, "r1.min_language_consistency", ratio, "a share from 0 to 1")?;
        }
        for (key, limit) in [
            ("r1.max_paragraph_words", self.max_paragraph_words),
            ("r1.max_paragraph_characters", self.max_paragraph_characters),
        ] {
            SettingsError::check(limit != Some(0), key, 0, "at least 1, or `null`")?;
        }
        self.repetition.as_ref().map_or(Ok(()), RepetitionSettings::validate)
    }
}

/// Every filter that drops a rollout, each with its measure, in a fixed order; empty when it is kept.
///
/// Reasons: `truncated`, `missing_think_close`, `no_reasoning`, `mixed_language`, `long_paragraph`, `code_block`,
/// `repetition`, `refusal`, `leaked_answer`.
pub fn r1_reasons(
    settings: &R1Filters,
    finish_reason: FinishReason,
    text: &TextView<'_>,
    prompt: &PromptView<'_>,
) -> Vec<DropReason> {
    let reasoning = text.reasoning.unwrap_or_default();
    let mut reasons = Vec::new();
    let mut drop =
        |reason, detail: Option<String>| reasons.extend(detail.map(|detail| DropReason::new(reason, detail)));

    let cut = match finish_reason {
        FinishReason::Length => Some("the token limit cut it off"),
        FinishReason::ContentFilter => Some("the server withheld it"),
        FinishReason::Abort => Some("it was given up"),
        FinishReason::Stop | FinishReason::Unknown => None,
    };
    drop("truncated", cut.filter(|_| settings.drop_truncated).map(String::from));

    // What has an answer has closed its reasoning.
    let open = settings.drop_missing_think_close && text.answer.is_none();
    let unclosed = open && completion::split(text.completion).form == ThinkForm::Unclosed;
    let detail = || format!("{} characters after {}", text.completion.chars().count(), completion::THINK_OPEN);
    drop("missing_think_close", unclosed.then(detail));

    let absent = settings.require_reasoning && reasoning.is_empty();
    drop("no_reasoning", absent.then(|| String::from("the text has no reasoning")));

    drop("mixed_language", mixed_language(settings, reasoning, prompt));
    drop("long_paragraph", long_paragraph(settings, reasoning));
    drop("code_block", code_block(settings, reasoning, prompt));
    let looping = settings.repetition.as_ref().and_then(|repetition| repetition::find(reasoning, repetition));
    drop("repetition", looping.map(|found| found.to_string()));
    if settings.drop_refusals {
        drop("refusal", phrases::refusal(reasoning, text.answer.unwrap_or_default()));
    }
    if settings.drop_leaked_answers {
        let leak = phrases::stated_answer(prompt).or_else(|| phrases::given_answer(reasoning));
        drop("leaked_answer", leak);
    }
    reasons
}

fn mixed_language(settings: &R1Filters, reasoning: &str, prompt: &PromptView<'_>) -> Option<String> {
    if settings.min_language_consistency.is_none() && settings.max_foreign_words.is_none() {
        return None;
    }
    // Most texts are in Latin letters throughout; then there is no other language, whatever the prompt's words say.
    let is_latin = |text: &str| !language::has_foreign_letters(text, Script::Latin);
    if prompt.language.is_none() && is_latin(reasoning) && user_texts(prompt).all(is_latin) {
        return None;
    }
    let asked = user_texts(prompt).collect::<Vec<_>>().join("\n\n");
    let target = match prompt.language {
        Some(language) => Script::of_language(language),
        // A prompt without words, such as a formula, sets no language: the reasoning must then agree with itself.
        None => language::main_script(&asked).or_else(|| language::main_script(reasoning))?,
    };
    if !language::has_foreign_letters(reasoning, target) {
        return None;
    }
    let found = language::consistency(reasoning, target, &asked);
    let below = settings.min_language_consistency.is_some_and(|ratio| found.ratio() < ratio);
    let above = settings.max_foreign_words.is_some_and(|words| found.foreign_words() > u64::from(words));
    (below || above).then(|| {
        let first = found.first_foreign.as_deref().unwrap_or_default();
        format!("{} of {} words are not {target}, first `{first}`", found.foreign_words(), found.words)
    })
}

fn long_paragraph(settings: &R1Filters, reasoning: &str) -> Option<String> {
    let (words, characters) = (settings.max_paragraph_words, settings.max_paragraph_characters);
    paragraphs::fullest(reasoning, words, characters).filter(|found| found.fill > 1.0).map(|found| found.to_string())
}

fn code_block(settings: &R1Filters, reasoning: &str, prompt: &PromptView<'_>) -> Option<String> {
    let allowed = match settings.code_blocks {
        CodeBlocks::Drop => false,
        CodeBlocks::AllowInCode => prompt.domain == "code",
        CodeBlocks::Allow => true,
    };
    if allowed {
        return None;
    }
    let first = reasoning.find("```")?;
    let fences = reasoning[first..].matches("```").count();
    let line = reasoning[first..].lines().next().unwrap_or_default();
    Some(format!("{fences} fences, first `{}`", excerpt(line, 40)))
}

/// What the user says in the prompt.
fn user_texts<'a>(prompt: &PromptView<'a>) -> impl Iterator<Item = &'a str> {
    prompt.messages.iter().filter(|message| message.role == "user").map(|message| message.content.as_str())
}

#[cfg(test)]
mod tests {
    use retort_records::{Message, Prompt, Rollout};

    use super::*;

    fn rollout(reasoning: &str, answer: &str) -> Rollout {
        Rollout {
            rollout_id: "r".into(),
            prompt_id: "p".into(),
            sample_index: 0,
            teacher: "t".into(),
            completion: completion::join(Some(reasoning), answer),
            reasoning: Some(reasoning.into()),
            answer: Some(answer.into()),
            finish_reason: FinishReason::Stop,
            prompt_tokens: None,
            completion_tokens: None,
            seed: None,
            sampling: "{}".into(),
            source_id: None,
        }
    }

    fn prompt(text: &str, reference: &str) -> Prompt {
        Prompt {
            prompt_id: "p".into(),
            ordinal: 0,
            messages: vec![Message::user(text)],
            reference_answer: Some(reference.into()),
            domain: "code".into(),
            source: "s".into(),
            source_id: None,
            language: None,
            tests: None,
            beyond_text: None,
        }
    }

    fn reasons(settings: &R1Filters, rollout: &Rollout, prompt: &Prompt) -> Vec<(&'static str, String)> {
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
        let found = r1_reasons(settings, rollout.finish_reason, &text, &prompt);
        found.into_iter().map(|reason| (reason.reason, reason.detail)).collect()
    }

    #[test]
    fn good_reasoning_is_kept() {
        let row = rollout("Two and two make four.\n\nLet me check: 2 + 2 = 4.", "```python\nprint(4)\n```");
        assert_eq!(reasons(&R1Filters::default(), &row, &prompt("What is 2 + 2?", "4")), []);
    }

    #[test]
    fn every_filter_has_its_reason_and_its_switch() {
        let asked = prompt("What is 2 + 2?", "4");
        let default = R1Filters::default;
        let mut cut = rollout("a", "b");
        cut.finish_reason = FinishReason::Length;
        let mut unclosed = rollout("a", "");
        unclosed.completion = "<think>\na".into();
        unclosed.answer = None;
        let mut silent = rollout("", "4");
        silent.reasoning = None;
        let long = "one more word ".repeat(101);
        let looping = "let me check that again ".repeat(60);
        let code = "Like so:\n```python\nx = 1\n```\nDone.";
        let strict = R1Filters { require_reasoning: true, ..default() };
        let none = |settings| R1Filters { repetition: None, ..settings };
        for (row, on, off, reason, detail) in [
            (
                cut,
                default(),
                R1Filters { drop_truncated: false, ..default() },
                "truncated",
                "the token limit cut it off",
            ),
            (
                unclosed,
                default(),
                R1Filters { drop_missing_think_close: false, ..default() },
                "missing_think_close",
                "9 characters after <think>",
            ),
            (silent, strict, default(), "no_reasoning", "the text has no reasoning"),
            (
                rollout("We add 二加二 and get four", "4"),
                default(),
                R1Filters { min_language_consistency: None, ..default() },
                "mixed_language",
                "3 of 8 words are not latin, first `二加二`",
            ),
            (
                rollout(&long, "4"),
                none(default()),
                none(R1Filters { max_paragraph_words: None, ..default() }),
                "long_paragraph",
                "paragraph 1 has 303 words, at most 300: `one more word one more word one more wor`",
            ),
            (
                rollout(code, "4"),
                default(),
                R1Filters { code_blocks: CodeBlocks::AllowInCode, ..default() },
                "code_block",
                "2 fences, first ````python`",
            ),
            (
                rollout(&looping, "4"),
                default(),
                none(default()),
                "repetition",
                "5 words 60 times from word 0: `let me check that again`",
            ),
            (
                rollout("They ask how to add. I can’t help with that.", "4"),
                default(),
                R1Filters { drop_refusals: false, ..default() },
                "refusal",
                "`I can’t help with` in the reasoning",
            ),
            (
                rollout("The provided answer is 4, so I must get 4.", "4"),
                default(),
                R1Filters { drop_leaked_answers: false, ..default() },
                "leaked_answer",
                "the reasoning speaks of `The provided answer is`",
            ),
        ] {
            assert_eq!(reasons(&on, &row, &asked), [(reason, detail.to_owned())]);
            assert_eq!(reasons(&off, &row, &asked), [], "{reason} is off");
        }
    }

    #[test]
    fn one_foreign_word_is_found_when_asked_for() {
        let row = rollout(&format!("{}合计 in all", "Some words that go on. ".repeat(50)), "4");
        let asked = prompt("What is 2 + 2?", "4");
        let settings = R1Filters { repetition: None, ..R1Filters::default() };
        assert_eq!(reasons(&settings, &row, &asked), []);
        let strict = R1Filters { max_foreign_words: Some(0), ..settings };
        assert_eq!(reasons(&strict, &row, &asked)[0].1, "2 of 254 words are not latin, first `合计`");
    }

    #[test]
    fn settings_are_read_strictly() {
        let read = serde_json::from_str::<R1Filters>;
        assert_eq!(read("{}").unwrap(), R1Filters::default());
        let off = read(r#"{"repetition": null, "max_paragraph_words": null, "code_blocks": "allow-in-code"}"#).unwrap();
        assert_eq!((off.repetition.clone(), off.max_paragraph_words), (None, None));
        assert!(off.validate().is_ok());
        assert!(read(r#"{"max_paragraph": 3}"#).is_err());
        let error = read(r#"{"min_language_consistency": 95}"#).unwrap().validate().unwrap_err();
        assert_eq!(error.to_string(), "`r1.min_language_consistency` is `95`, allowed is a share from 0 to 1");
        assert!(read(r#"{"max_paragraph_words": 0}"#).unwrap().validate().is_err());
    }
}
