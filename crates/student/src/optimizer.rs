use retort_training::TrainSettings;

use crate::kernels::rowwise::AdamwFactors;
use crate::layout::TensorPlace;

/// The numbers of one AdamW step (arXiv 1711.05101, algorithm 2): decoupled decay, bias correction, clipping by the global
/// norm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamwStep {
    matrices: AdamwFactors,
    vectors: AdamwFactors,
}

impl AdamwStep {
    /// The step number `time`, from 1, by a gradient of this norm.
    pub fn new(settings: &TrainSettings, learning_rate: f64, time: usize, gradient_norm: f64) -> Self {
        // torch.nn.utils.clip_grad_norm_ adds 1e-6 to the norm.
        let clip = match settings.max_grad_norm {
            most if most > 0.0 => (most / (gradient_norm + 1e-6)).min(1.0),
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
        Self { matrices: factors(settings.weight_decay), vectors: factors(vector_decay) }
    }

    /// The numbers for one tensor.
    pub fn factors(&self, place: &TensorPlace) -> &AdamwFactors {
        if place.is_matrix() { &self.matrices } else { &self.vectors }
    }
}
