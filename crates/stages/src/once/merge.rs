//! Merges checkpoint folders by a file of mergekit's: the work of the command `retort merge`.

use crate::error::StageError;
use retort_pipeline::PipelineError;
use retort_weights::{Checkpoint, MergeSettings, Merged, TensorDistances, distances, merge};
use std::path::{Path, PathBuf};

/// A merge whose checkpoints are open.
pub struct OpenedMerge {
    settings: MergeSettings,
    checkpoints: Vec<(String, Checkpoint)>,
}

impl OpenedMerge {
    /// Reads the settings in `file` and opens the folders that they name: paths from where the program was started, or else
    /// from where the file lies.
    pub fn open(file: &Path) -> Result<Self, PipelineError> {
        let text = std::fs::read_to_string(file).map_err(PipelineError::io("read", file))?;
        let wrong = |reason: String| PipelineError::argument(format!("`{}`: {reason}", file.display()));
        let settings: MergeSettings = serde_saphyr::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        settings.check().map_err(|error| wrong(error.to_string()))?;
        let beside = file.parent().unwrap_or(Path::new(""));
        let mut checkpoints = Vec::new();
        for name in settings.inputs() {
            let folder = [PathBuf::from(name), beside.join(name)].into_iter().find(|folder| folder.is_dir());
            let folder = folder.ok_or_else(|| {
                wrong(format!("there is no folder `{name}`")).with_hint("download the model first, and name its folder")
            })?;
            checkpoints.push((name.to_owned(), Checkpoint::open(&folder).map_err(StageError::from)?));
        }
        Ok(Self { settings, checkpoints })
    }

    fn inputs(&self) -> Vec<(&str, &Checkpoint)> {
        self.checkpoints.iter().map(|(name, checkpoint)| (name.as_str(), checkpoint)).collect()
    }

    /// Merges into the folder `out`, which must not exist yet; it appears whole.
    pub fn merge(&self, seed: u64, out: &Path) -> Result<Merged, PipelineError> {
        if out.exists() {
            return Err(PipelineError::argument(format!("`{}` is there already", out.display()))
                .with_hint("name another folder, or remove this one"));
        }
        // A name that nobody else gives: what stands there is what a killed merge left, and is made again.
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let partial = out.with_file_name(format!(".{name}.retort-merge"));
        if partial.exists() {
            std::fs::remove_dir_all(&partial).map_err(PipelineError::io("remove", &partial))?;
        }
        let merged = merge(&self.settings, &self.inputs(), seed, &partial).map_err(StageError::from)?;
        std::fs::rename(&partial, out).map_err(PipelineError::io("write", out))?;
        Ok(merged)
    }

    /// How far apart the models are, tensor by tensor.
    pub fn distances(&self) -> Result<Vec<TensorDistances>, PipelineError> {
        Ok(distances(&self.settings, &self.inputs()).map_err(StageError::from)?)
    }
}
