//! The stages: settings and work of each kind stand in one file.

pub mod compose;
pub mod evaluate;
pub mod export;
pub mod filter;
pub(crate) mod hand_over;
pub mod import;
pub mod judge;
mod lengths;
pub mod merge;
pub mod pair;
pub mod report;
pub mod sample;
pub mod select;
pub mod synthesize;
pub mod train;
pub mod verify;

mod asking;
mod dropping;
mod embedded;
mod rows;
mod token_rows;

use crate::error::PipelineError;
use crate::graph::Work;
use crate::inputs::{CHECKPOINT, Finished};
use crate::machine::Machine;
use crate::observe::{Event, Observer};
use crate::stage::Stage;
use crate::workspace::Access;
use retort_chat::Tokenizer;
use retort_records::{Row, derive_seed};
use retort_tables::{
    FileDigest, PendingFolder, ShardLimits, TableFiles, TableWriter, abort_point, file_digest, sync_folder,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a stage works with.
pub struct Context<'a> {
    /// The stage's name.
    pub stage: &'a str,
    /// The run's seed.
    pub run_seed: u64,
    /// Where the output is written.
    pub out: &'a PendingFolder,
    /// The inputs, by what reads them.
    pub inputs: BTreeMap<String, Finished>,
    /// Counted lengths of the rollouts behind the inputs.
    pub lengths: Vec<Finished>,
    /// Which files may be read.
    pub access: &'a Access,
    /// What the stage may use of the machine.
    pub machine: Machine,
    /// Counts tokens of the model to be trained.
    pub tokenizer: Option<&'a Tokenizer>,
    /// Where single samples are kept until the stage is whole.
    pub journal: PathBuf,
    /// Told of progress.
    pub observer: &'a dyn Observer,
    /// Set when the user wants to stop.
    pub cancel: &'a AtomicBool,
}

impl Context<'_> {
    /// The input that `reads` names.
    pub fn input(&self, reads: &str) -> Result<&Finished, PipelineError> {
        self.inputs.get(reads).ok_or_else(|| self.fail(format!("has no input `{reads}`")))
    }

    /// The seed of one unit of work.
    pub fn seed(&self, prompt_id: &str, sample_index: u32) -> u64 {
        derive_seed(self.run_seed, self.stage, prompt_id, sample_index)
    }

    /// Starts the output table of rows `T`.
    pub fn writer<T: Row>(&self) -> Result<TableWriter<T>, PipelineError> {
        Ok(TableWriter::create(&self.out.path().join(T::TABLE), ShardLimits::default())?)
    }

    /// Says that the stage begins.
    pub fn started(&self, kind: &str, total: Option<u64>, unit: &str) {
        self.observer.event(Event::Started { stage: self.stage, kind, total, unit });
    }

    /// Says how far the stage is, and stops it when the user wants to.
    pub fn advanced(&self, done: u64, note: &str) -> Result<(), PipelineError> {
        self.observer.event(Event::Advanced { stage: self.stage, done, note });
        if self.cancel.load(Ordering::Relaxed) {
            return Err(PipelineError::Interrupted { stage: self.stage.to_owned() });
        }
        Ok(())
    }

    /// Says something that a person should know.
    pub fn warn(&self, message: &str) {
        self.observer.event(Event::Warning { stage: self.stage, message });
    }

    /// An error of this stage.
    pub fn fail(&self, reason: impl Into<String>) -> PipelineError {
        PipelineError::stage(self.stage, reason)
    }
}

/// What a stage made.
#[derive(Debug, Default)]
pub struct Made {
    /// Tables, by name.
    pub tables: BTreeMap<String, TableFiles>,
    /// Other files.
    pub files: Vec<FileDigest>,
    /// Counts for reports.
    pub facts: Value,
    /// One line for people.
    pub summary: String,
}

impl Made {
    /// Adds the files of the checkpoint that stands in the output's folder, after making them durable.
    pub fn add_checkpoint(&mut self, out: &PendingFolder) -> Result<(), PipelineError> {
        abort_point("checkpoint-written");
        self.add_folder(out, CHECKPOINT)
    }

    /// Adds the files of the folder called `name` in the output's folder, after making them durable.
    pub fn add_folder(&mut self, out: &PendingFolder, name: &str) -> Result<(), PipelineError> {
        let folder = out.path().join(name);
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .map_err(PipelineError::io("read", &folder))?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        for file in names {
            let path = folder.join(&file);
            let synced = std::fs::File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(PipelineError::io("write", &path))?;
            self.files.push(file_digest(&path, &format!("{name}/{file}"))?);
        }
        Ok(sync_folder(&folder)?)
    }

    /// Adds the finished table of rows `T`.
    pub fn add<T: Row>(&mut self, writer: TableWriter<T>) -> Result<(), PipelineError> {
        self.tables.insert(T::TABLE.to_owned(), writer.finish()?);
        Ok(())
    }
}

/// Does the work of one node.
pub fn execute(work: &Work, context: &Context<'_>) -> Result<Made, PipelineError> {
    match work {
        Work::Lengths => lengths::run(context),
        Work::Stage(Stage::Import(settings)) => settings.run(context),
        Work::Stage(Stage::Synthesize(settings)) => settings.run(context),
        Work::Stage(Stage::Sample(settings)) => settings.run(context),
        Work::Stage(Stage::Verify(settings)) => settings.run(context),
        Work::Stage(Stage::Judge(settings)) => settings.run(context),
        Work::Stage(Stage::Filter(settings)) => settings.run(context),
        Work::Stage(Stage::Select(settings)) => settings.run(context),
        Work::Stage(Stage::Pair(settings)) => settings.run(context),
        Work::Stage(Stage::Compose(settings)) => settings.run(context),
        Work::Stage(Stage::Train(settings)) => settings.run(context),
        Work::Stage(Stage::Merge(settings)) => settings.run(context),
        Work::Stage(Stage::Evaluate(settings)) => settings.run(context),
        Work::Stage(Stage::Export(settings)) => settings.run(context),
        Work::Stage(Stage::Report(settings)) => settings.run(context),
    }
}

/// The documentation of a stage kind.
pub fn explain(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "import" => include_str!("import/explain.md"),
        "synthesize" => include_str!("explain/synthesize.md"),
        "sample" => include_str!("explain/sample.md"),
        "verify" => include_str!("explain/verify.md"),
        "judge" => include_str!("explain/judge.md"),
        "filter" => include_str!("explain/filter.md"),
        "select" => include_str!("explain/select.md"),
        "pair" => include_str!("explain/pair.md"),
        "compose" => include_str!("explain/compose.md"),
        "train" => include_str!("explain/train.md"),
        "merge" => include_str!("explain/merge.md"),
        "evaluate" => include_str!("explain/evaluate.md"),
        "export" => include_str!("explain/export.md"),
        "report" => include_str!("explain/report.md"),
        _ => return None,
    })
}
