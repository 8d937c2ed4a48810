//! SHA-256 of files, made while they are written or read.

use crate::TableError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// One file of a committed folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Path inside the folder, with `/`.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the content, in hexadecimal.
    pub sha256: String,
}

/// SHA-256 of `bytes` in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

/// Size and SHA-256 of the file at `path`; `name` is how the result calls it.
pub fn file_digest(path: &Path, name: &str) -> Result<FileDigest, TableError> {
    let mut file = File::open(path).map_err(TableError::io("read", path))?;
    let (mut hasher, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer).map_err(TableError::io("read", path))?;
        if read == 0 {
            return Ok(FileDigest { path: name.to_owned(), bytes, sha256: hex(hasher.finalize().as_slice()) });
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// A writer that hashes what passes through it.
pub(crate) struct HashingWriter {
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl HashingWriter {
    pub(crate) fn new(file: File) -> Self {
        Self { file, hasher: Sha256::new(), bytes: 0 }
    }

    /// Makes the content durable and says what it was.
    pub(crate) fn finish(self, name: String) -> std::io::Result<FileDigest> {
        crate::abort_point("after-write");
        self.file.sync_all()?;
        crate::abort_point("after-fsync");
        Ok(FileDigest { path: name, bytes: self.bytes, sha256: hex(self.hasher.finalize().as_slice()) })
    }
}

impl Write for HashingWriter {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
