//! Rows about checkpoints: what a reference model gives to pairs, and what evaluation measures.

use crate::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the reference model of preference training gives to a pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReferenceLogProbs {
    /// The pair.
    pub pair_id: String,
    /// The prompt.
    pub prompt_id: String,
    /// The reference model: a stage's name or the last part of a path.
    pub checkpoint: String,
    /// Sum of the natural log-probs of the chosen completion's tokens.
    pub chosen_logp: f64,
    /// Sum of the natural log-probs of the rejected completion's tokens.
    pub rejected_logp: f64,
}

impl Row for ReferenceLogProbs {
    const TABLE: &'static str = "reference_log_probs";
}

/// What evaluation measured of one checkpoint. Rates are between 0 and 1, lengths in tokens of the checkpoint's own
/// tokenizer; `low` and `high` are the ends of bootstrap intervals over prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasureRow {
    /// The checkpoint: a stage's name or the last part of a path.
    pub checkpoint: String,
    /// Prompts with at least one sample.
    pub prompts: u64,
    /// Samples.
    pub samples: u64,
    /// Samples per prompt.
    pub n: u32,
    /// pass@1: mean over prompts of the share of correct samples.
    pub accuracy: f64,
    /// Lower end of the accuracy's interval.
    pub accuracy_low: f64,
    /// Upper end of the accuracy's interval.
    pub accuracy_high: f64,
    /// cons@n: share of prompts whose majority answer is correct.
    pub cons: f64,
    /// Lower end of the interval of cons@n.
    pub cons_low: f64,
    /// Upper end of the interval of cons@n.
    pub cons_high: f64,
    /// Mean over prompts of the mean completion length.
    pub mean_tokens: f64,
    /// Lower end of the mean length's interval.
    pub mean_tokens_low: f64,
    /// Upper end of the mean length's interval.
    pub mean_tokens_high: f64,
    /// Median completion length over samples.
    pub median_tokens: u32,
    /// 90th percentile of the completion lengths over samples.
    pub p90_tokens: u32,
    /// Mean length of the correct samples; absent when there is none.
    pub mean_correct_tokens: Option<f64>,
    /// Share of samples that were cut off.
    pub truncation_rate: f64,
    /// Share of samples that no rule could decide.
    pub undecided_rate: f64,
    /// Accuracy minus the first checkpoint's, over the prompts both have answered; absent for the first.
    pub accuracy_difference: Option<f64>,
    /// Lower end of the accuracy difference's paired interval.
    pub accuracy_difference_low: Option<f64>,
    /// Upper end of the accuracy difference's paired interval.
    pub accuracy_difference_high: Option<f64>,
    /// Mean length minus the first checkpoint's; absent for the first.
    pub tokens_difference: Option<f64>,
    /// Lower end of the length difference's paired interval.
    pub tokens_difference_low: Option<f64>,
    /// Upper end of the length difference's paired interval.
    pub tokens_difference_high: Option<f64>,
    /// Mean length over the first checkpoint's mean length.
    pub tokens_ratio: Option<f64>,
    /// Accuracy-efficiency score against the first checkpoint (O1-Pruner, arXiv 2501.12570).
    pub aes: Option<f64>,
}

impl Row for MeasureRow {
    const TABLE: &'static str = "measures";
}
