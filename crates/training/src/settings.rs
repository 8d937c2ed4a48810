use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds::{SettingError, check};
use crate::preset::Preset;

/// How a student is trained, whatever the objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = crate::preset::learning_rate_or_preset)]
pub struct TrainSettings {
    /// Published settings for a base model: they stand for `epochs`, `learning_rate`, `schedule`,
    /// `min_learning_rate_ratio`, `max_length`, `batch_size` and `gradient_accumulation` where these are not given.
    #[serde(default, skip_serializing)]
    pub preset: Option<Preset>,
    /// Passes over the rows; a fraction stops within a pass. Left out of account when `max_steps` is given.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub epochs: f64,
    /// Optimizer steps; beats `epochs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_steps: Option<usize>,
    /// Rows that go through the model together.
    #[serde(default = "eight")]
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// Batches whose gradients are added up, each by its number of trained tokens, before one optimizer step.
    #[serde(default = "one_batch")]
    #[schemars(range(min = 1))]
    pub gradient_accumulation: usize,
    /// Highest learning rate, reached after warm-up. Needed where no `preset` is named.
    #[schemars(range(min = 0.0))]
    pub learning_rate: f64,
    /// How the learning rate falls after warm-up.
    #[serde(default)]
    pub schedule: Schedule,
    /// Learning rate at the last step as a share of the highest (R1 falls to a tenth).
    #[serde(default = "tenth")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_learning_rate_ratio: f64,
    /// Share of the steps in which the learning rate rises linearly from 0.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup_ratio: f64,
    /// AdamW's decay, by `learning_rate * weight_decay` a step.
    #[serde(default = "hundredth")]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whether norms and biases decay too, as in PyTorch when all parameters are one group.
    #[serde(default = "yes")]
    pub decay_norms_and_biases: bool,
    /// Decay of AdamW's first moment.
    #[serde(default = "beta1")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub adam_beta1: f64,
    /// Decay of AdamW's second moment.
    #[serde(default = "beta2")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub adam_beta2: f64,
    /// Added to the root of the second moment.
    #[serde(default = "epsilon")]
    #[schemars(range(min = 0.0))]
    pub adam_epsilon: f64,
    /// Gradients with a larger global norm are scaled down to it; 0 never does.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0))]
    pub max_grad_norm: f64,
    /// Longest row in tokens; the model's context when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub max_length: Option<usize>,
    /// What happens to rows that are too long.
    #[serde(default)]
    pub over_long: OverLong,
    /// Lay short rows together into one, up to `max_length` tokens, by best fit; `batch_size` then counts such packs. Rows
    /// of a pack do not see each other, and positions start anew in each. Only for `sft`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub packing: bool,
    /// Optimizer steps from one evaluation loss to the next; an epoch when left out. Only with `eval_data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub eval_steps: Option<usize>,
    /// Keep only each block's input and compute the block again in the backward pass: less memory, a third more time.
    #[serde(default)]
    pub gradient_checkpointing: bool,
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Along half a cosine.
    #[default]
    Cosine,
    /// Along a line.
    Linear,
    /// Not at all.
    Constant,
}

/// What happens to rows longer than `max_length`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverLong {
    /// They are left out and counted.
    #[default]
    Drop,
    /// Their end is cut off, and they are counted; a row whose reasoning would be cut is left out.
    Truncate,
    /// Training does not start.
    Error,
}

fn one() -> f64 {
    1.0
}
fn eight() -> usize {
    8
}
fn one_batch() -> usize {
    1
}
fn tenth() -> f64 {
    0.1
}
fn hundredth() -> f64 {
    0.01
}
fn beta1() -> f64 {
    0.9
}
fn beta2() -> f64 {
    0.999
}
fn epsilon() -> f64 {
    1e-8
}
fn yes() -> bool {
    true
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl TrainSettings {
    /// PyTorch's AdamW, cosine to a tenth, batches of 8 rows, one epoch.
    pub fn with_learning_rate(learning_rate: f64) -> Self {
        Self {
            preset: None,
            epochs: 1.0,
            max_steps: None,
            batch_size: 8,
            gradient_accumulation: 1,
            learning_rate,
            schedule: Schedule::Cosine,
            min_learning_rate_ratio: 0.1,
            warmup_ratio: 0.0,
            weight_decay: 0.01,
            decay_norms_and_biases: true,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 1.0,
            max_length: None,
            over_long: OverLong::Drop,
            packing: false,
            eval_steps: None,
            gradient_checkpointing: false,
        }
    }

    /// Optimizer steps that a number of rows (of packs, with `packing`) makes.
    pub fn steps(&self, rows: usize) -> usize {
        let in_one_epoch = rows.div_ceil(self.rows_per_step());
        self.max_steps.unwrap_or((self.epochs * in_one_epoch as f64).ceil() as usize)
    }

    /// Rows of one optimizer step.
    pub fn rows_per_step(&self) -> usize {
        self.batch_size.saturating_mul(self.gradient_accumulation).max(1)
    }

    /// Learning rate of step `step` (from 0) of `total`, as transformers' schedulers have it: warm-up starts at 0 and the
    /// step after the last would have the lowest rate.
    pub fn learning_rate_at(&self, step: usize, total: usize) -> f64 {
        let warmup = (self.warmup_ratio * total as f64).ceil() as usize;
        if step < warmup {
            return self.learning_rate * step as f64 / warmup as f64;
        }
        let progress = (step - warmup) as f64 / (total - warmup).max(1) as f64;
        let fallen = match self.schedule {
            Schedule::Constant => return self.learning_rate,
            Schedule::Linear => 1.0 - progress,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        };
        self.learning_rate * (self.min_learning_rate_ratio + (1.0 - self.min_learning_rate_ratio) * fallen)
    }

    /// Says which setting is not allowed, if any.
    pub fn check(&self) -> Result<(), SettingError> {
        check(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_rate_rises_and_falls() {
        let settings = TrainSettings { warmup_ratio: 0.1, ..TrainSettings::with_learning_rate(1.0) };
        let at = |step| settings.learning_rate_at(step, 100);
        assert_eq!((at(0), at(5), at(10)), (0.0, 0.5, 1.0));
        assert!((at(55) - 0.55).abs() < 1e-12 && (at(100) - 0.1).abs() < 1e-12);
        let linear = TrainSettings { schedule: Schedule::Linear, ..settings };
        assert!((linear.learning_rate_at(55, 100) - 0.55).abs() < 1e-12);
    }

    #[test]
    fn steps_follow_rows() {
        let settings =
            TrainSettings { epochs: 1.5, gradient_accumulation: 2, ..TrainSettings::with_learning_rate(1.0) };
        assert_eq!(settings.steps(33), 5);
        assert_eq!(TrainSettings { max_steps: Some(7), ..settings }.steps(33), 7);
    }
}
