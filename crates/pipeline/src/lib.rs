//! Reads, checks, plans and runs a pipeline file; each stage kind stands in one file under `stages`.
//!
//! This crate knows nothing about terminals or flags: it takes paths and settings, reports through [`Observer`] and
//! returns values. It is the one place where the walls between the other crates are crossed.

mod check;
mod error;
pub mod file;
mod generate_rows;
mod graph;
mod inputs;
mod inspect;
mod json_lines;
mod loaded;
mod logprob_rows;
pub mod machine;
mod manifest;
mod measure_speed;
mod observe;
mod plan;
mod problem;
mod row_file;
mod run;
mod show;
mod source;
mod stage;
mod stages;
mod store;
mod verify_file;
mod workspace;

pub use check::{Checked, check, check_on};
pub use error::PipelineError;
pub use generate_rows::{GenerateOptions, GeneratedRow, generate_lines, generate_one};
pub use inspect::{InspectedRow, InspectedToken, inspect};
pub use loaded::LoadedCheckpoint;
pub use logprob_rows::{ScoredRow, score_lines};
pub use machine::Machine;
pub use manifest::Manifest;
pub use measure_speed::{GenerateBench, TrainBench, bench_generate, bench_train};
pub use observe::{Event, Observer, Silent};
pub use plan::{Plan, PlannedStage, State, plan};
pub use problem::Problem;
pub use run::{RunOptions, RunSummary, StageSummary, run};
pub use show::{Shown, show};
pub use stage::{explain, explained_names};
pub use store::{Store, VerifyReport};
pub use verify_file::{FileCounts, JudgedRow, verifier, verify_lines, verify_one};
pub use workspace::Access;
