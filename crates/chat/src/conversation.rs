//! Conversations as chat templates see them: messages with everything they hold, tools, documents and the template's
//! own arguments.

use std::rc::Rc;

use retort_records::{BeyondText, Message, SftMessage};
use serde_json::{Map, Value as Json};

use crate::ChatError;
use crate::jinja::{Dict, Text, Value};

/// The names under which people hand over a message's reasoning. A template is shown the first and the second of them,
/// whichever it was, as `transformers` does.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// One message as a template sees it. [`Conversation`] holds richer ones: tool calls, parts, no content at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What is said; for an assistant it may hold the reasoning in think tags.
    pub content: String,
    /// The reasoning, handed to the template as `reasoning_content` (absent when `None`).
    pub reasoning: Option<String>,
}

impl From<&Message> for ChatMessage {
    fn from(message: &Message) -> Self {
        Self { role: message.role.clone(), content: message.content.clone(), reasoning: None }
    }
}

impl From<&SftMessage> for ChatMessage {
    fn from(message: &SftMessage) -> Self {
        let SftMessage { role, reasoning, content, .. } = message;
        Self { role: role.clone(), content: content.clone(), reasoning: reasoning.clone() }
    }
}

/// One message of a [`Conversation`].
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The message: `role`, and whatever else a template may read, such as `content` (a text, a list of parts, or
    /// null), `reasoning_content`, `tool_calls`, `name` and `tool_call_id`.
    pub message: Map<String, Json>,
    /// Whether the loss counts this message's tokens.
    pub train: bool,
}

/// What a chat template is given.
///
/// ```
/// let row = serde_json::json!({
///     "messages": [{"role": "user", "content": "2+2?"}],
///     "tools": [{"type": "function", "function": {"name": "add"}}],
///     "chat_template_kwargs": {"enable_thinking": false},
/// });
/// let conversation = retort_chat::Conversation::from_json(&row)?;
/// assert_eq!(conversation.turns.len(), 1);
/// # Ok::<(), retort_chat::ChatError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// The messages, in order.
    pub turns: Vec<Turn>,
    /// JSON schemas of the tools that the assistant may call; `None` differs from an empty list in some templates.
    pub tools: Option<Vec<Json>>,
    /// Documents to answer from, for the templates that know them.
    pub documents: Option<Vec<Json>>,
    /// Variables of the template, such as `enable_thinking`: what `transformers`, vLLM and SGLang call
    /// `chat_template_kwargs`. They go before those that the template was made with.
    pub template_kwargs: Map<String, Json>,
}

impl Turn {
    /// Who speaks.
    pub fn role(&self) -> &str {
        self.message.get("role").and_then(Json::as_str).unwrap_or_default()
    }

    /// The content, where it is a text.
    pub fn content(&self) -> Option<&str> {
        self.message.get("content").and_then(Json::as_str)
    }

    /// The reasoning, under whichever of its names it was given.
    pub fn reasoning(&self) -> Option<&str> {
        REASONING.iter().find_map(|name| self.message.get(*name)?.as_str()).filter(|text| !text.is_empty())
    }

    pub(crate) fn set_reasoning(&mut self, reasoning: Option<String>) {
        self.message.retain(|name, _| !REASONING.contains(&name.as_str()));
        if let Some(reasoning) = reasoning {
            self.message.insert("reasoning_content".into(), reasoning.into());
        }
    }

    pub(crate) fn set_content(&mut self, content: String) {
        self.message.insert("content".into(), content.into());
    }

    /// Changes the content, unless there is none or it is a list of parts.
    pub(crate) fn set_content_if_text(&mut self, content: &str) {
        if self.content().is_some() {
            self.set_content(content.to_owned());
        }
    }

    /// Whether it calls tools.
    pub(crate) fn calls_tools(&self) -> bool {
        self.message.get("tool_calls").and_then(Json::as_array).is_some_and(|calls| !calls.is_empty())
    }

    /// Whether there is anything in it that could be trained.
    pub(crate) fn says_something(&self) -> bool {
        let full = |value: &Json| match value {
            Json::String(text) => !text.is_empty(),
            Json::Array(items) => !items.is_empty(),
            _ => false,
        };
        self.reasoning().is_some()
            || ["content", "tool_calls"].iter().any(|key| self.message.get(*key).is_some_and(full))
    }

    fn new(role: &str, content: &str, reasoning: Option<&str>, train: bool) -> Self {
        let mut message = Map::new();
        message.insert("role".into(), role.into());
        message.insert("content".into(), content.into());
        if let Some(reasoning) = reasoning {
            message.insert("reasoning_content".into(), reasoning.into());
        }
        Self { message, train }
    }
}

impl From<&Message> for Turn {
    fn from(message: &Message) -> Self {
        Self::new(&message.role, &message.content, None, false)
    }
}

impl From<&SftMessage> for Turn {
    fn from(message: &SftMessage) -> Self {
        let reasoning = message.reasoning.as_deref().filter(|text| !text.is_empty());
        Self::new(&message.role, &message.content, reasoning, message.train)
    }
}

impl From<&ChatMessage> for Turn {
    fn from(message: &ChatMessage) -> Self {
        Self::new(&message.role, &message.content, message.reasoning.as_deref(), false)
    }
}

impl<'a, T> FromIterator<&'a T> for Conversation
where
    Turn: From<&'a T>,
{
    fn from_iter<I: IntoIterator<Item = &'a T>>(messages: I) -> Self {
        Self { turns: messages.into_iter().map(Turn::from).collect(), ..Self::default() }
    }
}

impl Conversation {
    /// The messages of a table's row with what it holds beyond their texts: tools and calls of tools as templates want
    /// them, whatever form they came in. Pictures and their like are an error: no template makes text of them.
    pub fn of_row<'a, T>(messages: &'a [T], beyond_text: Option<&str>) -> Result<Self, ChatError>
    where
        Turn: From<&'a T>,
    {
        let mut conversation: Self = messages.iter().collect();
        let Some(json) = beyond_text else { return Ok(conversation) };
        let wrong = |key: String, reason: &str| ChatError::Conversation { key, reason: reason.into() };
        let beyond = BeyondText::read(json).ok_or_else(|| wrong("beyond_text".into(), "not of its form"))?;
        if beyond.has_media() {
            return Err(ChatError::Media);
        }
        for (turn, more) in conversation.turns.iter_mut().zip(beyond.messages) {
            turn.message.extend(more);
            let calls = turn.message.get_mut("tool_calls").and_then(Json::as_array_mut);
            calls.into_iter().flatten().for_each(read_arguments);
        }
        conversation.tools = match beyond.row.get("tools").map(parsed) {
            None => None,
            Some(Json::Array(tools)) if tools.iter().all(Json::is_object) => {
                Some(tools.into_iter().map(function).collect())
            }
            Some(_) => return Err(wrong("tools".into(), "expected a list of objects")),
        };
        Ok(conversation)
    }

    /// Reads a row with `messages` and, if it has them, `tools`, `documents` and `chat_template_kwargs`.
    ///
    /// A message counts in the loss when the assistant says it, unless its `train` (true or false) or its `weight`
    /// (0 or more) says otherwise; neither is shown to the template.
    pub fn from_json(row: &Json) -> Result<Self, ChatError> {
        let wrong = |key: &str, reason: &str| ChatError::Conversation { key: key.into(), reason: reason.into() };
        let Some(Json::Array(messages)) = row.get("messages") else {
            return Err(wrong("messages", "expected a list of messages"));
        };
        let mut turns = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            let key = |name: &str| format!("messages[{index}].{name}");
            let Json::Object(message) = message else {
                return Err(wrong(&format!("messages[{index}]"), "expected an object with `role` and `content`"));
            };
            let mut message = message.clone();
            let Some(role) = message.get("role").and_then(Json::as_str) else {
                return Err(wrong(&key("role"), "expected a text such as `user`"));
            };
            let mut train = role == "assistant";
            if !matches!(message.get("content"), None | Some(Json::Null | Json::String(_) | Json::Array(_))) {
                return Err(wrong(&key("content"), "expected a text, a list of parts, or null"));
            }
            if !matches!(message.get("tool_calls"), None | Some(Json::Null | Json::Array(_))) {
                return Err(wrong(&key("tool_calls"), "expected a list of calls"));
            }
            if let Some(flag) = message.remove("train") {
                train = flag.as_bool().ok_or_else(|| wrong(&key("train"), "expected true or false"))?;
            }
            if let Some(weight) = message.remove("weight") {
                let weight = weight.as_f64().filter(|weight| *weight >= 0.0);
                train &= weight.ok_or_else(|| wrong(&key("weight"), "expected a number, 0 or more"))? > 0.0;
            }
            turns.push(Turn { message, train });
        }
        let list = |key: &str| match row.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Array(items)) if items.iter().all(Json::is_object) => Ok(Some(items.clone())),
            Some(_) => Err(wrong(key, "expected a list of objects")),
        };
        let template_kwargs = match row.get("chat_template_kwargs") {
            None | Some(Json::Null) => Map::new(),
            Some(Json::Object(arguments)) => arguments.clone(),
            Some(_) => {
                return Err(wrong("chat_template_kwargs", "expected an object such as {\"enable_thinking\": false}"));
            }
        };
        Ok(Self { turns, tools: list("tools")?, documents: list("documents")?, template_kwargs })
    }
}

/// JSON that may be written as a text.
fn parsed(json: &Json) -> Json {
    json.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| json.clone())
}

/// The tool as chat-completions servers declare it. ShareGPT and older files name the function alone.
fn function(tool: Json) -> Json {
    if tool.get("function").is_none() && tool.get("name").is_some() {
        serde_json::json!({"type": "function", "function": tool})
    } else {
        tool
    }
}

/// Chat-completions servers write the arguments of a call as a text; templates want the object that it is.
fn read_arguments(call: &mut Json) {
    let call = if call.get("function").is_some() { &mut call["function"] } else { call };
    if let Some(arguments) = call.get_mut("arguments") {
        let object = parsed(arguments);
        if object.is_object() {
            *arguments = object;
        }
    }
}

/// Which text of a conversation an origin stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The message; `None` for tools, documents and the template's arguments.
    pub turn: Option<usize>,
    pub part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Content,
    Reasoning,
    /// Any text in a tool call.
    Call,
    /// Any other text, such as the name of a tool: not what a turn says.
    Other,
}

/// Turns JSON into the template's values, and numbers every text in it.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// What each origin is, and its text.
    pub origins: Vec<(Origin, String)>,
    /// How many of the first origins are those of the tools.
    pub of_tools: usize,
}

impl Inputs {
    fn origin(&mut self, text: &str, origin: Origin) -> Value {
        self.origins.push((origin, text.to_owned()));
        Value::Str(Text::from_input(text, (self.origins.len() - 1) as u32))
    }

    /// `json` with all its texts, keys too, coming from `origin`.
    pub(crate) fn value(&mut self, json: &Json, origin: Origin) -> Value {
        match json {
            Json::Null => Value::None,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Value::Int(i128::from(number)),
                (None, Some(number)) => Value::Int(i128::from(number)),
                _ => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => self.origin(text, origin),
            Json::Array(items) => Value::list(items.iter().map(|item| self.value(item, origin)).collect()),
            Json::Object(object) => {
                let pairs = object.iter().map(|(key, value)| (self.origin(key, origin), self.value(value, origin)));
                Value::Dict(Rc::new(Dict(pairs.collect())))
            }
        }
    }

    /// The messages as `transformers` shows them to a template: without the keys that are null, and the reasoning
    /// under both of its names.
    pub(crate) fn messages(&mut self, turns: &[Turn]) -> Value {
        let message = |(index, turn): (usize, &Turn)| {
            let given: Vec<_> = turn.message.iter().filter(|(_, value)| !value.is_null()).collect();
            let reasoning = REASONING.iter().find_map(|name| turn.message.get(*name).filter(|text| !text.is_null()));
            let origin = |part| Origin { turn: Some(index), part };
            let reasoning = reasoning.map(|reasoning| self.value(reasoning, origin(Part::Reasoning)));
            let mut dict = Dict::default();
            if let Some(reasoning) = &reasoning {
                dict.insert("thinking".into(), reasoning.clone());
            }
            for (key, value) in given {
                let value = match key.as_str() {
                    // A role names who speaks: the template writes it into its own markup.
                    "role" => Value::from(value.as_str().unwrap_or_default()),
                    "content" => self.content(value, index),
                    "tool_calls" => self.value(value, origin(Part::Call)),
                    name if REASONING.contains(&name) && reasoning.is_some() => {
                        let same = REASONING.iter().find_map(|name| turn.message.get(*name)) == Some(value);
                        match &reasoning {
                            Some(reasoning) if same => reasoning.clone(),
                            _ => self.value(value, origin(Part::Other)),
                        }
                    }
                    _ => self.value(value, origin(Part::Other)),
                };
                dict.insert(key.as_str().into(), value);
            }
            if let Some(reasoning) = reasoning {
                dict.insert("reasoning_content".into(), reasoning);
            }
            Value::Dict(Rc::new(dict))
        };
        Value::list(turns.iter().enumerate().map(message).collect())
    }

    /// A content: a text, or parts whose `text` is what is said.
    fn content(&mut self, content: &Json, index: usize) -> Value {
        let said = Origin { turn: Some(index), part: Part::Content };
        let other = Origin { turn: Some(index), part: Part::Other };
        let Json::Array(parts) = content else { return self.value(content, said) };
        let part = |part: &Json| match part {
            Json::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| {
                    let origin = if key == "text" { said } else { other };
                    // What kind of part it is decides the template's markup; it is no text of the message.
                    let value = match value {
                        Json::String(kind) if key == "type" => Value::from(kind.as_str()),
                        value => self.value(value, origin),
                    };
                    (Value::from(key.as_str()), value)
                });
                Value::Dict(Rc::new(Dict(fields.collect())))
            }
            other_kind => self.value(other_kind, said),
        };
        Value::list(parts.iter().map(part).collect())
    }
}
