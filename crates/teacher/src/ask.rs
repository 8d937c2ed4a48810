//! What is asked of a teacher and what it gives back.

use std::{future::Future, pin::Pin};

use retort_records::{FinishReason, Message, Telemetry};

use crate::Sampling;

/// One sample to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Id of the rollout that the sample will become.
    pub rollout_id: String,
    /// The prompt it answers.
    pub prompt_id: String,
    /// Which of the prompt's samples it is, from 0.
    pub sample_index: u32,
    /// The conversation up to the point where the teacher speaks.
    pub messages: Vec<Message>,
    /// What the conversation holds beyond texts, as in the table of prompts.
    pub beyond_text: Option<String>,
    /// Seed of this sample; below 2^53.
    pub seed: u64,
}

/// What a teacher said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Everything the model added. When the server split the reasoning off, it is written back as
    /// `<think>\nreasoning\n</think>\n\nanswer`, without the close when no answer followed; otherwise verbatim.
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
}

/// Whose fault a failure is, and so what [`crate::sample_all`] does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// This request will never succeed: its row is dropped.
    Request,
    /// The server kept failing although it was asked repeatedly. The row is dropped, unless so many rows in a row fail
    /// like this that the server must be down.
    Server,
    /// No request will succeed: sampling stops and the row is not dropped.
    Fatal,
    /// The budget is spent: sampling stops and the row is not dropped.
    Budget,
}

/// Why a sample could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{drop_reason}: {message}")]
pub struct Failure {
    /// Whose fault it is.
    pub kind: FailureKind,
    /// The rule for a dropped row: `http_400`, `content_filter`, `retries_exhausted`, `unreadable_reply`,
    /// `reply_too_long`, `not_recorded`, `media_not_supported`, `tool_calls_not_supported`; `refused` and `budget` for kinds that drop no row.
    pub drop_reason: String,
    /// The server's words; one line, without secrets or control characters.
    pub message: String,
}

/// The outcome of asking for one sample, retries included.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The reply, or why there is none.
    pub result: Result<Reply, Failure>,
    /// Where, when, how often and at what price.
    pub telemetry: Telemetry,
}

/// A finished sample: what was asked and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempted {
    /// The request.
    pub request: Request,
    /// The reply, or why the row is dropped.
    pub result: Result<Reply, Failure>,
    /// Where, when, how often and at what price.
    pub telemetry: Telemetry,
}

/// The future of [`Teacher::ask`].
pub type Asking<'a> = Pin<Box<dyn Future<Output = Attempt> + Send + 'a>>;

/// Something that completes conversations.
pub trait Teacher: Send + Sync {
    /// The model's name: the `teacher` column of its rollouts.
    fn name(&self) -> &str;

    /// Draws one sample, retrying as the teacher sees fit. Dropping the future gives the sample up.
    fn ask<'a>(&'a self, request: &'a Request, sampling: &'a Sampling) -> Asking<'a>;
}
