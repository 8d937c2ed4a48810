//! The chat-completions format: what is sent, and what servers really send back.

mod events;
mod said;

use retort_records::{
    BeyondText, FinishReason,
    completion::{self, THINK_OPEN, ThinkForm},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{EndpointSettings, Reply, Request, Sampling};

pub(crate) use events::Events;
use said::Said;

/// The longest completion that is kept, in bytes. Far above every model's context; a guard against a runaway server.
pub(crate) const REPLY_LIMIT: usize = 64 << 20;

/// The body of one request. Keys come in a fixed order.
pub(crate) fn body(settings: &EndpointSettings, request: &Request, beyond: BeyondText, sampling: &Sampling) -> Value {
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("model", settings.model.clone().into());
    let mut messages: Vec<Value> =
        request.messages.iter().map(|m| json!({ "role": m.role, "content": m.content })).collect();
    for (message, more) in messages.iter_mut().filter_map(Value::as_object_mut).zip(beyond.messages) {
        message.extend(more);
    }
    set("messages", messages.into());
    set("temperature", sampling.temperature.into());
    set("top_p", sampling.top_p.into());
    set("max_tokens", sampling.max_tokens.into());
    set("seed", request.seed.into());
    set("n", 1.into());
    if let Some(top_k) = sampling.top_k {
        set("top_k", top_k.into());
    }
    if let Some(min_p) = sampling.min_p {
        set("min_p", min_p.into());
    }
    if !sampling.stop.is_empty() {
        set("stop", sampling.stop.clone().into());
    }
    if !sampling.chat_template_kwargs.is_empty() {
        set("chat_template_kwargs", sampling.chat_template_kwargs.clone().into());
    }
    set("stream", settings.stream.into());
    if settings.stream {
        set("stream_options", json!({ "include_usage": true }));
    }
    for (name, value) in &settings.extra_body {
        if value.is_null() {
            body.shift_remove(name);
        } else {
            body.insert(name.clone(), value.clone());
        }
    }
    Value::Object(body)
}

/// Why a reply with status 200 is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The server reports an error inside the reply, with its status if it gives one.
    Error { status: Option<u16>, message: String },
    /// The server gave up for want of resources.
    Interrupted(String),
    /// It is not in the chat-completions format.
    Unreadable(String),
    /// It is longer than [`REPLY_LIMIT`].
    TooLong,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    /// Part of a streamed message.
    #[serde(default)]
    delta: Option<Said>,
    /// A whole message.
    #[serde(default)]
    message: Option<Said>,
    #[serde(default)]
    finish_reason: Option<Value>,
}

#[derive(Deserialize, Clone, Copy)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u32>,
    #[serde(default)]
    completion_tokens: Option<u32>,
}

/// A reply in the making.
#[derive(Default)]
pub(crate) struct Assembly {
    reasoning: String,
    content: String,
    finish: Option<String>,
    usage: Option<Usage>,
    done: bool,
}

impl Assembly {
    /// Takes in one event of a stream, or a whole reply in one piece.
    pub(crate) fn take(&mut self, data: &[u8]) -> Result<(), Broken> {
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_slice(data).map_err(|error| {
            let start = String::from_utf8_lossy(&data[..data.len().min(200)]).into_owned();
            Broken::Unreadable(format!("{error} in `{start}`"))
        })?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(Broken::Error { status: status_in(&error), message: message_in(&error) });
        }
        // Some servers count on every event; the last count is the whole.
        self.usage = chunk.usage.or(self.usage);
        let Some(choice) = chunk.choices.and_then(|choices| choices.into_iter().next()) else {
            return Ok(());
        };
        if let Some(said) = choice.delta.or(choice.message) {
            said.append_to(&mut self.reasoning, &mut self.content);
        }
        if let Some(Value::String(finish)) = choice.finish_reason
            && !finish.is_empty()
        {
            self.finish = Some(finish);
        }
        if self.reasoning.len() + self.content.len() > REPLY_LIMIT {
            return Err(Broken::TooLong);
        }
        Ok(())
    }

    /// Whether the stream has said that it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.done
    }

    /// The reply of a stream that ended. A stream without an end mark was cut.
    pub(crate) fn end_of_stream(self) -> Result<Reply, Broken> {
        if !self.done && self.finish.is_none() {
            return Err(Broken::Interrupted("the connection was closed in the middle of the reply".into()));
        }
        self.reply()
    }

    /// The reply of what has been taken in.
    pub(crate) fn reply(self) -> Result<Reply, Broken> {
        let finish_reason = match self.finish.as_deref() {
            Some(finish @ ("insufficient_system_resource" | "error")) => {
                return Err(Broken::Interrupted(format!("the server ended the reply with `{finish}`")));
            }
            finish => finish.map_or(FinishReason::Unknown, FinishReason::read),
        };
        let completion = join(&self.reasoning, self.content);
        let parts = completion::split(&completion);
        let (reasoning, answer) = (parts.reasoning.map(str::to_owned), parts.answer.map(str::to_owned));
        Ok(Reply {
            reasoning,
            answer,
            finish_reason,
            prompt_tokens: self.usage.and_then(|usage| usage.prompt_tokens),
            completion_tokens: self.usage.and_then(|usage| usage.completion_tokens),
            completion,
        })
    }
}

/// Reads a reply that came in one piece.
pub(crate) fn whole(data: &[u8]) -> Result<Reply, Broken> {
    let mut assembly = Assembly::default();
    assembly.take(data)?;
    let said_something = assembly.finish.is_some() || !assembly.content.is_empty() || !assembly.reasoning.is_empty();
    if !said_something {
        return Err(Broken::Unreadable("the reply holds no choices".into()));
    }
    assembly.reply()
}

/// The completion of reasoning that the server split off and content. Content that still carries its own tags is
/// whole already; reasoning without content never ended.
fn join(reasoning: &str, content: String) -> String {
    let reasoning = reasoning.trim();
    if reasoning.is_empty() || completion::split(&content).form != ThinkForm::Absent {
        return content;
    }
    match content.trim() {
        "" => format!("{THINK_OPEN}\n{reasoning}"),
        answer => completion::join(Some(reasoning), answer),
    }
}

/// The status in an error object: `code` or `status` where it is a number.
fn status_in(error: &Value) -> Option<u16> {
    ["code", "status"].iter().find_map(|key| match error.get(key)? {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64().and_then(|number| number.try_into().ok()),
    })
}

/// The message in an error object, whatever its form.
fn message_in(error: &Value) -> String {
    match error {
        Value::String(text) => text.clone(),
        Value::Object(fields) => ["message", "detail", "error", "msg"]
            .iter()
            .find_map(|key| fields.get(*key).map(message_in))
            .unwrap_or_else(|| error.to_string()),
        other => other.to_string(),
    }
}

/// The message in the body of a reply with an error status.
pub(crate) fn error_message(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => message_in(value.get("error").filter(|error| !error.is_null()).unwrap_or(&value)),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}

/// The machine-readable `code` or `type` in the body of a reply with an error status.
pub(crate) fn error_code(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let error = value.get("error")?;
    ["code", "type"].iter().find_map(|key| error.get(key)?.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(events: &[&str]) -> Result<Reply, Broken> {
        let mut assembly = Assembly::default();
        for event in events {
            assembly.take(event.as_bytes())?;
        }
        assembly.end_of_stream()
    }

    #[test]
    fn reasoning_is_found_wherever_the_server_puts_it() {
        let finish = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
        for field in ["reasoning", "reasoning_content"] {
            let first = format!(r#"{{"choices":[{{"delta":{{"role":"assistant","content":null,"{field}":"1+"}}}}]}}"#);
            let second = format!(r#"{{"choices":[{{"delta":{{"{field}":"1"}},"finish_reason":null}}]}}"#);
            let reply = stream(&[&first, &second, r#"{"choices":[{"delta":{"content":"\n\n2"}}]}"#, finish]).unwrap();
            assert_eq!(reply.completion, "<think>\n1+1\n</think>\n\n2");
            assert_eq!((reply.reasoning.as_deref(), reply.answer.as_deref()), (Some("1+1"), Some("2")));
        }
        // Both at once, as some proxies do.
        let both = r#"{"choices":[{"delta":{"reasoning":"a","reasoning_content":"a"}}]}"#;
        assert_eq!(stream(&[both, finish]).unwrap().reasoning.as_deref(), Some("a"));
        // Inline, prefilled, and inline beside a copy (llama.cpp's `deepseek-legacy`): kept verbatim.
        for (content, reasoning) in [("<think>a</think>b", ""), ("a</think>b", ""), ("<think>a</think>b", "a")] {
            let message = json!({ "choices": [{ "message": { "content": content, "reasoning_content": reasoning }, "finish_reason": "stop" }] });
            let reply = whole(message.to_string().as_bytes()).unwrap();
            assert_eq!(reply.completion, content);
            assert_eq!((reply.reasoning.as_deref(), reply.answer.as_deref()), (Some("a"), Some("b")));
        }
    }

    #[test]
    fn reasoning_that_never_ended_stays_open() {
        let cut = r#"{"choices":[{"message":{"content":null,"reasoning_content":"so"},"finish_reason":"length"}]}"#;
        let reply = whole(cut.as_bytes()).unwrap();
        assert_eq!((reply.completion.as_str(), reply.finish_reason), ("<think>\nso", FinishReason::Length));
        assert_eq!((reply.reasoning.as_deref(), reply.answer), (Some("so"), None));
    }

    #[test]
    fn content_in_parts_is_read() {
        let parts = r#"{"choices":[{"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a"}]},
            {"type":"text","text":"b"}]},"finish_reason":"stop"}]}"#;
        assert_eq!(whole(parts.as_bytes()).unwrap().completion, "<think>\na\n</think>\n\nb");
    }

    #[test]
    fn the_last_count_is_the_whole() {
        let reply = stream(&[
            r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#,
            r#"{"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}],"usage":null}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#,
            "[DONE]",
        ])
        .unwrap();
        assert_eq!((reply.prompt_tokens, reply.completion_tokens), (Some(3), Some(2)));
        assert_eq!(reply.completion, "ab");
    }

    #[test]
    fn broken_replies_are_told_apart() {
        assert!(matches!(stream(&[r#"{"choices":[{"delta":{"content":"a"}}]}"#]), Err(Broken::Interrupted(_))));
        let Err(Broken::Error { status, message }) = stream(&[r#"{"error":{"message":"boom","code":500}}"#]) else {
            panic!("an error was expected");
        };
        assert_eq!((status, message.as_str()), (Some(500), "boom"));
        assert!(matches!(whole(b"<html>"), Err(Broken::Unreadable(_))));
        assert!(matches!(whole(b"{}"), Err(Broken::Unreadable(_))));
        let gave_up = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"insufficient_system_resource"}]}"#;
        assert!(matches!(whole(gave_up.as_bytes()), Err(Broken::Interrupted(_))));
    }

    #[test]
    fn errors_are_read_in_all_their_forms() {
        for (body, message) in [
            (r#"{"error":{"message":"m","type":"t"}}"#, "m"),
            (r#"{"error":"m"}"#, "m"),
            (r#"{"object":"error","message":"m","code":400}"#, "m"),
            (r#"{"detail":"m"}"#, "m"),
            ("m", "m"),
        ] {
            assert_eq!(error_message(body.as_bytes()), message, "{body}");
        }
        assert_eq!(error_code(br#"{"error":{"code":"insufficient_quota"}}"#).as_deref(), Some("insufficient_quota"));
    }

    #[test]
    fn the_body_holds_what_was_asked_and_no_more() {
        let mut settings = EndpointSettings::new("http://127.0.0.1/v1", "m");
        let request = Request {
            rollout_id: "r".into(),
            prompt_id: "p".into(),
            sample_index: 1,
            messages: vec![retort_records::Message::user("1+1?")],
            beyond_text: None,
            seed: 9,
        };
        let mut sampling: Sampling = serde_json::from_str(r#"{"max_tokens":8,"n":4}"#).unwrap();
        assert_eq!(
            body(&settings, &request, BeyondText::default(), &sampling).to_string(),
            r#"{"model":"m","messages":[{"role":"user","content":"1+1?"}],"temperature":1.0,"top_p":1.0,"max_tokens":8,"seed":9,"n":1,"stream":true,"stream_options":{"include_usage":true}}"#
        );
        sampling.top_k = Some(20);
        sampling.min_p = Some(0.05);
        sampling.stop = vec!["END".into()];
        settings.stream = false;
        settings.extra_body.insert("seed".into(), Value::Null);
        settings.extra_body.insert("chat_template_kwargs".into(), json!({ "enable_thinking": true }));
        assert_eq!(
            body(&settings, &request, BeyondText::default(), &sampling).to_string(),
            r#"{"model":"m","messages":[{"role":"user","content":"1+1?"}],"temperature":1.0,"top_p":1.0,"max_tokens":8,"n":1,"top_k":20,"min_p":0.05,"stop":["END"],"stream":false,"chat_template_kwargs":{"enable_thinking":true}}"#
        );
    }
}
