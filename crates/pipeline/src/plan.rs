//! What a run would do, and why.

use crate::check::Checked;
use crate::context::PlannedInputs;
use crate::error::PipelineError;
use crate::finished::Finished;
use crate::graph::Node;
use crate::keys::Keys;
use crate::manifest::read_manifest;
use crate::store::{Output, Store};
use crate::wholeness::in_words;
use std::collections::BTreeMap;
use std::path::Path;

/// Whether a stage has something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageState {
    /// Done with these settings and inputs.
    Fresh,
    /// Never done.
    Missing,
    /// Done before with other settings or inputs; the text says what changed.
    Stale(String),
    /// Done, but its files were edited or deleted since; the text says which.
    Damaged(String),
}

/// One stage of a plan.
#[derive(Debug, Clone)]
pub struct PlannedStage {
    /// The stage.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Whether it has something to do.
    pub state: StageState,
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
        self.stages.iter().filter(|stage| stage.state != StageState::Fresh).count()
    }
}

/// Says for every stage whether it would run, and why. Runs nothing.
pub fn plan(checked: &Checked, out: &Path) -> Result<Plan, PipelineError> {
    let store = Store::read_only(out)?;
    let keys = Keys::new(checked, &store);
    let mut finished: BTreeMap<String, Finished> = BTreeMap::new();
    let mut stages = Vec::new();
    for node in &checked.nodes {
        let run = &checked.read.file.name;
        let old = store.pointed(run, &node.name).and_then(|key| read_manifest(&store.folder(&key)).ok().flatten());
        let waiting = node.waits_for().find(|name| !finished.contains_key(*name)).map(str::to_owned);
        let (state, note) = if let Some(input) = waiting {
            let state = if old.is_some() {
                StageState::Stale(format!("input: {input} will be made again"))
            } else {
                StageState::Missing
            };
            (state, forecast(&keys, node, &finished)?)
        } else {
            let parts = keys.parts(node, &finished)?;
            let key = parts.key()?;
            let (state, note, manifest) = match (store.output(&key), old) {
                (Output::Whole(manifest), _) => (StageState::Fresh, manifest.summary.clone(), Some(manifest)),
                // Made again, it is what it was: what follows it is as fresh as before.
                (Output::Damaged { changes, manifest }, _) => {
                    (StageState::Damaged(in_words(&changes)), forecast(&keys, node, &finished)?, manifest)
                }
                (Output::Absent, Some(old)) => {
                    (StageState::Stale(parts.difference(&old.key)), forecast(&keys, node, &finished)?, None)
                }
                (Output::Absent, None) => (StageState::Missing, forecast(&keys, node, &finished)?, None),
            };
            if let Some(manifest) = manifest {
                let (name, folder) = (node.name.clone(), store.folder(&key));
                finished.insert(name.clone(), Finished { name, key, folder, manifest: *manifest });
            }
            (state, note)
        };
        stages.push(PlannedStage { name: node.name.clone(), kind: node.stage.kind(), state, note });
    }
    Ok(Plan { stages })
}

/// What a stage would take, as far as its inputs are there.
fn forecast(keys: &Keys<'_>, node: &Node, finished: &BTreeMap<String, Finished>) -> Result<String, PipelineError> {
    let there =
        node.inputs.iter().filter_map(|(slot, source)| Some((slot.clone(), keys.input(source, finished).ok()?)));
    node.stage.forecast(&PlannedInputs { stage: &node.name, inputs: there.collect(), around: keys.checked.around() })
}
