//! A settings file of another tool: keys in order, with comments, written as YAML that every parser reads alike.

use serde_json::Value;
use std::fmt::Write;

/// Keys with values and comments.
#[derive(Debug, Default)]
pub struct Sheet {
    text: String,
    /// What the tool does in another way than our trainer, for the README.
    pub differences: Vec<String>,
}

impl Sheet {
    pub fn new(heading: &str) -> Self {
        let mut sheet = Self::default();
        sheet.comment(heading);
        sheet
    }

    pub fn comment(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.text, "# {line}");
        }
    }

    /// Says above the next key that the tool differs from our trainer.
    pub fn differs(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.comment(&text);
        self.differences.push(text);
    }

    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        entry(&mut self.text, 0, key, &value.into());
    }

    pub fn set_if(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

fn entry(text: &mut String, indent: usize, key: &str, value: &Value) {
    let _ = write!(text, "{:indent$}{key}:", "");
    inside(text, indent + 2, value);
}

/// The value behind a `key:` or `-`.
fn inside(text: &mut String, indent: usize, value: &Value) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            for (key, value) in map {
                entry(text, indent, key, value);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            text.push('\n');
            for item in items {
                let mut block = String::new();
                for (key, value) in item.as_object().into_iter().flatten() {
                    entry(&mut block, indent + 2, key, value);
                }
                let _ = write!(text, "{:indent$}- {}", "", block.trim_start());
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            let _ = writeln!(text, " [{}]", items.join(", "));
        }
        Value::String(lines) if lines.contains('\n') => {
            text.push_str(" |\n");
            for line in lines.lines() {
                let _ = writeln!(text, "{:indent$}{line}", "");
            }
        }
        other => {
            let _ = writeln!(text, " {}", scalar(other));
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        // YAML 1.1 reads `1e-5` as text, so numbers are written out.
        Value::Number(number) if number.is_f64() => {
            let written = format!("{}", number.as_f64().unwrap_or_default());
            if written.contains('.') { written } else { format!("{written}.0") }
        }
        Value::String(text) if is_plain(text) => text.clone(),
        // JSON's text is YAML's double-quoted text.
        other => other.to_string(),
    }
}

/// Whether a text needs no quotes: it can be taken for nothing else and holds no sign of YAML's.
fn is_plain(text: &str) -> bool {
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let begins =
        text.chars().next().is_some_and(|first| first.is_ascii_alphabetic() || first == '.' && text.contains('/'));
    let plain = |sign: char| sign.is_ascii_alphanumeric() || "_-./".contains(sign);
    begins && text.chars().all(plain) && !words.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_value_is_read_back_as_it_was() {
        let values = json!({
            "rate": 1e-5, "epsilon": 1e-8, "whole": 2.0, "count": 3, "yes": "yes", "no_text": null, "flag": true,
            "name": "Qwen/Qwen2.5-Math-1.5B", "path": "../data", "odd": "a: b # c\t\"d\" é", "number": "12", "empty": "",
            "list": ["sigmoid", "1", 0.5], "nested": {"a": {"b": 0.1}, "c": []}, "script": "set -e\n  echo \"$A\"\n",
            "sets": [{"path": "json", "type": null, "inner": {"x": "{prompt}"}}, {"path": "b"}],
        });
        let mut sheet = Sheet::new("one\ntwo");
        for (key, value) in values.as_object().unwrap() {
            sheet.set(key, value.clone());
        }
        let read: Value = serde_saphyr::from_str(sheet.text()).unwrap();
        assert_eq!(read, values, "{}", sheet.text());
        assert!(sheet.text().contains("rate: 0.00001\n"));
    }
}
