//! The seam. What a decoder does is said here; how, on two sides: `fused`, kernels on this machine's processors, and
//! `tensors`, Burn's tensors on any device, which Burn differentiates. Objectives, schedules, clipping, packing, resuming and
//! sampling stand above it and are written once. `open.rs` is the one place that asks which side; `parity.rs` measures the
//! kernels by the tensors.

use std::borrow::Cow;
use std::fmt::Debug;

use crate::Target;
use crate::adapter::layout::AdapterLayout;
use crate::batch::{Batch, Targets};
use crate::layout::{ParameterLayout, TensorPlace};
use crate::optimizer::AdamwStep;
use crate::rotary::RotaryTables;
use retort_training::LoraSettings;
use retort_weights::ModelConfig;
use serde_json::Value;

/// Weights that answer.
pub(crate) trait Decoder: Debug + Send + Sync {
    /// Logits `[rows, vocab_size]` after the given positions of a batch.
    fn logits(&self, batch: &Batch, rows: &[usize]) -> Vec<f32>;

    /// Natural log-probs `[targets]`, without dropout.
    fn log_probs(&self, batch: &Batch, targets: &Targets) -> Vec<f32>;

    /// Entropies `[rows]` in nats of the distributions after the given positions of a batch.
    fn entropies(&self, batch: &Batch, rows: &[usize]) -> Vec<f32>;

    /// Makes ready to generate what takes time to make ready.
    fn pack(&self) {}

    /// How many generations had best run at the same time, each on a thread of its own.
    fn generations(&self) -> usize {
        1
    }

    /// Begins to generate sequences of at most so many tokens.
    fn generation(&self, longest: usize) -> Box<dyn Generation + '_>;
}

/// Sequences that grow side by side, each in a place of its own. What a sequence gets depends on its own tokens alone.
pub(crate) trait Generation {
    /// A place for a new sequence of at most so many tokens.
    fn open(&mut self, capacity: usize) -> usize;

    /// Gives up a place.
    fn close(&mut self, place: usize);

    /// Reads the segments' tokens after what their places hold. Gives back logits `[wanted segments, vocab_size]`, in order.
    fn step(&mut self, segments: &[Segment]) -> &[f32];
}

/// Tokens of one sequence that are read in one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    /// The sequence's place.
    pub place: usize,
    /// The tokens: a prompt or a part of it, or the last sampled one; perhaps none.
    pub tokens: &'a [u32],
    /// Whether logits after the last token are wanted.
    pub wanted: bool,
}

/// Weights that learn: all of a decoder's, or adapters beside it, with AdamW's moments.
pub(crate) trait Learner {
    /// Decides about dropout in the step to come, on a side that has dropout.
    fn set_noise(&mut self, _seed: u64) {}

    /// Natural log-probs `[targets]`; adds the gradient of their weighted sum to the step's gradient.
    fn accumulate(&mut self, batch: &Batch, targets: &Targets, weighing: Weighing) -> Vec<f32>;

    /// Global norm of the step's gradient, in f64 from f32 elements.
    fn gradient_norm(&self) -> f64;

    /// One AdamW update by the step's gradient, which begins anew.
    fn update(&mut self, step: &AdamwStep);

    /// One of the vectors, laid out as what is trained; a copy only where it lies on another device.
    fn read(&self, vector: Vector) -> Cow<'_, [f32]>;

    /// The weights as they are now, where they are, for scoring and generating.
    fn lend(&self) -> Box<dyn Decoder + '_>;

    /// Gives the weights back to whom they were taken from.
    fn finish(self: Box<Self>);
}

/// What the log-probs of a batch count for.
pub(crate) enum Weighing<'a> {
    /// Each as much as the others; known beforehand.
    Even(f32),
    /// To be said once the log-probs are known.
    Later(&'a mut dyn FnMut(&[f32]) -> Vec<f32>),
}

/// One of a learner's vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vector {
    Parameters,
    Gradient,
    FirstMoment,
    SecondMoment,
}

/// A decoder apart from its numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'a> {
    /// Sizes and switches.
    pub config: &'a ModelConfig,
    /// Where tensors lie in the vector of parameters.
    pub layout: &'a ParameterLayout,
    /// Grows with the longest sequence.
    pub rotary: &'a RotaryTables,
}

/// A decoder that stays as it is while adapters beside it are trained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frozen<'a> {
    /// All parameters of the decoder.
    pub parameters: &'a [f32],
    /// Rank, scale, dropout.
    pub settings: &'a LoraSettings,
    /// Where adapters' matrices lie in what is trained.
    pub layout: &'a AdapterLayout,
}

/// All that is fixed while a decoder or its adapters learn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed<'a> {
    pub target: Target,
    pub shape: Shape<'a>,
    /// The decoder's `config.json` as it will be written.
    pub config_json: &'a Value,
    /// There when adapters are what is trained.
    pub frozen: Option<Frozen<'a>>,
    /// Whether the backward pass computes each block again instead of keeping its intermediate results.
    pub checkpointing: bool,
}

impl<'a> Fixed<'a> {
    /// Tensors of what is trained.
    pub fn trained(&self) -> &'a [TensorPlace] {
        self.frozen.map_or(&self.shape.layout.places, |frozen| &frozen.layout.places)
    }
}

#[cfg(test)]
mod parity;
