//! A program to run, and the environment that it gets.

use std::ffi::CString;

use crate::code::CodeError;

/// A program to run: one file and the command that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program<'a> {
    /// Name of the file; it stands in `/program`, read-only.
    pub file: &'a str,
    /// What the file holds.
    pub source: &'a str,
    /// The command: an absolute path and arguments, in which `{file}` stands for the file's path.
    pub command: &'a [String],
}

impl Program<'_> {
    /// Where the program sees its file.
    pub(super) fn path(&self) -> String {
        format!("/program/{}", self.file)
    }

    /// The command with the file's path in it.
    pub(super) fn arguments(&self) -> Result<Vec<CString>, CodeError> {
        let path = self.path();
        let argument =
            |word: &String| CString::new(word.replace("{file}", &path)).map_err(|_| CodeError::NulByte(word.clone()));
        self.command.iter().map(argument).collect()
    }
}

/// The whole environment of a program: nothing of the caller's.
pub(super) fn environment() -> Vec<CString> {
    [
        c"PATH=/usr/local/bin:/usr/bin:/bin",
        c"HOME=/tmp",
        c"TMPDIR=/tmp",
        c"LANG=C.UTF-8",
        // The same program must give the same output each time.
        c"PYTHONHASHSEED=0",
        c"PYTHONDONTWRITEBYTECODE=1",
        // Integers of any size are printed, as graders do; Python stops at 4300 digits.
        c"PYTHONINTMAXSTRDIGITS=0",
        // Libraries that start a thread for each processor run into the limit of processes.
        c"OMP_NUM_THREADS=1",
        c"OPENBLAS_NUM_THREADS=1",
    ]
    .map(CString::from)
    .to_vec()
}
