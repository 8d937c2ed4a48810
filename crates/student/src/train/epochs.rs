use retort_training::TrainSettings;
use serde_json::Value;

use super::report::BatchLoss;
use super::stepper::BatchSource;
use crate::Error;
use crate::backend::{Decoder, Learner};
use crate::packing::pack;
use crate::random::Random;

/// What is learned from rows: which there are and what a batch of them contributes.
pub(crate) trait Objective {
    /// Tokens of row `index`.
    fn length(&self, index: usize) -> usize;
    /// Adds the gradient of one optimizer step to the learner: indices of rows, batch by batch.
    fn accumulate(&self, learner: &mut dyn Learner, batches: &[Vec<usize>]) -> BatchLoss;
    /// Mean loss over what is held out, if anything is.
    fn evaluate(&self, decoder: &dyn Decoder) -> Option<f64>;
    /// Anything that must be the same for a resume to be allowed.
    fn fingerprint(&self) -> Value;
}

/// An objective's rows, or packs of them, in a new order for every epoch.
pub(super) struct Epochs<'a> {
    objective: &'a dyn Objective,
    settings: &'a TrainSettings,
    seed: u64,
    /// What batches are counted in: rows, or packs of them.
    units: Vec<Vec<usize>>,
    /// The epoch that `order` is of.
    epoch: Option<usize>,
    order: Vec<usize>,
}

impl<'a> Epochs<'a> {
    /// `rows` are the usable ones of the objective; packs hold at most `context` tokens where the settings name no length.
    pub fn new(
        objective: &'a dyn Objective,
        rows: &[usize],
        settings: &'a TrainSettings,
        context: usize,
        seed: u64,
    ) -> Self {
        let units = if settings.packing {
            let lengths: Vec<usize> = rows.iter().map(|row| objective.length(*row)).collect();
            let packs = pack(&lengths, settings.max_length.unwrap_or(context));
            packs.into_iter().map(|pack| pack.into_iter().map(|at| rows[at]).collect()).collect()
        } else {
            rows.iter().map(|row| vec![*row]).collect()
        };
        Self { objective, settings, seed, units, epoch: None, order: Vec::new() }
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> usize {
        self.settings.steps(self.units.len())
    }

    /// Rows of one step, batch by batch.
    fn batches(&mut self, step: usize) -> Vec<Vec<usize>> {
        let (count, size) = (self.units.len(), self.settings.rows_per_step());
        let steps = count.div_ceil(size);
        let (epoch, within) = (step / steps, step % steps);
        if self.epoch != Some(epoch) {
            self.epoch = Some(epoch);
            self.order = (0..count).collect();
            Random::new(&[self.seed, 0x6570_6f63, epoch as u64]).shuffle(&mut self.order);
        }
        let units = &self.order[within * size..((within + 1) * size).min(count)];
        let rows = |units: &[usize]| units.iter().flat_map(|unit| &self.units[*unit]).copied().collect();
        units.chunks(self.settings.batch_size).map(rows).collect()
    }
}

impl BatchSource for Epochs<'_> {
    fn accumulate(&mut self, learner: &mut dyn Learner, step: usize) -> Result<BatchLoss, Error> {
        let batches = self.batches(step);
        Ok(BatchLoss { rows: batches.concat(), ..self.objective.accumulate(learner, &batches) })
    }

    fn evaluate(&self, decoder: &dyn Decoder, step: usize) -> Option<f64> {
        let epoch = self.units.len().div_ceil(self.settings.rows_per_step());
        let due = step.is_multiple_of(self.settings.eval_steps.unwrap_or(epoch)) || step == self.steps();
        if due { self.objective.evaluate(decoder) } else { None }
    }
}
