//! Whether the tensors of two checkpoints mean the same, so that they can be merged.

use std::collections::HashMap;

use serde_json::Value;

use crate::checkpoint::{EMBEDDING, HEAD};
use crate::folder::read_json;
use crate::{Checkpoint, Error, ModelConfig};

/// Where a checkpoint's tensor `name` is read from: a tied checkpoint's head is its embedding.
pub(crate) fn source_of<'a>(checkpoint: &Checkpoint, name: &'a str) -> &'a str {
    if name == HEAD && checkpoint.shape(HEAD).is_none() && tied(checkpoint) { EMBEDDING } else { name }
}

fn tied(checkpoint: &Checkpoint) -> bool {
    checkpoint.config_json().get("tie_word_embeddings").and_then(Value::as_bool) == Some(true)
}

/// Refuses checkpoints whose tensors cannot be added to each other: other names or shapes, and equal shapes that mean
/// something else. What differs beside the weights is told in words, because the first checkpoint's is carried over.
pub(crate) fn compare(first: &Checkpoint, other: &Checkpoint) -> Result<Vec<String>, Error> {
    same_tensors(first, other)?;
    let mut warnings = same_config(first, other)?;
    warnings.extend(same_tokens(first, other)?);
    Ok(warnings)
}

fn same_tensors(first: &Checkpoint, other: &Checkpoint) -> Result<(), Error> {
    let (a, b) = (first.path().display(), other.path().display());
    let shape = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
    for (one, two, from, to) in [(first, other, &a, &b), (other, first, &b, &a)] {
        for name in one.names() {
            let found = two.shape(source_of(two, name));
            let expected = one.shape(name).unwrap_or_default();
            match found {
                Some(found) if found == expected => {}
                Some(found) => {
                    let (found, expected) = (shape(found), shape(expected));
                    return Err(Error::Merge(format!("`{name}` is {expected} in `{from}` and {found} in `{to}`")));
                }
                None => return Err(Error::Merge(format!("`{name}` is in `{from}` but not in `{to}`"))),
            }
        }
    }
    Ok(())
}

/// Settings that say what the numbers of a tensor stand for. Models of families that this project does not compute are
/// compared by the words of their files.
fn same_config(first: &Checkpoint, other: &Checkpoint) -> Result<Vec<String>, Error> {
    let paths = format!("`{}` and `{}`", first.path().display(), other.path().display());
    let settings = |checkpoint: &Checkpoint| -> Vec<(&'static str, String)> {
        let json = checkpoint.config_json();
        match ModelConfig::from_json(json) {
            Ok(config) => vec![
                ("model_type", format!("{:?}", config.model_type).to_lowercase()),
                ("num_attention_heads", config.num_attention_heads.to_string()),
                ("num_key_value_heads", config.num_key_value_heads.to_string()),
                ("head_dim", config.head_dim.to_string()),
                ("rope_theta", config.rope_theta.to_string()),
                ("rope_scaling", config.rope_scaling.map_or("null".to_owned(), |scaling| format!("{scaling:?}"))),
                ("rms_norm_eps", config.rms_norm_eps.to_string()),
            ],
            Err(_) => {
                ["model_type", "num_attention_heads", "num_key_value_heads", "head_dim", "rope_theta", "rope_scaling"]
                    .map(|name| (name, json.get(name).unwrap_or(&Value::Null).to_string()))
                    .into()
            }
        }
    };
    let mut warnings = Vec::new();
    for ((name, a), (_, b)) in settings(first).into_iter().zip(settings(other)) {
        if a == b {
            continue;
        }
        if name == "rms_norm_eps" {
            warnings.push(format!("`{name}` differs (`{a}` and `{b}`) between {paths}; the first is carried over"));
            continue;
        }
        return Err(Error::Merge(format!(
            "`{name}` is `{a}` and `{b}` in {paths}, so that their tensors mean different things"
        )));
    }
    Ok(warnings)
}

/// Refuses tokenizers that give one id to different tokens.
fn same_tokens(first: &Checkpoint, other: &Checkpoint) -> Result<Vec<String>, Error> {
    let paths = format!("`{}` and `{}`", first.path().display(), other.path().display());
    let mut warnings = Vec::new();
    let file = |checkpoint: &Checkpoint, name: &str| std::fs::read(checkpoint.path().join(name)).ok();
    let (a, b) = (file(first, "tokenizer.json"), file(other, "tokenizer.json"));
    if let (Some(a), Some(b)) = (&a, &b)
        && a != b
    {
        let tokens = |checkpoint: &Checkpoint| read_json(&checkpoint.path().join("tokenizer.json"));
        let (a, b) = (tokens(first)?, tokens(other)?);
        let (a, b) = (tokens_by_id(&a), tokens_by_id(&b));
        let differing =
            a.iter().filter(|(id, token)| b.get(*id).is_some_and(|other| other != *token)).map(|(id, _)| *id);
        if let Some(id) = differing.min() {
            return Err(Error::Merge(format!(
                "token {id} is `{}` and `{}` in the tokenizers of {paths}: the rows of their embeddings mean different things",
                a[&id], b[&id]
            )));
        }
        if a.len() != b.len() {
            warnings.push(format!(
                "the tokenizers of {paths} have {} and {} tokens; the first is carried over",
                a.len(),
                b.len()
            ));
        }
    }
    let config =
        |checkpoint: &Checkpoint| read_json(&checkpoint.path().join("tokenizer_config.json")).unwrap_or(Value::Null);
    let (a, b) = (config(first), config(other));
    for (key, what) in [("eos_token", "end-of-sequence tokens"), ("chat_template", "chat templates")] {
        if a.get(key) != b.get(key) {
            warnings.push(format!("the {what} of {paths} differ; the first is carried over"));
        }
    }
    if file(first, "chat_template.jinja") != file(other, "chat_template.jinja") {
        warnings.push(format!("the chat templates of {paths} differ; the first is carried over"));
    }
    Ok(warnings)
}

/// The tokens of a `tokenizer.json`: a map of a vocabulary, or a list as in Unigram models, and the added ones.
fn tokens_by_id(tokenizer: &Value) -> HashMap<u64, &str> {
    let mut tokens = HashMap::new();
    match &tokenizer["model"]["vocab"] {
        Value::Object(vocabulary) => {
            tokens.extend(vocabulary.iter().filter_map(|(token, id)| Some((id.as_u64()?, token.as_str()))));
        }
        Value::Array(pieces) => {
            tokens.extend(pieces.iter().enumerate().filter_map(|(id, piece)| Some((id as u64, piece[0].as_str()?))));
        }
        _ => {}
    }
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    tokens.extend(added.filter_map(|token| Some((token["id"].as_u64()?, token["content"].as_str()?))));
    tokens
}
