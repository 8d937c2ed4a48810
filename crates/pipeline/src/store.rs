//! Finished stages at rest: `store/KEY/` holds each output once, `runs/NAME/STAGE` points at it.

use crate::digest_index::DigestIndex;
use crate::error::PipelineError;
use crate::manifest::{Manifest, read_manifest};
use retort_tables::{PendingFolder, TableError, file_digest};
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The folder that results go to (`--out`).
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// Held while a run works; released when dropped.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

/// What `gc` did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Outputs removed.
    pub outputs: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// Journals of unfinished stages that were kept, because their samples may have cost money.
    pub unfinished: usize,
}

/// What `verify-data` found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Files that are as they were written.
    pub good: usize,
    /// Files that are missing or changed.
    pub bad: Vec<BadFile>,
}

/// A stored file that is missing or changed.
#[derive(Debug)]
pub struct BadFile {
    /// Where it stands.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl Store {
    /// The store under `out`, which is created when needed.
    pub fn open(out: &Path) -> Result<Self, PipelineError> {
        let root = std::path::absolute(out).map_err(PipelineError::io("use", out))?;
        for folder in [root.join("store"), root.join("runs")] {
            std::fs::create_dir_all(&folder).map_err(PipelineError::io("create", &folder))?;
        }
        Ok(Self { root })
    }

    /// Takes the lock of the whole folder, or says who holds it.
    pub fn lock(&self) -> Result<StoreLock, PipelineError> {
        let path = self.root.join("store/.lock");
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(PipelineError::io("lock", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let _ = file.read_to_string(&mut process);
                return Err(PipelineError::Locked { path: self.root.clone(), process: process.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(PipelineError::io("lock", &path)(error)),
        }
        let id = std::process::id().to_string();
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(id.as_bytes()));
        written.map_err(PipelineError::io("lock", &path))?;
        Ok(StoreLock { _file: file })
    }

    /// Where the output with `key` stands or will stand.
    pub fn folder(&self, key: &str) -> PathBuf {
        self.root.join("store").join(key)
    }

    /// Where a stage that works sample by sample keeps what is done.
    pub fn journal(&self, key: &str) -> PathBuf {
        self.root.join("store").join(format!("{key}.journal"))
    }

    /// Where the results of the pipeline called `name` stand.
    pub fn run_folder(&self, name: &str) -> PathBuf {
        self.root.join("runs").join(name)
    }

    /// The record of the output with `key`, if it is complete and its files have the sizes they were written with.
    pub fn manifest(&self, key: &str) -> Option<Manifest> {
        let folder = self.folder(key);
        let manifest = read_manifest(&folder)?;
        let whole = manifest
            .all_files()
            .iter()
            .all(|file| folder.join(&file.path).metadata().is_ok_and(|found| found.len() == file.bytes));
        whole.then_some(manifest)
    }

    /// The key that `runs/NAME/STAGE` points at.
    pub fn pointed(&self, run: &str, stage: &str) -> Option<String> {
        let target = std::fs::read_link(self.run_folder(run).join(stage)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// Points `runs/NAME/STAGE` at the output with `key`.
    pub fn point(&self, run: &str, stage: &str, key: &str) -> Result<(), PipelineError> {
        let folder = self.run_folder(run);
        std::fs::create_dir_all(&folder).map_err(PipelineError::io("create", &folder))?;
        let (link, temporary) = (folder.join(stage), folder.join(format!(".{stage}.partial")));
        let _ = std::fs::remove_file(&temporary);
        std::os::unix::fs::symlink(Path::new("../../store").join(key), &temporary)
            .and_then(|()| std::fs::rename(&temporary, &link))
            .map_err(PipelineError::io("point", &link))
    }

    /// The keys that runs point at.
    fn pointed_keys(&self) -> Result<Vec<String>, PipelineError> {
        let mut keys = Vec::new();
        for run in names(&self.root.join("runs"))? {
            for stage in names(&self.run_folder(&run))? {
                keys.extend(self.pointed(&run, &stage));
            }
        }
        Ok(keys)
    }

    /// Removes every output and leftover that no run points to, directly or through the origins of what it points to.
    /// Journals of unfinished stages stay unless `unfinished` asks for them too. `dry` only counts.
    pub fn gc(&self, dry: bool, unfinished: bool) -> Result<Freed, PipelineError> {
        let mut used: BTreeSet<String> = BTreeSet::new();
        for key in self.pointed_keys()? {
            if let Some(manifest) = read_manifest(&self.folder(&key)) {
                used.extend(manifest.lineage.into_values());
            }
            used.insert(key);
        }
        let mut freed = Freed::default();
        let root = self.root.join("store");
        for name in names(&root)? {
            let path = root.join(&name);
            if let Some(key) = name.strip_suffix(".journal")
                && !self.folder(key).exists()
                && !unfinished
            {
                freed.unfinished += 1;
                continue;
            }
            let key = name.trim_end_matches(PendingFolder::SUFFIX);
            let leftover = name.ends_with(PendingFolder::SUFFIX) || name.ends_with(".journal");
            if name.starts_with('.') || (used.contains(key) && !leftover) || !path.is_dir() {
                continue;
            }
            freed.outputs += 1;
            freed.bytes += size_of(&path);
            if !dry {
                std::fs::remove_dir_all(&path).map_err(PipelineError::io("remove", &path))?;
            }
        }
        Ok(freed)
    }

    /// Hashes every file of every output again.
    pub fn verify_data(&self) -> Result<VerifyReport, PipelineError> {
        let mut report = VerifyReport::default();
        let root = self.root.join("store");
        for name in names(&root)? {
            let folder = root.join(&name);
            let Some(manifest) = read_manifest(&folder) else { continue };
            for file in manifest.all_files() {
                let path = folder.join(&file.path);
                let reason = match file_digest(&path, &file.path) {
                    Ok(found) if found == file => {
                        report.good += 1;
                        continue;
                    }
                    Ok(found) => format!("SHA-256 is {}, was {} when it was written", found.sha256, file.sha256),
                    Err(error) => error.to_string(),
                };
                report.bad.push(BadFile { path, reason });
            }
        }
        Ok(report)
    }

    /// The known hashes of files outside the store.
    pub fn digests(&self) -> DigestIndex {
        DigestIndex::at(self.root.join("store/.inputs.json"))
    }
}

fn names(folder: &Path) -> Result<Vec<String>, PipelineError> {
    let mut names = Vec::new();
    if folder.is_dir() {
        for entry in std::fs::read_dir(folder).map_err(PipelineError::io("read", folder))? {
            let entry = entry.map_err(TableError::io("read", folder))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size_of(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}
