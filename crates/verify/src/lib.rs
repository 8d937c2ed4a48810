//! Turns a completion and a reference answer into a verdict: correct, incorrect or undecided, each with the method that
//! decided it and a reason in words. Every verifier is a pure function of its case (the sandbox of `code` apart), never
//! panics on data, never calls a truncated completion correct, and works within a budget of steps instead of a clock.
//!
//! This crate knows nothing about where completions come from, nor about files, tables, networks and pipelines.

pub mod answer_pattern;
pub mod choice;
pub mod code;
mod decimal;
mod digits;
mod error;
mod explain;
pub mod format;
pub mod json;
pub mod judge;
pub mod language;
pub mod length;
pub mod math;
pub mod number;
mod options;
mod rational;
pub mod repetition;
mod settings;
mod stance;
pub mod text;
mod verifier;

pub use error::VerifyError;
pub use explain::{explain, names};
pub use math::extract::last_box as last_boxed;
pub use settings::VerifierSettings;
pub use verifier::{Case, Judgement, Outcome, Require, Verifier, judge};

/// Version of the rules. It changes whenever any verdict may change, and is part of every verdict's fingerprint.
pub const VERSION: &str = "3";
