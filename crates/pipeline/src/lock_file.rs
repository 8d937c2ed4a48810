//! `lock.json` beside a run's pointers: which settings, inputs and outputs its results stand for.

use crate::check::Checked;
use crate::error::PipelineError;
use crate::manifest::{Manifest, read_manifest};
use crate::store::Store;
use crate::write_atomically::write_atomically;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Name of the file.
const FILE: &str = "lock.json";
/// Marks a stage whose result the pipeline file, as it was last run, would not make.
const STALE: &str = "stale";

/// Tells the state that the pointers tell, whatever was run. `current` holds the keys that the stages of the file have
/// now, as far as they are known; a result under another key is marked as stale.
pub(crate) fn write_lock_file(
    checked: &Checked,
    store: &Store,
    current: &BTreeMap<String, String>,
) -> Result<(), PipelineError> {
    let mut stages = entries(checked, store)?;
    for (name, entry) in &mut stages {
        let key = entry["key"].as_str();
        if key.is_none() || current.get(name).map(String::as_str) != key {
            entry[STALE] = true.into();
        }
    }
    let lock = json!({
        "retort": env!("CARGO_PKG_VERSION"),
        "pipeline": checked.read.file.name,
        "pipeline_sha256": retort_tables::sha256_hex(checked.read.document.text.as_bytes()),
        "seed": checked.read.file.seed,
        "stages": stages,
    });
    let mut text = serde_json::to_vec_pretty(&lock).map_err(PipelineError::json("a lock file"))?;
    text.push(b'\n');
    write_atomically(&store.run_folder(&checked.read.file.name).join(FILE), &text)
}

/// What is different in the file from what the pointers tell, as a phrase.
pub(crate) fn difference(checked: &Checked, store: &Store) -> Result<Option<String>, PipelineError> {
    let told = entries(checked, store)?;
    let path = store.run_folder(&checked.read.file.name).join(FILE);
    let Ok(text) = std::fs::read(path) else {
        return Ok((!told.is_empty()).then(|| format!("`{FILE}` is gone")));
    };
    let Ok(lock) = serde_json::from_slice::<Value>(&text) else {
        return Ok(Some(format!("`{FILE}` is no JSON any more")));
    };
    let mut stages = lock["stages"].as_object().cloned().unwrap_or_default();
    for entry in stages.values_mut().filter_map(Value::as_object_mut) {
        entry.shift_remove(STALE);
    }
    let names: BTreeSet<&String> = told.keys().chain(stages.keys()).collect();
    let different = names.into_iter().find(|name| told.get(*name) != stages.get(*name));
    Ok(different.map(|name| format!("`{FILE}` told another state of `{name}` than the results have")))
}

/// One entry for every pointer of the run that leads to a readable record: the file's stages in their order, then those
/// that only earlier files had.
fn entries(checked: &Checked, store: &Store) -> Result<Map<String, Value>, PipelineError> {
    let run = &checked.read.file.name;
    let mut pointed = BTreeMap::new();
    for stage in store.stages_of(run)? {
        let key = store.pointed(run, &stage);
        if let Some((key, Ok(Some(manifest)))) = key.map(|key| (key.clone(), read_manifest(&store.folder(&key)))) {
            pointed.insert(stage, entry(&key, &manifest));
        }
    }
    let mut entries = Map::new();
    for node in &checked.nodes {
        if let Some(entry) = pointed.remove(&node.name) {
            entries.insert(node.name.clone(), entry);
        }
    }
    entries.extend(pointed);
    Ok(entries)
}

fn entry(key: &str, manifest: &Manifest) -> Value {
    let rows: BTreeMap<&String, u64> = manifest.tables.iter().map(|(name, table)| (name, table.rows)).collect();
    json!({
        "key": key,
        "fingerprint": manifest.fingerprint(),
        "rows": rows,
        "files": manifest.key.files,
        "summary": manifest.summary,
    })
}
