//! What is said about a program: a verdict, and how each test went.

use super::sandbox::Status;
use crate::Outcome;

/// How one test went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestStatus {
    /// As expected.
    Passed,
    /// The program ended well with another output, value or assertion.
    WrongAnswer,
    /// The program raised, crashed or exited with a failure.
    RuntimeError,
    /// Too slow.
    TimedOut,
    /// Too much memory.
    MemoryExceeded,
    /// Too much output.
    OutputExceeded,
    /// Left out, since an earlier test had decided.
    NotRun,
}

impl TestStatus {
    /// What it is called in a reason.
    pub fn text(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::WrongAnswer => "wrong answer",
            Self::RuntimeError => "runtime error",
            Self::TimedOut => "time limit exceeded",
            Self::MemoryExceeded => "memory limit exceeded",
            Self::OutputExceeded => "output limit exceeded",
            Self::NotRun => "not run",
        }
    }

    /// The status of a run that did not end well.
    pub(super) fn of(status: Status) -> Self {
        match status {
            Status::TimedOut => Self::TimedOut,
            Status::MemoryExceeded => Self::MemoryExceeded,
            Status::OutputExceeded => Self::OutputExceeded,
            Status::Exited(_) | Status::Signal(_) | Status::ProcessesExceeded | Status::Stopped => Self::RuntimeError,
        }
    }
}

/// The result of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// How it went.
    pub status: TestStatus,
    /// Why, in words; empty for a test that passed.
    pub reason: String,
}

impl TestResult {
    pub(super) fn passed() -> Self {
        Self { status: TestStatus::Passed, reason: String::new() }
    }

    pub(super) fn new(status: TestStatus, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

/// A verdict with the result of each test behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeOutcome {
    /// The verdict, its method and reason; `extracted_answer` is the program.
    pub outcome: Outcome,
    /// One result for each test, in the order of the tests; empty when nothing was run.
    pub tests: Vec<TestResult>,
}
