//! Finished stages as inputs of others.

use crate::error::PipelineError;
use crate::lineage::{Lineage, Origin};
use crate::manifest::{FORMAT, KeyParts, Manifest, read_manifest};
use crate::output_kind::OutputKind;
use retort_records::Row;
use retort_tables::{Columns, FileDigest, Scan, scan_all};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder inside a stage's output that holds its checkpoint.
pub const CHECKPOINT: &str = "checkpoint";

/// Stands for the stage kind of a checkpoint that no stage made.
const OUTSIDE: &str = "checkpoint folder";

/// Whether `folder` is no finished stage but looks like a Hugging Face checkpoint, whole or not: settings of a model or of an
/// adapter, or weights, stand in it. What is missing or wrong is said by those who read it.
pub fn is_checkpoint(folder: &Path) -> bool {
    let signs = ["config.json", "adapter_config.json", "model.safetensors", "model.safetensors.index.json"];
    !folder.join(Manifest::FILE).is_file() && signs.iter().any(|name| folder.join(name).is_file())
}

/// The last part of a path, or a stage's name as it is.
pub fn label(name: &str) -> &str {
    name.trim_end_matches('/').rsplit('/').next().unwrap_or(name)
}

/// The files of a checkpoint folder that can change what it computes, in the order of their names.
fn checkpoint_files(folder: &Path) -> Result<Vec<PathBuf>, PipelineError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(PipelineError::io("read", folder))? {
        let path = entry.map_err(PipelineError::io("read", folder))?.path();
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && ["json", "safetensors", "jinja", "model", "txt"].contains(&extension.as_str()) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A finished stage, found in a store.
#[derive(Debug, Clone)]
pub struct Finished {
    /// What the user calls it: a stage's name or a path.
    pub name: String,
    /// Its key.
    pub key: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its record.
    pub manifest: Manifest,
}

impl Finished {
    /// The finished stage in `folder`, following links.
    pub fn open(name: &str, folder: &Path) -> Result<Self, PipelineError> {
        let folder = folder.canonicalize().map_err(PipelineError::io("read", folder))?;
        let not = |reason: String| {
            PipelineError::argument(format!("`{}` is not a finished stage: {reason}", folder.display()))
        };
        let manifest = read_manifest(&folder).map_err(not)?;
        let manifest = manifest.ok_or_else(|| not(format!("it has no {}", Manifest::FILE)))?;
        let key = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name: name.to_owned(), key, folder, manifest })
    }

    /// A checkpoint folder that no stage made; `digest` gives a file's SHA-256.
    pub fn outside_checkpoint(
        name: &str,
        folder: &Path,
        digest: &dyn Fn(&Path) -> Result<String, PipelineError>,
    ) -> Result<Self, PipelineError> {
        let folder = folder.canonicalize().map_err(PipelineError::io("read", folder))?;
        let mut files = Vec::new();
        for path in checkpoint_files(&folder)? {
            let bytes = path.metadata().map_err(PipelineError::io("read", &path))?.len();
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push(FileDigest { path: file, bytes, sha256: digest(&path)? });
        }
        let key = KeyParts {
            kind: OUTSIDE.to_owned(),
            name: None,
            code_version: 1,
            settings: serde_json::Value::Null,
            seed: None,
            inputs: BTreeMap::new(),
            files: BTreeMap::new(),
            versions: BTreeMap::new(),
        };
        let manifest = Manifest {
            format: FORMAT,
            retort: env!("CARGO_PKG_VERSION").into(),
            output: OutputKind::Checkpoint,
            key,
            tables: BTreeMap::new(),
            files,
            lineage: Lineage::default(),
            facts: serde_json::Value::Null,
            summary: String::new(),
        };
        Ok(Self { name: name.to_owned(), key: String::new(), folder, manifest })
    }

    /// The Hugging Face folder of a checkpoint.
    pub fn checkpoint_folder(&self) -> PathBuf {
        if self.manifest.key.kind == OUTSIDE { self.folder.clone() } else { self.folder.join(CHECKPOINT) }
    }

    /// What tables and figures call a checkpoint: the stage's name, or the last part of a path.
    pub fn label(&self) -> &str {
        label(&self.name)
    }

    /// The finished stages that hold the rows of table `table` that this output has or was made of.
    pub fn origins(&self, table: &str) -> Vec<Origin> {
        if self.manifest.tables.contains_key(table) {
            return vec![Origin::of(&self.folder, self.store())];
        }
        self.manifest.lineage.of(table).to_vec()
    }

    /// The folders of table `table`: its own, or those in the stages it was made of.
    pub fn table_folders(&self, table: &str) -> Vec<PathBuf> {
        self.origins(table).iter().map(|origin| origin.folder(self.store()).join(table)).collect()
    }

    /// Reads the columns that `T` names of their table, from this output or from those it was made of, one after the other.
    pub fn rows<T: Columns>(&self) -> Result<Scan<T>, PipelineError> {
        let table = T::Table::TABLE;
        let folders = self.table_folders(table);
        if folders.is_empty() {
            let reason = format!("`{}` has no table `{table}` and was made of none", self.name);
            return Err(PipelineError::argument(reason));
        }
        Ok(scan_all(&folders)?)
    }

    /// The folder with all finished stages among which this one stands.
    pub(crate) fn store(&self) -> &Path {
        self.folder.parent().unwrap_or(Path::new("/"))
    }
}
