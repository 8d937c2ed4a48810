use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds::{SettingError, check};

/// Objective of preference training (arXiv 2305.18290 and relatives); TRL's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DpoSettings {
    /// How strongly the student is held to the reference model.
    #[serde(default = "tenth")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub beta: f64,
    /// The loss.
    #[serde(default)]
    pub loss_type: DpoLoss,
    /// Probability that a pair is the wrong way round (`sigmoid`: conservative DPO; `robust`: unbiased).
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 0.5))]
    pub label_smoothing: f64,
    /// Margin of `simpo`, as a difference of average log-probs times beta.
    #[serde(default)]
    pub simpo_gamma: f64,
    /// Weight of the chosen completion's average negative log-prob, added to the loss (RPO); against falling likelihood.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub rpo_alpha: f64,
}

/// Losses of preference training. `Δ` is the difference between chosen and rejected of the student's log-prob less the
/// reference model's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DpoLoss {
    /// `-log σ(β Δ)` with sums over tokens: DPO.
    #[default]
    Sigmoid,
    /// [`DpoLoss::Sigmoid`] with averages over tokens in place of sums.
    SigmoidNorm,
    /// Unbiased under label noise (arXiv 2403.00409).
    Robust,
    /// `(Δ - 1 / (2 β))²` with averages over tokens (arXiv 2310.12036).
    Ipo,
    /// `max(0, 1 - β Δ)`.
    Hinge,
    /// `-log σ(β (average chosen - average rejected) - γ)`, without a reference model (arXiv 2405.14734).
    Simpo,
}

impl Default for DpoSettings {
    fn default() -> Self {
        Self { beta: 0.1, loss_type: DpoLoss::Sigmoid, label_smoothing: 0.0, simpo_gamma: 0.0, rpo_alpha: 0.0 }
    }
}

impl DpoSettings {
    /// Says which setting is not allowed, if any.
    pub fn check(&self) -> Result<(), SettingError> {
        check(self)
    }
}

fn tenth() -> f64 {
    0.1
}
