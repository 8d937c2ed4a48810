//! What else a folder may be that somebody takes for a checkpoint, and the JSON files in it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::Error;

/// How a git-lfs pointer begins.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
/// Python's `json` writes these for numbers that JSON does not have.
const NO_NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Refuses folders that hold no model of their own, and files that only stand for others.
pub(crate) fn check(folder: &Path) -> Result<(), Error> {
    let metadata = std::fs::metadata(folder).map_err(Error::file(folder))?;
    if !metadata.is_dir() {
        let reason = "it is a file; give the folder with `config.json` and the safetensors".to_owned();
        return Err(Error::NoWeights { path: folder.to_owned(), reason });
    }
    let adapter = folder.join("adapter_config.json");
    let whole = ["model.safetensors", "model.safetensors.index.json"].iter().any(|name| folder.join(name).exists());
    if adapter.is_file() && !whole {
        let config = read_json(&adapter)?;
        let base = config.get("base_model_name_or_path").and_then(Value::as_str).map(str::to_owned);
        return Err(Error::IsAdapter { path: folder.to_owned(), base });
    }
    for entry in std::fs::read_dir(folder).map_err(Error::file(folder))?.flatten() {
        let path = entry.path();
        let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if ["json", "safetensors", "model", "jinja"].contains(&kind) && path.is_file() {
            refuse_pointer(&path)?;
        }
    }
    Ok(())
}

/// Refuses a file that git-lfs has not fetched yet.
pub(crate) fn refuse_pointer(path: &Path) -> Result<(), Error> {
    let mut start = Vec::with_capacity(LFS_POINTER.len());
    let mut file = File::open(path).map_err(Error::file(path))?.take(LFS_POINTER.len() as u64);
    file.read_to_end(&mut start).map_err(Error::file(path))?;
    if start == LFS_POINTER { Err(Error::GitLfsPointer { path: path.to_owned() }) } else { Ok(()) }
}

/// Reads a JSON file, and says what it is when it is none.
pub(crate) fn read_json(path: &Path) -> Result<Value, Error> {
    refuse_pointer(path)?;
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Error::malformed(path, "it begins with a byte order mark; save it as UTF-8 without one"));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Error::malformed(path, "it is UTF-16; save it as UTF-8"));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let line = String::from_utf8_lossy(
            bytes.split(|byte| *byte == b'\n').nth(error.line().max(1) - 1).unwrap_or_default(),
        );
        let from = line.char_indices().nth(error.column().saturating_sub(2)).map_or(line.len(), |(at, _)| at);
        // The parser stops at the first letter, or at the one after a minus sign.
        match NO_NUMBERS
            .iter()
            .find(|word| line[from..].starts_with(*word) || line[from..].trim_start().starts_with(*word))
        {
            Some(word) => Error::malformed(
                path,
                format!(
                    "`{word}` in line {} is no JSON (Python writes it): put a number or null in its place",
                    error.line()
                ),
            ),
            None => Error::malformed(path, error),
        }
    })
}

/// Refuses a file that is no JSON at all, without keeping what it says.
pub fn check_json(path: &Path) -> Result<(), Error> {
    refuse_pointer(path)?;
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    serde_json::from_slice::<IgnoredAny>(&bytes).map(drop).map_err(|error| Error::malformed(path, error))
}

/// Why a folder has no `tokenizer.json`, and what to do, for people.
pub fn without_tokenizer(folder: &Path) -> String {
    let convert =
        "`AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)` of transformers writes `tokenizer.json`";
    let older = ["tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "tekken.json", "qwen.tiktoken"];
    match older.iter().find(|name| folder.join(name).is_file()) {
        Some(name) => format!("the checkpoint has `{name}` but no `tokenizer.json`: {convert}"),
        None => "the checkpoint has no `tokenizer.json`".to_owned(),
    }
}
