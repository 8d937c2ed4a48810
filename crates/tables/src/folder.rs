//! A folder that appears whole or not at all.

use crate::{FileDigest, TableError, abort_point, file_digest};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder being filled under a temporary name beside its final place.
///
/// [`PendingFolder::commit`] renames it; until then a crash leaves only the temporary name, which the next run removes.
pub struct PendingFolder {
    temporary: PathBuf,
    target: PathBuf,
}

impl PendingFolder {
    /// Suffix of temporary folders.
    pub const SUFFIX: &'static str = ".partial";

    /// Starts the folder that will be `target`, removing what an earlier attempt left.
    pub fn create(target: &Path) -> Result<Self, TableError> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(Self::SUFFIX);
        let temporary = target.with_file_name(name);
        if let Ok(found) = temporary.symlink_metadata() {
            let removed =
                if found.is_dir() { std::fs::remove_dir_all(&temporary) } else { std::fs::remove_file(&temporary) };
            removed.map_err(TableError::io("remove", &temporary))?;
        }
        std::fs::create_dir_all(&temporary).map_err(TableError::io("create", &temporary))?;
        Ok(Self { temporary, target: target.to_owned() })
    }

    /// Where files are written until the commit.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Writes one whole file durably and returns its digest.
    pub fn write_file(&self, name: &str, content: &[u8]) -> Result<FileDigest, TableError> {
        let path = self.temporary.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(TableError::io("create", parent))?;
        }
        abort_point("before-write");
        let mut file = File::create(&path).map_err(TableError::io("create", &path))?;
        file.write_all(content).map_err(TableError::io("write", &path))?;
        abort_point("after-write");
        file.sync_all().map_err(TableError::io("write", &path))?;
        abort_point("after-fsync");
        file_digest(&path, name)
    }

    /// Gives the folder its final name. `manifest` is written last, so a folder with a manifest is complete.
    pub fn commit(self, manifest_name: &str, manifest: &[u8]) -> Result<(), TableError> {
        self.write_file(manifest_name, manifest)?;
        sync_folder(&self.temporary)?;
        abort_point("before-rename");
        std::fs::rename(&self.temporary, &self.target).map_err(TableError::io("rename", &self.temporary))?;
        abort_point("after-rename");
        match self.target.parent() {
            Some(parent) => sync_folder(parent),
            None => Ok(()),
        }
    }
}

/// Makes the names inside `folder` durable.
pub fn sync_folder(folder: &Path) -> Result<(), TableError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(TableError::io("write", folder))
}
