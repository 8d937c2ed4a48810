use std::borrow::Cow;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use retort_weights::{Checkpoint, Dtype, TensorShape, write_checkpoint};
use serde_json::{Value, json};

use crate::fused::{Model, Pass, Saving};
use crate::kernels::rowwise::{AdamwFactors, adamw, sum_of_squares};
use crate::random::Random;
use crate::rotary::Rotary;
use crate::{Error, Student, TrainSettings};

/// One row of token ids with the tokens that are trained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRow {
    /// Token ids of prompt and completion.
    pub input_ids: Vec<u32>,
    /// For each token whether predicting it counts; the first one never does, nothing comes before it.
    pub loss: Vec<bool>,
}

impl TokenRow {
    /// Number of tokens that are trained.
    pub fn trained_tokens(&self) -> usize {
        self.loss.iter().skip(1).filter(|trained| **trained).count()
    }

    /// Positions whose next token is trained, shifted by `start`, and those tokens.
    pub(crate) fn targets(&self, start: usize, rows: &mut Vec<usize>, targets: &mut Vec<u32>) {
        for (position, token) in self.input_ids.iter().enumerate().skip(1) {
            if self.loss[position] {
                rows.push(start + position - 1);
                targets.push(*token);
            }
        }
    }

    pub(crate) fn check(&self, index: usize, student: &Student) -> Result<(), Error> {
        if self.loss.len() != self.input_ids.len() {
            let (tokens, marks) = (self.input_ids.len(), self.loss.len());
            return Err(Error::Rows(format!("row {index} has {tokens} tokens but {marks} loss marks")));
        }
        student.check_tokens(&self.input_ids).map_err(|error| Error::Rows(format!("row {index}: {error}")))
    }
}

/// What happened in one optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The step, from 1.
    pub step: usize,
    /// Steps of the whole run.
    pub total: usize,
    /// Mean loss over the step's trained tokens (SFT) or pairs (DPO), before the update.
    pub loss: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Tokens that went through the model.
    pub tokens: usize,
    /// Tokens that were trained.
    pub trained_tokens: usize,
    /// Share of pairs whose chosen completion is preferred (DPO), else nothing.
    pub preferred: Option<f64>,
}

/// What the caller wants after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// The next step.
    Continue,
    /// Write the training state into this folder (under another name first, then renamed, replacing what is there), then
    /// the next step.
    Save(PathBuf),
    /// No further step.
    Stop,
}

/// How a training run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Optimizer steps made, counting those before a resume.
    pub steps: usize,
    /// Whether all steps were made, that is, nobody asked to stop.
    pub complete: bool,
    /// Loss of the last step of this call, if any was made.
    pub last_loss: Option<f64>,
    /// Indices of rows that were left out because they are too long or train no token.
    pub dropped: Vec<usize>,
}

/// What one accumulated batch gave.
pub(crate) struct BatchLoss {
    pub loss: f64,
    pub tokens: usize,
    pub trained_tokens: usize,
    pub preferred: Option<f64>,
}

/// The rows of an objective: which there are and what a batch of them contributes.
pub(crate) trait Objective {
    /// Tokens of the longest sequence.
    fn longest(&self) -> usize;
    /// Adds the gradients of one accumulated batch. `rows` are indices of rows, `batch_size` of them at a time.
    fn accumulate(
        &self,
        model: &Model,
        pass: &mut Pass,
        rows: &[usize],
        batch_size: usize,
        gradients: &mut [f32],
    ) -> BatchLoss;
    /// Anything that must be the same for a resume to be allowed.
    fn fingerprint(&self) -> Value;
}

/// The loop: batches, updates, reports, saving and resuming. `rows` are the usable ones among the caller's.
pub(crate) fn run(
    student: &mut Student,
    objective: &dyn Objective,
    rows: &[usize],
    settings: &TrainSettings,
    seed: u64,
    resume: Option<&Path>,
    on_step: &mut dyn FnMut(StepReport) -> Control,
) -> Result<Trained, Error> {
    if rows.is_empty() {
        return Err(Error::Rows("no row is left to train on".to_owned()));
    }
    let total = settings.steps(rows.len());
    let settings_json = serde_json::to_value(settings).map_err(|error| Error::Rows(error.to_string()))?;
    let identity =
        json!({"objective": objective.fingerprint(), "rows": rows.len(), "seed": seed, "settings": settings_json});
    let mut state = match resume {
        Some(path) => State::load(path, student, &identity)?,
        None => State { step: 0, first: vec![0.0; student.layout.total], second: vec![0.0; student.layout.total] },
    };
    let rotary = Rotary::new(&student.config, objective.longest());
    let mut pass = Pass::new(if settings.gradient_checkpointing { Saving::Inputs } else { Saving::All });
    let mut gradients = vec![0.0_f32; student.layout.total];
    let mut last_loss = None;
    let mut order = Order { seed, epoch: usize::MAX, rows: Vec::new() };
    while state.step < total {
        let step = state.step;
        let batch = order.batch(rows, step, settings.rows_per_step());
        gradients.par_chunks_mut(1 << 16).for_each(|part| part.fill(0.0));
        let outcome =
            objective.accumulate(&student.model(&rotary), &mut pass, &batch, settings.batch_size, &mut gradients);
        let grad_norm = sum_of_squares(&gradients).sqrt();
        for (what, value) in [("loss", outcome.loss), ("gradient norm", grad_norm)] {
            if !value.is_finite() {
                return Err(Error::NotFinite { what, value, step: step + 1, rows: batch });
            }
        }
        let learning_rate = settings.learning_rate_at(step, total);
        update(student, &gradients, &mut state, settings, learning_rate, grad_norm);
        state.step += 1;
        last_loss = Some(outcome.loss);
        let report = StepReport {
            step: state.step,
            total,
            loss: outcome.loss,
            learning_rate,
            grad_norm,
            tokens: outcome.tokens,
            trained_tokens: outcome.trained_tokens,
            preferred: outcome.preferred,
        };
        match on_step(report) {
            Control::Continue => {}
            Control::Save(path) => state.save(&path, student, &identity)?,
            Control::Stop => break,
        }
    }
    Ok(Trained { steps: state.step, complete: state.step >= total, last_loss, dropped: Vec::new() })
}

/// Which rows each step takes: a new shuffle for every epoch.
struct Order {
    seed: u64,
    epoch: usize,
    rows: Vec<usize>,
}

impl Order {
    fn batch(&mut self, rows: &[usize], step: usize, size: usize) -> Vec<usize> {
        let steps = rows.len().div_ceil(size);
        let (epoch, within) = (step / steps, step % steps);
        if self.epoch != epoch {
            self.epoch = epoch;
            self.rows = rows.to_vec();
            Random::new(&[self.seed, 0x6570_6f63, epoch as u64]).shuffle(&mut self.rows);
        }
        self.rows[within * size..((within + 1) * size).min(rows.len())].to_vec()
    }
}

/// One AdamW update of all parameters (decoupled decay, bias correction, clipping by the global norm).
fn update(
    student: &mut Student,
    gradients: &[f32],
    state: &mut State,
    settings: &TrainSettings,
    learning_rate: f64,
    grad_norm: f64,
) {
    const CHUNK: usize = 1 << 15;
    let time = (state.step + 1) as i32;
    // torch.nn.utils.clip_grad_norm_ adds 1e-6 to the norm.
    let clip = match settings.max_grad_norm {
        most if most > 0.0 => (most / (grad_norm + 1e-6)).min(1.0),
        _ => 1.0,
    };
    let factors = |decay: f64| AdamwFactors {
        clip: clip as f32,
        keep: (1.0 - learning_rate * decay) as f32,
        beta1: settings.adam_beta1 as f32,
        beta2: settings.adam_beta2 as f32,
        step_size: (learning_rate / (1.0 - settings.adam_beta1.powi(time))) as f32,
        root_correction: (1.0 - settings.adam_beta2.powi(time)).sqrt() as f32,
        epsilon: settings.adam_epsilon as f32,
    };
    for place in &student.layout.places {
        let decays = place.is_matrix() || settings.decay_norms_and_biases;
        let factors = factors(if decays { settings.weight_decay } else { 0.0 });
        let range = place.range();
        student.parameters[range.clone()]
            .par_chunks_mut(CHUNK)
            .zip(gradients[range.clone()].par_chunks(CHUNK))
            .zip(state.first[range.clone()].par_chunks_mut(CHUNK).zip(state.second[range].par_chunks_mut(CHUNK)))
            .for_each(|((parameter, gradient), (first, second))| adamw(parameter, gradient, first, second, &factors));
    }
}

/// Optimizer state: AdamW's moments in the parameters' layout.
struct State {
    step: usize,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl State {
    /// Writes weights, moments and step: `dir` is a checkpoint folder, `dir/optimizer` one whose tensors are the moments
    /// and whose `config.json` is the state.
    fn save(&self, dir: &Path, student: &Student, identity: &Value) -> Result<(), Error> {
        let access = |source| retort_weights::Error::File { path: dir.to_owned(), source };
        let mut name = dir.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = dir.with_file_name(name);
        if partial.exists() {
            std::fs::remove_dir_all(&partial).map_err(access)?;
        }
        student.save(&partial, Dtype::Float32)?;
        let mut tensors = Vec::new();
        for moment in ["first", "second"] {
            tensors.extend(
                student
                    .layout
                    .places
                    .iter()
                    .map(|place| TensorShape { name: format!("{moment}.{}", place.name), shape: place.shape.clone() }),
            );
        }
        let state = json!({"step": self.step, "run": identity});
        write_checkpoint(&partial.join("optimizer"), &state, &tensors, Dtype::Float32, None, |name| {
            let (moment, tensor) = name.split_once('.').expect("the names were just made");
            let buffer = if moment == "first" { &self.first } else { &self.second };
            let place = student.layout.places.iter().find(|place| place.name == tensor).expect("as above");
            Ok(Cow::Borrowed(&buffer[place.range()]))
        })?;
        if dir.exists() {
            std::fs::remove_dir_all(dir).map_err(access)?;
        }
        std::fs::rename(&partial, dir).map_err(access)?;
        Ok(())
    }

    fn load(dir: &Path, student: &mut Student, identity: &Value) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::Resume { path: dir.to_owned(), reason: reason.to_owned() };
        let optimizer = Checkpoint::open(&dir.join("optimizer"))?;
        let saved = optimizer.config_json();
        if saved.get("run") != Some(identity) {
            return Err(refuse("it was written with other settings, another seed or other rows"));
        }
        let step = saved.get("step").and_then(Value::as_u64).ok_or_else(|| refuse("it has no step"))? as usize;
        let weights = Student::load(&Checkpoint::open(dir)?, student.target)?;
        if weights.layout.places != student.layout.places {
            return Err(refuse("its model has other tensors"));
        }
        student.parameters = weights.parameters;
        let mut state = Self { step, first: vec![0.0; student.layout.total], second: vec![0.0; student.layout.total] };
        for place in &student.layout.places {
            optimizer.read_into(&format!("first.{}", place.name), &mut state.first[place.range()])?;
            optimizer.read_into(&format!("second.{}", place.name), &mut state.second[place.range()])?;
        }
        Ok(state)
    }
}
