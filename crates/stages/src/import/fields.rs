//! Rows of other people's files to rows of ours.

use super::layout::{Becomes, Format, ImportColumn, RowLayout};
use retort_records::{FinishReason, Message, Pair, Prompt, Rollout, SftExample, SftMessage, completion, id_of};
use serde_json::Value;

/// What one row became.
pub enum Imported {
    Prompt(Prompt),
    /// A prompt and its rollouts; a rollout that cannot be used comes with the reason.
    Rollouts(Prompt, Vec<(Rollout, Option<&'static str>)>),
    Example(SftExample),
    Pair(Pair),
}

/// Why a row cannot be used: a drop reason and a detail.
pub type Unusable = (&'static str, String);

/// Finds the values of a row by the format's names or the user's.
pub struct RowReader<'a> {
    layout: RowLayout<'a>,
}

impl<'a> RowReader<'a> {
    /// Reads rows of a layout.
    pub fn new(layout: RowLayout<'a>) -> Self {
        Self { layout }
    }

    /// What the row becomes, or why it cannot be used; `source` names its file.
    pub fn read(&self, row: &Value, source: &str, becomes: Becomes) -> Result<Imported, Unusable> {
        match becomes {
            Becomes::Prompts => Ok(Imported::Prompt(self.prompt(row, source)?)),
            Becomes::Rollouts => {
                let prompt = self.prompt(row, source)?;
                let rollouts = match self.find(row, ImportColumn::Samples, &["samples", "completions", "generations"]) {
                    Some(Value::Array(samples)) => {
                        samples.iter().map(|sample| self.rollout(sample, row, &prompt)).collect()
                    }
                    _ => vec![self.rollout(row, row, &prompt)],
                };
                Ok(Imported::Rollouts(prompt, rollouts))
            }
            Becomes::Sft => self.example(row, source),
            Becomes::Pairs => self.pair(row, source),
        }
    }

    /// The value of `column`: by the user's name for it, else by the first of the usual names that the row has.
    fn find<'row>(&self, row: &'row Value, column: ImportColumn, usual: &[&str]) -> Option<&'row Value> {
        let found = match self.layout.columns.get(&column) {
            Some(path) => path.split('.').try_fold(row, |value, step| match step.parse::<usize>() {
                Ok(index) if value.is_array() => value.get(index),
                _ => value.get(step),
            }),
            None => usual.iter().find_map(|name| row.get(name)),
        };
        found.filter(|value| !value.is_null())
    }

    fn text(&self, row: &Value, column: ImportColumn, usual: &[&str]) -> Option<String> {
        text_of(self.find(row, column, usual)?)
    }

    fn prompt(&self, row: &Value, source: &str) -> Result<Prompt, Unusable> {
        let usual: &[&str] = match self.layout.format {
            Format::Messages => &["messages"],
            Format::Sharegpt => &["conversations"],
            _ => &["prompt", "problem", "question", "instruction", "messages", "conversations"],
        };
        let value = self
            .find(row, ImportColumn::Prompt, usual)
            .ok_or_else(|| ("no_prompt", format!("no column {}; found {}", names(usual), keys(row))))?;
        let mut messages = messages_of(value).ok_or(("no_prompt", "the prompt is empty".to_owned()))?;
        // A conversation that ends with the assistant asks up to there.
        while messages.last().is_some_and(|message| message.role == "assistant") {
            messages.pop();
        }
        if messages.is_empty() {
            return Err(("no_prompt", "the conversation has no message before the assistant's".into()));
        }
        let parts: Vec<&[u8]> =
            messages.iter().flat_map(|message| [message.role.as_bytes(), message.content.as_bytes()]).collect();
        Ok(Prompt {
            prompt_id: id_of("prompt", &parts),
            ordinal: 0,
            reference_answer: self.reference_answer(row),
            domain: self
                .text(row, ImportColumn::Domain, &["domain"])
                .or_else(|| self.layout.domain.map(str::to_owned))
                .unwrap_or_else(|| match self.layout.format {
                    Format::Gsm8k | Format::Math => "math".into(),
                    _ => "general".into(),
                }),
            source: source.to_owned(),
            source_id: self.text(row, ImportColumn::SourceId, &["id", "prompt_id", "task_id", "uuid"]),
            language: self
                .text(row, ImportColumn::Language, &["language"])
                .or_else(|| self.layout.language.map(str::to_owned)),
            tests: self.find(row, ImportColumn::Tests, &["tests"]).map(|tests| match tests {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }),
            messages,
        })
    }

    fn reference_answer(&self, row: &Value) -> Option<String> {
        let usual = ["reference_answer", "expected_answer", "answer", "final_answer"];
        let given = self.text(row, ImportColumn::ReferenceAnswer, &usual);
        let pattern = match (self.layout.answer_pattern, self.layout.format) {
            (Some(pattern), _) => Some(pattern),
            (None, Format::Gsm8k) => Some("####"),
            _ => None,
        };
        if let (Some(pattern), Some(text)) = (pattern, &given)
            && let Some(at) = text.rfind(pattern)
        {
            return non_empty(&text[at + pattern.len()..]);
        }
        match self.layout.format {
            // A GSM8K answer without its mark is already the final number.
            Format::Gsm8k => given.as_deref().and_then(non_empty),
            Format::Math if given.is_none() => {
                let solution = row.get("solution").and_then(text_of)?;
                retort_verify::last_boxed(&solution).and_then(non_empty)
            }
            _ if self.layout.answer_pattern.is_some() => None,
            _ => given.as_deref().and_then(non_empty),
        }
    }

    fn rollout(&self, sample: &Value, row: &Value, prompt: &Prompt) -> (Rollout, Option<&'static str>) {
        let usual = ["completion", "full", "text", "response", "generation", "output"];
        let reasoning = self.text(sample, ImportColumn::Reasoning, &["reasoning", "reasoning_content", "thinking"]);
        let given = if let Value::String(text) = sample {
            Some(text.clone())
        } else if reasoning.is_some() {
            self.text(sample, ImportColumn::Completion, &["answer_text", "text", "completion", "response", "content"])
        } else {
            self.text(sample, ImportColumn::Completion, &usual)
        };
        let reasoning = reasoning.as_deref().and_then(non_empty);
        let completion = match (&reasoning, given) {
            (Some(reasoning), Some(answer)) if !answer.contains(completion::THINK_CLOSE) => {
                completion::join(Some(reasoning), &answer)
            }
            (Some(reasoning), None) => format!("{}\n{reasoning}", completion::THINK_OPEN),
            (_, given) => given.unwrap_or_default(),
        };
        let parts = completion::split(&completion);
        let tokens = self
            .find(sample, ImportColumn::CompletionTokens, &["completion_tokens", "tokens", "num_tokens"])
            .and_then(Value::as_u64)
            .map(|tokens| tokens as u32);
        let cut = self.layout.max_tokens.zip(tokens).is_some_and(|(limit, tokens)| tokens >= limit);
        let finish_reason = if cut {
            FinishReason::Length
        } else {
            finish_reason(self.text(sample, ImportColumn::FinishReason, &["finish_reason", "stop_reason"]).as_deref())
        };
        let rollout = Rollout {
            rollout_id: String::new(),
            prompt_id: prompt.prompt_id.clone(),
            sample_index: 0,
            teacher: self
                .text(sample, ImportColumn::Teacher, &["teacher", "model"])
                .or_else(|| self.text(row, ImportColumn::Teacher, &["teacher", "model"]))
                .or_else(|| self.layout.teacher.map(str::to_owned))
                .unwrap_or_else(|| "unknown".into()),
            reasoning: parts.reasoning.map(str::to_owned),
            answer: parts.answer.map(str::to_owned),
            finish_reason,
            prompt_tokens: None,
            completion_tokens: tokens,
            seed: None,
            sampling: "{}".into(),
            source_id: text_or_number(sample.get("sample").or_else(|| sample.get("id"))),
            completion,
        };
        let problem = rollout.completion.trim().is_empty().then_some("the row has no completion text");
        (rollout, problem)
    }

    fn example(&self, row: &Value, source: &str) -> Result<Imported, Unusable> {
        let prompt = self.prompt(row, source)?;
        let conversation = match self.layout.format {
            Format::Trl => None,
            _ => self.find(row, ImportColumn::Prompt, &["messages", "conversations"]).and_then(messages_of),
        };
        let messages = match conversation {
            Some(messages) => messages,
            None => {
                let completion = self
                    .find(row, ImportColumn::Completion, &["completion", "response", "output"])
                    .and_then(|value| messages_of_role(value, "assistant"))
                    .ok_or_else(|| ("no_completion", format!("no column `completion`; found {}", keys(row))))?;
                prompt.messages.iter().cloned().chain(completion).collect()
            }
        };
        if messages.last().is_none_or(|message| message.role != "assistant") {
            return Err(("no_completion", "the conversation does not end with the assistant".into()));
        }
        let texts: Vec<&[u8]> = messages.iter().map(|message| message.content.as_bytes()).collect();
        Ok(Imported::Example(SftExample {
            example_id: id_of("example", &texts),
            rollout_id: None,
            domain: prompt.domain,
            source: prompt.source,
            messages: messages.into_iter().map(trained_message).collect(),
            prompt_id: prompt.prompt_id,
            completion_tokens: None,
        }))
    }

    fn pair(&self, row: &Value, source: &str) -> Result<Imported, Unusable> {
        let prompt = self.prompt(row, source)?;
        let side = |column, name: &'static str| {
            let value = self.find(row, column, &[name]);
            let messages = value.and_then(|value| messages_of_role(value, "assistant"));
            let text = messages.and_then(|messages| messages.last().map(|message| message.content.clone()));
            text.ok_or_else(|| ("no_completion", format!("no column `{name}`; found {}", keys(row))))
        };
        let (chosen, rejected) = (side(ImportColumn::Chosen, "chosen")?, side(ImportColumn::Rejected, "rejected")?);
        let id = |text: &str| id_of("rollout", &[prompt.prompt_id.as_bytes(), text.as_bytes()]);
        let (chosen_id, rejected_id) = (id(&chosen), id(&rejected));
        Ok(Imported::Pair(Pair {
            pair_id: id_of("pair", &[chosen_id.as_bytes(), rejected_id.as_bytes()]),
            prompt_id: prompt.prompt_id,
            chosen_rollout_id: chosen_id,
            rejected_rollout_id: rejected_id,
            pair_kind: "imported".into(),
            domain: prompt.domain,
            prompt: prompt.messages,
            chosen,
            rejected,
            // Nobody has counted them yet; training does.
            chosen_tokens: 0,
            rejected_tokens: 0,
        }))
    }
}

/// An assistant's message is trained; its think tags become its reasoning.
fn trained_message(message: Message) -> SftMessage {
    let train = message.role == "assistant";
    let parts = completion::split(&message.content);
    match (train, parts.reasoning, parts.answer) {
        (true, Some(reasoning), Some(answer)) => {
            SftMessage { role: message.role, reasoning: Some(reasoning.to_owned()), content: answer.to_owned(), train }
        }
        _ => SftMessage { role: message.role, reasoning: None, content: message.content, train },
    }
}

fn finish_reason(word: Option<&str>) -> FinishReason {
    match word.map(str::to_ascii_lowercase).as_deref() {
        Some("stop" | "eos" | "end_turn" | "stop_sequence") => FinishReason::Stop,
        Some("length" | "max_tokens") => FinishReason::Length,
        Some("content_filter") => FinishReason::ContentFilter,
        Some("abort" | "aborted") => FinishReason::Abort,
        _ => FinishReason::Unknown,
    }
}

fn messages_of(value: &Value) -> Option<Vec<Message>> {
    messages_of_role(value, "user")
}

/// A text is one message of `role`; a list or an object keeps its own roles (`role`/`content` or `from`/`value`).
fn messages_of_role(value: &Value, role: &str) -> Option<Vec<Message>> {
    let one = |value: &Value| -> Option<Message> {
        let role = match value.get("role").or_else(|| value.get("from")).and_then(Value::as_str)? {
            "human" => "user",
            "gpt" | "model" | "bot" => "assistant",
            other => other,
        };
        let content = text_of(value.get("content").or_else(|| value.get("value"))?)?;
        Some(Message { role: role.to_owned(), content })
    };
    match value {
        Value::String(text) => non_empty(text).map(|_| vec![Message { role: role.to_owned(), content: text.clone() }]),
        Value::Array(items) => {
            let messages: Vec<Message> = items.iter().map(one).collect::<Option<_>>()?;
            (!messages.is_empty()).then_some(messages)
        }
        Value::Object(_) => one(value).map(|message| vec![message]),
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn text_or_number(value: Option<&Value>) -> Option<String> {
    value.and_then(text_of)
}

fn non_empty(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn names(columns: &[&str]) -> String {
    columns.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn keys(row: &Value) -> String {
    match row.as_object() {
        Some(map) => map.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "),
        None => "no columns".into(),
    }
}
