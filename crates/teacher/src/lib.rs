//! Asks a teacher for rollouts: an OpenAI-compatible server, or a file of recorded answers.
//!
//! [`sample_all`] drives a lazily pulled sequence of [`Request`]s through one [`Teacher`] with bounded concurrency and
//! hands every finished sample to one callback. This crate knows nothing about correctness, Parquet, tokens or tensors:
//! a reply is text with its finish reason and the teacher's own token counts.

mod address;
mod ask;
mod budget;
mod drive;
mod endpoint;
mod error;
mod pace;
mod replay;
mod secret;
mod settings;
mod wire;

pub use ask::{Asking, Attempt, Attempted, Failure, FailureKind, Reply, Request, Teacher};
pub use budget::Spend;
pub use drive::{GRACE, Stopped, Summary, sample_all};
pub use endpoint::Endpoint;
pub use error::{SettingProblem, TeacherError};
pub use replay::Replay;
pub use secret::SecretRef;
pub use settings::{EndpointSettings, Forecast, Price, ReplaySettings, Sampling, TeacherSettings};
