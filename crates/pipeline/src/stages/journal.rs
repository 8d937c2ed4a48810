//! Finished samples of a stage that is not whole yet: appended and made durable as they come, so that a killed run loses
//! only what was in flight.

use crate::error::PipelineError;
use retort_records::{Rollout, Telemetry};
use retort_teacher::Spend;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What the journal keeps of one sample.
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry {
    pub rollout_id: String,
    #[serde(flatten)]
    pub outcome: Outcome,
    pub telemetry: Telemetry,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Rollout(Box<Rollout>),
    Dropped { drop_reason: String, message: String },
}

/// Finished samples, one JSON line each, appended and made durable as they come.
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Offset of each sample's line.
    index: BTreeMap<String, u64>,
    bytes: u64,
    spend: Spend,
}

impl Journal {
    /// Opens or creates the journal; a line that a crash cut off is removed.
    pub fn open(folder: &Path) -> Result<Self, PipelineError> {
        std::fs::create_dir_all(folder).map_err(PipelineError::io("create", folder))?;
        let path = folder.join("samples.jsonl");
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .append(true)
            .open(&path)
            .map_err(PipelineError::io("open", &path))?;
        let mut journal = Self { path, file, index: BTreeMap::new(), bytes: 0, spend: Spend::default() };
        journal.load().map_err(PipelineError::io("read", &journal.path))?;
        Ok(journal)
    }

    fn load(&mut self) -> std::io::Result<()> {
        let mut reader = BufReader::new(&self.file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)? as u64;
            match serde_json::from_slice::<Entry>(&line) {
                Ok(entry) if line.ends_with(b"\n") => {
                    self.spend.cost += entry.telemetry.cost.unwrap_or_default();
                    if let Outcome::Rollout(rollout) = &entry.outcome {
                        let count = |tokens: Option<u32>| u64::from(tokens.unwrap_or_default());
                        self.spend.tokens += count(rollout.prompt_tokens) + count(rollout.completion_tokens);
                    }
                    self.index.insert(entry.rollout_id, self.bytes);
                    self.bytes += read;
                }
                _ => break,
            }
        }
        self.file.set_len(self.bytes)
    }

    /// What the samples so far have cost.
    pub fn spent(&self) -> Spend {
        self.spend
    }

    /// Number of finished samples.
    pub fn finished(&self) -> u64 {
        self.index.len() as u64
    }

    /// Ids of all finished samples.
    pub fn ids(&self) -> std::collections::BTreeSet<String> {
        self.index.keys().cloned().collect()
    }

    /// Whether a sample is finished.
    pub fn holds(&self, rollout_id: &str) -> bool {
        self.index.contains_key(rollout_id)
    }

    /// Adds one finished sample.
    pub fn append(&mut self, entry: &Entry) -> Result<(), PipelineError> {
        self.append_all(std::slice::from_ref(entry))
    }

    /// Adds finished samples, made durable together.
    pub fn append_all(&mut self, entries: &[Entry]) -> Result<(), PipelineError> {
        let (mut lines, mut places) = (Vec::new(), Vec::with_capacity(entries.len()));
        for entry in entries {
            places.push((entry.rollout_id.clone(), self.bytes + lines.len() as u64));
            serde_json::to_writer(&mut lines, entry)
                .map_err(|error| PipelineError::io("write", &self.path)(error.into()))?;
            lines.push(b'\n');
        }
        retort_tables::abort_point("before-sample");
        let written = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        written.map_err(PipelineError::io("write", &self.path))?;
        retort_tables::abort_point("after-sample");
        self.index.extend(places);
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// A finished sample.
    pub fn read(&mut self, rollout_id: &str) -> Result<Entry, PipelineError> {
        let offset = *self.index.get(rollout_id).ok_or_else(|| {
            PipelineError::Argument(format!("the journal `{}` has no sample `{rollout_id}`", self.path.display()))
        })?;
        let mut line = String::new();
        let read = (|| -> std::io::Result<Entry> {
            self.file.seek(SeekFrom::Start(offset))?;
            BufReader::new(Read::by_ref(&mut self.file)).read_line(&mut line)?;
            Ok(serde_json::from_str(&line)?)
        })();
        read.map_err(PipelineError::io("read", &self.path))
    }
}
