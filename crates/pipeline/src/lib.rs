//! The engine: reads, checks, plans and runs a pipeline file, and keeps what its stages made.
//!
//! This crate knows nothing about any single stage kind, about terminals or flags: it is given the kinds as [`Engine`],
//! takes paths and settings, reports through [`Observer`] and returns values.

mod check;
mod context;
mod digest_index;
mod engine;
mod error;
pub mod file;
mod finished;
mod graph;
mod keys;
mod lineage;
mod lock_file;
pub mod machine;
mod manifest;
mod observe;
mod output_kind;
mod plan;
mod problem;
mod resolver;
mod run;
mod sealed;
mod source;
mod stage_kind;
mod store;
mod survey;
mod wholeness;
mod write_atomically;

pub use check::Checked;
pub use context::{Context, PlannedInputs, StageOutput};
pub use digest_index::DigestIndex;
pub use engine::{Engine, KindEntry};
pub use error::PipelineError;
pub use finished::{CHECKPOINT, Finished, is_checkpoint, label};
pub use graph::Node;
pub use keys::FinishedStages;
pub use lineage::{Lineage, Origin};
pub use machine::Machine;
pub use manifest::{Manifest, RowCounts, canonical};
pub use observe::{Event, Observer, Silent};
pub use output_kind::OutputKind;
pub use plan::{Plan, PlannedStage, StageState, plan};
pub use problem::{Problem, did_you_mean};
pub use resolver::{Access, Resolver, expand_glob, shown};
pub use run::{RunOptions, RunSummary, StageSummary, run};
pub use source::Source;
pub use stage_kind::{
    CheckpointShape, Input, OutsideFile, SettingProblem, Stage, StageKind, Stages, Surroundings, without_inputs,
};
pub use store::{BadFile, Freed, Store, StoreLock, VerifyReport};
pub use write_atomically::write_atomically;
