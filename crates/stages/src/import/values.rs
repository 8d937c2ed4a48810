//! Reference answers and counts, in whatever form a row has them.

use super::unusable::kind_of;
use serde_json::Value;

/// The reference answers that a value gives: none, one, or alternatives.
///
/// A text, a number or a truth value is one. A list holds alternatives, and so does the text of a JSON list of texts; those
/// that are the same are one. Of an object the answer is what stands under one of the usual names.
pub fn answers(value: &Value) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    match value {
        Value::Null => {}
        Value::String(text) => {
            let listed = text.trim_start().starts_with("[\"").then(|| serde_json::from_str::<Vec<String>>(text).ok());
            match listed.flatten() {
                Some(texts) => found.extend(texts.iter().filter_map(|text| non_empty(text))),
                None => found.extend(non_empty(text)),
            }
        }
        Value::Number(_) | Value::Bool(_) => found.push(value.to_string()),
        Value::Array(items) => {
            for item in items {
                found.extend(answers(item)?);
            }
        }
        Value::Object(object) => {
            let names =
                ["value", "answer", "final_answer", "text", "ground_truth", "target", "content", "normalized_value"];
            match names.iter().find_map(|name| object.get(*name)) {
                Some(inner) => return answers(inner),
                None => return Err(format!("the reference answer is {} without a value", kind_of(value))),
            }
        }
    }
    let mut distinct: Vec<String> = Vec::with_capacity(found.len());
    for answer in found {
        if !distinct.contains(&answer) {
            distinct.push(answer);
        }
    }
    Ok(distinct)
}

/// The number of tokens that a value says: a whole number in any form, or a list of tokens, which are counted.
pub fn count(value: &Value) -> Option<u32> {
    let whole = |number: f64| {
        (number >= 0.0 && number.fract() == 0.0 && number <= f64::from(u32::MAX)).then_some(number as u32)
    };
    match value {
        Value::Number(number) => number.as_f64().and_then(whole),
        Value::String(text) => {
            let digits: String = text.trim().chars().filter(|c| !matches!(c, ',' | '_' | ' ' | '\u{a0}')).collect();
            let plain = digits.starts_with(|c: char| c.is_ascii_digit() || c == '+');
            digits.parse().ok().filter(|_| plain).and_then(whole)
        }
        Value::Array(tokens) => u32::try_from(tokens.len()).ok(),
        _ => None,
    }
}

/// A scalar as text.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The text without white space around it, if anything is left.
pub fn non_empty(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A text that is no flag. Columns called `reasoning` often say only whether there is any.
pub fn text_not_flag(value: &Value) -> Option<&str> {
    const FLAGS: [&str; 17] = [
        "on", "off", "true", "false", "yes", "no", "none", "null", "low", "medium", "high", "minimal", "auto",
        "enabled", "disabled", "0", "1",
    ];
    let text = value.as_str().filter(|text| !text.trim().is_empty())?;
    let word = text.trim();
    (word.len() > 8 || !FLAGS.contains(&word.to_ascii_lowercase().as_str())).then_some(text)
}

/// A truth value, also one that is written as text.
pub fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_are_read_in_any_form() {
        for (value, wanted) in [
            (json!(100), Some(100)),
            (json!(100.0), Some(100)),
            (json!("100"), Some(100)),
            (json!(" 32,768 "), Some(32768)),
            (json!("1e2"), Some(100)),
            (json!("100.0"), Some(100)),
            (json!([1, 2, 3]), Some(3)),
            (json!(3.7), None),
            (json!(-1), None),
            (json!("inf"), None),
            (json!("many"), None),
            (json!(null), None),
        ] {
            assert_eq!(count(&value), wanted, "{value}");
        }
    }

    #[test]
    fn answers_are_read_in_any_form() {
        for (value, wanted) in [
            (json!(["4"]), vec!["4"]),
            (json!({"value": "4"}), vec!["4"]),
            (json!("[\"6\"]"), vec!["6"]),
            (json!(["4", "4 ", "four"]), vec!["4", "four"]),
            (json!([]), vec![]),
            (json!("[1, 2]"), vec!["[1, 2]"]),
            (json!(4.5), vec!["4.5"]),
        ] {
            assert_eq!(answers(&value), Ok(wanted.into_iter().map(str::to_owned).collect()), "{value}");
        }
        assert!(answers(&json!({"x": 1})).is_err());
    }

    #[test]
    fn flags_are_no_text() {
        for flag in [json!("on"), json!("Off"), json!(true), json!(1), json!(" "), json!(null)] {
            assert_eq!(text_not_flag(&flag), None, "{flag}");
        }
        assert_eq!(text_not_flag(&json!("two and two")), Some("two and two"));
    }
}
