//! Small files that appear whole.

use crate::error::PipelineError;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Writes a small file whole or not at all.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), PipelineError> {
    let temporary = path.with_extension("partial");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(PipelineError::io("write", path))
}
