//! The rows of an export in the forms that other tools read.

use retort_records::{Message, Pair, Row, SftExample, completion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// Declares a form of row by its columns.
macro_rules! exported {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
        pub(crate) struct $name { $(pub(crate) $field: $type),+ }

        impl Row for $name {
            const TABLE: &'static str = "export";
        }
    };
}

pub(crate) use exported;

exported!(PromptCompletion { prompt: Vec<Message>, completion: Vec<Message> });
exported!(Preference { prompt: Vec<Message>, chosen: Vec<Message>, rejected: Vec<Message> });
exported!(Messages { messages: Vec<Message> });
exported!(Conversations { conversations: Vec<Turn> });
exported!(PreferenceConversations { conversations: Vec<Turn>, chosen: Turn, rejected: Turn });

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
            other => other,
        };
        Self { from: from.to_owned(), value: message.content.clone() }
    }
}

impl ExportReasoning {
    /// An example as one conversation.
    pub fn messages(self, example: &SftExample) -> Messages {
        Messages { messages: self.joined(example) }
    }

    /// An example as prompt and completion: everything before the last message is the prompt.
    pub fn prompt_completion(self, example: &SftExample) -> PromptCompletion {
        let mut prompt = self.joined(example);
        let completion = prompt.pop().into_iter().collect();
        PromptCompletion { prompt, completion }
    }

    /// An example as a ShareGPT conversation.
    pub fn conversations(self, example: &SftExample) -> Conversations {
        Conversations { conversations: self.joined(example).iter().map(Turn::from).collect() }
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
        Preference { prompt: pair.prompt, chosen: side(pair.chosen), rejected: side(pair.rejected) }
    }

    /// A pair as a ShareGPT conversation with two last turns.
    pub fn preference_conversations(self, pair: Pair) -> PreferenceConversations {
        let preference = self.preference(pair);
        PreferenceConversations {
            conversations: preference.prompt.iter().map(Turn::from).collect(),
            chosen: last_turn(&preference.chosen),
            rejected: last_turn(&preference.rejected),
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
    use serde_json::{Value, json};

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
        };
        let row: Value = serde_json::to_value(ExportReasoning::Inline.preference(pair.clone())).unwrap();
        assert_eq!(row["chosen"][0]["content"], "<think>\nx\n</think>\n\n2");
        let row: Value = serde_json::to_value(ExportReasoning::Drop.preference(pair)).unwrap();
        assert_eq!(row["rejected"][0], json!({"role": "assistant", "content": "2"}));
        assert_eq!(row["prompt"][0]["role"], "user");
    }
}
