//! Finished stages as inputs of others.

use crate::error::PipelineError;
use crate::manifest::Manifest;
use crate::store::read_manifest;
use retort_records::Row;
use retort_tables::{Scan, scan};
use std::path::{Path, PathBuf};

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
        let manifest = read_manifest(&folder).ok_or_else(|| {
            PipelineError::Argument(format!(
                "`{}` is not a finished stage: it has no readable {}",
                folder.display(),
                Manifest::FILE
            ))
        })?;
        let key = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name: name.to_owned(), key, folder, manifest })
    }

    /// The key of the output that holds table `table`: this one or one it was made of.
    pub fn key_of(&self, table: &str) -> Option<&str> {
        if self.manifest.tables.contains_key(table) {
            return Some(&self.key);
        }
        self.manifest.lineage.get(table).map(String::as_str)
    }

    /// The folder of table `table`.
    pub fn table_folder(&self, table: &str) -> Option<PathBuf> {
        let key = self.key_of(table)?;
        let output = if key == self.key { self.folder.clone() } else { self.folder.parent()?.join(key) };
        Some(output.join(table))
    }

    /// Reads the rows of table `T`, from this output or from one it was made of.
    pub fn rows<T: Row>(&self) -> Result<Scan<T>, PipelineError> {
        let folder = self.table_folder(T::TABLE).ok_or_else(|| {
            PipelineError::Argument(format!("`{}` has no table `{}` and was made of none", self.name, T::TABLE))
        })?;
        Ok(scan(&folder)?)
    }
}
