//! How a run ended, and what it left behind.

use std::fmt;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal.
    Signal(i32),
    /// Stopped: it used up its processor time or its time by the clock.
    TimedOut,
    /// Stopped, or failed for want of memory.
    MemoryExceeded,
    /// Stopped: too much on standard output.
    OutputExceeded,
    /// Stopped: too many processes or threads.
    ProcessesExceeded,
    /// Stopped because the program that it served had ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::TimedOut => write!(f, "time limit exceeded"),
            Self::MemoryExceeded => write!(f, "memory limit exceeded"),
            Self::OutputExceeded => write!(f, "output limit exceeded"),
            Self::ProcessesExceeded => write!(f, "process limit exceeded"),
            Self::Stopped => write!(f, "stopped"),
        }
    }
}

/// What a run left behind: nothing else survives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunResult {
    /// How it ended.
    pub status: Status,
    /// Standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// The last 16 KiB or so of standard error.
    pub stderr: Vec<u8>,
    /// Time by the clock, in milliseconds, start of the sandbox included.
    pub wall_ms: u64,
    /// Processor time of the program and the children it waited for, in milliseconds.
    pub cpu_ms: u64,
}
