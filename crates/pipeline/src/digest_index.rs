//! Hashes of files, so that each is read once as long as it stays the same.

use crate::error::PipelineError;
use crate::sealed::{holds, seal};
use crate::write_atomically::write_atomically;
use retort_tables::file_digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The hashes known so far; kept in one file of the store when the index is dropped, unless it only reads.
#[derive(Debug)]
pub struct DigestIndex {
    path: PathBuf,
    writes: bool,
    known: Mutex<Known>,
}

/// What the file holds. Anything wrong with it only means that files are hashed once more.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    files: BTreeMap<String, KnownFile>,
    #[serde(skip)]
    changed: bool,
}

impl DigestIndex {
    /// The index in the file at `path`; `writes` says whether what is learned is kept there.
    pub(crate) fn at(path: PathBuf, writes: bool) -> Self {
        let text = std::fs::read(&path).ok().filter(|text| holds(text) == Some(true));
        let known = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { path, writes, known: Mutex::new(known) }
    }

    /// SHA-256 of a local file. Hashed once; later only when its size, modification time, change time or inode differ.
    pub fn sha256(&self, file: &Path) -> Result<String, PipelineError> {
        let stamp = Stamp::of(&file.metadata().map_err(PipelineError::io("read", file))?);
        let name = file.to_string_lossy().into_owned();
        if let Some(known) = self.known().files.get(&name).filter(|known| known.vouches_for(&stamp)) {
            return Ok(known.sha256.clone());
        }
        let seen_ns = now_ns();
        let sha256 = file_digest(file, &name)?.sha256;
        self.keep(name, KnownFile { stamp, seen_ns, sha256: sha256.clone() });
        Ok(sha256)
    }

    /// Notes the hash of a file that was just written.
    pub(crate) fn note(&self, file: &Path, sha256: &str) {
        if let Ok(found) = file.metadata() {
            let known = KnownFile { stamp: Stamp::of(&found), seen_ns: now_ns(), sha256: sha256.to_owned() };
            self.keep(file.to_string_lossy().into_owned(), known);
        }
    }

    /// Forgets everything inside `folder`.
    pub(crate) fn forget(&self, folder: &Path) {
        let mut known = self.known();
        let before = known.files.len();
        known.files.retain(|file, _| !Path::new(file).starts_with(folder));
        known.changed |= known.files.len() < before;
    }

    /// Keeps what is known for the next process. What cannot be kept is hashed again then: that is no error.
    pub(crate) fn flush(&self) {
        let mut known = self.known();
        if self.writes && known.changed {
            let kept = seal(&*known, "known hashes").and_then(|text| write_atomically(&self.path, &text));
            known.changed = kept.is_err();
        }
    }

    fn keep(&self, name: String, file: KnownFile) {
        let mut known = self.known();
        known.files.insert(name, file);
        known.changed = true;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DigestIndex {
    fn drop(&mut self) {
        self.flush();
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct KnownFile {
    stamp: Stamp,
    /// When the file was hashed or written.
    seen_ns: i128,
    sha256: String,
}

/// File systems count time in ticks of up to 10 ms: a second edit within one tick leaves no trace.
const TICK_NS: i128 = 20_000_000;

impl KnownFile {
    /// Whether a file with `stamp` must still be the one that was hashed.
    fn vouches_for(&self, stamp: &Stamp) -> bool {
        self.stamp == *stamp && stamp.changed_ns + TICK_NS < self.seen_ns
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    modified_ns: i128,
    changed_ns: i128,
    inode: u64,
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            bytes: found.len(),
            modified_ns: nanoseconds(found.mtime(), found.mtime_nsec()),
            changed_ns: nanoseconds(found.ctime(), found.ctime_nsec()),
            inode: found.ino(),
        }
    }
}

fn now_ns() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| i128::try_from(time.as_nanos()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_that_keeps_size_and_modification_time_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (file, at) = (folder.path().join("a"), folder.path().join("index"));
        std::fs::write(&file, "one").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
        let one = DigestIndex::at(at.clone(), true).sha256(&file).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        std::fs::write(&file, "two").unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        let two = DigestIndex::at(at.clone(), true).sha256(&file).unwrap();
        assert_ne!(one, two);
        // An index that was edited itself is not believed.
        let text = std::fs::read_to_string(&at).unwrap();
        std::fs::write(&at, text.replace(&two, &one)).unwrap();
        assert_eq!(DigestIndex::at(at, true).sha256(&file).unwrap(), two);
    }

    #[test]
    fn an_index_that_only_reads_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (file, at) = (folder.path().join("a"), folder.path().join("index"));
        std::fs::write(&file, "one").unwrap();
        DigestIndex::at(at.clone(), false).sha256(&file).unwrap();
        assert!(!at.exists());
    }
}
