use std::path::Path;

use retort_training::TrainSettings;
use serde_json::Value;

use super::report::{BatchLoss, StepReport};
use super::state;
use crate::backend::{Decoder, Fixed, Learner};
use crate::optimizer::AdamwStep;
use crate::random::Random;
use crate::{Error, Trainee};

/// Where each step's gradient comes from: rows in an order (`epochs.rs`), or rollouts that the learner itself samples.
pub(crate) trait BatchSource {
    /// Adds the gradient of step `step`, from 0, to the learner, and says what it was of.
    fn accumulate(&mut self, learner: &mut dyn Learner, step: usize) -> Result<BatchLoss, Error>;

    /// Mean loss after step `step`, from 1, over what is held out, where that is due.
    fn evaluate(&self, decoder: &dyn Decoder, step: usize) -> Option<f64>;
}

/// A learner on its way: schedule, clipping, updates, saving and resuming, whatever it learns from.
pub(crate) struct Stepper<'a> {
    learner: Box<dyn Learner + 'a>,
    fixed: Fixed<'a>,
    settings: &'a TrainSettings,
    seed: u64,
    /// Must be the same for a resume to be allowed.
    identity: Value,
    /// Steps of the whole run, and those made.
    pub total: usize,
    pub step: usize,
}

impl<'a> Stepper<'a> {
    /// Begins a run of `total` steps, or goes on with the one whose state is in the folder `resume`.
    pub fn new(
        mut trainee: Trainee<'a>,
        settings: &'a TrainSettings,
        total: usize,
        seed: u64,
        identity: Value,
        resume: Option<&Path>,
    ) -> Result<Self, Error> {
        let (step, moments) = match resume {
            Some(path) => {
                let (step, moments) = state::load(path, &mut trainee, &identity)?;
                (step, Some(moments))
            }
            None => (0, None),
        };
        let (fixed, trained) = trainee.parts(settings.gradient_checkpointing);
        let learner = fixed.learner(trained, moments)?;
        Ok(Self { learner, fixed, settings, seed, identity, total, step })
    }

    /// Makes one step.
    pub fn step(&mut self, source: &mut dyn BatchSource) -> Result<StepReport, Error> {
        self.learner.set_noise(Random::new(&[self.seed, 0x6e6f_6973, self.step as u64]).next());
        let outcome = source.accumulate(&mut *self.learner, self.step)?;
        let grad_norm = self.learner.gradient_norm();
        for (what, value) in [("loss", outcome.loss), ("gradient norm", grad_norm)] {
            if !value.is_finite() {
                return Err(Error::NotFinite { what, value, step: self.step + 1, rows: outcome.rows });
            }
        }
        let learning_rate = self.settings.learning_rate_at(self.step, self.total);
        self.step += 1;
        self.learner.update(&AdamwStep::new(self.settings, learning_rate, self.step, grad_norm));
        let eval_loss = source.evaluate(&*self.learner.lend(), self.step);
        if let Some(value) = eval_loss.filter(|loss| !loss.is_finite()) {
            let what = "evaluation loss after the update";
            return Err(Error::NotFinite { what, value, step: self.step, rows: outcome.rows });
        }
        Ok(StepReport {
            step: self.step,
            total: self.total,
            loss: outcome.loss,
            learning_rate,
            grad_norm,
            tokens: outcome.tokens,
            trained_tokens: outcome.trained_tokens,
            preferred: outcome.preferred,
            eval_loss,
        })
    }

    /// Writes weights, moments and step into a folder, replacing what is there.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        state::save(dir, &self.fixed, &*self.learner, self.step, &self.identity)
    }

    /// Writes the weights alone into a folder, replacing what is there.
    pub fn keep(&self, dir: &Path) -> Result<(), Error> {
        state::keep(dir, &self.fixed, &*self.learner)
    }

    /// Gives the weights back to the trainee.
    pub fn finish(self) {
        self.learner.finish();
    }
}
