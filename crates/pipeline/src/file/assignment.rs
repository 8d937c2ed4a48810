//! `key.inner=value` on the command line.

use serde_json::{Map, Value};

/// What a `--set` asks for.
pub struct Assignment<'a> {
    /// The keys, from the outside in.
    pub path: Vec<&'a str>,
    /// The value, which was YAML.
    pub value: Value,
}

impl<'a> Assignment<'a> {
    /// Reads `text`; `form` is what a message calls its form.
    pub fn parse(text: &'a str, form: &str) -> Result<Self, String> {
        let (path, value) = text.split_once('=').ok_or_else(|| format!("expected `{form}`"))?;
        let value = serde_saphyr::from_str(value).map_err(|error| error.without_snippet().to_string())?;
        Ok(Self { path: path.split('.').collect(), value })
    }
}

/// Puts `value` at `path` inside `place`, making the maps on the way. A number reaches into a list.
pub fn set_inside(mut place: &mut Value, path: &[&str], value: Value) -> Result<(), String> {
    for step in path {
        if step.is_empty() {
            return Err("a key is empty".to_owned());
        }
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
        place = match place {
            Value::Object(map) => map.entry(*step).or_insert(Value::Null),
            Value::Array(items) => {
                let count = items.len();
                match step.parse::<usize>() {
                    Ok(index) if index < count => &mut items[index],
                    _ => return Err(format!("`{step}` is no place in a list of {count}, which are counted from 0")),
                }
            }
            _ => return Err(format!("`{step}` cannot stand inside a value that is not a map")),
        };
    }
    *place = value;
    Ok(())
}
