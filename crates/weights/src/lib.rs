//! Checkpoints at rest: Hugging Face folders in and out, tensor by tensor, and merges of several folders into one.
//! Tensors are read lazily from memory-mapped safetensors and written so that equal weights give equal bytes.
//!
//! This crate knows nothing about Burn, gradients, tokens or pipelines; whole-folder atomicity (temporary name, rename)
//! is the caller's.

mod adapter;
mod checkpoint;
mod config;
mod ending;
mod error;
mod folder;
mod merge;
mod merge_check;
mod merge_math;
mod write;

pub use adapter::Adapter;
pub use checkpoint::Checkpoint;
pub use config::{Llama3Scaling, ModelConfig, ModelType, end_of_sequence_ids};
pub use ending::set_ending;
pub use error::Error;
pub use folder::{check_json, without_tokenizer};
pub use merge::{MergeMethod, MergeModel, MergeParameters, MergeSettings, Merged, ModelParameters, merge};
pub use write::{CheckpointWriter, TensorShape, companions, copy_companions, write_checkpoint, write_config};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Number format of the tensors a checkpoint is written in; reading takes f32, f16 and bf16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit IEEE floats: exact.
    #[default]
    Float32,
    /// Brain floats: 8 bits of exponent, 7 of mantissa, rounded to nearest even.
    Bfloat16,
}

impl Dtype {
    /// Bytes one element takes on disk.
    pub fn bytes(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Bfloat16 => 2,
        }
    }

    /// The word `config.json` uses for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
        }
    }

    fn safetensors_name(self) -> &'static str {
        match self {
            Self::Float32 => "F32",
            Self::Bfloat16 => "BF16",
        }
    }
}
