//! What a `train` stage would train on, token by token: the work of the command `retort inspect`.

use crate::check::Checked;
use crate::error::PipelineError;
use crate::graph::Work;
use crate::inputs::Finished;
use crate::plan::Keys;
use crate::stage::Stage;
use crate::store::Store;
use std::collections::BTreeMap;
use std::path::Path;

/// One row of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedRow {
    /// The id of the example, or the id of the pair and its side.
    pub label: String,
    /// The tokens, or why the row is dropped.
    pub tokens: Result<Vec<InspectedToken>, String>,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedToken {
    /// Its id.
    pub id: u32,
    /// What it adds to the text before it.
    pub text: String,
    /// Whether predicting it counts in the loss.
    pub trained: bool,
}

/// The first `limit` rows that `stage`, which must be a `train` stage whose inputs are finished under `out`, trains on.
pub fn inspect(checked: &Checked, out: &Path, stage: &str, limit: usize) -> Result<Vec<InspectedRow>, PipelineError> {
    let wrong = |reason: String| PipelineError::Argument(reason);
    let node = checked
        .nodes
        .iter()
        .find(|node| node.name == stage)
        .ok_or_else(|| wrong(format!("there is no stage `{stage}`; stages: {}", checked.order().join(", "))))?;
    let Work::Stage(Stage::Train(train)) = &node.work else {
        return Err(wrong(format!("stage `{stage}` is of kind `{}`; only `train` stages train on rows", node.kind())));
    };
    let store = Store::open(out)?;
    let keys = Keys::new(checked, &store)?;
    let finished = finished(checked, &store, &keys)?;
    let input = |reads: &str| -> Result<Option<Finished>, PipelineError> {
        let Some(source) = node.inputs.get(reads) else { return Ok(None) };
        if !source.is_path() && !finished.contains_key(source.as_str()) {
            let source = source.as_str();
            return Err(wrong(format!(
                "stage `{source}`, which `{stage}` reads, has not run yet: run the pipeline with `--only {source}`"
            )));
        }
        keys.input(source, &finished).map(Some)
    };
    let data = input("data")?.ok_or_else(|| wrong(format!("stage `{stage}` has no data")))?;
    train.inspect(input("base")?.as_ref(), &data, &checked.access, limit)
}

/// Every stage that is done with the file's settings.
fn finished(checked: &Checked, store: &Store, keys: &Keys<'_>) -> Result<BTreeMap<String, Finished>, PipelineError> {
    let mut finished: BTreeMap<String, Finished> = BTreeMap::new();
    for node in &checked.nodes {
        if node.waits_for().any(|name| !finished.contains_key(name)) {
            continue;
        }
        let key = keys.parts(node, &finished)?.key();
        if let Some(manifest) = store.manifest(&key) {
            let folder = store.folder(&key);
            finished.insert(node.name.clone(), Finished { name: node.name.clone(), key, folder, manifest });
        }
    }
    Ok(finished)
}
