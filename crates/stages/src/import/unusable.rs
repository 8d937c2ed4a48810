//! Why a row cannot be used, and words for it.

use serde_json::Value;

/// Why a row cannot be used: a drop reason and a detail.
pub type Unusable = (&'static str, String);

/// Names in backticks.
pub fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The columns of a row.
pub fn keys(row: &Value) -> String {
    match row.as_object() {
        Some(map) if !map.is_empty() => listed(map.keys().map(String::as_str)),
        _ => "no columns".into(),
    }
}

/// What a JSON value is, in words.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
