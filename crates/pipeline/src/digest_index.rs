//! Hashes of files outside the store, so that each is read once as long as it stays the same.

use crate::error::PipelineError;
use crate::write_atomically::write_atomically;
use retort_tables::{FileDigest, file_digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The hashes known so far, in one file.
#[derive(Debug, Clone)]
pub struct DigestIndex {
    path: PathBuf,
}

impl DigestIndex {
    /// The index in the file at `path`.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// SHA-256 of a local file. Hashed once; later only when size, modification time or inode differ.
    pub fn sha256(&self, file: &Path) -> Result<String, PipelineError> {
        let mut known: BTreeMap<String, KnownFile> =
            std::fs::read(&self.path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let found = file.metadata().map_err(PipelineError::io("read", file))?;
        let stamp = Stamp {
            bytes: found.len(),
            modified_ns: i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec()),
            inode: found.ino(),
        };
        let name = file.to_string_lossy().into_owned();
        if let Some(known) = known.get(&name).filter(|known| known.stamp == stamp) {
            return Ok(known.sha256.clone());
        }
        let FileDigest { sha256, .. } = file_digest(file, &name)?;
        known.insert(name, KnownFile { stamp, sha256: sha256.clone() });
        let text = serde_json::to_vec_pretty(&known).map_err(PipelineError::json("known hashes"))?;
        write_atomically(&self.path, &text)?;
        Ok(sha256)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct KnownFile {
    stamp: Stamp,
    sha256: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    modified_ns: i128,
    inode: u64,
}
