//! `tojson` as `transformers` has it: Python's `json.dumps`.

use std::fmt::Write;

use super::arguments::Arguments;
use super::error::RenderError;
use super::operators::{self, LARGEST};
use super::text::Text;
use super::value::{Value, float};

struct Style {
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    ensure_ascii: bool,
    sort_keys: bool,
}

/// `json.dumps(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`
pub(crate) fn dumps(value: &Value, mut arguments: Arguments) -> Result<Value, RenderError> {
    let [ensure_ascii, indent, separators, sort_keys] =
        arguments.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let indent = match &indent {
        None | Some(Value::None) => None,
        Some(Value::Str(text)) => Some(text.as_str().to_owned()),
        Some(width) => {
            let width = width.as_int().ok_or_else(|| RenderError::new("indent must be a number or a string"))?;
            Some(" ".repeat(usize::try_from(width).unwrap_or_default().min(1000)))
        }
    };
    let mut item_separator = if indent.is_some() { "," } else { ", " }.to_owned();
    let mut key_separator = ": ".to_owned();
    match separators {
        None | Some(Value::None) => {}
        Some(separators) => match separators.items()?.as_slice() {
            [Value::Str(item), Value::Str(key)] => {
                item.as_str().clone_into(&mut item_separator);
                key.as_str().clone_into(&mut key_separator);
            }
            _ => return Err(RenderError::new("separators must be two strings")),
        },
    }
    let on = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let style =
        Style { indent, item_separator, key_separator, ensure_ascii: on(ensure_ascii), sort_keys: on(sort_keys) };
    let mut output = String::new();
    style.write(&mut output, value, 0)?;
    Ok(Value::Str(Text::written(output, value.origin())))
}

impl Style {
    fn write(&self, output: &mut String, value: &Value, depth: usize) -> Result<(), RenderError> {
        if depth > super::value::DEPTH {
            return Err(RenderError::limit("a value is nested too deeply for tojson"));
        }
        if output.len() > LARGEST {
            return Err(RenderError::limit("a string grows too long"));
        }
        match value {
            Value::None => output.push_str("null"),
            Value::Bool(value) => output.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => output.push_str(&value.to_string()),
            Value::Float(value) => output.push_str(&number(*value)),
            Value::Str(text) => self.quote(output, text.as_str()),
            Value::List(items) | Value::Tuple(items) => {
                output.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.separate(output, index, depth + 1);
                    self.write(output, item, depth + 1)?;
                }
                self.close(output, items.is_empty(), depth, ']');
            }
            Value::Dict(dict) => {
                let mut pairs: Vec<&(Value, Value)> = dict.0.iter().collect();
                if self.sort_keys {
                    let mut failed = None;
                    pairs.sort_by(|(a, _), (b, _)| {
                        let order = operators::order(a, b).unwrap_or_else(|error| {
                            failed.get_or_insert(error);
                            None
                        });
                        order.unwrap_or(std::cmp::Ordering::Equal)
                    });
                    if let Some(error) = failed {
                        return Err(error);
                    }
                }
                output.push('{');
                for (index, (key, item)) in pairs.into_iter().enumerate() {
                    self.separate(output, index, depth + 1);
                    match key {
                        Value::Str(text) => self.quote(output, text.as_str()),
                        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                            output.push('"');
                            self.write(output, key, depth + 1)?;
                            output.push('"');
                        }
                        _ => return Err(RenderError::new("keys must be str, int, float, bool or None")),
                    }
                    output.push_str(&self.key_separator);
                    self.write(output, item, depth + 1)?;
                }
                self.close(output, dict.0.is_empty(), depth, '}');
            }
            _ => {
                let kind = value.type_name();
                return Err(RenderError::new(format!("object of type {kind} is not JSON serializable")));
            }
        }
        Ok(())
    }

    /// What stands before an item.
    fn separate(&self, output: &mut String, index: usize, depth: usize) {
        if index > 0 {
            output.push_str(&self.item_separator);
        }
        self.newline(output, depth);
    }

    fn close(&self, output: &mut String, empty: bool, depth: usize, bracket: char) {
        if !empty {
            self.newline(output, depth);
        }
        output.push(bracket);
    }

    fn newline(&self, output: &mut String, depth: usize) {
        if let Some(indent) = &self.indent {
            output.push('\n');
            for _ in 0..depth {
                output.push_str(indent);
            }
        }
    }

    fn quote(&self, output: &mut String, text: &str) {
        let quoted = serde_json::Value::from(text).to_string();
        if !self.ensure_ascii {
            output.push_str(&quoted);
            return;
        }
        let mut units = [0; 2];
        for character in quoted.chars() {
            if character.is_ascii() && character != '\u{7f}' {
                output.push(character);
            } else {
                for unit in character.encode_utf16(&mut units) {
                    let _ = write!(output, "\\u{unit:04x}");
                }
            }
        }
    }
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        float(value)
    }
}
