//! What a checkpoint's files say about the token that ends a turn.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::Error;
use crate::folder::read_json;

/// Makes every file of a written checkpoint name the token that the model was trained to end with, so that whoever loads it
/// stops there: `config.json`, the list of `generation_config.json`, `tokenizer_config.json` and, where it is,
/// `special_tokens_map.json`. What named it already stays as it is. The tokens that ended a sequence before still do, in the
/// list of `generation_config.json`; padding stays what it was, and where nothing or the ending token padded, the former
/// end-of-sequence token does.
///
/// Says whether anything was changed.
pub fn set_ending(folder: &Path, id: u32, token: &str) -> Result<bool, Error> {
    let [config_path, generation_path, tokenizer_path, map_path] =
        ["config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json"]
            .map(|name| folder.join(name));
    let mut config = read_json(&config_path)?;
    let mut generation = read_optional(&generation_path)?;
    let mut tokenizer = read_optional(&tokenizer_path)?;
    let former = ids_of(&config);
    let mut changed = false;

    let mut ending = vec![id];
    let known = generation.as_ref().map(ids_of).unwrap_or_default();
    ending.extend(known.iter().chain(&former).filter(|known| **known != id));
    dedup(&mut ending);

    let pad = config.get("pad_token_id").and_then(Value::as_u64);
    let apart = former.iter().find(|former| **former != id).copied();
    let repad = |pad: Option<u64>| apart.filter(|_| pad.is_none() || pad == Some(u64::from(id)));

    if !former.contains(&id) {
        config["eos_token_id"] = json!(id);
        if let Some(pad) = repad(pad) {
            config["pad_token_id"] = json!(pad);
        }
        write(&config_path, &config)?;
        changed = true;
    }
    let stops_elsewhere = match &generation {
        Some(generation) => !known.is_empty() && !ids_of(generation).contains(&id) || known.is_empty() && changed,
        None => changed,
    };
    if stops_elsewhere {
        let mut object = generation.take().unwrap_or_else(|| json!({}));
        object["eos_token_id"] = if ending.len() == 1 { json!(ending[0]) } else { json!(ending) };
        if let Some(pad) = repad(object.get("pad_token_id").and_then(Value::as_u64)) {
            object["pad_token_id"] = json!(pad);
        }
        write(&generation_path, &object)?;
        changed = true;
    }
    let named = tokenizer.as_ref().and_then(|tokenizer| text_of(tokenizer.get("eos_token")?));
    if named.as_deref() != Some(token) {
        let mut object = tokenizer.take().unwrap_or_else(|| Value::Object(Map::new()));
        let padded = object.get("pad_token").and_then(text_of);
        if let Some(former) = named.filter(|_| padded.is_none() || padded.as_deref() == Some(token)) {
            object["pad_token"] = json!(former);
        }
        rename(&mut object, token);
        write(&tokenizer_path, &object)?;
        changed = true;
    }
    if let Some(mut map) = read_optional(&map_path)?
        && map.get("eos_token").and_then(text_of).is_some_and(|named| named != token)
    {
        rename(&mut map, token);
        write(&map_path, &map)?;
        changed = true;
    }
    Ok(changed)
}

/// Sets `eos_token` in the form it has: a text, or an object with `content`.
fn rename(object: &mut Value, token: &str) {
    match object.get_mut("eos_token") {
        Some(Value::Object(given)) => {
            given.insert("content".to_owned(), json!(token));
        }
        _ => object["eos_token"] = json!(token),
    }
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

fn ids_of(config: &Value) -> Vec<u32> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match config.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.iter().filter_map(one).collect(),
        Some(id) => one(id).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Leaves out repeats and keeps the order.
fn dedup(ids: &mut Vec<u32>) {
    let mut seen = Vec::new();
    ids.retain(|id| {
        let new = !seen.contains(id);
        seen.push(*id);
        new
    });
}

fn read_optional(path: &Path) -> Result<Option<Value>, Error> {
    if !path.is_file() {
        return Ok(None);
    }
    let value = read_json(path)?;
    if value.is_object() { Ok(Some(value)) } else { Err(Error::malformed(path, "expected an object")) }
}

fn write(path: &Path, value: &Value) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::malformed(path, error))?;
    std::fs::write(path, text + "\n").map_err(Error::file(path))
}
