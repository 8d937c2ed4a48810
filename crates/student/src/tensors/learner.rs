use std::cell::Cell;
use std::sync::Arc;

use burn::backend::Flex;
use burn::tensor::{Device, Tensor};
use rayon::prelude::*;
use retort_training::TrainSettings;

use super::operation::{BatchPlan, Frozen, Shape, target_log_probs};
use super::{Scorer, Tables, device_log_probs, download, upload};
use crate::error::setting;
use crate::fused::{Batch, Saving};
use crate::kernels::rowwise::{AdamwFactors, adamw, sum_of_squares};
use crate::kernels::zeros;
use crate::layout::TensorPlace;
use crate::random::Random;
use crate::rotary::Rotary;
use crate::{Adapter, Error, Student, Target};

/// What the log-probs of a batch count for.
pub(crate) enum Weighing<'a> {
    /// Each as much as the others; known beforehand.
    Even(f32),
    /// To be said once the log-probs are known.
    Later(&'a mut dyn FnMut(&[f32]) -> Vec<f32>),
}

impl Weighing<'_> {
    fn weights(self, log_probs: &[f32]) -> Vec<f32> {
        match self {
            Self::Even(weight) => vec![weight; log_probs.len()],
            Self::Later(weigh) => weigh(log_probs),
        }
    }
}

/// A student while it learns: parameters and AdamW's moments as Burn tensors on its device.
pub(crate) struct Learner {
    target: Target,
    device: Device,
    shape: Arc<Shape>,
    /// All that is trained, `[parameters]`; nothing only while it is being updated.
    parameters: Option<Tensor<1>>,
    moments: Option<[Tensor<1>; 2]>,
    /// Decides which inputs of adapters drop out: seed of the step, and batches of it so far.
    noise: Cell<(u64, u64)>,
}

/// Who is trained: all of a student, or adapters beside it.
#[derive(Debug)]
pub struct Trainee<'a> {
    pub(crate) student: &'a mut Student,
    pub(crate) adapter: Option<&'a mut Adapter>,
}

impl<'a> From<&'a mut Student> for Trainee<'a> {
    fn from(student: &'a mut Student) -> Self {
        Self { student, adapter: None }
    }
}

impl<'a> From<(&'a mut Student, &'a mut Adapter)> for Trainee<'a> {
    fn from((student, adapter): (&'a mut Student, &'a mut Adapter)) -> Self {
        Self { student, adapter: Some(adapter) }
    }
}

impl Trainee<'_> {
    /// Elements of all that is trained.
    pub(crate) fn total(&self) -> usize {
        self.adapter.as_ref().map_or(self.student.layout.total, |adapter| adapter.layout.total)
    }

    /// Tensors of what is trained.
    pub(crate) fn places(&self) -> &[TensorPlace] {
        self.adapter.as_ref().map_or(&self.student.layout.places, |adapter| &adapter.layout.places)
    }
}

/// Which of a learner's vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vector {
    Parameters,
    First,
    Second,
}

impl Learner {
    /// Moves the student's parameters to its device; [`Learner::finish`] moves them back.
    pub fn new(
        trainee: &mut Trainee,
        moments: Option<[Vec<f32>; 2]>,
        longest: usize,
        checkpointing: bool,
    ) -> Result<Self, Error> {
        let total = trainee.total();
        let student = &mut *trainee.student;
        let device = student.target.device()?;
        let frozen = match &trainee.adapter {
            Some(adapter) if student.target != Target::Cpu && adapter.settings.lora_dropout > 0.0 => {
                return Err(setting("lora_dropout", adapter.settings.lora_dropout, "0 on devices other than the CPU"));
            }
            Some(adapter) => Some(Frozen {
                parameters: std::mem::take(&mut student.parameters),
                settings: adapter.settings.clone(),
                layout: adapter.layout.clone(),
            }),
            None => None,
        };
        let saving = if checkpointing { Saving::Inputs } else { Saving::All };
        let rotary = Rotary::new(&student.config, longest);
        let shape = Arc::new(Shape::new(student.config.clone(), student.layout.clone(), rotary, saving, frozen));
        let moments = moments.unwrap_or_else(|| [zeros(Vec::new(), total), zeros(Vec::new(), total)]);
        let trained = trainee.adapter.as_mut().map_or(&mut student.parameters, |adapter| &mut adapter.values);
        let parameters = upload(std::mem::take(trained), &device);
        Ok(Self {
            target: student.target,
            shape,
            parameters: Some(parameters),
            moments: Some(moments.map(|moment| upload(moment, &device))),
            device,
            noise: Cell::new((0, 0)),
        })
    }

    fn parameters(&self) -> &Tensor<1> {
        self.parameters.as_ref().expect("parameters are only away during an update")
    }

    /// Gives parameters and adapters back.
    pub fn finish(mut self, trainee: &mut Trainee) {
        let trained = download(self.parameters.take().expect("parameters are only away during an update"));
        let Some(adapter) = &mut trainee.adapter else {
            trainee.student.parameters = trained;
            return;
        };
        adapter.values = trained;
        let shape = Arc::into_inner(self.shape).expect("plans end with their batch");
        trainee.student.parameters = shape.frozen.expect("adapters are beside a frozen student").parameters;
    }

    /// Sets what decides about dropout in the step to come.
    pub fn set_noise(&self, seed: u64) {
        self.noise.set((seed, 0));
    }

    /// Runs `read` on one of the vectors, on this machine.
    pub fn read<R>(&self, vector: Vector, read: impl FnOnce(&[f32]) -> R) -> R {
        let moments = self.moments.as_ref().expect("moments are only away during an update");
        let tensor = match vector {
            Vector::Parameters => self.parameters(),
            Vector::First => &moments[0],
            Vector::Second => &moments[1],
        };
        if self.target == Target::Cpu {
            let tensor = tensor.clone().try_into_primitive::<Flex>().expect("the CPU's tensors are Flex's");
            return read(tensor.storage::<f32>());
        }
        read(&download(tensor.clone()))
    }

    /// Runs `read` with what scores tokens by the model as it is now, on its device and without dropout.
    pub fn with_scorer<R>(&self, read: impl FnOnce(&mut Scorer) -> R) -> R {
        if self.target != Target::Cpu {
            return read(&mut self.plain_scorer());
        }
        self.read(Vector::Parameters, |trained| {
            let still = self.shape.frozen.as_ref().map(|frozen| frozen.settings.without_dropout());
            read(&mut Scorer::kernels(self.shape.model_with(trained, still.as_ref())))
        })
    }

    /// [`Learner::with_scorer`]'s by the decoder in plain tensor operations.
    pub fn plain_scorer(&self) -> Scorer<'_> {
        let Shape { config, layout, rotary, .. } = &*self.shape;
        Scorer::plain(config, layout, rotary, self.tables(), self.device.clone())
    }

    /// Log-probs of `targets[i]` after position `rows[i]` of a batch, and the gradient `[parameters]` of their weighted sum.
    pub fn gradient(
        &self,
        batch: Batch,
        rows: Vec<usize>,
        targets: Vec<u32>,
        weighing: Weighing,
    ) -> (Vec<f32>, Tensor<1>) {
        if self.target != Target::Cpu {
            return self.plain_gradient(&batch, &rows, &targets, weighing);
        }
        let foreseen = match weighing {
            Weighing::Even(weight) => Some(vec![weight; rows.len()]),
            Weighing::Later(_) => None,
        };
        let (seed, count) = self.noise.get();
        self.noise.set((seed, count + 1));
        let seed = Random::new(&[seed, count]).next();
        let plan = BatchPlan::new(self.shape.clone(), batch, rows, targets, foreseen, seed);
        let leaf = self.parameters().clone().autodiff().require_grad();
        let log_probs = target_log_probs(leaf.clone(), &plan);
        let values = download(log_probs.clone().without_autodiff());
        let weights = upload(weighing.weights(&values), &self.device).autodiff();
        let mut gradients = (log_probs * weights).sum().backward();
        let gradient = leaf.grad_remove(&mut gradients).expect("log-probs come from the parameters");
        (values, gradient)
    }

    /// What is trained, and what it is beside, as separate tensors on the device.
    fn tables(&self) -> Tables {
        let Shape { layout, frozen, .. } = &*self.shape;
        let Some(frozen) = frozen else { return Tables::cut(layout, self.parameters()) };
        let beside = Tables::cut(layout, &upload(frozen.parameters.clone(), &self.device));
        beside.adapted(&frozen.layout, frozen.settings.scale(), self.parameters())
    }

    /// [`Learner::gradient`] by the decoder in plain tensor operations.
    pub fn plain_gradient(
        &self,
        batch: &Batch,
        rows: &[usize],
        targets: &[u32],
        weighing: Weighing,
    ) -> (Vec<f32>, Tensor<1>) {
        let Shape { config, layout, rotary, .. } = &*self.shape;
        let tables = self.tables().tracked();
        let device = self.device.clone().autodiff();
        let log_probs = device_log_probs(config, layout, rotary, &tables, batch, rows, targets, &device);
        let values = download(log_probs.clone().without_autodiff());
        let weights = upload(weighing.weights(&values), &self.device).autodiff();
        let mut gradients = (log_probs * weights).sum().backward();
        let mut of = |leaf: &Tensor<1>| leaf.grad_remove(&mut gradients).expect("every trained tensor is used");
        let parts = tables.leaves().iter().map(&mut of).collect();
        (values, Tensor::cat(parts, 0))
    }

    /// Global norm of a gradient, in f64 from f32 elements.
    pub fn norm(&self, gradient: &Tensor<1>) -> f64 {
        if self.target == Target::Cpu {
            let gradient = gradient.clone().try_into_primitive::<Flex>().expect("the CPU's tensors are Flex's");
            return sum_of_squares(gradient.to_contiguous().storage::<f32>()).sqrt();
        }
        f64::from(gradient.clone().powf_scalar(2.0).sum().into_scalar::<f32>()).sqrt()
    }

    /// One AdamW update (decoupled decay, bias correction, clipping by the global norm); `time` counts from 1.
    pub fn update(
        &mut self,
        gradient: Tensor<1>,
        settings: &TrainSettings,
        learning_rate: f64,
        time: usize,
        grad_norm: f64,
    ) {
        self.update_by(gradient, settings, learning_rate, time, grad_norm, self.target == Target::Cpu);
    }

    /// [`Learner::update`] by the kernel in place or by plain tensor operations.
    pub fn update_by(
        &mut self,
        gradient: Tensor<1>,
        settings: &TrainSettings,
        learning_rate: f64,
        time: usize,
        grad_norm: f64,
        in_place: bool,
    ) {
        // torch.nn.utils.clip_grad_norm_ adds 1e-6 to the norm.
        let clip = match settings.max_grad_norm {
            most if most > 0.0 => (most / (grad_norm + 1e-6)).min(1.0),
            _ => 1.0,
        };
        let time = i32::try_from(time).unwrap_or(i32::MAX);
        let factors = |decay: f64| AdamwFactors {
            clip: clip as f32,
            keep: (1.0 - learning_rate * decay) as f32,
            beta1: settings.adam_beta1 as f32,
            beta2: settings.adam_beta2 as f32,
            step_size: (learning_rate / (1.0 - settings.adam_beta1.powi(time))) as f32,
            root_correction: (1.0 - settings.adam_beta2.powi(time)).sqrt() as f32,
            epsilon: settings.adam_epsilon as f32,
        };
        let vector_decay = if settings.decay_norms_and_biases { settings.weight_decay } else { 0.0 };
        let (matrices, vectors) = (factors(settings.weight_decay), factors(vector_decay));
        let parameters = self.parameters.take().expect("parameters are only away during an update");
        let moments = self.moments.take().expect("moments are only away during an update");
        let (parameters, moments) = if in_place {
            self.update_in_place(parameters, gradient, moments, &matrices, &vectors)
        } else {
            self.update_on_device(parameters, gradient, moments, &matrices, &vectors)
        };
        self.parameters = Some(parameters);
        self.moments = Some(moments);
    }

    fn update_in_place(
        &self,
        parameters: Tensor<1>,
        gradient: Tensor<1>,
        [first, second]: [Tensor<1>; 2],
        matrices: &AdamwFactors,
        vectors: &AdamwFactors,
    ) -> (Tensor<1>, [Tensor<1>; 2]) {
        const CHUNK: usize = 1 << 15;
        let primitive = |tensor: Tensor<1>| tensor.try_into_primitive::<Flex>().expect("the CPU's tensors are Flex's");
        let (mut parameters, mut first, mut second) = (primitive(parameters), primitive(first), primitive(second));
        let gradient = primitive(gradient).to_contiguous();
        {
            let (parameters, gradients) = (parameters.storage_mut::<f32>(), gradient.storage::<f32>());
            let (first, second) = (first.storage_mut::<f32>(), second.storage_mut::<f32>());
            for place in self.shape.trained() {
                let (range, factors) = (place.range(), if place.is_matrix() { matrices } else { vectors });
                let moments =
                    first[range.clone()].par_chunks_mut(CHUNK).zip(second[range.clone()].par_chunks_mut(CHUNK));
                parameters[range.clone()]
                    .par_chunks_mut(CHUNK)
                    .zip(gradients[range].par_chunks(CHUNK))
                    .zip(moments)
                    .for_each(|((parameter, gradient), (first, second))| {
                        adamw(parameter, gradient, first, second, factors);
                    });
            }
        }
        if gradient.is_unique()
            && let Ok(memory) = gradient.into_data().try_into_vec::<f32>()
        {
            self.shape.recycle(memory);
        }
        (Tensor::from_primitive::<Flex>(parameters), [first, second].map(Tensor::from_primitive::<Flex>))
    }

    fn update_on_device(
        &self,
        parameters: Tensor<1>,
        gradient: Tensor<1>,
        [first, second]: [Tensor<1>; 2],
        matrices: &AdamwFactors,
        vectors: &AdamwFactors,
    ) -> (Tensor<1>, [Tensor<1>; 2]) {
        let AdamwFactors { clip, beta1, beta2, step_size, root_correction, epsilon, .. } = *matrices;
        let gradient = gradient * clip;
        let first = first.clone() + (gradient.clone() - first) * (1.0 - beta1);
        let second = second * beta2 + gradient.powf_scalar(2.0) * (1.0 - beta2);
        let step = first.clone() / (second.clone().sqrt() / root_correction + epsilon) * step_size;
        let kept = if matrices.keep == vectors.keep {
            parameters * matrices.keep
        } else {
            let part = |place: &crate::layout::TensorPlace| {
                let keep = if place.is_matrix() { matrices.keep } else { vectors.keep };
                parameters.clone().slice([place.range()]) * keep
            };
            Tensor::cat(self.shape.trained().iter().map(part).collect(), 0)
        };
        (kept - step, [first, second])
    }
}
