//! What a stage works with, and what it gives back.

use crate::error::PipelineError;
use crate::finished::{CHECKPOINT, Finished};
use crate::observe::{Event, Observer};
use crate::stage_kind::Surroundings;
use retort_records::{Row, derive_seed};
use retort_tables::{
    FileDigest, PendingFolder, ShardLimits, TableFiles, TableWriter, abort_point, file_digest, sync_folder,
};
use serde::Serialize;
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
    /// The inputs, by slot.
    pub inputs: BTreeMap<String, Finished>,
    /// The derived stages that the stage needs.
    pub derived: Vec<Finished>,
    /// The file around the stage.
    pub around: Surroundings<'a>,
    /// Where single samples are kept until the stage is whole.
    pub journal: PathBuf,
    /// Whether damaged lines of journals are moved out of the way instead of stopping the stage.
    pub mend: bool,
    /// Told of progress.
    pub observer: &'a dyn Observer,
    /// Set when the user wants to stop.
    pub cancel: &'a AtomicBool,
}

impl Context<'_> {
    /// The input in `slot`.
    pub fn input(&self, slot: &str) -> Result<&Finished, PipelineError> {
        self.inputs.get(slot).ok_or_else(|| self.fail(format!("has no input `{slot}`")))
    }

    /// The local path that `written` names.
    pub fn locate(&self, written: &str) -> Result<PathBuf, PipelineError> {
        self.around.resolver.locate(written).map_err(|reason| self.fail(reason))
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

    /// Says that `done` units are there because an earlier run did what is new in them, and stops the stage when the user
    /// wants to.
    pub fn resumed(&self, done: u64) -> Result<(), PipelineError> {
        self.observer.event(Event::Resumed { stage: self.stage, done });
        self.unless_cancelled()
    }

    /// Says how far the stage is, and stops it when the user wants to.
    pub fn advanced(&self, done: u64, note: &str) -> Result<(), PipelineError> {
        self.observer.event(Event::Advanced { stage: self.stage, done, note });
        self.unless_cancelled()
    }

    fn unless_cancelled(&self) -> Result<(), PipelineError> {
        if self.cancel.load(Ordering::Relaxed) { Err(self.interrupted()) } else { Ok(()) }
    }

    /// Says something that a person should know.
    pub fn warn(&self, message: &str) {
        self.observer.event(Event::Warning { stage: self.stage, message });
    }

    /// An error of this stage.
    pub fn fail(&self, reason: impl Into<String>) -> PipelineError {
        PipelineError::stage(self.stage, reason)
    }

    /// The error of a stage that is left without rows; `reason` says where they went.
    pub fn no_rows(&self, reason: impl Into<String>) -> PipelineError {
        PipelineError::NoRows { stage: self.stage.to_owned(), reason: reason.into(), hint: None }
    }

    /// The error of a stage that was stopped by the user.
    pub fn interrupted(&self) -> PipelineError {
        PipelineError::Interrupted { stage: self.stage.to_owned() }
    }
}

/// What a stage may look at to forecast its work.
pub struct PlannedInputs<'a> {
    /// The stage's name.
    pub stage: &'a str,
    /// The inputs that are there, by slot.
    pub inputs: BTreeMap<String, Finished>,
    /// The file around the stage.
    pub around: Surroundings<'a>,
}

impl PlannedInputs<'_> {
    /// The input in `slot`, if it is there.
    pub fn input(&self, slot: &str) -> Option<&Finished> {
        self.inputs.get(slot)
    }

    /// Rows of the table `table` of the input in `slot`, if it is there.
    pub fn rows_of(&self, slot: &str, table: &str) -> Option<u64> {
        self.input(slot)?.manifest.tables.get(table).map(|table| table.rows)
    }
}

/// What a stage made.
#[derive(Debug, Default)]
pub struct StageOutput {
    /// Tables, by name.
    pub tables: BTreeMap<String, TableFiles>,
    /// Other files.
    pub files: Vec<FileDigest>,
    /// What the stage tells of itself: its kind's facts as JSON.
    pub(crate) facts: Value,
    /// One line for people.
    pub summary: String,
}

impl StageOutput {
    /// The finished output with what its kind tells of it, and one line for people.
    pub fn with_facts(mut self, facts: &impl Serialize, summary: impl Into<String>) -> Result<Self, PipelineError> {
        self.facts = serde_json::to_value(facts).map_err(PipelineError::json("a stage's facts"))?;
        self.summary = summary.into();
        Ok(self)
    }

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
