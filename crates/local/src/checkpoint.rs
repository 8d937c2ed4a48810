//! A checkpoint in memory with its tokenizer and chat template: what the commands that ask one checkpoint work with.

use crate::error::LocalError;
use retort_chat::{ChatError, ChatTemplate, Conversation, Tokenizer, encode_conversation_prompt, stop_ids};
use retort_records::completion::THINK_OPEN;
use retort_records::json_lines::RowFields;
use retort_student::{GenerateRequest, Student, Target};
use retort_weights::{Checkpoint, check_json, end_of_sequence_ids, without_tokenizer};
use serde_json::{Map, Value, json};
use std::io::ErrorKind;
use std::panic::catch_unwind;
use std::path::Path;

/// A checkpoint ready to be asked.
#[derive(Debug)]
pub struct LoadedCheckpoint {
    student: Student,
    tokenizer: Option<Tokenizer>,
    template: Option<ChatTemplate>,
    stop_token_ids: Vec<u32>,
    /// Why there is no tokenizer, for rows that need one.
    without_tokenizer: String,
    warnings: Vec<String>,
}

impl LoadedCheckpoint {
    /// Loads a Hugging Face folder. A folder without a tokenizer serves rows of token ids.
    pub fn open(folder: &Path, device: Target) -> Result<Self, LocalError> {
        let checkpoint = Checkpoint::open(folder)?;
        let tokenizer = find_tokenizer(folder)?;
        let template = ChatTemplate::load(folder)?;
        let stop_token_ids = stop_tokens(folder, tokenizer.as_ref(), template.as_ref())?;
        Ok(Self {
            student: Student::load(&checkpoint, device)?,
            tokenizer,
            template,
            stop_token_ids,
            without_tokenizer: without_tokenizer(folder),
            warnings: checkpoint.warnings().to_vec(),
        })
    }

    /// The same with these variables of the chat template, such as `enable_thinking`, for all prompts that do not bring
    /// their own (`chat_template_kwargs`).
    #[must_use]
    pub fn with_template_kwargs(self, kwargs: Map<String, Value>) -> Self {
        let template =
            self.template.map(|template| if kwargs.is_empty() { template } else { template.with_kwargs(kwargs) });
        Self { template, ..self }
    }

    /// What was decided in reading the checkpoint that people should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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
    /// list of messages. `chat` makes a text the message of a user. Messages go to the chat template with all they hold,
    /// and with the row's `tools`, `documents` and `chat_template_kwargs`.
    pub(crate) fn prompt_of(&self, row: &RowFields<'_>, chat: bool) -> Result<Vec<u32>, String> {
        if let Some(json) = row.get("input_ids") {
            return token_ids(json);
        }
        match (row.get("messages"), row.get("prompt")) {
            (None, None) => Err("the row has none of the keys `prompt`, `messages` and `input_ids`".into()),
            (None, Some(json)) if !json.starts_with('[') => match serde_json::from_str::<String>(json) {
                Ok(text) if chat => {
                    self.encode_prompt(&conversation(row, "prompt", json!([{"role": "user", "content": text}]))?)
                }
                Ok(text) => self.plain(&text),
                Err(_) => Err("`prompt` is neither text nor a list of messages".into()),
            },
            (Some(json), _) | (None, Some(json)) => {
                let messages = serde_json::from_str(json).map_err(|error| error.to_string())?;
                let key = if row.get("messages").is_some() { "messages" } else { "prompt" };
                self.encode_prompt(&conversation(row, key, messages)?)
            }
        }
    }

    /// Tokens of a text: as the message of a user, or to be continued as it stands.
    pub(crate) fn prompt(&self, text: &str, chat: bool) -> Result<Vec<u32>, String> {
        if !chat {
            return self.plain(text);
        }
        let row = json!({"messages": [{"role": "user", "content": text}]});
        self.encode_prompt(&Conversation::from_json(&row).map_err(|error| error.to_string())?)
    }

    fn encode_prompt(&self, conversation: &Conversation) -> Result<Vec<u32>, String> {
        encode_conversation_prompt(self.tokenizer()?, self.template.as_ref(), conversation)
            .map_err(|error| error.to_string())
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
        self.tokenizer.as_ref().ok_or_else(|| format!("{}; or give `input_ids`", self.without_tokenizer))
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

    /// The text of a completion, up to the first of the stop texts; none without a tokenizer. With `chat`, reasoning that
    /// the prompt has opened gets its opening tag.
    pub(crate) fn completion(
        &self,
        request: &GenerateRequest,
        ids: &[u32],
        stop: &[String],
        chat: bool,
    ) -> Option<String> {
        let tokenizer = self.tokenizer.as_ref()?;
        let text = completion_text(tokenizer, ids, stop);
        let opened = chat && self.opens_reasoning(request);
        Some(if opened { with_opened_reasoning(text) } else { text })
    }

    /// Whether the chat template has written the tag that opens the reasoning at the end of a prompt.
    pub(crate) fn opens_reasoning(&self, request: &GenerateRequest) -> bool {
        let tokenizer = self.tokenizer.as_ref().filter(|_| self.has_template());
        tokenizer.is_some_and(|tokenizer| opens_reasoning(tokenizer, &request.prompt_ids))
    }
}

/// A row's conversation: the messages under `key`, and what else the row gives the chat template.
pub(crate) fn conversation(row: &RowFields<'_>, key: &str, messages: Value) -> Result<Conversation, String> {
    let mut given = json!({"messages": messages});
    for key in ["tools", "documents", "chat_template_kwargs"] {
        if let Some(json) = row.get(key) {
            given[key] = serde_json::from_str(json).map_err(|error| format!("`{key}`: {error}"))?;
        }
    }
    Conversation::from_json(&given).map_err(|error| match error {
        ChatError::Conversation { key: place, reason } if place.starts_with("messages") => {
            format!("`{key}` is no list of messages: `{}`: {reason}", place.replacen("messages", key, 1))
        }
        error => error.to_string(),
    })
}

/// The tokenizer of a checkpoint's folder, or what to do where there is none.
pub fn load_tokenizer(folder: &Path) -> Result<Tokenizer, LocalError> {
    find_tokenizer(folder)?.ok_or_else(|| LocalError::NoTokenizer { reason: without_tokenizer(folder) })
}

/// The tokenizer of a checkpoint's folder, if it has one.
fn find_tokenizer(folder: &Path) -> Result<Option<Tokenizer>, LocalError> {
    let file = if folder.is_dir() { folder.join("tokenizer.json") } else { folder.to_owned() };
    if file.is_file() {
        // The library that reads it panics on some files that are no JSON.
        check_json(&file)?;
    }
    match catch_unwind(|| Tokenizer::load(folder)) {
        Ok(Err(ChatError::Read { source, .. })) if source.kind() == ErrorKind::NotFound => Ok(None),
        Ok(found) => Ok(Some(found?)),
        Err(_) => {
            let reason = "the library that reads tokenizers fails on it".to_owned();
            Err(ChatError::Malformed { path: file, reason }.into())
        }
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

/// The text of a completion, up to the first of the stop texts.
pub(crate) fn completion_text(tokenizer: &Tokenizer, ids: &[u32], stop: &[String]) -> String {
    let mut text = tokenizer.decode(ids, true);
    let stops = stop.iter().filter(|stop| !stop.is_empty());
    if let Some(end) = stops.filter_map(|stop| text.find(stop.as_str())).min() {
        text.truncate(end);
    }
    text
}

/// Whether a prompt ends with the tag that opens the reasoning.
pub(crate) fn opens_reasoning(tokenizer: &Tokenizer, prompt_ids: &[u32]) -> bool {
    /// Tokens that the tag and the white space behind it may have.
    const OPENING: usize = 8;
    let end = &prompt_ids[prompt_ids.len().saturating_sub(OPENING)..];
    tokenizer.decode(end, false).trim_end().ends_with(THINK_OPEN)
}

/// A completion whose reasoning the prompt has opened lacks the opening tag: here it gets one.
pub(crate) fn with_opened_reasoning(text: String) -> String {
    if text.trim_start().starts_with(THINK_OPEN) { text } else { format!("{THINK_OPEN}\n{text}") }
}
