//! How a student is trained, as settings: their defaults, presets and bounds, and the arithmetic of steps and learning
//! rates that needs no tensor. Whoever trains, forecasts or hands training over reads them from here.
//!
//! This crate knows nothing about tensors, files or pipelines.

mod block;
mod bounds;
mod dpo;
mod lora;
mod preset;
mod settings;

pub use block::{Contradiction, Method, TrainBlock};
pub use bounds::SettingError;
pub use dpo::{DpoLoss, DpoSettings};
pub use lora::{LoraSettings, TargetModule};
pub use preset::{Preset, with_preset};
pub use settings::{OverLong, Schedule, TrainSettings};
