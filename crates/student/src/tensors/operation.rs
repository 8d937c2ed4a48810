use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::backend::autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::flex::FlexTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::{Tensor, TensorData};
use retort_training::LoraSettings;
use retort_weights::ModelConfig;

use crate::adapter::layout::AdapterLayout;
use crate::fused::{Adapters, Batch, Model, Pass, Saving};
use crate::kernels::zeros;
use crate::layout::{ParameterLayout, TensorPlace};
use crate::rotary::Rotary;

/// What does not change from batch to batch: the model's shape and the memory of its passes.
#[derive(Debug)]
pub struct Shape {
    pub config: ModelConfig,
    pub layout: ParameterLayout,
    pub rotary: Rotary,
    /// What is not trained: there when adapters are.
    pub frozen: Option<Frozen>,
    workspace: Mutex<Workspace>,
}

/// A student whose adapters are trained.
#[derive(Debug)]
pub struct Frozen {
    /// All parameters of the student.
    pub parameters: Vec<f32>,
    pub settings: LoraSettings,
    pub layout: AdapterLayout,
}

/// Memory of the last forward pass, and whose it was.
#[derive(Debug)]
struct Workspace {
    pass: Pass,
    /// The plan whose intermediate results are in `pass`.
    holds: u64,
    /// Gradient of the head, made together with the logits where the plan knew what would be asked.
    head: Option<Vec<f32>>,
    /// Memory for the next gradient.
    spare: Vec<f32>,
}

impl Shape {
    pub fn new(
        config: ModelConfig,
        layout: ParameterLayout,
        rotary: Rotary,
        saving: Saving,
        frozen: Option<Frozen>,
    ) -> Self {
        let workspace = Workspace { pass: Pass::new(saving), holds: 0, head: None, spare: Vec::new() };
        Self { config, layout, rotary, frozen, workspace: Mutex::new(workspace) }
    }

    /// Takes back the memory of a gradient that has served.
    pub fn recycle(&self, gradient: Vec<f32>) {
        self.workspace().spare = gradient;
    }

    fn workspace(&self) -> MutexGuard<'_, Workspace> {
        self.workspace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tensors of what is trained.
    pub fn trained(&self) -> &[TensorPlace] {
        self.frozen.as_ref().map_or(&self.layout.places, |frozen| &frozen.layout.places)
    }

    /// The model with these settings of its adapters, if it has any.
    pub fn model_with<'a>(&'a self, trained: &'a [f32], settings: Option<&'a LoraSettings>) -> Model<'a> {
        let model = self.model(trained, 0);
        let adapters = model.adapters.zip(settings).map(|(adapters, settings)| Adapters { settings, ..adapters });
        Model { adapters, ..model }
    }

    fn model<'a>(&'a self, trained: &'a [f32], seed: u64) -> Model<'a> {
        let Self { config, layout, rotary, .. } = self;
        let Some(frozen) = &self.frozen else {
            return Model { config, layout, parameters: trained, rotary, adapters: None };
        };
        let adapters = Adapters { settings: &frozen.settings, layout: &frozen.layout, values: trained, seed };
        Model { config, layout, parameters: &frozen.parameters, rotary, adapters: Some(adapters) }
    }
}

/// One batch and the tokens whose log-probs are wanted.
#[derive(Clone, Debug)]
pub struct BatchPlan(Arc<Batched>);

#[derive(Debug)]
struct Batched {
    number: u64,
    shape: Arc<Shape>,
    batch: Batch,
    rows: Vec<usize>,
    targets: Vec<u32>,
    /// Weights that the log-probs will be added up with, where they are known beforehand.
    weights: Option<Vec<f32>>,
    /// Decides which inputs of adapters drop out.
    seed: u64,
}

impl BatchPlan {
    /// The log-prob of `targets[i]` after position `rows[i]` of the batch. With `weights` the head's gradient is computed
    /// while its logits are there; a backward pass that then asks for others computes them again.
    pub fn new(
        shape: Arc<Shape>,
        batch: Batch,
        rows: Vec<usize>,
        targets: Vec<u32>,
        weights: Option<Vec<f32>>,
        seed: u64,
    ) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Batched { number, shape, batch, rows, targets, weights, seed }))
    }
}

impl Workspace {
    fn zeros(&mut self, length: usize) -> Vec<f32> {
        zeros(std::mem::take(&mut self.spare), length)
    }

    fn forward(&mut self, plan: &Batched, parameters: &[f32]) -> Vec<f32> {
        let model = plan.shape.model(parameters, plan.seed);
        self.holds = plan.number;
        self.head = None;
        self.pass.forward(&model, &plan.batch);
        let Some(weights) = &plan.weights else {
            return self.pass.log_probs(&model, &plan.rows, &plan.targets);
        };
        let mut gradient = self.zeros(parameters.len());
        let found = self.pass.log_probs_backward(&model, &plan.rows, &plan.targets, weights, &mut gradient);
        self.head = Some(gradient);
        found
    }

    fn backward(&mut self, plan: &Batched, parameters: &[f32], weights: &[f32]) -> Vec<f32> {
        let model = plan.shape.model(parameters, plan.seed);
        if self.holds != plan.number {
            self.head = None;
            self.pass.forward(&model, &plan.batch);
        }
        let foreseen = plan.weights.as_deref() == Some(weights);
        let mut gradient = match self.head.take().filter(|_| foreseen) {
            Some(gradient) => gradient,
            None => {
                let mut gradient = self.zeros(parameters.len());
                self.pass.log_probs_backward(&model, &plan.rows, &plan.targets, weights, &mut gradient);
                gradient
            }
        };
        self.pass.backward(&model, &plan.batch, &mut gradient);
        // The backward pass writes over what the forward pass kept.
        self.holds = 0;
        gradient
    }
}

/// The decoder as one operation of Burn.
#[backend_extension(Flex, Autodiff)]
pub trait DecoderOperation: Backend {
    /// Log-probs `[targets]` of a plan, from all that is trained (parameters or adapters) in one vector, f32.
    fn target_log_probs(parameters: FloatTensor<Self>, plan: BatchPlan) -> FloatTensor<Self>;
}

/// The backward pass of [`DecoderOperation`], for backends that have kernels.
pub trait DecoderBackward: DecoderOperation {
    /// Gradient `[parameters]` of `Σ upstream[i] · log-prob[i]`.
    fn target_log_probs_backward(
        parameters: FloatTensor<Self>,
        plan: BatchPlan,
        upstream: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

fn vector(values: Vec<f32>) -> FlexTensor {
    let length = values.len();
    FlexTensor::from_data(TensorData::new(values, [length]))
}

impl DecoderOperation for Flex {
    fn target_log_probs(parameters: FlexTensor, plan: BatchPlan) -> FlexTensor {
        let parameters = parameters.to_contiguous();
        vector(plan.0.shape.workspace().forward(&plan.0, parameters.storage::<f32>()))
    }
}

impl DecoderBackward for Flex {
    fn target_log_probs_backward(parameters: FlexTensor, plan: BatchPlan, upstream: FlexTensor) -> FlexTensor {
        let (parameters, upstream) = (parameters.to_contiguous(), upstream.to_contiguous());
        let mut workspace = plan.0.shape.workspace();
        vector(workspace.backward(&plan.0, parameters.storage::<f32>(), upstream.storage::<f32>()))
    }
}

impl<B: DecoderBackward, C: CheckpointStrategy> DecoderOperation for Autodiff<B, C> {
    fn target_log_probs(parameters: FloatTensor<Self>, plan: BatchPlan) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct TargetLogProbs;
        impl<B: DecoderBackward> Backward<B, 1> for TargetLogProbs {
            type State = (B::FloatTensorPrimitive, BatchPlan);

            fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
                let [parent] = ops.parents;
                let upstream = gradients.consume::<B>(&ops.node);
                let (parameters, plan) = ops.state;
                if let Some(parent) = parent {
                    gradients.register::<B>(parent.id, B::target_log_probs_backward(parameters, plan, upstream));
                }
            }
        }
        let (parameters, node) = parameters.into_parts();
        match TargetLogProbs.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let out = B::target_log_probs(parameters.clone(), plan.clone());
                prepared.finish((parameters, plan), out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::target_log_probs(parameters, plan)),
        }
    }
}

/// Log-probs `[targets]` of a plan on the CPU; differentiable by the parameters `[parameters]`.
pub(super) fn target_log_probs(parameters: Tensor<1>, plan: &BatchPlan) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as DecoderOperation>::target_log_probs(parameters.into_dispatch(), plan.clone()))
}
