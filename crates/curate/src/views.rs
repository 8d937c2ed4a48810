//! What filters look at of a rollout and its prompt, borrowed from whatever row holds it.

use retort_records::{Message, completion};

/// The text of a rollout.
#[derive(Debug, Clone, Copy)]
pub struct TextView<'a> {
    /// Everything the model added, think tags included.
    pub completion: &'a str,
    /// The text inside the think tags.
    pub reasoning: Option<&'a str>,
    /// The text after the think tags.
    pub answer: Option<&'a str>,
}

impl<'a> TextView<'a> {
    /// A completion with its parts.
    pub fn of(completion: &'a str) -> Self {
        let parts = completion::split(completion);
        Self { completion, reasoning: parts.reasoning, answer: parts.answer }
    }
}

/// The prompt that a rollout answers.
#[derive(Debug, Clone, Copy)]
pub struct PromptView<'a> {
    /// Its subject area.
    pub domain: &'a str,
    /// Its language (ISO 639-1), where the source names it.
    pub language: Option<&'a str>,
    /// Where it comes from.
    pub source: &'a str,
    /// The conversation. Only the filters that read text look at it, as at the reference answer.
    pub messages: &'a [Message],
    /// The known right answer.
    pub reference_answer: Option<&'a str>,
}
