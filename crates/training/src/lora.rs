use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds::{SettingError, check};

/// Low-rank adapters (arXiv 2106.09685), in PEFT's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoraSettings {
    /// Rank of every adapter.
    #[serde(default = "sixteen")]
    #[schemars(range(min = 1))]
    pub r: usize,
    /// Adapters are scaled by `lora_alpha / r`.
    #[serde(default = "thirty_two")]
    pub lora_alpha: f64,
    /// Share of an adapter's inputs that is set to zero in each training step.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub lora_dropout: f64,
    /// Projections that get an adapter; all by default.
    #[serde(default = "all_modules")]
    #[schemars(length(min = 1))]
    pub target_modules: Vec<TargetModule>,
    /// Scale by `lora_alpha / sqrt(r)` instead (arXiv 2312.03732).
    #[serde(default)]
    pub use_rslora: bool,
}

/// A projection of a decoder block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetModule {
    /// Queries.
    QProj,
    /// Keys.
    KProj,
    /// Values.
    VProj,
    /// Attention's output.
    OProj,
    /// Gate of the feed-forward layer.
    GateProj,
    /// The other factor of the gated product.
    UpProj,
    /// Back from the feed-forward layer.
    DownProj,
}

impl TargetModule {
    /// Every projection, in the order in which a block has them.
    pub const ALL: [Self; 7] =
        [Self::QProj, Self::KProj, Self::VProj, Self::OProj, Self::GateProj, Self::UpProj, Self::DownProj];
}

fn all_modules() -> Vec<TargetModule> {
    TargetModule::ALL.to_vec()
}

fn sixteen() -> usize {
    16
}

fn thirty_two() -> f64 {
    32.0
}

impl Default for LoraSettings {
    fn default() -> Self {
        Self { r: 16, lora_alpha: 32.0, lora_dropout: 0.0, target_modules: all_modules(), use_rslora: false }
    }
}

impl LoraSettings {
    /// Says which setting is not allowed, if any.
    pub fn check(&self) -> Result<(), SettingError> {
        check(self)
    }

    /// The factor on an adapter's output.
    pub fn scale(&self) -> f32 {
        let rank = self.r as f64;
        (self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }) as f32
    }
}
