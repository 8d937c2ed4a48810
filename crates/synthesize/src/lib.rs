//! Procedural tasks with exact answers, and worked chains of thought of settable length for them.
//!
//! Everything here is a pure function of settings and seed. Texts are printable ASCII and line feeds, so that a
//! character tokenizer of 95 characters and a line feed suffices. A chain is a list of lines:
//! - a step, `37+58=95`, possibly behind a label, `feb 29: 72-29=43`: always true;
//! - a check, `check 95-58=37 ok`: always true, and never needed;
//! - a detour, `37+58=85 wait`: a slip or a side way, dropped at once. Only such a line may be false.
//!
//! Which split a problem belongs to is decided by a hash of the problem itself, not by seed, style or order of terms.
//!
//! This crate knows nothing about files, pipelines or whoever solves the problems.

mod arithmetic;
mod base_conversion;
mod calendar;
mod chain;
mod countdown;
mod generate;
mod random;
mod settings;
#[cfg(test)]
mod tests;

pub use generate::{Exercise, SynthesizeError, synthesize};
pub use settings::{SettingProblem, SynthesizeSettings};
