//! Runs the stages that are not fresh, one after another, each committed whole.

use crate::check::Checked;
use crate::context::{Context, StageOutput};
use crate::error::PipelineError;
use crate::finished::Finished;
use crate::graph::Node;
use crate::keys::Keys;
use crate::manifest::{KeyParts, Manifest};
use crate::observe::{Event, Observer};
use crate::output_kind::OutputKind;
use crate::store::Store;
use crate::write_atomically::write_atomically;
use retort_tables::PendingFolder;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where results go: `OUT/store` and `OUT/runs`.
    pub out: PathBuf,
    /// Run only this stage and what it needs.
    pub only: Option<String>,
}

/// One stage of a finished run.
#[derive(Debug, Clone)]
pub struct StageSummary {
    /// The stage.
    pub name: String,
    /// Whether it had something to do.
    pub ran: bool,
    /// One line about its result.
    pub summary: String,
    /// How long it took.
    pub took: Duration,
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// The stages in the order they ran.
    pub stages: Vec<StageSummary>,
    /// The run's folder.
    pub folder: PathBuf,
    /// The HTML report, when the pipeline has one.
    pub report: Option<PathBuf>,
    /// Stages at the end of the pipeline that no row came through to.
    pub without_rows: Vec<String>,
}

/// Runs a checked pipeline. `cancel` stops it at the next safe point.
pub fn run(
    checked: &Checked,
    options: &RunOptions,
    observer: &dyn Observer,
    cancel: &AtomicBool,
) -> Result<RunSummary, PipelineError> {
    let wanted = wanted(checked, options.only.as_deref())?;
    let store = Store::open(&options.out)?;
    let _lock = store.lock()?;
    let keys = Keys::new(checked, &store);
    let run = &checked.read.file.name;
    let mut finished: BTreeMap<String, Finished> = BTreeMap::new();
    let mut stages = Vec::new();
    let mut report = None;

    for node in checked.nodes.iter().filter(|node| wanted.contains(&node.name)) {
        if cancel.load(Ordering::Relaxed) {
            return Err(PipelineError::Interrupted { stage: node.name.clone() });
        }
        let started = Instant::now();
        let parts = keys.parts(node, &finished)?;
        let key = parts.key()?;
        let found = store.manifest(&key);
        let ran = found.is_none();
        let manifest = match found {
            Some(manifest) => {
                observer.event(Event::Fresh { stage: &node.name });
                manifest
            }
            None => {
                let pending = PendingFolder::create(&store.folder(&key))?;
                let mut inputs = BTreeMap::new();
                for (slot, source) in &node.inputs {
                    inputs.insert(slot.clone(), keys.input(source, &finished)?);
                }
                let context = Context {
                    stage: &node.name,
                    run_seed: checked.read.file.seed,
                    out: &pending,
                    inputs,
                    derived: node.derived.iter().filter_map(|name| finished.get(name).cloned()).collect(),
                    around: checked.around(),
                    journal: store.journal(&key),
                    observer,
                    cancel,
                };
                let output = node.stage.run(&context)?;
                let manifest = record(node, parts, &context, output);
                commit(pending, &manifest)?;
                let journal = store.journal(&key);
                if journal.exists() {
                    std::fs::remove_dir_all(&journal).map_err(PipelineError::io("remove", &journal))?;
                }
                observer.event(Event::Finished { stage: &node.name, summary: &manifest.summary });
                manifest
            }
        };
        store.point(run, &node.name, &key)?;
        let folder = store.folder(&key);
        if manifest.output == OutputKind::Report {
            report = Some(store.run_folder(run).join(&node.name).join("report.html"));
        }
        stages.push(StageSummary {
            name: node.name.clone(),
            ran,
            summary: manifest.summary.clone(),
            took: started.elapsed(),
        });
        finished.insert(node.name.clone(), Finished { name: node.name.clone(), key, folder, manifest });
    }
    write_lock_file(checked, &store, &finished)?;
    let without_rows = without_rows(checked, &finished);
    Ok(RunSummary { stages, folder: store.run_folder(run), report, without_rows })
}

/// The finished stages without rows whose output no other stage reads, reports aside.
fn without_rows(checked: &Checked, finished: &BTreeMap<String, Finished>) -> Vec<String> {
    let read: BTreeSet<&str> = checked
        .nodes
        .iter()
        .filter(|node| finished.get(&node.name).is_some_and(|stage| stage.manifest.output != OutputKind::Report))
        .flat_map(Node::waits_for)
        .collect();
    let none = |stage: &&Finished| stage.manifest.row_counts().is_some_and(|rows| rows.kept == 0);
    let last = finished.values().filter(|stage| !read.contains(stage.name.as_str()));
    last.filter(none).map(|stage| stage.name.clone()).collect()
}

/// The nodes to run: all, or one and what it needs.
fn wanted(checked: &Checked, only: Option<&str>) -> Result<BTreeSet<String>, PipelineError> {
    let Some(only) = only else { return Ok(checked.nodes.iter().map(|node| node.name.clone()).collect()) };
    let (mut wanted, mut open) = (BTreeSet::new(), vec![only.to_owned()]);
    while let Some(name) = open.pop() {
        let node = checked.node(&name)?;
        if wanted.insert(name) {
            open.extend(node.waits_for().map(str::to_owned));
        }
    }
    Ok(wanted)
}

fn record(node: &Node, key: KeyParts, context: &Context<'_>, output: StageOutput) -> Manifest {
    let mut lineage = BTreeMap::new();
    // The tables that a checkpoint was trained on are not those that its completions belong to.
    let inputs = context.inputs.values().filter(|input| input.manifest.output != OutputKind::Checkpoint);
    for input in inputs.chain(&context.derived) {
        lineage.extend(input.manifest.lineage.clone());
        for table in input.manifest.tables.keys().filter(|table| !["dropped", "telemetry"].contains(&table.as_str())) {
            lineage.insert(table.clone(), input.key.clone());
        }
    }
    Manifest {
        format: 1,
        retort: env!("CARGO_PKG_VERSION").into(),
        output: node.stage.output(),
        key,
        tables: output.tables,
        files: output.files,
        lineage,
        facts: output.facts,
        summary: output.summary,
    }
}

fn commit(pending: PendingFolder, manifest: &Manifest) -> Result<(), PipelineError> {
    let text = serde_json::to_vec_pretty(manifest).map_err(PipelineError::json("a manifest"))?;
    Ok(pending.commit(Manifest::FILE, &text)?)
}

/// `lock.json` beside the pointers: which settings, inputs and outputs the run's results stand for.
fn write_lock_file(
    checked: &Checked,
    store: &Store,
    finished: &BTreeMap<String, Finished>,
) -> Result<(), PipelineError> {
    let stages: serde_json::Map<String, serde_json::Value> = checked
        .nodes
        .iter()
        .filter_map(|node| finished.get(&node.name))
        .map(|stage| {
            let rows: BTreeMap<&String, u64> =
                stage.manifest.tables.iter().map(|(name, table)| (name, table.rows)).collect();
            let entry = json!({
                "key": stage.key,
                "fingerprint": stage.manifest.fingerprint(),
                "rows": rows,
                "files": stage.manifest.key.files,
                "summary": stage.manifest.summary,
            });
            (stage.name.clone(), entry)
        })
        .collect();
    let lock = json!({
        "retort": env!("CARGO_PKG_VERSION"),
        "pipeline": checked.read.file.name,
        "pipeline_sha256": retort_tables::sha256_hex(checked.read.document.text.as_bytes()),
        "seed": checked.read.file.seed,
        "stages": stages,
    });
    let path: &Path = &store.run_folder(&checked.read.file.name).join("lock.json");
    let mut text = serde_json::to_vec_pretty(&lock).map_err(PipelineError::json("a lock file"))?;
    text.push(b'\n');
    write_atomically(path, &text)
}
