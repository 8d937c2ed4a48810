//! How the rows of other people's files are laid out, in the words of a pipeline file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the rows of a file are laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Found out row by row: the first layout of `retort explain import` whose evidence a row shows.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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
    /// What the system is told, where it stands beside the conversation.
    System,
    /// Text that belongs to the prompt and follows it on a new line, as Alpaca's `input` does.
    Input,
    /// Earlier turns, a list of pairs of what the user and the assistant said, as Alpaca's `history` is.
    History,
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
    /// Whether it ended by itself; `false` means cut off.
    Complete,
    /// Tokens of the completion, reasoning included: a number in any form, or the list of the tokens.
    CompletionTokens,
    /// A list of rollouts inside one row; the columns of rollouts are then looked up in its items.
    Samples,
    /// Whether the completion is a wanted one: rows with `false` are dropped.
    Label,
    /// The tools that the assistant may call: a list of their JSON schemas, also as text.
    Tools,
    /// Pictures, videos or sounds for which `<image>`, `<video>` or `<audio>` stands in the text.
    Media,
    /// The preferred completion.
    Chosen,
    /// The rejected completion.
    Rejected,
}

impl Becomes {
    /// The word for it in a pipeline file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Rollouts => "rollouts",
            Self::Sft => "sft",
            Self::Pairs => "pairs",
        }
    }

    /// The columns that rows of this kind can use.
    pub fn columns(self) -> &'static [ImportColumn] {
        use ImportColumn::{
            Chosen, Complete, Completion, CompletionTokens, Domain, FinishReason, History, Input, Label, Language,
            Media, Prompt, Reasoning, ReferenceAnswer, Rejected, Samples, SourceId, System, Teacher, Tests, Tools,
        };
        match self {
            Self::Prompts => {
                &[Prompt, System, Input, History, ReferenceAnswer, Domain, SourceId, Language, Tests, Tools, Media]
            }
            Self::Rollouts => &[
                Prompt,
                System,
                Input,
                History,
                ReferenceAnswer,
                Domain,
                SourceId,
                Language,
                Tests,
                Completion,
                Reasoning,
                Teacher,
                FinishReason,
                Complete,
                CompletionTokens,
                Samples,
                Tools,
                Media,
            ],
            Self::Sft => &[Prompt, System, Input, History, Domain, Completion, Reasoning, Label, Tools, Media],
            Self::Pairs => &[Prompt, System, Input, History, Domain, Chosen, Rejected, Tools, Media],
        }
    }
}

impl ImportColumn {
    /// Its name in a pipeline file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::ReferenceAnswer => "reference_answer",
            Self::System => "system",
            Self::Input => "input",
            Self::History => "history",
            Self::Domain => "domain",
            Self::SourceId => "source_id",
            Self::Language => "language",
            Self::Tests => "tests",
            Self::Completion => "completion",
            Self::Reasoning => "reasoning",
            Self::Teacher => "teacher",
            Self::FinishReason => "finish_reason",
            Self::Complete => "complete",
            Self::CompletionTokens => "completion_tokens",
            Self::Samples => "samples",
            Self::Label => "label",
            Self::Tools => "tools",
            Self::Media => "media",
            Self::Chosen => "chosen",
            Self::Rejected => "rejected",
        }
    }
}

/// The word by which the user says that the rows have no such column.
pub const NONE: &str = "none";

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
