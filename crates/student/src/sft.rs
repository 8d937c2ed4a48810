use std::path::Path;

use retort_training::{OverLong, TrainSettings};
use retort_weights::ModelConfig;
use serde_json::{Value, json};

use crate::backend::{Decoder, Learner, Vector, Weighing};
use crate::batch::Batch;
use crate::scoring::log_probs_of;
use crate::train::{BatchLoss, Objective, run};
use crate::{Control, Error, StepReport, Student, TokenRow, Trained, Trainee};

/// Supervised fine-tuning: the mean negative log-prob of the trained tokens of each step goes down. Rows are shuffled anew
/// in each epoch. The result is the same, bit for bit, whether or not the run was interrupted and resumed and whatever the
/// number of threads, on one kind of CPU.
///
/// `trainee` is `&mut student`, or `(&mut student, &mut adapter)` to train adapters alone (LoRA).
/// `resume` is a folder that [`Control::Save`] named; the student's weights are then taken from there.
pub fn train_sft<'a, 'b>(
    trainee: impl Into<Trainee<'a>>,
    examples: impl Into<Examples<'b>>,
    settings: &TrainSettings,
    seed: u64,
    resume: Option<&Path>,
    on_step: &mut dyn FnMut(StepReport) -> Control,
) -> Result<Trained, Error> {
    settings.check()?;
    let (trainee, Examples { rows, evaluation }) = (trainee.into(), examples.into());
    let config = &trainee.student.config;
    for (index, row) in evaluation.iter().enumerate() {
        row.check(index, config).map_err(|error| Error::Rows(format!("evaluation: {error}")))?;
    }
    let mut usable = Vec::with_capacity(rows.len());
    let mut dropped = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        row.check(index, config)?;
        if fits(index, row.input_ids.len(), config, settings)? && row.trained_tokens() > 0 {
            usable.push(index);
        } else {
            dropped.push(index);
        }
    }
    let objective = Sft { rows, evaluation };
    let trained = run(trainee, &objective, &usable, settings, seed, resume, on_step)?;
    Ok(Trained { dropped, ..trained })
}

/// Whether a row is short enough; an error where the settings want one.
pub(crate) fn fits(index: usize, tokens: usize, config: &ModelConfig, settings: &TrainSettings) -> Result<bool, Error> {
    let max_length = settings.max_length.unwrap_or(config.max_position_embeddings);
    if tokens <= max_length {
        return Ok(true);
    }
    match settings.over_long {
        // Where a row may be cut is the caller's to know: what is too long here is left out.
        OverLong::Drop | OverLong::Truncate => Ok(false),
        OverLong::Error => Err(Error::Rows(format!("row {index} has {tokens} tokens; allowed are {max_length}"))),
    }
}

/// What supervised fine-tuning learns from. Rows alone turn into it.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// Rows that are trained on.
    pub rows: &'a [TokenRow],
    /// Rows whose loss is told every `eval_steps`; may be none.
    pub evaluation: &'a [TokenRow],
}

impl<'a, R: AsRef<[TokenRow]> + ?Sized> From<&'a R> for Examples<'a> {
    fn from(rows: &'a R) -> Self {
        Self { rows: rows.as_ref(), evaluation: &[] }
    }
}

struct Sft<'a> {
    rows: &'a [TokenRow],
    evaluation: &'a [TokenRow],
}

impl Objective for Sft<'_> {
    fn length(&self, index: usize) -> usize {
        self.rows[index].input_ids.len()
    }

    fn accumulate(&self, learner: &mut dyn Learner, batches: &[Vec<usize>]) -> BatchLoss {
        let trained_tokens: usize = batches.iter().flatten().map(|row| self.rows[*row].trained_tokens()).sum();
        let weight = -1.0 / trained_tokens as f32;
        let (mut sum, mut tokens) = (0.0, 0);
        for rows in batches {
            let rows: Vec<&TokenRow> = rows.iter().map(|row| &self.rows[*row]).collect();
            let (batch, targets) = Batch::of_rows(&rows);
            tokens += batch.len();
            let log_probs = learner.accumulate(&batch, &targets, Weighing::Even(weight));
            sum += log_probs.iter().map(|x| f64::from(*x)).sum::<f64>();
        }
        BatchLoss { loss: -sum / trained_tokens as f64, tokens, trained_tokens, preferred: None, rows: Vec::new() }
    }

    fn evaluate(&self, decoder: &dyn Decoder) -> Option<f64> {
        let tokens: usize = self.evaluation.iter().map(TokenRow::trained_tokens).sum();
        if tokens == 0 {
            return None;
        }
        let sum: f64 = log_probs_of(decoder, self.evaluation).into_iter().flatten().map(f64::from).sum();
        Some(-sum / tokens as f64)
    }

    fn fingerprint(&self) -> Value {
        let mut hash = crate::random::Random::new(&[self.rows.len() as u64]);
        for row in self.rows {
            hash = row.mixed_into(hash);
        }
        json!({"method": "sft", "rows": format!("{:016x}", hash.next())})
    }
}

/// Gradients of tensors by their Hugging Face names, in the model's order.
pub type NamedGradients = Vec<(String, Vec<f32>)>;

/// Mean negative log-prob of the trained tokens of all rows together, and its gradient for every tensor by name, in the
/// model's order; for checks against other implementations.
pub fn loss_and_gradients(student: &Student, rows: &[TokenRow]) -> Result<(f64, NamedGradients), Error> {
    for (index, row) in rows.iter().enumerate() {
        row.check(index, &student.config)?;
    }
    let mut student = student.clone();
    let (fixed, parameters) = Trainee::from(&mut student).parts(false);
    let mut learner = fixed.learner(parameters, None)?;
    let all: Vec<usize> = (0..rows.len()).collect();
    let outcome = Sft { rows, evaluation: &[] }.accumulate(&mut *learner, &[all]);
    let gradients = learner.read(Vector::Gradient);
    let named = fixed.trained().iter().map(|place| (place.name.clone(), gradients[place.range()].to_vec()));
    Ok((outcome.loss, named.collect()))
}
