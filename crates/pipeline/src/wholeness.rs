//! Whether a finished stage's files are still what they were when they were written.

use crate::digest_index::DigestIndex;
use crate::manifest::Manifest;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

/// What is different in `folder` from what `manifest` says, a phrase each; nothing when all is as it was.
pub fn damage(folder: &Path, manifest: &Manifest, digests: &DigestIndex) -> Vec<String> {
    let files = manifest.all_files();
    let mut changes: Vec<String> = Vec::new();
    for file in &files {
        let (path, name) = (folder.join(&file.path), &file.path);
        let found = match path.metadata() {
            Ok(found) => found,
            Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
                changes.push(format!("`{name}` is gone"));
                continue;
            }
            Err(error) => {
                changes.push(format!("`{name}` cannot be read: {error}"));
                continue;
            }
        };
        if !found.is_file() {
            changes.push(format!("`{name}` is no file any more"));
        } else if found.len() != file.bytes {
            changes.push(format!("`{name}` has {} bytes, had {}", found.len(), file.bytes));
        } else {
            match digests.sha256(&path) {
                Ok(sha256) if sha256 == file.sha256 => {}
                Ok(_) => changes.push(format!("`{name}` has another content")),
                Err(error) => changes.push(format!("`{name}`: {error}")),
            }
        }
    }
    // A table is all the shards in its folder: one that was put there would be read.
    let known: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for table in manifest.tables.keys() {
        for entry in std::fs::read_dir(folder.join(table)).into_iter().flatten().flatten() {
            let name = format!("{table}/{}", entry.file_name().to_string_lossy());
            if !known.contains(name.as_str()) {
                changes.push(format!("`{name}` was not there"));
            }
        }
    }
    changes.sort();
    changes
}

/// The changes as one phrase; of many, the first.
pub fn in_words(changes: &[String]) -> String {
    const SHOWN: usize = 3;
    let more = changes.len().saturating_sub(SHOWN);
    let shown = changes[..changes.len().min(SHOWN)].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
