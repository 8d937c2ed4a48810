//! Finished stages at rest: `store/KEY/` holds each output once, `runs/NAME/STAGE` points at it.

use crate::digest_index::DigestIndex;
use crate::error::PipelineError;
use crate::manifest::{Manifest, read_manifest};
use crate::wholeness::damage;
use retort_tables::{PendingFolder, TableError, file_digest};
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The folder that results go to (`--out`).
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    digests: DigestIndex,
}

/// What stands under a key.
#[derive(Debug)]
pub(crate) enum Output {
    /// Nothing.
    Absent,
    /// A finished stage as it was written.
    Whole(Box<Manifest>),
    /// A finished stage whose files are not what they were, or a leftover of something else.
    Damaged {
        /// What changed, a phrase each.
        changes: Vec<String>,
        /// Its record, where that can still be trusted.
        manifest: Option<Box<Manifest>>,
    },
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

/// Between the name of what was set aside and its number.
const SET_ASIDE: &str = ".set-aside-";

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
        for folder in [out.join("store"), out.join("runs")] {
            std::fs::create_dir_all(&folder).map_err(PipelineError::io("create", &folder))?;
        }
        Self::under(out, true)
    }

    /// The store under `out` to look at: nothing is created or written.
    pub fn read_only(out: &Path) -> Result<Self, PipelineError> {
        Self::under(out, false)
    }

    fn under(out: &Path, writes: bool) -> Result<Self, PipelineError> {
        let root = std::path::absolute(out).map_err(PipelineError::io("use", out))?;
        // What is read by path is known by its real place, so that both can be compared.
        let root = root.canonicalize().unwrap_or(root);
        let digests = DigestIndex::at(root.join("store/.inputs.json"), writes);
        Ok(Self { root, digests })
    }

    /// Whether there is such a folder.
    pub fn exists(&self) -> bool {
        self.root.join("store").is_dir()
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

    /// The folder with all finished stages.
    pub(crate) fn outputs(&self) -> PathBuf {
        self.root.join("store")
    }

    /// What stands under `key`. Files are hashed again only where something about them changed.
    pub(crate) fn output(&self, key: &str) -> Output {
        let folder = self.folder(key);
        if folder.symlink_metadata().is_err() {
            return Output::Absent;
        }
        match read_manifest(&folder) {
            Err(change) => Output::Damaged { changes: vec![change], manifest: None },
            Ok(None) => Output::Damaged { changes: vec![format!("`{}` is gone", Manifest::FILE)], manifest: None },
            Ok(Some(manifest)) => {
                let changes = damage(&folder, &manifest, &self.digests);
                let manifest = Box::new(manifest);
                if changes.is_empty() {
                    Output::Whole(manifest)
                } else {
                    Output::Damaged { changes, manifest: Some(manifest) }
                }
            }
        }
    }

    /// Notes that the output with `key` was just written as `manifest` says.
    pub(crate) fn written(&self, key: &str, manifest: &Manifest) {
        for file in manifest.all_files() {
            self.digests.note(&self.folder(key).join(&file.path), &file.sha256);
        }
        self.digests.flush();
    }

    /// Gives what stands at `path` another name beside it, which is returned.
    pub(crate) fn set_aside(&self, path: &Path) -> Result<PathBuf, PipelineError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let free = (1_u32..).map(|number| path.with_file_name(format!("{name}{SET_ASIDE}{number}")));
        let mut free = free.filter(|path| path.symlink_metadata().is_err());
        let aside = free.next().unwrap_or_else(|| path.with_extension(SET_ASIDE));
        std::fs::rename(path, &aside).map_err(PipelineError::io("set aside", path))?;
        self.digests.forget(path);
        Ok(aside)
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
        // Somebody put something else in the pointer's place.
        if link.symlink_metadata().is_ok_and(|found| !found.is_symlink()) {
            self.set_aside(&link)?;
        }
        std::os::unix::fs::symlink(Path::new("../../store").join(key), &temporary)
            .and_then(|()| std::fs::rename(&temporary, &link))
            .map_err(PipelineError::io("point", &link))
    }

    /// The names in the folder of a run, in order; those that point at no output among them.
    pub(crate) fn stages_of(&self, run: &str) -> Result<Vec<String>, PipelineError> {
        names(&self.run_folder(run))
    }

    /// Every run's pointers: run, stage, key.
    fn pointers(&self) -> Result<Vec<(String, String, String)>, PipelineError> {
        let mut pointers = Vec::new();
        for run in names(&self.root.join("runs"))? {
            for stage in names(&self.run_folder(&run))? {
                if let Some(key) = self.pointed(&run, &stage) {
                    pointers.push((run.clone(), stage, key));
                }
            }
        }
        Ok(pointers)
    }

    /// Removes every output and leftover that no run points to, directly or through the origins of what it points to.
    /// Journals of unfinished stages stay unless `unfinished` asks for them too. `dry` only counts.
    pub fn gc(&self, dry: bool, unfinished: bool) -> Result<Freed, PipelineError> {
        let mut used: BTreeSet<String> = BTreeSet::new();
        for (run, stage, key) in self.pointers()? {
            let manifest = read_manifest(&self.folder(&key)).map_err(|change| {
                let reason = format!("`runs/{run}/{stage}` cannot tell what it was made of: {change}");
                PipelineError::argument(reason).with_hint("run its pipeline again, which mends it, then free the rest")
            })?;
            if let Some(manifest) = manifest {
                used.extend(manifest.lineage.all().filter_map(|(_, origin)| Some(origin.local_key()?.to_owned())));
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
                self.digests.forget(&path);
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
            if name.contains(SET_ASIDE) {
                continue;
            }
            let manifest = match read_manifest(&folder) {
                Ok(Some(manifest)) => manifest,
                Ok(None) => continue,
                Err(reason) => {
                    report.bad.push(BadFile { path: folder.join(Manifest::FILE), reason });
                    continue;
                }
            };
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

    /// The known hashes of files, of those outside the store too.
    pub fn digests(&self) -> &DigestIndex {
        &self.digests
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
