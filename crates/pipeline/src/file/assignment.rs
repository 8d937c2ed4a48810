//! `key.inner=value` on the command line.

use serde_json::Value;

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

/// Puts `value` at `path` inside `place`, making the maps on the way.
pub fn set_inside(mut place: &mut Value, path: &[&str], value: Value) -> Result<(), String> {
    for step in path {
        if !place.is_object() && !place.is_null() {
            return Err(format!("`{step}` cannot stand inside a value that is not a map"));
        }
        place = &mut place[*step];
    }
    *place = value;
    Ok(())
}
