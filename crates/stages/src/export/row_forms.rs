//! The rows of an export in the forms that other tools read.

use retort_records::{BeyondText, Message, Pair, Row, SftExample, completion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What becomes of the reasoning in an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExportReasoning {
    /// It stays in the text, inside `<think>` and `</think>`.
    #[default]
    Inline,
    /// It is left out: only the answer remains.
    Drop,
}

/// A row of an export.
pub trait ExportRow: Row {
    /// What it holds beyond texts, as in our tables. JSON lines have it where other tools look for it, Parquet in a column of
    /// its own.
    fn beyond_text(&self) -> Option<&str> {
        None
    }
}

/// Declares a form of row by its columns.
macro_rules! exported {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
        pub(crate) struct $name { $(pub(crate) $field: $type),+ }

        impl Row for $name {
            const TABLE: &'static str = "export";
        }

        impl ExportRow for $name {}
    };
}

/// Declares a form of row with messages.
macro_rules! conversation {
    ($name:ident { $($field:ident: $type:ty),+ }) => {
        #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type,)+
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub(crate) beyond_text: Option<String>
        }

        impl Row for $name {
            const TABLE: &'static str = "export";
            const SPARSE: &'static [&'static str] = &["beyond_text"];
        }

        impl ExportRow for $name {
            fn beyond_text(&self) -> Option<&str> {
                self.beyond_text.as_deref()
            }
        }
    };
}

pub(crate) use exported;

conversation!(PromptCompletion { prompt: Vec<Message>, completion: Vec<Message> });
conversation!(Preference { prompt: Vec<Message>, chosen: Vec<Message>, rejected: Vec<Message> });
conversation!(Messages { messages: Vec<Message> });
conversation!(Conversations { conversations: Vec<Turn> });
conversation!(PreferenceConversations { conversations: Vec<Turn>, chosen: Turn, rejected: Turn });

/// A row as one line of JSON.
pub fn json_line(row: &impl ExportRow) -> Result<String, serde_json::Error> {
    let Some(beyond) = row.beyond_text().and_then(BeyondText::read) else { return serde_json::to_string(row) };
    let mut value = serde_json::to_value(row)?;
    if let Value::Object(row) = &mut value {
        row.shift_remove("beyond_text");
        beyond.put_back(row);
        let turns = row.get_mut("conversations").and_then(Value::as_array_mut);
        turns.into_iter().flatten().filter_map(Value::as_object_mut).for_each(as_function_call);
    }
    Ok(value.to_string())
}

/// ShareGPT writes the calls of tools as a turn of their own kind, whose text is their JSON, behind the thought where there
/// is one. A turn with an answer, too, keeps its calls beside it.
fn as_function_call(turn: &mut Map<String, Value>) {
    if !turn.contains_key("tool_calls") {
        return;
    }
    turn.shift_remove("content");
    let said = turn.get("value").and_then(Value::as_str).unwrap_or_default();
    let parts = completion::split(said);
    if parts.answer.is_some() {
        return;
    }
    let reasoning = parts.reasoning.map(str::to_owned);
    let Some(Value::Array(calls)) = turn.shift_remove("tool_calls") else { return };
    let mut functions: Vec<Value> = calls.into_iter().map(function_of).collect();
    let functions = if functions.len() == 1 { functions.remove(0) } else { functions.into() };
    turn.insert("from".into(), "function_call".into());
    turn.insert("value".into(), completion::join(reasoning.as_deref(), &functions.to_string()).into());
}

/// The function that a call names, its arguments as an object, and the call's id.
fn function_of(mut call: Value) -> Value {
    let mut function = match call.get_mut("function") {
        Some(function) => function.take(),
        None => return call,
    };
    let arguments = function.get("arguments").and_then(Value::as_str);
    if let Some(object @ Value::Object(_)) = arguments.and_then(|text| serde_json::from_str(text).ok()) {
        function["arguments"] = object;
    }
    if let Some(id) = call.get("id") {
        function["id"] = id.clone();
    }
    function
}

/// One turn of a ShareGPT conversation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Turn {
    from: String,
    value: String,
}

impl From<&Message> for Turn {
    fn from(message: &Message) -> Self {
        let from = match message.role.as_str() {
            "user" => "human",
            "assistant" => "gpt",
            "tool" => "observation",
            other => other,
        };
        Self { from: from.to_owned(), value: message.content.clone() }
    }
}

impl ExportReasoning {
    /// An example as one conversation.
    pub fn messages(self, example: &SftExample) -> Messages {
        Messages { messages: self.joined(example), beyond_text: example.beyond_text.clone() }
    }

    /// An example as prompt and completion: everything before the last message is the prompt.
    pub fn prompt_completion(self, example: &SftExample) -> PromptCompletion {
        let mut prompt = self.joined(example);
        let completion = prompt.pop().into_iter().collect();
        PromptCompletion { prompt, completion, beyond_text: example.beyond_text.clone() }
    }

    /// An example as a ShareGPT conversation.
    pub fn conversations(self, example: &SftExample) -> Conversations {
        let conversations = self.joined(example).iter().map(Turn::from).collect();
        Conversations { conversations, beyond_text: example.beyond_text.clone() }
    }

    /// What is left of a completion.
    fn side(self, text: &str) -> &str {
        match self {
            Self::Inline => text,
            Self::Drop => completion::split(text).answer.unwrap_or_default(),
        }
    }

    /// Whether the two sides of a pair would be the same.
    pub fn same_sides(self, pair: &Pair) -> bool {
        self.side(&pair.chosen) == self.side(&pair.rejected)
    }

    /// A pair as prompt and two completions.
    pub fn preference(self, pair: Pair) -> Preference {
        let side = |text: String| vec![Message::assistant(self.side(&text))];
        Preference {
            prompt: pair.prompt,
            chosen: side(pair.chosen),
            rejected: side(pair.rejected),
            beyond_text: pair.beyond_text,
        }
    }

    /// A pair as a ShareGPT conversation with two last turns.
    pub fn preference_conversations(self, pair: Pair) -> PreferenceConversations {
        let preference = self.preference(pair);
        PreferenceConversations {
            conversations: preference.prompt.iter().map(Turn::from).collect(),
            chosen: last_turn(&preference.chosen),
            rejected: last_turn(&preference.rejected),
            beyond_text: preference.beyond_text,
        }
    }

    fn joined(self, example: &SftExample) -> Vec<Message> {
        let messages = example.messages.iter();
        messages
            .map(|message| {
                let reasoning = message.reasoning.as_deref().filter(|_| self == Self::Inline);
                Message { role: message.role.clone(), content: completion::join(reasoning, &message.content) }
            })
            .collect()
    }
}

fn last_turn(messages: &[Message]) -> Turn {
    messages.last().map_or_else(|| Turn { from: "gpt".into(), value: String::new() }, Turn::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pair_becomes_trl_rows_with_and_without_reasoning() {
        let pair = Pair {
            pair_id: "p".into(),
            prompt_id: "q".into(),
            chosen_rollout_id: "a".into(),
            rejected_rollout_id: "b".into(),
            pair_kind: "correct_longer".into(),
            domain: "math".into(),
            prompt: vec![Message::user("1+1=")],
            chosen: "<think>\nx\n</think>\n\n2".into(),
            rejected: "<think>\nxyz\n</think>\n\n2".into(),
            chosen_tokens: 1,
            rejected_tokens: 2,
            beyond_text: None,
        };
        let row: Value = serde_json::to_value(ExportReasoning::Inline.preference(pair.clone())).unwrap();
        assert_eq!(row["chosen"][0]["content"], "<think>\nx\n</think>\n\n2");
        let row: Value = serde_json::to_value(ExportReasoning::Drop.preference(pair)).unwrap();
        assert_eq!(row["rejected"][0], json!({"role": "assistant", "content": "2"}));
        assert_eq!(row["prompt"][0]["role"], "user");
    }
}
