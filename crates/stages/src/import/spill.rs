//! Rollouts put aside until all rows are known, then given back in the order of their positions.

use retort_pipeline::PipelineError;
use retort_records::Rollout;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Prompt ordinal, teacher ordinal, sample index: the order of a table of rollouts.
pub type Position = (u64, u32, u32);

/// Rollouts on disk with only their positions in memory (24 bytes a rollout), to be read back in order.
pub struct Spill {
    path: PathBuf,
    file: BufWriter<File>,
    index: Vec<(Position, u64)>,
    bytes: u64,
}

impl Spill {
    /// An empty spill inside `folder`.
    pub fn create(folder: &Path) -> Result<Self, PipelineError> {
        let path = folder.join(".spill");
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(PipelineError::io("create", &path))?;
        Ok(Self { path, file: BufWriter::new(file), index: Vec::new(), bytes: 0 })
    }

    /// Puts one rollout aside.
    pub fn push(&mut self, position: Position, rollout: &Rollout) -> Result<(), PipelineError> {
        let mut line = serde_json::to_vec(rollout).map_err(PipelineError::json("a rollout"))?;
        line.push(b'\n');
        self.index.push((position, self.bytes));
        self.bytes += line.len() as u64;
        self.file.write_all(&line).map_err(PipelineError::io("write", &self.path))
    }

    /// Gives all rollouts in order and removes the file.
    pub fn drain_ordered(
        mut self,
        mut take: impl FnMut(Rollout) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        let error = |path: &Path| PipelineError::io("read", path.to_owned());
        self.index.sort_unstable();
        let file = self.file.into_inner().map_err(|failed| error(&self.path)(failed.into_error()))?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        reader.rewind().map_err(error(&self.path))?;
        let (mut at, mut line) = (0_u64, String::new());
        for (_, offset) in &self.index {
            if *offset == at {
                // Rows that are already in order are read straight through.
            } else {
                reader.seek(SeekFrom::Start(*offset)).map_err(error(&self.path))?;
            }
            line.clear();
            at = offset + reader.read_line(&mut line).map_err(error(&self.path))? as u64;
            let rollout = serde_json::from_str(&line).map_err(|cause| error(&self.path)(cause.into()))?;
            take(rollout)?;
        }
        std::fs::remove_file(&self.path).map_err(PipelineError::io("remove", &self.path))
    }
}
