//! Conversations as people write them: roles in any spelling, contents as texts or parts, reasoning in a field of its own.

use super::unusable::{Unusable, kind_of};
use super::values::{text_not_flag, truth};
use retort_records::{Message, completion};
use serde_json::{Map, Value, json};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: &'static str,
    /// What is said.
    pub content: String,
    /// The reasoning that stands beside it.
    pub reasoning: Option<String>,
    /// Whether it is to be trained, where the row says so.
    pub train: Option<bool>,
    /// What it holds beyond text: `tool_calls`, `tool_call_id`, `name`, and `content` where that is null or has pictures.
    pub beyond: Map<String, Value>,
}

impl Turn {
    /// A turn without anything beside it.
    pub fn new(role: &'static str, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), reasoning: None, train: None, beyond: Map::new() }
    }

    /// Everything that is said, the reasoning inside think tags.
    pub fn whole(&self) -> String {
        match &self.reasoning {
            Some(reasoning) if self.content.is_empty() && !self.calls_tools() => {
                format!("{}\n{reasoning}", completion::THINK_OPEN)
            }
            Some(reasoning) if !thinks(&self.content) => completion::join(Some(reasoning), &self.content),
            _ => self.content.clone(),
        }
    }

    /// The turn as a message.
    pub fn message(&self) -> Message {
        Message { role: self.role.to_owned(), content: self.whole() }
    }

    /// The turn as the completion of a prompt, which is text.
    pub fn as_completion(&self) -> Result<&Self, Unusable> {
        if self.calls_tools() {
            return Err(("tool_calls_not_supported", "the completion calls tools; only `as: sft` keeps that".into()));
        }
        if !self.beyond.is_empty() {
            return Err(("media_not_supported", "the completion has parts that are no text".into()));
        }
        Ok(self)
    }

    /// Whether it calls tools.
    pub fn calls_tools(&self) -> bool {
        self.beyond.contains_key("tool_calls")
    }

    /// Whether there is anything in it.
    pub fn says_something(&self) -> bool {
        !self.whole().trim().is_empty() || self.calls_tools()
    }

    /// Whether the assistant speaks.
    pub fn by_assistant(&self) -> bool {
        self.role == ASSISTANT
    }
}

/// Whether a text holds its reasoning itself, also one that was cut off in the middle of it.
pub fn thinks(text: &str) -> bool {
    text.contains(completion::THINK_CLOSE) || text.trim_start().starts_with(completion::THINK_OPEN)
}

/// The role of the assistant.
pub const ASSISTANT: &str = "assistant";
/// The role of a turn of the assistant that is nothing but calls of tools.
const TOOL_CALL: &str = "tool_call";

/// The role that a word means; none for one that nobody uses.
fn role_of(word: &str) -> Option<&'static str> {
    Some(match word.trim().to_ascii_lowercase().as_str() {
        "user" | "human" | "prompter" | "question" | "customer" | "instruction" => "user",
        "assistant" | "gpt" | "chatgpt" | "gpt4" | "gpt-4" | "model" | "bot" | "chatbot" | "ai" | "bing" | "bard"
        | "claude" | "gemini" | "llm" | "agent" | "answer" => ASSISTANT,
        "system" | "developer" => "system",
        "tool" | "observation" | "ipython" | "tool_response" | "tool_result" | "tool_results" | "function_response"
        | "function" => "tool",
        "function_call" | "tool_call" | "tool_calls" | "function-call" => TOOL_CALL,
        _ => return None,
    })
}

fn role_word(value: &Value) -> Option<&str> {
    ["role", "from", "speaker"].iter().find_map(|key| value.get(key)).and_then(Value::as_str)
}

/// Whether the value is a list of turns.
pub fn is_conversation(value: &Value) -> bool {
    value.as_array().is_some_and(|turns| turns.first().is_some_and(|turn| role_word(turn).is_some()))
}

/// Whether the value is a turn of the assistant.
pub fn is_assistant(value: &Value) -> bool {
    matches!(role_word(value).and_then(role_of), Some(ASSISTANT | TOOL_CALL))
}

/// The turns of a conversation. A text is one turn of `role`, unless it is a list of turns in JSON, as CSV files have them;
/// nothing when there is no text.
pub fn turns_of(value: &Value, role: &'static str) -> Result<Vec<Turn>, Unusable> {
    match value {
        Value::String(text) if text.trim_start().starts_with("[{") => match serde_json::from_str::<Value>(text) {
            Ok(parsed) if is_conversation(&parsed) => turns_of(&parsed, role),
            _ => Ok(vec![Turn::new(role, text.as_str())]),
        },
        Value::String(text) if text.trim().is_empty() => Ok(Vec::new()),
        Value::String(text) => Ok(vec![Turn::new(role, text.as_str())]),
        Value::Number(number) => Ok(vec![Turn::new(role, number.to_string())]),
        Value::Bool(truth) => Ok(vec![Turn::new(role, truth.to_string())]),
        Value::Array(items) => items.iter().map(|item| turn(item, role)).collect(),
        Value::Object(_) => Ok(vec![turn(value, role)?]),
        Value::Null => Ok(Vec::new()),
    }
}

/// One turn; an object without a role speaks as `role`.
fn turn(value: &Value, role: &'static str) -> Result<Turn, Unusable> {
    if !value.is_object() {
        return Err(("not_a_message", format!("a turn of the conversation is {}, not an object", kind_of(value))));
    }
    let role = match role_word(value) {
        Some(word) => role_of(word).ok_or_else(|| ("unknown_role", format!("`{word}` is no role that is known")))?,
        None => role,
    };
    let calls_only = role == TOOL_CALL;
    let mut turn = Turn::new(if calls_only { ASSISTANT } else { role }, "");
    let content = ["content", "value", "text"].iter().find_map(|key| value.get(key)).unwrap_or(&Value::Null);
    match content {
        Value::Array(parts) => {
            let mut media = false;
            for part in parts {
                media |= read_part(part, &mut turn)?;
            }
            if media {
                turn.beyond.insert("content".into(), content.clone());
            }
        }
        Value::String(text) => turn.content.clone_from(text),
        Value::Number(_) | Value::Bool(_) => turn.content = content.to_string(),
        Value::Null => {}
        Value::Object(_) => return Err(("not_a_message", "a turn's content is an object".into())),
    }
    let mut reasoning =
        ["reasoning_content", "reasoning", "thinking", "thought"].iter().filter_map(|key| value.get(key));
    if let Some(reasoning) = reasoning.find_map(text_not_flag).filter(|_| role == ASSISTANT) {
        turn.reasoning = Some(reasoning.trim().to_owned());
    }
    read_calls(value, calls_only, &mut turn)?;
    if turn.calls_tools() {
        if content.is_null() && turn.reasoning.is_none() {
            turn.beyond.insert("content".into(), Value::Null);
        }
    } else if content.is_null() && turn.reasoning.is_none() {
        return Err(("empty_message", format!("a turn of the {role} has no content")));
    }
    turn.train = match value.get("weight").and_then(Value::as_f64) {
        Some(weight) => Some(weight != 0.0),
        None => ["train", "training", "loss"].iter().filter_map(|key| value.get(key)).find_map(truth),
    };
    Ok(turn)
}

/// Keeps the calls of tools that a turn makes, and what a tool's turn says of the call it answers.
fn read_calls(value: &Value, calls_only: bool, turn: &mut Turn) -> Result<(), Unusable> {
    let filled = |key: &str| {
        value.get(key).filter(|value| match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(object) => !object.is_empty(),
            Value::String(text) => !matches!(text.trim(), "" | "[]" | "null"),
            _ => true,
        })
    };
    let calls = if calls_only {
        // ShareGPT puts them into the text, a thought before them.
        let text = turn.whole();
        let parts = completion::split(&text);
        let calls = json_of(parts.answer.unwrap_or_default()).ok_or_else(|| unreadable(&text))?;
        turn.reasoning = parts.reasoning.map(str::to_owned);
        turn.content.clear();
        Some(calls)
    } else if let Some(calls) = filled("tool_calls") {
        Some(match calls {
            Value::String(text) => json_of(text).ok_or_else(|| unreadable(text))?,
            calls => calls.clone(),
        })
    } else {
        filled("function_call").cloned()
    };
    if let Some(calls) = calls {
        let calls = match calls {
            Value::Array(calls) => calls,
            call => vec![call],
        };
        let names_one = |call: &Value| call.is_object() && (call.get("function").unwrap_or(call)).get("name").is_some();
        if let Some(call) = calls.iter().find(|call| !names_one(call)) {
            return Err(unreadable(&call.to_string()));
        }
        turn.beyond.insert("tool_calls".into(), calls.into_iter().map(call).collect());
    }
    if turn.role == "tool" {
        for key in ["tool_call_id", "name"] {
            turn.beyond.extend(filled(key).map(|value| (key.to_owned(), value.clone())));
        }
    }
    Ok(())
}

/// A call as chat-completions servers write it; one that names the function alone is put into that form.
fn call(call: Value) -> Value {
    match call {
        Value::Object(mut function) if !function.contains_key("function") => {
            let id = function.shift_remove("id").map(|id| ("id".to_owned(), id));
            let rest = [("type".to_owned(), json!("function")), ("function".to_owned(), function.into())];
            Value::Object(id.into_iter().chain(rest).collect())
        }
        call => call,
    }
}

fn json_of(text: &str) -> Option<Value> {
    serde_json::from_str(text.trim()).ok()
}

fn unreadable(calls: &str) -> Unusable {
    let start: String = calls.chars().take(100).collect();
    ("tool_calls_unreadable", format!("`{start}` is no JSON of calls with a `name`"))
}

/// Adds one part of a content that is a list of parts; gives whether it is a picture or another file.
fn read_part(part: &Value, turn: &mut Turn) -> Result<bool, Unusable> {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
    let text = |key: &str| part.get(key).and_then(Value::as_str);
    match kind {
        "text" | "input_text" | "output_text" => {
            match part.as_str().or_else(|| text("text")).or_else(|| text("content")) {
                Some(text) => turn.content.push_str(text),
                None => return Err(("not_a_message", "a part of a content has no text".into())),
            }
        }
        "thinking" | "reasoning" => {
            let found = text("thinking").or_else(|| text("text")).or_else(|| text("reasoning")).unwrap_or_default();
            turn.reasoning.get_or_insert_default().push_str(found);
        }
        "tool_use" | "tool_result" | "tool_call" | "function_call" => {
            return Err(("tool_calls_not_supported", "the conversation calls tools".into()));
        }
        "image" | "image_url" | "input_image" | "video" | "video_url" | "audio" | "audio_url" | "input_audio"
        | "file" => {
            return Ok(true);
        }
        other => return Err(("not_a_message", format!("a part of the conversation is of type `{other}`"))),
    }
    Ok(false)
}

/// The turns of a transcript such as `\n\nHuman: hi\n\nAssistant: hello`; none when the text is no transcript.
pub fn turns_of_transcript(text: &str) -> Option<Vec<Turn>> {
    let mut turns: Vec<Turn> = Vec::new();
    for (index, passage) in text.trim().split("\n\n").enumerate() {
        let started = [("Human:", "user"), ("Assistant:", ASSISTANT)]
            .into_iter()
            .find_map(|(mark, role)| Some((role, passage.strip_prefix(mark)?)));
        match (started, turns.last_mut()) {
            (Some((role, said)), _) => turns.push(Turn::new(role, said.trim_start())),
            (None, Some(turn)) => {
                turn.content.push_str("\n\n");
                turn.content.push_str(passage);
            }
            (None, None) if index == 0 => return None,
            (None, None) => {}
        }
    }
    (!turns.is_empty()).then_some(turns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_spelling_of_a_conversation_is_the_same_two_turns() {
        let wanted = vec![Turn::new("user", "q"), Turn::new("assistant", "a")];
        for conversation in [
            json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]),
            json!([{"from": "Human", "value": "q"}, {"from": "GPT", "value": "a"}]),
            json!([{"from": "human", "text": "q"}, {"role": "chatgpt", "value": "a"}]),
            json!([{"role": "user", "content": [{"type": "text", "text": "q"}]}, {"role": "model", "content": ["a"]}]),
            json!("[{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"bot\", \"content\": \"a\"}]"),
        ] {
            assert_eq!(turns_of(&conversation, "user"), Ok(wanted.clone()), "{conversation}");
        }
        assert_eq!(turns_of_transcript("\n\nHuman: q\n\nAssistant: a"), Some(wanted));
    }

    #[test]
    fn calls_of_tools_are_kept_in_one_form() {
        let function = json!({"name": "f", "arguments": {"x": 1}});
        let wanted = json!([{"type": "function", "function": function}]);
        for (turn, calls, content) in [
            (json!({"role": "assistant", "content": "", "tool_calls": wanted}), &wanted, None),
            (json!({"role": "assistant", "tool_calls": wanted}), &wanted, Some(&Value::Null)),
            (json!({"role": "assistant", "content": null, "function_call": function}), &wanted, Some(&Value::Null)),
            (json!({"from": "function_call", "value": function.to_string()}), &wanted, None),
            (json!({"from": "gpt", "value": "", "tool_calls": wanted.to_string()}), &wanted, None),
        ] {
            let read = turns_of(&json!([turn]), "user").expect("a turn");
            assert_eq!((read[0].role, read[0].content.as_str()), (ASSISTANT, ""), "{turn}");
            assert_eq!(
                (read[0].beyond.get("tool_calls"), read[0].beyond.get("content")),
                (Some(calls), content),
                "{turn}"
            );
        }
        let thought = json!({"from": "function_call", "value": format!("<think>\nhm\n</think>\n\n{function}")});
        assert_eq!(turns_of(&json!([thought]), "user").expect("a turn")[0].reasoning.as_deref(), Some("hm"));
    }

    #[test]
    fn what_cannot_be_carried_has_a_reason() {
        for (turn, reason) in [
            (json!({"role": "narrator", "content": "x"}), "unknown_role"),
            (json!({"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}), "tool_calls_unreadable"),
            (json!({"from": "function_call", "value": "{}"}), "tool_calls_unreadable"),
            (json!({"role": "user", "content": [{"type": "tool_use"}]}), "tool_calls_not_supported"),
            (json!({"role": "user", "content": null}), "empty_message"),
            (json!("hi"), "not_a_message"),
        ] {
            assert_eq!(turns_of(&json!([turn]), "user").map_err(|(reason, _)| reason), Err(reason), "{turn}");
        }
    }
}
