//! JSON whose numbers keep their digits: expected values may be longer than a machine word.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Data>),
    /// An object; keys in order of their text.
    Map(Vec<(String, Data)>),
}

impl Data {
    /// Reads one JSON value.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let raw: &RawValue = serde_json::from_str(text)?;
        let text = raw.get().trim();
        Ok(match text.bytes().next() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Bool(serde_json::from_str(text)?),
            Some(b'"') => Self::Text(serde_json::from_str(text)?),
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                Self::List(items.into_iter().map(|item| Self::parse(item.get())).collect::<Result<_, _>>()?)
            }
            Some(b'{') => {
                let entries: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
                let entries = entries.into_iter().map(|(key, item)| Ok((key, Self::parse(item.get())?)));
                Self::Map(entries.collect::<Result<_, serde_json::Error>>()?)
            }
            _ => Self::Number(text.to_owned()),
        })
    }

    /// The value as the program's side of the wire reads it.
    pub(super) fn on_the_wire(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => json!(value),
            Self::Text(text) => json!(text),
            Self::List(items) => items.iter().map(Self::on_the_wire).collect(),
            Self::Map(entries) => {
                let pairs = entries.iter().map(|(key, value)| json!([key, value.on_the_wire()]));
                json!({ "d": pairs.collect::<Vec<_>>() })
            }
            Self::Number(text) => match text.parse::<i64>() {
                Ok(whole) => json!(whole),
                Err(_) if text.contains(['.', 'e', 'E']) => {
                    text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map_or(Value::Null, Value::Number)
                }
                Err(_) => match text.parse::<num_bigint::BigInt>() {
                    Ok(long) => json!({ "i": format!("{long:#x}") }),
                    Err(_) => Value::Null,
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let long = "123456789012345678901234567890";
        assert_eq!(Data::parse(long).unwrap(), Data::Number(long.into()));
        assert_eq!(Data::parse(long).unwrap().on_the_wire(), json!({"i": "0x18ee90ff6c373e0ee4e3f0ad2"}));
        assert_eq!(
            Data::parse("-170141183460469231731687303715884105729").unwrap().on_the_wire(),
            json!({"i": "-0x80000000000000000000000000000001"})
        );
        assert_eq!(
            Data::parse(" [1, {\"b\": 1.5}, \"x\", null, false] ").unwrap().on_the_wire(),
            json!([1, {"d": [["b", 1.5]]}, "x", null, false])
        );
        assert!(Data::parse("[1,").is_err());
        assert!(Data::parse("").is_err());
    }
}
