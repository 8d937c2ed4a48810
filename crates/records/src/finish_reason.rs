//! Why a text ended, and the one reading of it in the words of servers and data sets.

use std::borrow::Cow;

use crate::completion::ThinkForm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why the text of a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn.
    Stop,
    /// The token limit cut it off: truncated, never correct and never shortest.
    Length,
    /// The server withheld it.
    ContentFilter,
    /// The server or the run gave up on it.
    Abort,
    /// The source does not say.
    Unknown,
}

/// The words of OpenAI, Anthropic, Gemini, Bedrock, Cohere and of vLLM, SGLang, TGI, TensorRT-LLM, LMDeploy, llama.cpp,
/// Ollama and LM Studio, without case, separators and what stands before a point (`FinishReason.MAX_TOKENS`).
const WORDS: &[(FinishReason, &[&str])] = &[
    (
        FinishReason::Stop,
        &[
            "stop",
            "stopped",
            "eos",
            "eostoken",
            "eosfound",
            "endid",
            "endturn",
            "endoftext",
            "complete",
            "completed",
            "finish",
            "finished",
            "stopsequence",
            "stopstringfound",
            "stopstring",
            "stopword",
            "stopwords",
            "stopcriteriamet",
            "word",
        ],
    ),
    (
        FinishReason::Length,
        &[
            "length",
            "maxtokens",
            "maxnewtokens",
            "maxoutputtokens",
            "maxcompletiontokens",
            "maxlength",
            "modellength",
            "maxmodellength",
            "maxpredictedtokensreached",
            "maxtokensreached",
            "contextlengthreached",
            "contextlength",
            "modelcontextwindowexceeded",
            "contextwindowexceeded",
            "tokenlimit",
            "tokenlimitreached",
            "lengthlimit",
            "limit",
            "truncated",
            "incomplete",
            "cutoff",
        ],
    ),
    (
        FinishReason::ContentFilter,
        &[
            "contentfilter",
            "contentfiltered",
            "safety",
            "refusal",
            "recitation",
            "blocklist",
            "prohibitedcontent",
            "spii",
            "guardrailintervened",
            "errortoxic",
            "sensitive",
        ],
    ),
    (
        FinishReason::Abort,
        &[
            "abort",
            "aborted",
            "cancel",
            "cancelled",
            "canceled",
            "usercancel",
            "userstopped",
            "error",
            "failed",
            "errorlimit",
            "timeout",
            "timedout",
            "timelimit",
            "notfinished",
            "interrupted",
            "insufficientsystemresource",
            "modelunloaded",
        ],
    ),
];

impl FinishReason {
    /// The keys under which servers and data sets say why a text ended, in the order in which they are asked. Where
    /// `finish_reason` says something, `stop_reason` is the stop string that was found (vLLM).
    pub const KEYS: [&str; 7] =
        ["finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason", "doneReason", "stop_type"];

    /// Reads a word in any spelling. A word that is not known, such as `tool_calls`, is [`FinishReason::Unknown`].
    ///
    /// The text of a JSON object, as SGLang writes it, is read by its `type` or `reason`.
    pub fn read(text: &str) -> Self {
        let text = text.trim();
        if text.starts_with('{') {
            return serde_json::from_str(text).map_or(Self::Unknown, |value| Self::read_value(&value));
        }
        // `stop_reason: length`: the name of the key, an enum's name or a prefix says nothing.
        let last = text.rsplit(['.', ':', '=']).next().unwrap_or_default();
        let word: String = last.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let word = ["finishreason", "stopreason"].iter().find_map(|name| word.strip_prefix(name)).unwrap_or(&word);
        let known = WORDS.iter().find(|(_, words)| words.contains(&word));
        known.map_or(Self::Unknown, |(reason, _)| *reason)
    }

    /// Reads a JSON value: a word, or an object with one.
    pub fn read_value(value: &Value) -> Self {
        match value {
            Value::String(word) => Self::read(word),
            Value::Object(object) => ["type", "reason", "finish_reason", "stop_reason"]
                .iter()
                .filter_map(|key| object.get(*key)?.as_str())
                .map(Self::read)
                .find(|reason| *reason != Self::Unknown)
                .unwrap_or(Self::Unknown),
            _ => Self::Unknown,
        }
    }

    /// The reason that a row gives under any of [`FinishReason::KEYS`]; `text` returns the text of a key's value.
    pub fn of_row<'t>(text: impl Fn(&str) -> Option<Cow<'t, str>>) -> Self {
        Self::KEYS
            .iter()
            .filter_map(|key| text(key))
            .map(|word| Self::read(&word))
            .find(|reason| *reason != Self::Unknown)
            .unwrap_or(Self::Unknown)
    }

    /// Whether the text is not whole: such a completion is never correct and never shortest.
    pub fn truncates(self) -> bool {
        matches!(self, Self::Length | Self::ContentFilter | Self::Abort)
    }

    /// Whether a text that ended so and has its think tags in this form was cut off: by the limit, by the server, or in the
    /// middle of its reasoning.
    pub fn truncates_with(self, form: ThinkForm) -> bool {
        self.truncates() || form == ThinkForm::Unclosed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read() {
        for (reason, words) in [
            (FinishReason::Stop, "stop STOP eos_token end_turn stop_sequence COMPLETE FinishReason.STOP eosFound"),
            (
                FinishReason::Length,
                "length LENGTH Length max_tokens MAX_TOKENS maxTokens max-new-tokens model_length token_limit \
                 FinishReason.MAX_TOKENS FINISH_REASON_MAX_TOKENS stop_reason:length limit max_output_tokens \
                 model_context_window_exceeded",
            ),
            (FinishReason::ContentFilter, "content_filter SAFETY CONTENT_FILTERED refusal guardrail_intervened"),
            (FinishReason::Abort, "abort cancelled ERROR time_limit not_finished"),
            (FinishReason::Unknown, "tool_calls null 151645 FINISH_REASON_UNSPECIFIED lengthy unstoppable"),
        ] {
            for word in words.split_whitespace() {
                assert_eq!(FinishReason::read(word), reason, "{word}");
            }
        }
        assert_eq!(FinishReason::read("stop_reason: length"), FinishReason::Length);
        assert_eq!(FinishReason::read(" Max Tokens\n"), FinishReason::Length);
        assert_eq!(FinishReason::read(r#"{"type": "length", "length": 2048}"#), FinishReason::Length);
        assert_eq!(FinishReason::read(""), FinishReason::Unknown);
        assert_eq!(FinishReason::read("{"), FinishReason::Unknown);
    }

    #[test]
    fn a_row_says_it_under_any_key() {
        let of = |row: Value| {
            FinishReason::of_row(|key| match row.get(key)? {
                Value::Null => None,
                Value::String(word) => Some(word.clone().into()),
                other => Some(other.to_string().into()),
            })
        };
        use serde_json::json;
        assert_eq!(of(json!({"finish_reason": null, "stop_reason": "max_tokens"})), FinishReason::Length);
        assert_eq!(of(json!({"finishReason": "MAX_TOKENS"})), FinishReason::Length);
        assert_eq!(of(json!({"done_reason": "length"})), FinishReason::Length);
        assert_eq!(of(json!({"finish_reason": {"type": "stop", "matched": 2}})), FinishReason::Stop);
        // vLLM names the stop string that it found.
        assert_eq!(of(json!({"finish_reason": "stop", "stop_reason": "length"})), FinishReason::Stop);
        assert_eq!(of(json!({"finish_reason": "length", "stop_reason": 151645})), FinishReason::Length);
        assert_eq!(of(json!({"other": "length"})), FinishReason::Unknown);
    }

    #[test]
    fn no_word_has_two_meanings() {
        let all: Vec<&str> = WORDS.iter().flat_map(|(_, words)| words.iter().copied()).collect();
        for word in &all {
            assert_eq!(all.iter().filter(|other| *other == word).count(), 1, "{word}");
        }
    }
}
