//! Rows to training examples.

use super::fields::{Imported, Row, beyond_text};
use super::layout::ImportColumn;
use super::turns::{ASSISTANT, Turn, turns_of};
use super::unusable::{Unusable, keys};
use super::values::{non_empty, text_not_flag, truth};
use retort_records::completion::{self, ThinkForm};
use retort_records::{SftExample, SftMessage, id_of};
use serde_json::Value;

impl Row<'_, '_> {
    /// The row as a training example. Of a conversation every turn of the assistant is trained, of prompt and completion the
    /// completion; where a turn says so itself, that counts.
    pub fn example(&self, source: &str) -> Result<Imported, Unusable> {
        if self.first(self.row, ImportColumn::Label, truth) == Some(false) {
            return Err(("label_false", "the row says that its completion is not a wanted one".into()));
        }
        if self.row.get("weight").and_then(Value::as_f64) == Some(0.0) {
            return Err(("weight_zero", "the row says that it does not count".into()));
        }
        let asked = self.prompt(source)?;
        let whole = !asked.reply.is_empty() && !self.written(ImportColumn::Completion);
        let mut completion = if whole {
            asked.reply
        } else {
            let value = self.find(ImportColumn::Completion).ok_or_else(|| {
                let problem = if asked.turns.len() > 1 {
                    "the conversation does not end with the assistant".to_owned()
                } else {
                    format!("no column `completion`; found {}", keys(self.row))
                };
                ("no_completion", problem)
            })?;
            turns_of(value, ASSISTANT)?
        };
        if completion.last().is_none_or(|turn| !turn.by_assistant()) {
            return Err(("no_completion", "the conversation does not end with the assistant".into()));
        }
        if let Some(last) = completion.last_mut().filter(|last| last.reasoning.is_none()) {
            last.reasoning =
                self.first(self.row, ImportColumn::Reasoning, |value| text_not_flag(value).and_then(non_empty));
        }
        let trained = |turn: &Turn, usually: bool| turn.by_assistant() && turn.train.unwrap_or(usually);
        let before = asked.turns.iter().map(|turn| (turn, trained(turn, whole)));
        let turns: Vec<(&Turn, bool)> =
            before.chain(completion.iter().map(|turn| (turn, trained(turn, true)))).collect();
        if turns.iter().all(|(_, train)| !train) {
            return Err(("nothing_trained", "the row says that no turn of the assistant counts".into()));
        }
        let texts: Vec<String> = turns.iter().map(|(turn, _)| turn.whole()).collect();
        if turns.last().is_none_or(|(turn, _)| !turn.says_something()) {
            return Err(("no_completion", "the completion is empty".into()));
        }
        let beyond_text = beyond_text(&asked.beside, turns.iter().map(|(turn, _)| *turn));
        let parts: Vec<&[u8]> = texts.iter().chain(&beyond_text).map(String::as_bytes).collect();
        let example_id = id_of("example", &parts);
        let messages = turns.iter().zip(texts).map(|((turn, train), text)| message(turn, text, *train)).collect();
        Ok(Imported::Example(SftExample {
            example_id,
            rollout_id: None,
            prompt_id: asked.prompt.prompt_id,
            domain: asked.prompt.domain,
            source: asked.prompt.source,
            messages,
            completion_tokens: None,
            beyond_text,
        }))
    }
}

/// The think tags of an assistant's message become its reasoning. What follows a thought may be calls of tools alone.
fn message(turn: &Turn, text: String, train: bool) -> SftMessage {
    let parts = completion::split(&text);
    let role = turn.role.to_owned();
    match (turn.by_assistant(), parts.reasoning, parts.answer) {
        (true, Some(reasoning), Some(answer)) => {
            SftMessage { role, reasoning: Some(reasoning.to_owned()), content: answer.to_owned(), train }
        }
        (true, Some(reasoning), None) if parts.form == ThinkForm::Complete && turn.calls_tools() => {
            SftMessage { role, reasoning: Some(reasoning.to_owned()), content: String::new(), train }
        }
        _ => SftMessage { role, reasoning: None, content: text, train },
    }
}
