//! The structs behind every table. A field is a column; its doc comment is the column's description in `schemas/`.

use crate::{FinishReason, completion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A row of a table.
pub trait Row: Serialize + DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static {
    /// The table's name: also the name of its folder and of its file in `schemas/`.
    const TABLE: &'static str;
    /// Columns that few tables need: a table in which no row has a value in them is written without them.
    const SPARSE: &'static [&'static str] = &[];
}

macro_rules! row {
    ($type:ty, $table:literal $(, $sparse:literal)*) => {
        impl Row for $type {
            const TABLE: &'static str = $table;
            const SPARSE: &'static [&'static str] = &[$($sparse),*];
        }
    };
}

row!(Prompt, "prompts", "beyond_text");
row!(Rollout, "rollouts");
row!(LengthRow, "lengths");
row!(VerdictRow, "verdicts");
row!(JudgementRow, "judgements");
row!(Selection, "selection");
row!(SftExample, "sft", "beyond_text");
row!(Pair, "pairs", "beyond_text");
row!(Dropped, "dropped");
row!(Telemetry, "telemetry");

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message of the user.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: "user".into(), content: content.into() }
    }

    /// A message of the assistant.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: "assistant".into(), content: content.into() }
    }
}

/// What is asked, and the known right answer where there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prompt {
    /// Id of the prompt: a hash of its messages.
    pub prompt_id: String,
    /// Position of the prompt in its table, from 0. Tables keep the order of their prompts.
    pub ordinal: u64,
    /// The conversation up to the point where the teacher speaks.
    pub messages: Vec<Message>,
    /// The known right answer; absent when nobody knows it.
    pub reference_answer: Option<String>,
    /// Subject area, such as `math`, `code`, `stem`, `logic` or `general`.
    pub domain: String,
    /// Where the prompt comes from: a file name or a generator.
    pub source: String,
    /// The id that the source gave it.
    pub source_id: Option<String>,
    /// Language of the prompt (ISO 639-1), where the source names it.
    pub language: Option<String>,
    /// Tests of a programming task, as JSON.
    pub tests: Option<String>,
    /// What the conversation holds beyond texts, as a JSON object: `tools`, `images` and their like as they came, and under
    /// `messages` each message's `tool_calls`, `tool_call_id`, `name`, and `content` where that is null or a list of parts,
    /// or null for a message that is only text. A table in which no row has any lacks the column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond_text: Option<String>,
}

/// One sampled completion with its sampling facts. The text lives here, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rollout {
    /// Id of the rollout.
    pub rollout_id: String,
    /// The prompt it answers.
    pub prompt_id: String,
    /// Which of the prompt's samples from this teacher it is, from 0.
    pub sample_index: u32,
    /// The model that wrote it.
    pub teacher: String,
    /// Everything the model added, think tags included.
    pub completion: String,
    /// The text inside the think tags.
    pub reasoning: Option<String>,
    /// The text after the think tags.
    pub answer: Option<String>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt, counted by the teacher.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the completion, reasoning included, counted by the teacher.
    pub completion_tokens: Option<u32>,
    /// Seed of this sample.
    pub seed: Option<u64>,
    /// Sampling settings, as canonical JSON.
    pub sampling: String,
    /// The id that the source gave it, for imported rollouts.
    pub source_id: Option<String>,
}

impl Rollout {
    /// Whether the text was cut off: by the limit, by the server, or in the middle of its reasoning.
    pub fn truncated(&self) -> bool {
        self.finish_reason.truncates_with(completion::split(&self.completion).form)
    }
}

/// Lengths of a rollout in tokens of the model to be trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LengthRow {
    /// The rollout.
    pub rollout_id: String,
    /// The prompt it answers.
    pub prompt_id: String,
    /// Which tokenizer counted: a hash of `tokenizer.json`, or `teacher` for the teacher's own counts.
    pub tokenizer_id: String,
    /// Tokens of the reasoning; absent when the rollout has none or the teacher counted only the whole.
    pub reasoning_tokens: Option<u32>,
    /// Tokens of the answer; absent when the rollout has none or the teacher counted only the whole.
    pub answer_tokens: Option<u32>,
    /// Tokens of the whole completion.
    pub total_tokens: u32,
}

/// What a verifier says of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The rules prove it right.
    Correct,
    /// The rules prove it wrong.
    Incorrect,
    /// The rules cannot tell.
    Undecided,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Correct, Self::Incorrect, Self::Undecided];

    /// The word for it, as it stands in tables and reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Incorrect => "incorrect",
            Self::Undecided => "undecided",
        }
    }

    /// The verdict on a completion that was cut off, whatever a verifier said of it: truncated is never correct.
    #[must_use]
    pub fn of_truncated(self) -> Self {
        if self == Self::Correct { Self::Incorrect } else { self }
    }
}

/// One verifier's verdict, with the way it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// Name of the verifier.
    pub verifier: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// How it decided, such as `exact` or `boxed`.
    pub method: String,
    /// Why, in words.
    pub reason: String,
}

/// The verdict on one rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictRow {
    /// The rollout.
    pub rollout_id: String,
    /// The prompt it answers.
    pub prompt_id: String,
    /// Which of the prompt's samples it is.
    pub sample_index: u32,
    /// The model that wrote it.
    pub teacher: String,
    /// Whether the text was cut off.
    pub truncated: bool,
    /// The joint verdict of all verifiers.
    pub verdict: Verdict,
    /// The final value that was found in the completion.
    pub extracted_answer: Option<String>,
    /// Each verifier's own verdict.
    pub checks: Vec<Check>,
    /// Version of the verifiers' rules.
    pub verifier_version: String,
}

/// What a judging model says of one rollout, shown in one order: its raw text and what was read from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JudgementRow {
    /// Id of the judgement.
    pub judgement_id: String,
    /// The rollout that is judged.
    pub rollout_id: String,
    /// The prompt it answers.
    pub prompt_id: String,
    /// What the judge read first: `reference_first` or `prediction_first`.
    pub order: String,
    /// The model that judged.
    pub judge: String,
    /// What it decided; undecided also when its text cannot be read.
    pub verdict: Verdict,
    /// Its account of the comparison.
    pub analysis: Option<String>,
    /// Why its text could not be read, or why there is none.
    pub problem: Option<String>,
    /// Everything the judge wrote, think tags included.
    pub completion: String,
    /// Why its text ended.
    pub finish_reason: FinishReason,
}

/// A rollout that a `select` stage chose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Selection {
    /// The rollout.
    pub rollout_id: String,
    /// The prompt it answers.
    pub prompt_id: String,
    /// Which of the prompt's samples it is.
    pub sample_index: u32,
    /// The rule that chose it.
    pub rule: String,
    /// Its length in tokens of the model to be trained.
    pub total_tokens: u32,
    /// Correct and complete rollouts that the rule chose among.
    pub correct_count: u32,
    /// Mean length of those, in tokens.
    pub mean_correct_tokens: f64,
}

/// One message of a training example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SftMessage {
    /// Who speaks.
    pub role: String,
    /// The reasoning before the content, for assistant messages.
    pub reasoning: Option<String>,
    /// What is said.
    pub content: String,
    /// Whether the loss counts this message's tokens.
    pub train: bool,
}

/// One training example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SftExample {
    /// Id of the example.
    pub example_id: String,
    /// The rollout it was made of, if any.
    pub rollout_id: Option<String>,
    /// The prompt it belongs to.
    pub prompt_id: String,
    /// Subject area.
    pub domain: String,
    /// Where it comes from.
    pub source: String,
    /// The conversation, the trained messages included.
    pub messages: Vec<SftMessage>,
    /// Tokens of the trained completion, where known.
    pub completion_tokens: Option<u32>,
    /// What the conversation holds beyond texts, as a JSON object: `tools`, `images` and their like as they came, and under
    /// `messages` each message's `tool_calls`, `tool_call_id`, `name`, and `content` where that is null or a list of parts,
    /// or null for a message that is only text. A table in which no row has any lacks the column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond_text: Option<String>,
}

/// A preference pair: two completions of one prompt by one teacher. The rejected one may be correct and merely longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pair {
    /// Id of the pair.
    pub pair_id: String,
    /// The prompt.
    pub prompt_id: String,
    /// The rollout to prefer.
    pub chosen_rollout_id: String,
    /// The rollout to avoid.
    pub rejected_rollout_id: String,
    /// Why the rejected side was taken: `incorrect_longer`, `correct_longer` or `incorrect_shorter`; `imported` where
    /// somebody else chose.
    pub pair_kind: String,
    /// Subject area of the prompt.
    pub domain: String,
    /// The conversation both completions answer.
    pub prompt: Vec<Message>,
    /// The completion to prefer, think tags included.
    pub chosen: String,
    /// The completion to avoid, think tags included.
    pub rejected: String,
    /// Length of the chosen completion, in tokens of the model to be trained.
    pub chosen_tokens: u32,
    /// Length of the rejected completion, in tokens of the model to be trained.
    pub rejected_tokens: u32,
    /// What the prompt holds beyond texts, as a JSON object: `tools`, `images` and their like as they came, and under
    /// `messages` each message's `tool_calls`, `tool_call_id`, `name`, and `content` where that is null or a list of parts,
    /// or null for a message that is only text. A table in which no row has any lacks the column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond_text: Option<String>,
}

/// A row that a stage removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dropped {
    /// Id of the removed row, or the position of an input row that never got one.
    pub row_id: String,
    /// The prompt it belonged to; empty when unknown.
    pub prompt_id: String,
    /// Why it was removed: one short word or phrase per rule.
    pub drop_reason: String,
    /// The measure or message behind the reason.
    pub detail: String,
}

/// How a sample was obtained: outside every fingerprint, because it differs from run to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Telemetry {
    /// The rollout.
    pub rollout_id: String,
    /// The prompt it answers.
    pub prompt_id: String,
    /// Where it was asked.
    pub endpoint: String,
    /// Requests sent until it succeeded.
    pub attempts: u32,
    /// When the last request began, in milliseconds since 1970-01-01 UTC.
    pub started_ms: u64,
    /// How long the last request took, in milliseconds.
    pub latency_ms: u64,
    /// Price of the sample in the currency of the teacher's price list.
    pub cost: Option<f64>,
}
