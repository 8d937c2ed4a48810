//! A checkpoint in memory with its tokenizer and chat template: what the commands that ask one checkpoint work with.

use crate::error::LocalError;
use retort_chat::{ChatError, ChatTemplate, Tokenizer, encode_prompt, stop_ids};
use retort_records::Message;
use retort_records::completion::THINK_OPEN;
use retort_records::json_lines::RowFields;
use retort_student::{Student, Target};
use retort_weights::{Checkpoint, end_of_sequence_ids};
use std::io::ErrorKind;
use std::path::Path;

/// A checkpoint ready to be asked.
#[derive(Debug)]
pub struct LoadedCheckpoint {
    student: Student,
    tokenizer: Option<Tokenizer>,
    template: Option<ChatTemplate>,
    stop_token_ids: Vec<u32>,
}

impl LoadedCheckpoint {
    /// Loads a Hugging Face folder. A folder without a tokenizer serves rows of token ids.
    pub fn open(folder: &Path, device: Target) -> Result<Self, LocalError> {
        let checkpoint = Checkpoint::open(folder)?;
        let tokenizer = match Tokenizer::load(folder) {
            Err(ChatError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => None,
            found => Some(found?),
        };
        let template = ChatTemplate::load(folder)?;
        let stop_token_ids = stop_tokens(folder, tokenizer.as_ref(), template.as_ref())?;
        Ok(Self { student: Student::load(&checkpoint, device)?, tokenizer, template, stop_token_ids })
    }

    /// Whether messages are written by a chat template of the checkpoint's own.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// The model.
    pub(crate) fn student(&self) -> &Student {
        &self.student
    }

    /// The chat template.
    pub(crate) fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// Tokens that end a completion.
    pub(crate) fn stop_token_ids(&self) -> &[u32] {
        &self.stop_token_ids
    }

    /// Tokens of a row's prompt, or why there are none: `input_ids`, or `messages`, or `prompt`, which is a text or a
    /// list of messages. `chat` makes a text the message of a user.
    pub(crate) fn prompt_of(&self, row: &RowFields<'_>, chat: bool) -> Result<Vec<u32>, String> {
        if let Some(json) = row.get("input_ids") {
            return token_ids(json);
        }
        if let Some(json) = row.get("messages") {
            return self.messages(json, "messages");
        }
        match row.get("prompt") {
            None => Err("the row has none of the keys `prompt`, `messages` and `input_ids`".into()),
            Some(json) if json.starts_with('[') => self.messages(json, "prompt"),
            Some(json) => match serde_json::from_str::<String>(json) {
                Ok(text) => self.prompt(&text, chat),
                Err(_) => Err("`prompt` is neither text nor a list of messages".into()),
            },
        }
    }

    /// Tokens of a text: as the message of a user, or to be continued as it stands.
    pub(crate) fn prompt(&self, text: &str, chat: bool) -> Result<Vec<u32>, String> {
        if chat { self.chat(&[Message::user(text)]) } else { self.plain(text) }
    }

    fn messages(&self, json: &str, key: &str) -> Result<Vec<u32>, String> {
        let messages: Vec<Message> = serde_json::from_str(json)
            .map_err(|error| format!("`{key}` is no list of messages with `role` and `content`: {error}"))?;
        self.chat(&messages)
    }

    fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, String> {
        encode_prompt(self.tokenizer()?, self.template.as_ref(), messages).map_err(|error| error.to_string())
    }

    /// Tokens of a text as it stands, special tokens recognised, after the one that begins a sequence where the
    /// tokenizer's own files ask for it.
    pub(crate) fn plain(&self, text: &str) -> Result<Vec<u32>, String> {
        let tokenizer = self.tokenizer()?;
        let mut ids = tokenizer.encode(text);
        if let Some(bos) = tokenizer.bos().filter(|bos| tokenizer.writes_bos() && ids.first() != Some(&bos.id)) {
            ids.insert(0, bos.id);
        }
        Ok(ids)
    }

    pub(crate) fn tokenizer(&self) -> Result<&Tokenizer, String> {
        self.tokenizer.as_ref().ok_or_else(|| "the checkpoint has no tokenizer: give `input_ids`".to_owned())
    }

    /// Whether the model can read so many of these tokens.
    pub(crate) fn check(&self, ids: &[u32], max_tokens: usize) -> Result<(), String> {
        let vocabulary = self.student.config().vocab_size;
        match ids {
            [] => Err("the row has no tokens".into()),
            _ if ids.len() > max_tokens => Err(format!("{} tokens, allowed are {max_tokens}", ids.len())),
            _ => match ids.iter().find(|id| **id as usize >= vocabulary) {
                Some(id) => Err(format!("token {id} is not among the {vocabulary} of the model")),
                None => Ok(()),
            },
        }
    }

    /// The text of a completion, up to the first of the stop texts; none without a tokenizer.
    pub(crate) fn completion(&self, ids: &[u32], stop: &[String], chat: bool) -> Option<String> {
        let tokenizer = self.tokenizer.as_ref()?;
        let text = stopped_text(tokenizer, ids, stop).unwrap_or_else(|| tokenizer.decode(ids, true));
        Some(if chat { with_opened_reasoning(self.template.as_ref(), text) } else { text })
    }

    /// Whether one of the stop texts came.
    pub(crate) fn stopped(&self, ids: &[u32], stop: &[String]) -> bool {
        self.tokenizer.as_ref().is_some_and(|tokenizer| stopped_text(tokenizer, ids, stop).is_some())
    }
}

/// A JSON list of token ids.
pub fn token_ids(json: &str) -> Result<Vec<u32>, String> {
    serde_json::from_str(json).map_err(|error| format!("`input_ids` is no list of token ids: {error}"))
}

/// Tokens that end a completion of the checkpoint in `folder`: sorted, without repeats.
pub fn stop_tokens(
    folder: &Path,
    tokenizer: Option<&Tokenizer>,
    template: Option<&ChatTemplate>,
) -> Result<Vec<u32>, LocalError> {
    let mut ids = tokenizer.map(|tokenizer| stop_ids(tokenizer, template)).unwrap_or_default();
    ids.extend(end_of_sequence_ids(folder)?);
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The text before the first of the stop texts, if one of them came.
pub fn stopped_text(tokenizer: &Tokenizer, ids: &[u32], stop: &[String]) -> Option<String> {
    if stop.is_empty() {
        return None;
    }
    let text = tokenizer.decode(ids, true);
    let end = stop.iter().filter_map(|stop| text.find(stop.as_str())).min()?;
    Some(text[..end].to_owned())
}

/// A template that opens the reasoning leaves the completion without its opening tag: here it gets one.
pub fn with_opened_reasoning(template: Option<&ChatTemplate>, text: String) -> String {
    let prefilled = template.is_some_and(ChatTemplate::prefills_think);
    if prefilled && !text.trim_start().starts_with(THINK_OPEN) { format!("{THINK_OPEN}\n{text}") } else { text }
}
