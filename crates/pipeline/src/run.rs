//! Runs the stages that are not fresh, one after another, each committed whole.

use crate::check::Checked;
use crate::context::{Context, StageOutput};
use crate::error::PipelineError;
use crate::finished::Finished;
use crate::graph::Node;
use crate::keys::Keys;
use crate::lineage::{Lineage, Origin};
use crate::lock_file::{difference, write_lock_file};
use crate::manifest::{FORMAT, KeyParts, Manifest, read_manifest};
use crate::observe::{Event, Observer};
use crate::output_kind::OutputKind;
use crate::resolver::shown;
use crate::store::{Output, Store};
use crate::survey::{set_aside, survey};
use retort_tables::PendingFolder;
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
    /// Move damaged lines of journals out of the way and go on with what is whole.
    pub mend: bool,
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
    let wanted = &wanted;
    let nodes = || checked.nodes.iter().filter(move |node| wanted.contains(&node.name));
    if let (Some(change), Some(first)) = (difference(checked, &store)?, nodes().next()) {
        let message = format!("{change}; it is written again");
        observer.event(Event::Warning { stage: &first.name, message: &message });
    }
    let to_make = survey(nodes(), &keys, &store, run, observer)?;
    checked.unmet(to_make.into_iter())?;
    let finished = BTreeMap::new();
    let mut work = Work { checked, store: &store, keys: &keys, mend: options.mend, observer, cancel, finished };
    let mut stages = Vec::new();
    let mut report = None;
    for node in nodes() {
        let summary = match work.stage(node) {
            Ok(summary) => summary,
            Err(error) => {
                // What failed first is what is told, whether or not the rest can be.
                let _ = work.tell_of_older_results(node);
                return Err(error);
            }
        };
        if node.stage.output() == OutputKind::Report {
            report = Some(store.run_folder(run).join(&node.name).join("report.html"));
        }
        stages.push(summary);
    }
    work.write_lock_file()?;
    let without_rows = without_rows(checked, &work.finished);
    Ok(RunSummary { stages, folder: store.run_folder(run), report, without_rows })
}

/// A run under way.
struct Work<'a> {
    checked: &'a Checked,
    store: &'a Store,
    keys: &'a Keys<'a>,
    mend: bool,
    observer: &'a dyn Observer,
    cancel: &'a AtomicBool,
    finished: BTreeMap<String, Finished>,
}

impl Work<'_> {
    /// Brings one stage up to date and points at it.
    fn stage(&mut self, node: &Node) -> Result<StageSummary, PipelineError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(PipelineError::Interrupted { stage: node.name.clone() });
        }
        let started = Instant::now();
        let run = &self.checked.read.file.name;
        let parts = self.keys.parts(node, &self.finished)?;
        let key = parts.key()?;
        let (manifest, ran) = match self.store.output(&key) {
            Output::Whole(manifest) => {
                self.observer.event(Event::Fresh { stage: &node.name });
                (*manifest, false)
            }
            Output::Damaged { changes, .. } => {
                // Its key was not known before its inputs were made again, or another process is at its files.
                set_aside(node, &self.store.folder(&key), &changes, self.store, self.observer)?;
                (self.make(node, &key, parts)?, true)
            }
            Output::Absent => (self.make(node, &key, parts)?, true),
        };
        let moves = self.store.pointed(run, &node.name).as_ref() != Some(&key);
        self.store.point(run, &node.name, &key)?;
        let folder = self.store.folder(&key);
        let summary =
            StageSummary { name: node.name.clone(), ran, summary: manifest.summary.clone(), took: started.elapsed() };
        self.finished.insert(node.name.clone(), Finished { name: node.name.clone(), key, folder, manifest });
        if moves {
            self.write_lock_file()?;
        }
        Ok(summary)
    }

    fn make(&self, node: &Node, key: &str, parts: KeyParts) -> Result<Manifest, PipelineError> {
        let pending = PendingFolder::create(&self.store.folder(key))?;
        let mut inputs = BTreeMap::new();
        for (slot, source) in &node.inputs {
            inputs.insert(slot.clone(), self.keys.input(source, &self.finished)?);
        }
        let context = Context {
            stage: &node.name,
            run_seed: self.checked.read.file.seed,
            out: &pending,
            inputs,
            derived: node.derived.iter().filter_map(|name| self.finished.get(name).cloned()).collect(),
            around: self.checked.around(),
            journal: self.store.journal(key),
            mend: self.mend,
            observer: self.observer,
            cancel: self.cancel,
        };
        let output = node.stage.run(&context)?;
        let manifest = record(node, parts, &context, &self.store.outputs(), output);
        pending.commit(Manifest::FILE, &manifest.to_text()?)?;
        self.store.written(key, &manifest);
        let journal = self.store.journal(key);
        if journal.exists() {
            std::fs::remove_dir_all(&journal).map_err(PipelineError::io("remove", &journal))?;
        }
        self.observer.event(Event::Finished { stage: &node.name, summary: &manifest.summary });
        Ok(manifest)
    }

    fn write_lock_file(&self) -> Result<(), PipelineError> {
        write_lock_file(self.checked, self.store, &self.current_keys())
    }

    /// The keys that the file's stages have now, of those too that were not to run, as far as they can be known.
    fn current_keys(&self) -> BTreeMap<String, String> {
        let mut known = self.finished.clone();
        let run = &self.checked.read.file.name;
        // At a first run there is nothing that could be told of.
        let open = |node: &Node| !known.contains_key(&node.name) && self.store.pointed(run, &node.name).is_some();
        if !self.checked.nodes.iter().any(open) {
            return known.into_iter().map(|(name, stage)| (name, stage.key)).collect();
        }
        for node in &self.checked.nodes {
            if known.contains_key(&node.name) || !node.waits_for().all(|name| known.contains_key(name)) {
                continue;
            }
            let Ok(Ok(key)) = self.keys.parts(node, &known).map(|parts| parts.key()) else { continue };
            let folder = self.store.folder(&key);
            if let Ok(Some(manifest)) = read_manifest(&folder) {
                known.insert(node.name.clone(), Finished { name: node.name.clone(), key, folder, manifest });
            }
        }
        known.into_iter().map(|(name, stage)| (name, stage.key)).collect()
    }

    /// After a failure: the results that still are those of an earlier run are marked in the lock file, and named.
    fn tell_of_older_results(&self, failed: &Node) -> Result<(), PipelineError> {
        let run = &self.checked.read.file.name;
        let current = self.current_keys();
        let older: Vec<&str> = self
            .checked
            .nodes
            .iter()
            .filter(|node| self.store.pointed(run, &node.name).is_some_and(|key| current.get(&node.name) != Some(&key)))
            .map(|node| node.name.as_str())
            .collect();
        if older.is_empty() {
            return Ok(());
        }
        self.write_lock_file()?;
        let message = format!(
            "in `{}`, {} still what an earlier run left: {}",
            shown(&self.store.run_folder(run)),
            if older.len() == 1 { "this stage is" } else { "these stages are" },
            older.join(", ")
        );
        self.observer.event(Event::Warning { stage: &failed.name, message: &message });
        Ok(())
    }
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

fn record(node: &Node, key: KeyParts, context: &Context<'_>, store: &Path, output: StageOutput) -> Manifest {
    let mut lineage = Lineage::default();
    let inputs = node.stage.inputs(&context.around);
    // The tables that a checkpoint was trained on are not those that its completions belong to.
    let inputs = inputs
        .iter()
        .filter_map(|input| context.inputs.get(input.slot()))
        .filter(|input| input.manifest.output != OutputKind::Checkpoint);
    for input in inputs.chain(&context.derived) {
        let own = input.manifest.tables.keys().map(String::as_str);
        let own: BTreeSet<&str> = own.filter(|table| !["dropped", "telemetry"].contains(table)).collect();
        for table in &own {
            lineage.add(table, Origin::of(&input.folder, store));
        }
        for (table, origin) in input.manifest.lineage.all().filter(|(table, _)| !own.contains(table)) {
            lineage.add(table, Origin::of(&origin.folder(input.store()), store));
        }
    }
    Manifest {
        format: FORMAT,
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
