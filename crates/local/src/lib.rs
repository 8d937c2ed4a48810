//! A checkpoint at work, without a pipeline: it completes prompts, gives log-probs, teaches, and is timed.
//!
//! This crate knows nothing about pipelines, stages and Parquet: it takes a Hugging Face folder and rows of text or tokens,
//! and gives rows back.

mod bench;
mod checkpoint;
mod device;
mod error;
mod generate;
mod log_probs;
mod teacher;
mod watch;

pub use bench::{GenerateBench, TrainBench, bench_generate, bench_train};
pub use checkpoint::{LoadedCheckpoint, load_tokenizer};
pub use device::parse_device;
pub use error::LocalError;
pub use generate::{GenerateOptions, GeneratedRow, generate_lines, generate_one};
pub use log_probs::{ScoredRow, score_lines};
pub use retort_student::Target as Device;
pub use teacher::LocalTeacher;
