//! Commands that work on single files or finished stages, without running a pipeline.

pub mod init;
pub mod inspect;
pub mod merge;
pub mod schemas;
pub mod show;
pub mod verify;
