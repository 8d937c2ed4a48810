//! How the rows of other people's files are laid out, in the words of a pipeline file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the rows of a file are laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Columns by their usual names: `prompt`, `problem`, `question` or `instruction`; `reference_answer`,
    /// `expected_answer` or `answer`; `completion`, `text`, `response` or `generation`.
    #[default]
    Auto,
    /// GSM8K: `question` (or `prompt`) and `answer`, whose final number follows `####`.
    Gsm8k,
    /// MATH: `problem` (or `prompt`) and `answer`, else the last `\boxed{}` of `solution`.
    Math,
    /// OpenAI conversations: `messages`, a list of `role` and `content`.
    Messages,
    /// ShareGPT: `conversations`, a list of `from` and `value`; with `chosen` and `rejected` for preference rows.
    Sharegpt,
    /// TRL: `prompt` and `completion`, or `prompt`, `chosen` and `rejected`; texts or lists of messages.
    Trl,
}

/// What rows become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Becomes {
    /// Prompts with reference answers.
    Prompts,
    /// Rollouts that somebody already sampled, and their prompts.
    Rollouts,
    /// Training examples.
    Sft,
    /// Preference pairs.
    Pairs,
}

/// What a column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportColumn {
    /// What is asked: text or a list of messages.
    Prompt,
    /// The known right answer.
    ReferenceAnswer,
    /// Subject area.
    Domain,
    /// The id of the row at its source.
    SourceId,
    /// Language (ISO 639-1).
    Language,
    /// Tests of a programming task.
    Tests,
    /// What the model wrote, or what follows the reasoning when `reasoning` has a column of its own.
    Completion,
    /// What the model wrote inside the think tags.
    Reasoning,
    /// The model that wrote it.
    Teacher,
    /// Why it ended.
    FinishReason,
    /// Tokens of the completion, reasoning included.
    CompletionTokens,
    /// A list of rollouts inside one row; the columns of rollouts are then looked up in its items.
    Samples,
    /// The preferred completion.
    Chosen,
    /// The rejected completion.
    Rejected,
}

/// What the settings say of the rows.
#[derive(Debug, Clone, Copy)]
pub struct RowLayout<'a> {
    /// How the rows are laid out.
    pub format: Format,
    /// Which column holds what.
    pub columns: &'a BTreeMap<ImportColumn, String>,
    /// What stands before the reference answer.
    pub answer_pattern: Option<&'a str>,
    /// Domain of rows that name none.
    pub domain: Option<&'a str>,
    /// Language of rows that name none.
    pub language: Option<&'a str>,
    /// Teacher of rollouts that name none.
    pub teacher: Option<&'a str>,
    /// Completion tokens from which a rollout was cut off.
    pub max_tokens: Option<u32>,
}
