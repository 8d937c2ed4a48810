//! Pipes and files in memory, for the streams of programs.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::code::CodeError;

/// A pipe whose ends close on exec and lie above the standard streams, so that the child's `dup2` cannot overwrite one.
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), CodeError> {
    let (read, write) = io::pipe().map_err(CodeError::Io)?;
    Ok((above_standard(read.into())?, above_standard(write.into())?))
}

/// The descriptor itself, or a copy above 2 where it is one of the standard three.
pub(super) fn above_standard(fd: OwnedFd) -> Result<OwnedFd, CodeError> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    // SAFETY: duplicates a descriptor that lives through the call; the result is new and owned here.
    unsafe {
        let high: RawFd = libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3);
        if high < 0 { Err(CodeError::Io(io::Error::last_os_error())) } else { Ok(OwnedFd::from_raw_fd(high)) }
    }
}

/// A file in memory with these bytes, at its beginning. It can only be read: a program whose standard input it is must
/// not grow it, for nobody counts its memory.
pub(super) fn memory_file(bytes: &[u8]) -> Result<OwnedFd, CodeError> {
    // SAFETY: on success the kernel returns a new descriptor that nobody else owns.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"retort".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
        if fd < 0 {
            return Err(CodeError::Io(io::Error::last_os_error()));
        }
        File::from(OwnedFd::from_raw_fd(fd))
    };
    file.write_all(bytes).and_then(|()| file.rewind()).map_err(CodeError::Io)?;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: sets flags of an open descriptor.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(CodeError::Io(io::Error::last_os_error()));
    }
    // Opened for reading, a sealed file can also be mapped. Without `/proc` it stays as it is.
    let file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or(file);
    above_standard(file.into())
}
