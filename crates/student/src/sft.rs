use std::path::Path;

use burn::tensor::Tensor;
use retort_training::{OverLong, TrainSettings};
use serde_json::{Value, json};

use crate::fused::Batch;
use crate::rotary::Rotary;
use crate::tensors::{Learner, Scorer, Weighing, download};
use crate::train::{BatchLoss, Objective, add_gradient, run};
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
    let student = &*trainee.student;
    for (index, row) in evaluation.iter().enumerate() {
        row.check(index, student).map_err(|error| Error::Rows(format!("evaluation: {error}")))?;
    }
    let mut usable = Vec::with_capacity(rows.len());
    let mut dropped = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        row.check(index, student)?;
        if fits(index, row.input_ids.len(), student, settings)? && row.trained_tokens() > 0 {
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
pub(crate) fn fits(index: usize, tokens: usize, student: &Student, settings: &TrainSettings) -> Result<bool, Error> {
    let max_length = settings.max_length.unwrap_or(student.config.max_position_embeddings);
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
    fn longest(&self) -> usize {
        self.rows.iter().chain(self.evaluation).map(|row| row.input_ids.len()).max().unwrap_or(0)
    }

    fn length(&self, index: usize) -> usize {
        self.rows[index].input_ids.len()
    }

    fn evaluate(&self, learner: &Learner) -> Option<f64> {
        let tokens: usize = self.evaluation.iter().map(TokenRow::trained_tokens).sum();
        if tokens == 0 {
            return None;
        }
        let log_probs = learner.with_scorer(|scorer| log_probs_of(scorer, self.evaluation));
        let sum: f64 = log_probs.into_iter().flatten().map(f64::from).sum();
        Some(-sum / tokens as f64)
    }

    fn accumulate(&self, learner: &Learner, batches: &[Vec<usize>]) -> (BatchLoss, Tensor<1>) {
        let trained_tokens: usize = batches.iter().flatten().map(|row| self.rows[*row].trained_tokens()).sum();
        let weight = -1.0 / trained_tokens as f32;
        let (mut sum, mut tokens, mut gradient) = (0.0, 0, None);
        for rows in batches {
            let rows: Vec<&TokenRow> = rows.iter().map(|row| &self.rows[*row]).collect();
            let (batch, positions, targets) = lay_out(&rows);
            tokens += batch.len();
            let (log_probs, one) = learner.gradient(batch, positions, targets, Weighing::Even(weight));
            add_gradient(&mut gradient, one);
            sum += log_probs.iter().map(|x| f64::from(*x)).sum::<f64>();
        }
        let loss = BatchLoss { loss: -sum / trained_tokens as f64, tokens, trained_tokens, preferred: None };
        (loss, gradient.expect("a batch has rows"))
    }

    fn fingerprint(&self) -> Value {
        let mut hash = crate::random::Random::new(&[self.rows.len() as u64]);
        for row in self.rows {
            hash = row.mixed_into(hash);
        }
        json!({"method": "sft", "rows": format!("{:016x}", hash.next())})
    }
}

/// Rows one after the other: the batch, the positions whose next token is trained, and those tokens.
pub(crate) fn lay_out(rows: &[&TokenRow]) -> (Batch, Vec<usize>, Vec<u32>) {
    let batch = Batch::new(rows.iter().map(|row| row.input_ids.as_slice()));
    let (mut positions, mut targets) = (Vec::new(), Vec::new());
    for (row, start) in rows.iter().zip(&batch.starts) {
        row.targets(*start, &mut positions, &mut targets);
    }
    (batch, positions, targets)
}

/// Natural log-prob of every trained token of each row, in order, on the student's device.
pub fn token_log_probs(student: &Student, rows: &[TokenRow]) -> Result<Vec<Vec<f32>>, Error> {
    for (index, row) in rows.iter().enumerate() {
        row.check(index, student)?;
    }
    let longest = rows.iter().map(|row| row.input_ids.len()).max().unwrap_or(0);
    let rotary = Rotary::new(&student.config, longest);
    let found = log_probs_of(&mut student.scorer(&rotary)?, rows);
    // A log-prob of minus infinity is a probability that f32 rounds to 0; anything else that is no number is a fault.
    let broken = |log_prob: &f32| log_prob.is_nan() || *log_prob == f32::INFINITY;
    match found.iter().position(|row| row.iter().any(broken)) {
        Some(row) => Err(Error::Logits { what: format!("row {row}") }),
        None => Ok(found),
    }
}

/// [`token_log_probs`] of rows that are known to be good.
fn log_probs_of(scorer: &mut Scorer, rows: &[TokenRow]) -> Vec<Vec<f32>> {
    /// Tokens, with padding, that go through the model together; a row's numbers do not depend on it.
    const TOKENS: usize = 4096;
    let mut found = Vec::with_capacity(rows.len());
    let mut rest = rows;
    while !rest.is_empty() {
        let (mut count, mut longest) = (0, 0);
        let fit = rest.iter().take_while(|row| {
            (count, longest) = (count + 1, row.input_ids.len().max(longest));
            count * longest <= TOKENS
        });
        let (now, later) = rest.split_at(fit.count().max(1));
        rest = later;
        let (batch, positions, targets) = lay_out(&now.iter().collect::<Vec<_>>());
        let log_probs = scorer.log_probs(&batch, &positions, &targets);
        let mut log_probs = log_probs.as_slice();
        for row in now {
            let (own, others) = log_probs.split_at(row.trained_tokens());
            found.push(own.to_vec());
            log_probs = others;
        }
    }
    found
}

/// Sum of the trained tokens' natural log-probs of each row: what DPO needs of the reference model.
pub fn sequence_log_probs(student: &Student, rows: &[TokenRow]) -> Result<Vec<f64>, Error> {
    let sum = |row: Vec<f32>| row.into_iter().map(f64::from).sum();
    Ok(token_log_probs(student, rows)?.into_iter().map(sum).collect())
}

/// Gradients of tensors by their Hugging Face names, in the model's order.
pub type NamedGradients = Vec<(String, Vec<f32>)>;

/// Mean negative log-prob of the trained tokens of all rows together, and its gradient for every tensor by name, in the
/// model's order; for checks against other implementations.
pub fn loss_and_gradients(student: &Student, rows: &[TokenRow]) -> Result<(f64, NamedGradients), Error> {
    for (index, row) in rows.iter().enumerate() {
        row.check(index, student)?;
    }
    let objective = Sft { rows, evaluation: &[] };
    let mut student = student.clone();
    let learner = Learner::new(&mut (&mut student).into(), None, objective.longest(), false)?;
    let all: Vec<usize> = (0..rows.len()).collect();
    let (outcome, gradient) = objective.accumulate(&learner, &[all]);
    let gradients = download(gradient);
    let named = student.layout.places.iter().map(|place| (place.name.clone(), gradients[place.range()].to_vec()));
    Ok((outcome.loss, named.collect()))
}
