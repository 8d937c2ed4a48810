use std::borrow::Cow;

use rayon::prelude::*;

use super::pass::{Pass, Saving};
use super::{Decoder, Model};
use crate::backend::{self, Fixed, Vector, Weighing};
use crate::batch::{Batch, Targets};
use crate::kernels::rowwise::{adamw, add, sum_of_squares};
use crate::kernels::zeros;
use crate::optimizer::AdamwStep;
use crate::random::Random;

/// Elements that one task updates.
const CHUNK: usize = 1 << 15;

/// Weights on this machine that learn by kernels, in place.
pub(crate) struct Learner<'a> {
    fixed: Fixed<'a>,
    trained: &'a mut Vec<f32>,
    moments: [Vec<f32>; 2],
    /// The step's gradient so far.
    gradient: Option<Vec<f32>>,
    /// Memory for the next gradients.
    spare: Vec<Vec<f32>>,
    pass: Pass,
    /// Decides which inputs of adapters drop out: seed of the step, and batches of it so far.
    noise: (u64, u64),
}

impl<'a> Learner<'a> {
    pub fn new(fixed: Fixed<'a>, trained: &'a mut Vec<f32>, moments: [Vec<f32>; 2]) -> Self {
        let saving = if fixed.checkpointing { Saving::Inputs } else { Saving::All };
        Self { fixed, trained, moments, gradient: None, spare: Vec::new(), pass: Pass::new(saving), noise: (0, 0) }
    }
}

impl backend::Learner for Learner<'_> {
    fn set_noise(&mut self, seed: u64) {
        self.noise = (seed, 0);
    }

    fn accumulate(&mut self, batch: &Batch, targets: &Targets, weighing: Weighing) -> Vec<f32> {
        let Fixed { shape, frozen, .. } = self.fixed;
        let (seed, count) = self.noise;
        self.noise = (seed, count + 1);
        let rotary = shape.rotary.up_to(shape.config, batch.longest());
        let model = Model::new(shape, frozen, self.trained, Some(Random::new(&[seed, count]).next()), &rotary);
        let pass = &mut self.pass;
        pass.forward(&model, batch);
        let weights = match weighing {
            Weighing::Even(weight) => vec![weight; targets.len()],
            Weighing::Later(weigh) => weigh(&pass.log_probs(&model, targets)),
        };
        let mut gradient = zeros(self.spare.pop().unwrap_or_default(), self.trained.len());
        let log_probs = pass.log_probs_backward(&model, targets, &weights, &mut gradient);
        pass.backward(&model, batch, &mut gradient);
        let Some(sum) = &mut self.gradient else {
            self.gradient = Some(gradient);
            return log_probs;
        };
        sum.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).for_each(|(sum, one)| add(sum, one));
        self.spare.push(gradient);
        log_probs
    }

    fn gradient_norm(&self) -> f64 {
        self.gradient.as_deref().map_or(0.0, sum_of_squares).sqrt()
    }

    fn update(&mut self, step: &AdamwStep) {
        let Some(gradient) = self.gradient.take() else { return };
        let [first, second] = &mut self.moments;
        for place in self.fixed.trained() {
            let (range, factors) = (place.range(), step.factors(place));
            let moments = first[range.clone()].par_chunks_mut(CHUNK).zip(second[range.clone()].par_chunks_mut(CHUNK));
            let parameters = self.trained[range.clone()].par_chunks_mut(CHUNK);
            parameters.zip(gradient[range].par_chunks(CHUNK)).zip(moments).for_each(
                |((parameter, gradient), (first, second))| adamw(parameter, gradient, first, second, factors),
            );
        }
        self.spare.push(gradient);
    }

    fn read(&self, vector: Vector) -> Cow<'_, [f32]> {
        Cow::Borrowed(match vector {
            Vector::Parameters => self.trained,
            Vector::Gradient => self.gradient.as_deref().unwrap_or_default(),
            Vector::FirstMoment => &self.moments[0],
            Vector::SecondMoment => &self.moments[1],
        })
    }

    fn lend(&self) -> Box<dyn backend::Decoder + '_> {
        Box::new(Decoder::new(self.fixed.shape, self.trained, self.fixed.frozen))
    }

    fn finish(self: Box<Self>) {}
}
