//! What a run would do, and why.

use crate::check::Checked;
use crate::error::PipelineError;
use crate::graph::{Node, Work};
use crate::inputs::Finished;
use crate::manifest::{KeyParts, canonical};
use crate::store::{Store, read_manifest};
use retort_chat::Tokenizer;
use retort_records::derive_seed;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Whether a stage has something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Done with these settings and inputs.
    Fresh,
    /// Never done.
    Missing,
    /// Done before with other settings or inputs; the text says what changed.
    Stale(String),
}

/// One stage of a plan.
#[derive(Debug, Clone)]
pub struct PlannedStage {
    /// The stage.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Whether it has something to do.
    pub state: State,
    /// The result so far, or a forecast of the work.
    pub note: String,
}

/// All stages in the order they run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The stages.
    pub stages: Vec<PlannedStage>,
}

impl Plan {
    /// Number of stages with something to do.
    pub fn open(&self) -> usize {
        self.stages.iter().filter(|stage| stage.state != State::Fresh).count()
    }
}

/// Says for every stage whether it would run, and why. Runs nothing.
pub fn plan(checked: &Checked, out: &Path) -> Result<Plan, PipelineError> {
    let store = Store::open(out)?;
    let keys = Keys::new(checked, &store)?;
    let mut finished: BTreeMap<String, Finished> = BTreeMap::new();
    let mut stages = Vec::new();
    for node in &checked.nodes {
        let run = &checked.read.file.name;
        let old = store.pointed(run, &node.name).and_then(|key| read_manifest(&store.folder(&key)));
        let waiting = node.waits_for().find(|name| !finished.contains_key(*name)).map(str::to_owned);
        let (state, note) = if let Some(input) = waiting {
            let state =
                if old.is_some() { State::Stale(format!("input: {input} will be made again")) } else { State::Missing };
            (state, forecast(node, &finished))
        } else {
            let parts = keys.parts(node, &finished)?;
            let key = parts.key();
            match (store.manifest(&key), old) {
                (Some(manifest), _) => {
                    let note = manifest.summary.clone();
                    let folder = store.folder(&key);
                    finished.insert(node.name.clone(), Finished { name: node.name.clone(), key, folder, manifest });
                    (State::Fresh, note)
                }
                (None, Some(old)) => (State::Stale(parts.difference(&old.key)), forecast(node, &finished)),
                (None, None) => (State::Missing, forecast(node, &finished)),
            }
        };
        stages.push(PlannedStage { name: node.name.clone(), kind: node.kind(), state, note });
    }
    Ok(Plan { stages })
}

fn forecast(node: &Node, finished: &BTreeMap<String, Finished>) -> String {
    match &node.work {
        Work::Stage(crate::stage::Stage::Sample(sample)) => {
            let prompts = node.inputs.get("prompts").and_then(|source| finished.get(source.as_str()));
            sample.forecast(prompts.and_then(|prompts| prompts.manifest.tables.get("prompts")).map(|table| table.rows))
        }
        Work::Stage(crate::stage::Stage::Judge(judge)) => {
            judge.forecast(node.inputs.get("verdicts").and_then(|source| finished.get(source.as_str())))
        }
        _ => String::new(),
    }
}

/// Makes the keys of nodes.
pub(crate) struct Keys<'a> {
    checked: &'a Checked,
    store: &'a Store,
    tokenizer: String,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(checked: &'a Checked, store: &'a Store) -> Result<Self, PipelineError> {
        let tokenizer = match &checked.tokenizer {
            Some(folder) => Tokenizer::load(folder)?.id().to_owned(),
            None => "teacher".to_owned(),
        };
        Ok(Self { checked, store, tokenizer })
    }

    /// What decides the output of `node`, whose inputs are all among `finished` or are paths.
    pub(crate) fn parts(&self, node: &Node, finished: &BTreeMap<String, Finished>) -> Result<KeyParts, PipelineError> {
        let mut inputs = BTreeMap::new();
        for (reads, source) in &node.inputs {
            let input = self.input(source, finished)?;
            inputs.insert(reads.clone(), input.manifest.fingerprint());
        }
        for name in &node.lengths {
            if let Some(lengths) = finished.get(name) {
                inputs.insert(name.clone(), lengths.manifest.fingerprint());
            }
        }
        let mut parts = KeyParts {
            kind: node.kind().to_owned(),
            code_version: 1,
            settings: Value::Null,
            seed: None,
            inputs,
            files: BTreeMap::new(),
            versions: BTreeMap::new(),
        };
        match &node.work {
            Work::Lengths => {
                parts.versions.insert("tokenizer".into(), self.tokenizer.clone());
            }
            Work::Stage(stage) => {
                parts.code_version = stage.code_version();
                parts.settings = canonical(&stage.key_settings());
                if stage.uses_seed() {
                    parts.seed = Some(derive_seed(self.checked.read.file.seed, &node.name, "", 0));
                }
                if stage.kind() == "verify" {
                    parts.versions.insert("verifiers".into(), retort_verify::VERSION.into());
                }
                for (_, written) in stage.files() {
                    let path = self.checked.access.resolve(written).map_err(PipelineError::Argument)?;
                    for file in crate::stages::import::expand_glob(&path) {
                        let digest = self.store.input_digest(&file)?;
                        let name = file.strip_prefix(&self.checked.access.workspace).unwrap_or(&file);
                        parts.files.insert(name.to_string_lossy().into_owned(), digest);
                    }
                }
            }
        }
        Ok(parts)
    }

    /// The finished stage behind `source`.
    pub(crate) fn input(
        &self,
        source: &crate::source::Source,
        finished: &BTreeMap<String, Finished>,
    ) -> Result<Finished, PipelineError> {
        if source.is_path() {
            let folder = self.checked.access.resolve(source.as_str()).map_err(PipelineError::Argument)?;
            return Finished::open(source.as_str(), &folder);
        }
        finished
            .get(source.as_str())
            .cloned()
            .ok_or_else(|| PipelineError::Argument(format!("stage `{}` has not run yet", source.as_str())))
    }
}
