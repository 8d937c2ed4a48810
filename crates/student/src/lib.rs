//! Tensors in motion: Qwen and Llama decoders that are trained (SFT, DPO) and run. On the CPU whole decoder blocks are
//! single kernels whose results depend neither on threads nor on what else is in a batch.
//!
//! This crate knows nothing about Parquet, pipelines, verdicts or the network; it is the only one that sees Burn.

mod adapter;
mod architecture;
mod backend;
mod batch;
mod device;
mod dpo;
mod error;
mod forecast;
mod fused;
mod generate;
mod kernels;
mod layout;
mod open;
mod optimizer;
mod packing;
mod random;
mod rotary;
mod rows;
mod sampling;
mod scoring;
mod sft;
mod student;
mod tensors;
mod train;
mod trainee;

/// Version of what computes: changed whenever the same weights and tokens may give other bits. Results are cached under it.
pub const KERNELS_VERSION: &str = "1";

pub use adapter::Adapter;
pub use architecture::{Architecture, Family};
pub use device::Target;
pub use dpo::{PreferencePair, train_dpo};
pub use error::Error;
pub use forecast::{Forecast, forecast};
pub use generate::{Finish, GenerateRequest, GenerateSettings, Generated, Generator, RepetitionStop};
pub use packing::packs;
pub use rows::TokenRow;
pub use scoring::{Scorer, sequence_log_probs, token_log_probs};
pub use sft::{Examples, NamedGradients, loss_and_gradients, train_sft};
pub use student::Student;
pub use train::{Control, StepReport, Trained};
pub use trainee::Trainee;
