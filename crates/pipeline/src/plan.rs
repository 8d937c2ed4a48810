//! What a run would do, and why.

use crate::check::Checked;
use crate::error::PipelineError;
use crate::graph::{Node, Work};
use crate::inputs::{Finished, is_checkpoint};
use crate::machine::in_words;
use crate::manifest::{KeyParts, canonical};
use crate::stage::Stage;
use crate::stages::train::Train;
use crate::store::{Store, read_manifest};
use retort_chat::Tokenizer;
use retort_records::derive_seed;
use retort_student::Forecast;
use retort_weights::companions;
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
            (state, forecast(&keys, node, &finished)?)
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
                (None, Some(old)) => (State::Stale(parts.difference(&old.key)), forecast(&keys, node, &finished)?),
                (None, None) => (State::Missing, forecast(&keys, node, &finished)?),
            }
        };
        stages.push(PlannedStage { name: node.name.clone(), kind: node.kind(), state, note });
    }
    Ok(Plan { stages })
}

/// What a stage would take, as far as its inputs are there; an error for training that does not fit into memory.
fn forecast(keys: &Keys<'_>, node: &Node, finished: &BTreeMap<String, Finished>) -> Result<String, PipelineError> {
    let input = |reads: &str| -> Option<Finished> { keys.input(node.inputs.get(reads)?, finished).ok() };
    let prompts =
        || input("prompts").and_then(|prompts| prompts.manifest.tables.get("prompts").map(|table| table.rows));
    Ok(match &node.work {
        Work::Stage(Stage::Sample(sample)) => sample.forecast(prompts()),
        Work::Stage(Stage::Evaluate(evaluate)) => evaluate.forecast(prompts()),
        Work::Stage(Stage::Train(train)) => {
            let base = input("base");
            let tokenizer = match (&base, &train.init) {
                (Some(base), _) => Some(base.checkpoint_folder()),
                (None, Some(init)) if train.base.is_none() => {
                    Some(keys.checked.access.resolve(&init.tokenizer).map_err(PipelineError::Argument)?)
                }
                (None, _) => None,
            };
            let Some((data, tokenizer)) = input("data").zip(tokenizer) else {
                return Ok(with_preset(train, train.training.max_steps.map(|steps| format!("{steps} steps"))));
            };
            let forecast = train.forecast(base.as_ref(), &data, &tokenizer)?;
            if forecast.peak_bytes as u64 > keys.checked.machine.memory {
                return Err(PipelineError::stage(&node.name, too_large(&forecast, keys.checked.machine.memory)));
            }
            with_preset(train, Some(forecast_words(&forecast)))
        }
        Work::Stage(Stage::Judge(judge)) => {
            judge.forecast(node.inputs.get("verdicts").and_then(|source| finished.get(source.as_str())))
        }
        _ => String::new(),
    })
}

/// What is known of the work, and what a preset stands for.
fn with_preset(train: &Train, words: Option<String>) -> String {
    words.into_iter().chain(train.training.preset_in_words()).collect::<Vec<_>>().join("; ")
}

/// Operations that one core is taken to do in a second; measured on server processors of 2023 and 2024.
const OPERATIONS_A_SECOND: f64 = 5e10;

fn forecast_words(forecast: &Forecast) -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let seconds = forecast.operations / (OPERATIONS_A_SECOND * cores as f64);
    let time = match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    };
    format!(
        "{} steps, {} tokens, about {time} on {cores} cores, peak {} for {} parameters",
        forecast.steps,
        forecast.tokens,
        in_words(forecast.peak_bytes as u64),
        forecast.parameters
    )
}

/// Says that training does not fit.
pub(crate) fn too_large(forecast: &Forecast, memory: u64) -> String {
    format!(
        "training {} parameters takes {} of memory, `{}` is there",
        forecast.parameters,
        in_words(forecast.peak_bytes as u64),
        in_words(memory)
    )
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
                if ["verify", "evaluate"].contains(&stage.kind()) {
                    parts.versions.insert("verifiers".into(), retort_verify::VERSION.into());
                }
                for (_, written) in stage.files() {
                    let path = self.checked.access.resolve(&written).map_err(PipelineError::Argument)?;
                    let mut files = crate::stages::import::expand_glob(&path);
                    if let (Stage::Train(_) | Stage::Export(_), Some(folder)) = (stage, path.parent()) {
                        // What a tokenizer makes of messages is said by the template and the settings beside it.
                        files = companions(folder);
                    }
                    for file in files {
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
            if is_checkpoint(&folder) {
                let digest = |path: &Path| self.store.input_digest(path);
                return Finished::outside_checkpoint(source.as_str(), &folder, &digest);
            }
            return Finished::open(source.as_str(), &folder);
        }
        finished
            .get(source.as_str())
            .cloned()
            .ok_or_else(|| PipelineError::Argument(format!("stage `{}` has not run yet", source.as_str())))
    }
}
