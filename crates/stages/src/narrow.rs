//! Narrow rows that several stages read: the columns they need of a table, and no text that nobody looks at.

use retort_records::{LengthRow, Message, Prompt, Rollout};
use retort_tables::Columns;
use serde::Deserialize;

/// What a prompt asks, and the known right answer.
#[derive(Debug, Deserialize)]
pub struct Question {
    pub prompt_id: String,
    pub messages: Vec<Message>,
    pub reference_answer: Option<String>,
    pub beyond_text: Option<String>,
}

impl Columns for Question {
    type Table = Prompt;
}

impl Question {
    /// The last message: what the model was asked at the end.
    pub fn last(&self) -> &str {
        self.messages.last().map(|message| message.content.as_str()).unwrap_or_default()
    }
}

/// The text of a rollout and who wrote it.
#[derive(Debug, Deserialize)]
pub struct Completion {
    pub rollout_id: String,
    pub teacher: String,
    pub completion: String,
}

impl Columns for Completion {
    type Table = Rollout;
}

/// How long a rollout is, in tokens of the model to be trained.
#[derive(Debug, Deserialize)]
pub struct TotalTokens {
    pub rollout_id: String,
    pub total_tokens: u32,
}

impl Columns for TotalTokens {
    type Table = LengthRow;
}

/// Who speaks in a conversation, where nobody looks at what is said.
#[derive(Debug, Deserialize)]
pub struct Role {
    role: String,
}

/// Rounds of a conversation: its user messages.
pub fn rounds(messages: &[Role]) -> u32 {
    messages.iter().filter(|message| message.role == "user").count() as u32
}
