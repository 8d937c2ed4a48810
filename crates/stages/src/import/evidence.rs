//! What a row shows of how it is laid out, and values by the path to them.

use super::turns::{is_assistant, is_conversation};
use super::values::{text_not_flag, truth};
use serde_json::Value;

/// One thing that a row must show. Of several names one is enough.
#[derive(Debug, Clone, Copy)]
pub enum Evidence {
    /// A value that is not null.
    Has(&'static [&'static str]),
    /// None of these.
    Lacks(&'static [&'static str]),
    /// A text of more than one word, which no flag such as `on` is.
    Text(&'static [&'static str]),
    /// `true` or `false`.
    Flag(&'static [&'static str]),
    /// A list.
    List(&'static [&'static str]),
    /// An object.
    Object(&'static [&'static str]),
    /// A conversation that ends with the assistant.
    Replied(&'static [&'static str]),
    /// No conversation that ends with the assistant.
    NoReply(&'static [&'static str]),
    /// A text with `Human:` and `Assistant:` turns.
    Transcript(&'static [&'static str]),
    /// A text whose last line begins with `####`.
    Marked(&'static [&'static str]),
}

impl Evidence {
    /// Whether the row shows it.
    pub fn holds(&self, row: &Value) -> bool {
        let any = |names: &[&str], shows: &dyn Fn(&Value) -> bool| {
            names.iter().filter_map(|name| at(row, name)).any(|value| !value.is_null() && shows(value))
        };
        match self {
            Self::Has(names) => any(names, &|_| true),
            Self::Lacks(names) => !any(names, &|_| true),
            Self::Text(names) => any(names, &|value| text_not_flag(value).is_some()),
            Self::Flag(names) => any(names, &|value| truth(value).is_some()),
            Self::List(names) => any(names, &|value| value.as_array().is_some_and(|items| !items.is_empty())),
            Self::Object(names) => any(names, &Value::is_object),
            Self::Replied(names) => any(names, &replied),
            Self::NoReply(names) => !any(names, &replied),
            Self::Transcript(names) => {
                any(names, &|value| value.as_str().is_some_and(|text| text.trim_start().starts_with("Human:")))
            }
            Self::Marked(names) => any(names, &|value| {
                let last = value.as_str().and_then(|text| text.trim_end().lines().last());
                last.is_some_and(|line| line.starts_with("####"))
            }),
        }
    }

    /// The names that it looks at.
    pub fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Has(names)
            | Self::Lacks(names)
            | Self::Text(names)
            | Self::Flag(names)
            | Self::List(names)
            | Self::Object(names)
            | Self::Replied(names)
            | Self::NoReply(names)
            | Self::Transcript(names)
            | Self::Marked(names) => names,
        }
    }

    /// In the words of `retort explain import`.
    #[cfg(test)]
    pub fn in_words(&self) -> String {
        let listed = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Has([name]) => format!("`{name}`"),
            Self::Has(names) => format!("one of {}", listed(names)),
            Self::Lacks(names) => format!("none of {}", listed(names)),
            Self::Text(names) => format!("a text in {}", listed(names)),
            Self::Flag(names) => format!("true or false in {}", listed(names)),
            Self::List(names) => format!("a list in {}", listed(names)),
            Self::Object(names) => format!("an object in {}", listed(names)),
            Self::Replied(names) => format!("a conversation that ends with the assistant in {}", listed(names)),
            Self::NoReply(names) => format!("no conversation that ends with the assistant in {}", listed(names)),
            Self::Transcript(names) => format!("`Human:` and `Assistant:` turns in {}", listed(names)),
            Self::Marked(names) => format!("a last line with `####` in {}", listed(names)),
        }
    }
}

fn replied(value: &Value) -> bool {
    is_conversation(value) && value.as_array().and_then(|turns| turns.last()).is_some_and(is_assistant)
}

/// The value that `path` names: a column of that name, else dots reach into nested values and lists (`outputs.0.text`).
pub fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if let Value::Array(items) = value {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        let item = items.get(first.parse::<usize>().ok()?)?;
        return if rest.is_empty() { Some(item) } else { at(item, rest) };
    }
    let object = value.as_object()?;
    if let Some(found) = object.get(path) {
        return Some(found);
    }
    // Columns may have dots in their names: the longest name that is there counts.
    path.rmatch_indices('.').find_map(|(dot, _)| at(object.get(&path[..dot])?, &path[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_reach_names_with_dots_and_nested_values() {
        let row = json!({"a.b": 1, "a": {"c": {"d.e": 2}}, "l": [[{"t": 3}]], "a.c": {"x": 4}});
        for (path, value) in [("a.b", 1), ("a.c.d.e", 2), ("l.0.0.t", 3), ("a.c.x", 4)] {
            assert_eq!(at(&row, path), Some(&json!(value)), "{path}");
        }
        for path in ["a.x", "l.1", "l.x", "a.c.d", ""] {
            assert_eq!(at(&row, path), None, "{path}");
        }
    }
}
