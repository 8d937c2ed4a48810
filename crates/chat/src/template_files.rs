//! Where a model folder keeps its chat templates, and the templates that Retort itself knows by name.

use std::path::Path;

use serde_json::Value as Json;

use crate::tokenizer::Tokenizer;
use crate::{ChatError, ChatTemplate};

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
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(_) => return Ok(Vec::new()),
    };
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

/// A chat template that Retort knows by name.
struct BuiltIn {
    name: &'static str,
    source: &'static str,
    /// Tokens that the tokenizer must have for it.
    tokens: &'static [&'static str],
}

const BUILT_IN: [BuiltIn; 3] = [
    BuiltIn { name: "chatml", source: include_str!("templates/chatml.jinja"), tokens: &["<|im_start|>", "<|im_end|>"] },
    BuiltIn {
        name: "llama3",
        source: include_str!("templates/llama3.jinja"),
        tokens: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    },
    BuiltIn { name: "instruction", source: include_str!("templates/instruction.jinja"), tokens: &[] },
];

/// The word that asks for training without a template: texts follow one another.
const PLAIN: &str = "plain";

impl ChatTemplate {
    /// The names that [`ChatTemplate::for_training`] takes: those of the built-in templates, and `plain`.
    pub fn choices() -> Vec<&'static str> {
        BUILT_IN.iter().map(|template| template.name).chain([PLAIN]).collect()
    }

    /// The template to train with: the one named, or the model's own when `named` is `None`.
    ///
    /// `plain` says that the rows are plain texts and gives no template. A model without a template of its own is an
    /// error that lists the choices, because prompt and answer would be glued together; so is a built-in template
    /// whose tokens the tokenizer does not have.
    pub fn for_training(folder: &Path, named: Option<&str>) -> Result<Option<Self>, ChatError> {
        let Some(name) = named else {
            return match Self::load(folder)? {
                Some(template) => template.problem().map_or(Ok(Some(template)), Err),
                None => {
                    Err(ChatError::NoTemplate { path: folder.to_path_buf(), choices: Self::choices().join("`, `") })
                }
            };
        };
        if name == PLAIN {
            return Ok(None);
        }
        Self::built_in(name, &Tokenizer::load(folder)?).map(Some)
    }

    /// A built-in template: `chatml`, `llama3`, or `instruction` (`### Instruction:` and `### Response:`, for
    /// tokenizers without tokens for turns).
    pub fn built_in(name: &str, tokenizer: &Tokenizer) -> Result<Self, ChatError> {
        let Some(template) = BUILT_IN.iter().find(|template| template.name == name) else {
            return Err(ChatError::UnknownTemplate { name: name.into(), choices: Self::choices().join("`, `") });
        };
        if let Some(missing) = template.tokens.iter().find(|token| tokenizer.token_id(token).is_none()) {
            return Err(ChatError::MissingToken { name: name.into(), token: (*missing).into() });
        }
        let mut special = Vec::new();
        special.extend(tokenizer.bos().filter(|_| tokenizer.writes_bos()).map(|bos| ("bos_token", bos.text.as_str())));
        special.push(("eos_token", tokenizer.eos().ok_or(ChatError::NoEndOfSequence)?.text.as_str()));
        Self::from_source(template.source, &special)
    }
}
