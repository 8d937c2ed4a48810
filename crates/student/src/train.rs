use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use retort_training::TrainSettings;
use retort_weights::{Checkpoint, CheckpointWriter, Dtype, TensorShape, write_config};
use serde_json::{Value, json};

use crate::random::Random;
use crate::tensors::{Learner, Vector};
use crate::{Adapter, Error, Student, Trainee};

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

    /// A hash that goes on with this row: its tokens, and which of them are trained.
    pub(crate) fn mixed_into(&self, mut hash: Random) -> Random {
        hash = Random::new(&[hash.next(), self.input_ids.len() as u64]);
        for (id, trained) in self.input_ids.iter().zip(&self.loss) {
            hash = Random::new(&[hash.next(), u64::from(*id) << 1 | u64::from(*trained)]);
        }
        hash
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
    /// Mean loss over the trained tokens of the evaluation rows after the update, where this step has one.
    pub eval_loss: Option<f64>,
}

/// What the caller wants after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// The next step.
    Continue,
    /// Write the training state into this folder (under another name first, then renamed, replacing what is there), then
    /// the next step.
    Save(PathBuf),
    /// Write the weights alone into this folder (in the same way; adapters where they are what is trained), then do the
    /// rest.
    Keep(PathBuf, Box<Self>),
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
    /// Tokens of row `index`.
    fn length(&self, index: usize) -> usize;
    /// Loss and gradient `[parameters]` of one optimizer step: indices of rows, batch by batch.
    fn accumulate(&self, learner: &Learner, batches: &[Vec<usize>]) -> (BatchLoss, Tensor<1>);
    /// Mean loss over what is held out, if anything is.
    fn evaluate(&self, learner: &Learner) -> Option<f64>;
    /// Anything that must be the same for a resume to be allowed.
    fn fingerprint(&self) -> Value;
}

/// Adds a batch's gradient to those before it.
pub(crate) fn add_gradient(sum: &mut Option<Tensor<1>>, gradient: Tensor<1>) {
    *sum = Some(match sum.take() {
        Some(sum) => sum + gradient,
        None => gradient,
    });
}

/// The loop: batches, updates, reports, saving and resuming. `rows` are the usable ones among the caller's.
pub(crate) fn run(
    mut trainee: Trainee,
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
    let settings_json = serde_json::to_value(settings).map_err(|error| Error::Rows(error.to_string()))?;
    let mut identity =
        json!({"objective": objective.fingerprint(), "rows": rows.len(), "seed": seed, "settings": settings_json});
    if let Some(adapter) = &trainee.adapter {
        identity["lora"] = serde_json::to_value(adapter.settings()).map_err(|error| Error::Rows(error.to_string()))?;
    }
    let (step, moments) = match resume {
        Some(path) => load(path, &mut trainee, &identity).map_err(|error| of_the_state(path, error))?,
        None => (0, None),
    };
    let mut learner = Learner::new(&mut trainee, moments, objective.longest(), settings.gradient_checkpointing)?;
    let units = if settings.packing {
        let lengths: Vec<usize> = rows.iter().map(|row| objective.length(*row)).collect();
        let capacity = settings.max_length.unwrap_or(trainee.student.config.max_position_embeddings);
        let packs = crate::packing::pack(&lengths, capacity);
        packs.into_iter().map(|pack| pack.into_iter().map(|at| rows[at]).collect()).collect()
    } else {
        rows.iter().map(|row| vec![*row]).collect()
    };
    let run = Run { trainee: &trainee, objective, units, settings, seed, identity };
    let outcome = run.steps(&mut learner, step, on_step);
    learner.finish(&mut trainee);
    outcome
}

/// What stays the same over a run.
struct Run<'a> {
    trainee: &'a Trainee<'a>,
    objective: &'a dyn Objective,
    /// What batches are counted in: rows, or packs of them.
    units: Vec<Vec<usize>>,
    settings: &'a TrainSettings,
    seed: u64,
    identity: Value,
}

impl Run<'_> {
    fn steps(
        &self,
        learner: &mut Learner,
        mut step: usize,
        on_step: &mut dyn FnMut(StepReport) -> Control,
    ) -> Result<Trained, Error> {
        let (settings, total) = (self.settings, self.settings.steps(self.units.len()));
        let epoch = self.units.len().div_ceil(settings.rows_per_step());
        let evaluated = settings.eval_steps.unwrap_or(epoch);
        let mut last_loss = None;
        let mut order = Order { seed: self.seed, epoch: usize::MAX, units: Vec::new() };
        while step < total {
            let units = order.batch(self.units.len(), step, settings.rows_per_step());
            let rows = |units: &[usize]| units.iter().flat_map(|unit| &self.units[*unit]).copied().collect();
            let batches: Vec<Vec<usize>> = units.chunks(settings.batch_size).map(rows).collect();
            learner.set_noise(Random::new(&[self.seed, 0x6e6f_6973, step as u64]).next());
            let (outcome, gradient) = self.objective.accumulate(learner, &batches);
            let grad_norm = learner.norm(&gradient);
            for (what, value) in [("loss", outcome.loss), ("gradient norm", grad_norm)] {
                if !value.is_finite() {
                    let rows = batches.concat();
                    return Err(Error::NotFinite { what, value, step: step + 1, rows });
                }
            }
            let learning_rate = settings.learning_rate_at(step, total);
            step += 1;
            learner.update(gradient, settings, learning_rate, step, grad_norm);
            last_loss = Some(outcome.loss);
            let due = step.is_multiple_of(evaluated) || step == total;
            let eval_loss = if due { self.objective.evaluate(learner) } else { None };
            let report = StepReport {
                step,
                total,
                loss: outcome.loss,
                learning_rate,
                grad_norm,
                tokens: outcome.tokens,
                trained_tokens: outcome.trained_tokens,
                preferred: outcome.preferred,
                eval_loss,
            };
            let mut wanted = on_step(report);
            while let Control::Keep(path, rest) = wanted {
                replace(&path, |partial| write_weights(partial, self.trainee, learner))?;
                wanted = *rest;
            }
            match wanted {
                Control::Continue | Control::Keep(..) => {}
                Control::Save(path) => save(&path, self.trainee, learner, step, &self.identity)?,
                Control::Stop => break,
            }
        }
        Ok(Trained { steps: step, complete: step >= total, last_loss, dropped: Vec::new() })
    }
}

/// Which units each step takes: a new shuffle for every epoch.
struct Order {
    seed: u64,
    epoch: usize,
    units: Vec<usize>,
}

impl Order {
    fn batch(&mut self, units: usize, step: usize, size: usize) -> Vec<usize> {
        let steps = units.div_ceil(size);
        let (epoch, within) = (step / steps, step % steps);
        if self.epoch != epoch {
            self.epoch = epoch;
            self.units = (0..units).collect();
            Random::new(&[self.seed, 0x6570_6f63, epoch as u64]).shuffle(&mut self.units);
        }
        self.units[within * size..((within + 1) * size).min(units)].to_vec()
    }
}

/// Writes weights, moments and step: `dir` is a checkpoint folder, `dir/optimizer` one whose tensors are the moments and
/// whose `config.json` is the state.
fn save(dir: &Path, trainee: &Trainee, learner: &Learner, step: usize, identity: &Value) -> Result<(), Error> {
    replace(dir, |partial| {
        write_weights(partial, trainee, learner)?;
        write_moments(&partial.join("optimizer"), trainee, learner, step, identity)
    })
}

/// Lets `write` fill a folder beside `dir`, then puts it in its place.
fn replace(dir: &Path, write: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let access = |source| retort_weights::Error::File { path: dir.to_owned(), source };
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = dir.with_file_name(name);
    if partial.exists() {
        std::fs::remove_dir_all(&partial).map_err(access)?;
    }
    write(&partial)?;
    if dir.exists() {
        std::fs::remove_dir_all(dir).map_err(access)?;
    }
    std::fs::rename(&partial, dir).map_err(access)?;
    Ok(())
}

fn write_weights(dir: &Path, trainee: &Trainee, learner: &Learner) -> Result<(), Error> {
    learner.read(Vector::Parameters, |trained| match &trainee.adapter {
        None => trainee.student.save_parameters(trained, dir, Dtype::Float32),
        Some(adapter) => adapter.save_values(trained, dir, ""),
    })
}

fn write_moments(
    optimizer: &Path,
    trainee: &Trainee,
    learner: &Learner,
    step: usize,
    identity: &Value,
) -> Result<(), Error> {
    let mut tensors = Vec::new();
    for (moment, _) in MOMENTS {
        tensors.extend(
            trainee
                .places()
                .iter()
                .map(|place| TensorShape { name: format!("{moment}.{}", place.name), shape: place.shape.clone() }),
        );
    }
    let mut writer = CheckpointWriter::create(optimizer, &tensors, Dtype::Float32, None)?;
    let mut places: Vec<_> = trainee.places().iter().collect();
    places.sort_by(|a, b| a.name.cmp(&b.name));
    for (moment, vector) in MOMENTS {
        learner.read(vector, |elements| {
            places
                .iter()
                .try_for_each(|place| writer.write(&format!("{moment}.{}", place.name), &elements[place.range()]))
        })?;
    }
    writer.finish()?;
    write_config(optimizer, &json!({"step": step, "run": identity}), Dtype::Float32)?;
    Ok(())
}

/// AdamW's two moments.
type Moments = [Vec<f32>; 2];

const MOMENTS: [(&str, Vector); 2] = [("first", Vector::First), ("second", Vector::Second)];

/// Whether a saved state is at fault, or what it is read with.
fn of_the_state(path: &Path, error: Error) -> Error {
    use std::io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound, UnexpectedEof};
    let damage = [InvalidData, IsADirectory, NotADirectory, NotFound, UnexpectedEof];
    match error {
        Error::Resume { .. } | Error::Device { .. } => error,
        Error::Weights(retort_weights::Error::File { ref source, .. }) if !damage.contains(&source.kind()) => error,
        other => Error::Resume { path: path.to_owned(), reason: other.to_string() },
    }
}

/// Reads what [`save`] wrote: puts the weights into the student and gives back the step and the moments.
fn load(dir: &Path, trainee: &mut Trainee, identity: &Value) -> Result<(usize, Option<Moments>), Error> {
    let refuse = |reason: &str| Error::Resume { path: dir.to_owned(), reason: reason.to_owned() };
    let optimizer = Checkpoint::open(&dir.join("optimizer"))?;
    let saved = optimizer.config_json();
    if saved.get("run") != Some(identity) {
        return Err(refuse("it was written with other settings, another seed or other rows"));
    }
    let step = saved.get("step").and_then(Value::as_u64).ok_or_else(|| refuse("it has no step"))? as usize;
    match &mut trainee.adapter {
        None => {
            let weights = Student::load(&Checkpoint::open(dir)?, trainee.student.target)?;
            if weights.layout.places != trainee.student.layout.places {
                return Err(refuse("its model has other tensors"));
            }
            trainee.student.parameters = weights.parameters;
        }
        Some(adapter) => {
            let saved = Adapter::load(dir, trainee.student)?;
            if saved.layout != adapter.layout {
                return Err(refuse("its adapters have other tensors"));
            }
            adapter.values = saved.values;
        }
    }
    let mut moments = [vec![0.0; trainee.total()], vec![0.0; trainee.total()]];
    for ((name, _), moment) in MOMENTS.iter().zip(&mut moments) {
        for place in trainee.places() {
            optimizer.read_into(&format!("{name}.{}", place.name), &mut moment[place.range()])?;
        }
    }
    Ok((step, Some(moments)))
}
