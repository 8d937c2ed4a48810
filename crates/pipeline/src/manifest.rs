//! What a finished stage is: written last into its folder, so a folder with a manifest is complete.

use crate::error::PipelineError;
use crate::lineage::Lineage;
use crate::output_kind::OutputKind;
use crate::sealed;
use retort_tables::{FileDigest, TableFiles, sha256_hex};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::Path;

/// Everything that decides a stage's output. Equal parts, equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyParts {
    /// The stage kind.
    pub kind: String,
    /// The stage's name, for stages that write it into their output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Version of the stage kind's code.
    pub code_version: u32,
    /// Settings that decide the output, without input names, addresses and secrets.
    pub settings: Value,
    /// The stage's own seed, for stages that draw random numbers.
    pub seed: Option<u64>,
    /// Fingerprints of the inputs, by what reads them.
    pub inputs: BTreeMap<String, String>,
    /// SHA-256 of files read from outside, by the path as written.
    pub files: BTreeMap<String, String>,
    /// Versions of what helps: tokenizer, verifiers.
    pub versions: BTreeMap<String, String>,
}

impl KeyParts {
    /// The key: the first 32 hexadecimal digits of a SHA-256 over the canonical JSON of the parts.
    pub fn key(&self) -> Result<String, PipelineError> {
        let text = serde_json::to_value(self).and_then(|parts| serde_json::to_vec(&canonical(&parts)));
        Ok(sha256_hex(&text.map_err(PipelineError::json("a key"))?)[..32].to_owned())
    }

    /// The first part that differs from `old`, in words.
    pub fn difference(&self, old: &Self) -> String {
        if self.code_version != old.code_version {
            return format!("code: version {} → {}", old.code_version, self.code_version);
        }
        if self.name != old.name {
            return "the stage's name, which it writes".into();
        }
        if let Some(change) = value_difference("", &old.settings, &self.settings) {
            return format!("settings: {change}");
        }
        if self.seed != old.seed {
            return "the seed changed".into();
        }
        for (name, fingerprint) in &self.inputs {
            if old.inputs.get(name) != Some(fingerprint) {
                return format!("input: {name} changed");
            }
        }
        for (path, digest) in &self.files {
            if old.files.get(path) != Some(digest) {
                return format!("file: `{path}` changed");
            }
        }
        for (name, version) in &self.versions {
            if old.versions.get(name) != Some(version) {
                return format!("{name} changed");
            }
        }
        "inputs were removed".into()
    }
}

/// The value with all maps in key order.
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, Value> = map.iter().map(|(key, value)| (key, canonical(value))).collect();
            sorted.into_iter().map(|(key, value)| (key.clone(), value)).collect()
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        other => other.clone(),
    }
}

fn value_difference(path: &str, old: &Value, new: &Value) -> Option<String> {
    if old == new {
        return None;
    }
    if let (Value::Object(old), Value::Object(new)) = (old, new) {
        let keys = new.keys().chain(old.keys().filter(|key| !new.contains_key(*key)));
        for key in keys {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let missing = &Value::Null;
            let change = value_difference(&inner, old.get(key).unwrap_or(missing), new.get(key).unwrap_or(missing));
            if change.is_some() {
                return change;
            }
        }
    }
    Some(format!("{path} {old} → {new}"))
}

/// The record of one finished stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this record's own form.
    pub format: u32,
    /// Version of the program that wrote it.
    pub retort: String,
    /// What the stage made.
    pub output: OutputKind,
    /// What decided it.
    pub key: KeyParts,
    /// The tables, by name.
    pub tables: BTreeMap<String, TableFiles>,
    /// Files that are not tables.
    pub files: Vec<FileDigest>,
    /// Where the tables that this output was made of stand.
    pub lineage: Lineage,
    /// Counts for people and reports.
    pub facts: Value,
    /// One line about the result.
    pub summary: String,
}

/// How many rows came, how many stayed, and why the others went: part of the facts of every kind that reads rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows that came.
    pub rows_in: u64,
    /// Rows that stayed.
    pub kept: u64,
    /// Rows removed, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
}

impl RowCounts {
    /// Every row stayed.
    pub fn all_kept(rows: u64) -> Self {
        Self { rows_in: rows, kept: rows, dropped: BTreeMap::new() }
    }
}

/// Tables that differ from run to run and therefore stand outside every fingerprint.
const OUTSIDE: [&str; 1] = ["telemetry"];

impl Manifest {
    /// Name of the file that holds it.
    pub const FILE: &'static str = "manifest.json";

    /// Identifies the output by its content, telemetry left out, and by the stages that it was made of: two outputs with equal
    /// rows but different origins must not be taken for each other.
    pub fn fingerprint(&self) -> String {
        let mut text = self.content();
        for (name, origin) in self.lineage.all() {
            let _ = writeln!(text, "{name} {}", origin.key());
        }
        sha256_hex(text.as_bytes())[..32].to_owned()
    }

    /// Identifies the files of the output alone, telemetry left out, however they came about.
    pub fn content_id(&self) -> String {
        sha256_hex(self.content().as_bytes())[..32].to_owned()
    }

    fn content(&self) -> String {
        let mut text = String::new();
        for (name, table) in self.tables.iter().filter(|(name, _)| !OUTSIDE.contains(&name.as_str())) {
            for file in &table.files {
                let _ = writeln!(text, "{name}/{} {} {}", file.path, file.bytes, file.sha256);
            }
        }
        for file in &self.files {
            let _ = writeln!(text, "{} {} {}", file.path, file.bytes, file.sha256);
        }
        text
    }

    /// How many rows came and stayed, where the stage counts them.
    pub fn row_counts(&self) -> Option<RowCounts> {
        RowCounts::deserialize(&self.facts).ok()
    }

    /// All files with their paths inside the folder.
    pub fn all_files(&self) -> Vec<FileDigest> {
        let tables = self.tables.iter().flat_map(|(name, table)| {
            table.files.iter().map(move |file| FileDigest { path: format!("{name}/{}", file.path), ..file.clone() })
        });
        tables.chain(self.files.iter().cloned()).collect()
    }
}

/// Records since this form are sealed.
pub(crate) const FORMAT: u32 = 2;

impl Manifest {
    /// The record as it stands on the disk: sealed, so that an edit is seen.
    pub(crate) fn to_text(&self) -> Result<Vec<u8>, PipelineError> {
        sealed::seal(self, "a manifest")
    }
}

/// The record in `folder`: none where there is none, or why it cannot be trusted.
pub fn read_manifest(folder: &Path) -> Result<Option<Manifest>, String> {
    let path = folder.join(Manifest::FILE);
    // A pipe or a device may never end.
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(format!("`{}` is no file any more", Manifest::FILE));
    }
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => return Ok(None),
        Err(error) => return Err(format!("`{}` cannot be read: {error}", Manifest::FILE)),
    };
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| format!("`{}` is no record: {error}", Manifest::FILE))?;
    match sealed::holds(&text) {
        Some(true) => Ok(Some(manifest)),
        None if manifest.format < FORMAT => Ok(Some(manifest)),
        _ => Err(format!("`{}` changed since it was written", Manifest::FILE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parts(settings: Value) -> KeyParts {
        KeyParts {
            kind: "select".into(),
            name: None,
            code_version: 1,
            settings,
            seed: Some(1),
            inputs: [("verdicts".to_owned(), "a".to_owned())].into(),
            files: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    fn key(settings: Value) -> String {
        parts(settings).key().unwrap()
    }

    #[test]
    fn keys_do_not_depend_on_the_order_of_settings() {
        assert_eq!(key(json!({"a": 1, "b": 2})), key(json!({"b": 2, "a": 1})));
        assert_ne!(key(json!({"a": 1})), key(json!({"a": 2})));
    }

    #[test]
    fn differences_name_the_setting() {
        let (old, new) =
            (parts(json!({"select": {"rule": "x", "n": 1}})), parts(json!({"select": {"rule": "x", "n": 2}})));
        assert_eq!(new.difference(&old), "settings: select.n 1 → 2");
        let mut other = old.clone();
        other.inputs.insert("verdicts".into(), "b".into());
        assert_eq!(other.difference(&old), "input: verdicts changed");
    }
}
