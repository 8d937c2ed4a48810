//! `json`: an answer that is JSON.

use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Case, Outcome, Verifier, VerifyError};

/// Settings of `json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonSettings {
    /// Compare the value with the reference answer's instead of only asking for well-formed JSON. Keys may stand in any
    /// order; 1 and 1.0 are equal.
    pub compare: bool,
    /// Keys that the object must have.
    pub required_keys: Vec<String>,
}

impl JsonSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        Ok(Box::new(Json { settings: self.clone() }))
    }
}

struct Json {
    settings: JsonSettings,
}

impl Verifier for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        if case.truncated {
            return Outcome::new(Verdict::Incorrect, "truncated", "the completion was cut off");
        }
        let Some(answer) = case.answer_text() else {
            return Outcome::new(Verdict::Incorrect, "no_answer", "the completion has no answer");
        };
        let text = fenced(answer).unwrap_or(answer).trim();
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return Outcome::new(Verdict::Incorrect, "not_json", error.to_string()).with_answer(text),
        };
        if let Some(key) = self.settings.required_keys.iter().find(|key| value.get(key.as_str()).is_none()) {
            return Outcome::new(Verdict::Incorrect, "missing_key", format!("key `{key}` is missing"))
                .with_answer(text);
        }
        if !self.settings.compare {
            return Outcome::new(Verdict::Correct, "json", "well-formed JSON").with_answer(text);
        }
        let Some(Ok(expected)) = case.reference_answer.map(serde_json::from_str::<Value>) else {
            return Outcome::new(Verdict::Undecided, "no_reference", "the reference answer is not JSON")
                .with_answer(text);
        };
        let (verdict, reason) = if equal(&value, &expected) {
            (Verdict::Correct, "equal to the reference answer")
        } else {
            (Verdict::Incorrect, "differs from the reference answer")
        };
        Outcome::new(verdict, "equal", reason).with_answer(text)
    }
}

/// The content of the last closed code fence.
fn fenced(text: &str) -> Option<&str> {
    let end = text.rfind("```")?;
    let open = text[..end].rfind("```")?;
    let content = &text[open + 3..end];
    Some(content.split_once('\n').map_or(content, |(_, rest)| rest))
}

/// Equality in which 1 and 1.0 are the same number.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i128(), b.as_i128()) {
            (Some(a), Some(b)) => a == b,
            _ => a.as_f64() == b.as_f64(),
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_found_and_compared() {
        let plain = JsonSettings::default().build().unwrap();
        let of = |completion| Case { completion, ..Case::default() };
        assert_eq!(plain.verify(&of("{\"a\": 1}")).verdict, Verdict::Correct);
        assert_eq!(plain.verify(&of("Here:\n```json\n{\"a\": [1]}\n```")).verdict, Verdict::Correct);
        assert_eq!(plain.verify(&of("{\"a\": 1")).verdict, Verdict::Incorrect);
        let compare = JsonSettings { compare: true, required_keys: vec!["a".into()] }.build().unwrap();
        assert_eq!(compare.verify(&Case::of(r#"{"b":2,"a":1.0}"#, r#"{"a":1,"b":2}"#)).verdict, Verdict::Correct);
        assert_eq!(compare.verify(&Case::of(r#"{"a":1}"#, r#"{"a":2}"#)).verdict, Verdict::Incorrect);
        assert_eq!(compare.verify(&Case::of(r#"{"b":1}"#, r#"{"b":1}"#)).method, "missing_key");
        assert_eq!(compare.verify(&Case::of(r#"{"a":1}"#, "a")).verdict, Verdict::Undecided);
    }
}
