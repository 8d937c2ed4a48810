//! Where a model folder keeps its chat templates.

use std::path::Path;

use serde_json::Value as Json;

use crate::ChatError;

/// The chat templates of a model.
pub(crate) struct Named {
    pub default: String,
    /// The one for conversations with tools, where it differs.
    pub tool_use: Option<String>,
}

/// Looks for the templates where `transformers` does: `chat_template.jinja` and `additional_chat_templates/*.jinja`,
/// or else `chat_template` of `tokenizer_config.json`.
pub(crate) fn find(folder: &Path, config: &Json) -> Result<Option<Named>, ChatError> {
    let mut named: Vec<(String, String)> = Vec::new();
    let path = folder.join("chat_template.jinja");
    match std::fs::read_to_string(&path) {
        Ok(source) => named.push(("default".to_owned(), source)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(ChatError::Read { path, source }),
    }
    named.extend(additional(&folder.join("additional_chat_templates"))?);
    if named.is_empty() {
        named = in_config(config, &folder.join("tokenizer_config.json"))?;
    }
    if named.is_empty() {
        return Ok(None);
    }
    let take = |name: &str| named.iter().find(|(other, _)| other == name).map(|(_, source)| source.clone());
    match take("default") {
        Some(default) => Ok(Some(Named { default, tool_use: take("tool_use") })),
        None => {
            let names: Vec<_> = named.iter().map(|(name, _)| format!("`{name}`")).collect();
            let reason = format!("none of its chat templates is named `default`; there are {}", names.join(", "));
            Err(ChatError::Malformed { path: folder.to_path_buf(), reason })
        }
    }
}

fn additional(folder: &Path) -> Result<Vec<(String, String)>, ChatError> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| ChatError::Read { path: path.to_path_buf(), source })
    };
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut named = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|extension| extension == "jinja")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            named.push((name.to_owned(), read(&path)?));
        }
    }
    named.sort();
    Ok(named)
}

/// `chat_template`: a text, a list of `{"name", "template"}`, or an object of names and texts.
fn in_config(config: &Json, path: &Path) -> Result<Vec<(String, String)>, ChatError> {
    let pair = |name: Option<&str>, text: Option<&str>| {
        name.zip(text).map(|(name, text)| (name.to_owned(), text.to_owned())).ok_or_else(|| ChatError::Malformed {
            path: path.to_path_buf(),
            reason: "`chat_template` is neither a text nor a list of named texts".to_owned(),
        })
    };
    match config.get("chat_template") {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Array(entries)) => {
            entries.iter().map(|entry| pair(entry["name"].as_str(), entry["template"].as_str())).collect()
        }
        Some(Json::Object(entries)) => entries.iter().map(|(name, text)| pair(Some(name), text.as_str())).collect(),
        Some(text) => Ok(vec![pair(Some("default"), text.as_str())?]),
    }
}
