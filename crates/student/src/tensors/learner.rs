use std::borrow::Cow;

use burn::tensor::{Device, Tensor};

use super::decoder::Decoder;
use super::weights::{Weights, cut, join};
use super::{download, upload};
use crate::Error;
use crate::backend::{self, Fixed, Vector, Weighing};
use crate::batch::{Batch, Targets};
use crate::error::setting;
use crate::kernels::rowwise::AdamwFactors;
use crate::optimizer::AdamwStep;

/// Weights on a device that learn by Burn's differentiation. What is not trained is moved there once.
pub(crate) struct Learner<'a> {
    fixed: Fixed<'a>,
    device: Device,
    base: Weights<'a>,
    trained: Vec<Tensor<1>>,
    moments: [Vec<Tensor<1>>; 2],
    /// The step's gradient so far.
    gradient: Option<Vec<Tensor<1>>>,
    /// Where the weights come from and go back to.
    home: &'a mut Vec<f32>,
}

impl<'a> Learner<'a> {
    pub fn new(
        fixed: Fixed<'a>,
        home: &'a mut Vec<f32>,
        moments: [Vec<f32>; 2],
        device: &Device,
    ) -> Result<Self, Error> {
        if let Some(share) = fixed.frozen.map(|frozen| frozen.settings.lora_dropout).filter(|share| *share > 0.0) {
            return Err(setting("lora_dropout", share, "0 on devices other than the CPU"));
        }
        let places = fixed.trained();
        Ok(Self {
            fixed,
            device: device.clone(),
            base: Weights::base(fixed.shape, fixed.frozen, device),
            trained: cut(places, home, device),
            moments: moments.map(|moment| cut(places, &moment, device)),
            gradient: None,
            home,
        })
    }

    fn decoder(&self) -> Decoder<'a> {
        Decoder::new(self.fixed.shape, self.base.with(self.trained.clone()), self.device.clone())
    }
}

impl backend::Learner for Learner<'_> {
    fn accumulate(&mut self, batch: &Batch, targets: &Targets, weighing: Weighing) -> Vec<f32> {
        let decoder = self.decoder().tracked();
        let log_probs = decoder.target_log_probs(batch, targets);
        let values = download(log_probs.clone().without_autodiff());
        let weights = match weighing {
            Weighing::Even(weight) => vec![weight; values.len()],
            Weighing::Later(weigh) => weigh(&values),
        };
        let mut gradients = (log_probs * upload(&weights, &self.device).autodiff()).sum().backward();
        let mut of = |leaf: &Tensor<1>| leaf.grad_remove(&mut gradients).expect("every trained tensor is used");
        let one: Vec<Tensor<1>> = decoder.weights.trained().iter().map(&mut of).collect();
        self.gradient = Some(match self.gradient.take() {
            None => one,
            Some(sum) => sum.into_iter().zip(one).map(|(sum, one)| sum + one).collect(),
        });
        values
    }

    fn gradient_norm(&self) -> f64 {
        let Some(gradient) = &self.gradient else { return 0.0 };
        let squares = gradient.iter().map(|tensor| tensor.clone().powf_scalar(2.0).sum()).collect();
        f64::from(Tensor::cat(squares, 0).sum().into_scalar::<f32>()).sqrt()
    }

    /// Algorithm 2 of arXiv 1711.05101 in PyTorch's order of operations.
    fn update(&mut self, step: &AdamwStep) {
        let Some(gradient) = self.gradient.take() else { return };
        let [first, second] = &mut self.moments;
        let moments = first.iter_mut().zip(second);
        let tensors = self.trained.iter_mut().zip(gradient).zip(moments).zip(self.fixed.trained());
        for (((parameter, gradient), (first, second)), place) in tensors {
            let AdamwFactors { clip, keep, beta1, beta2, step_size, root_correction, epsilon } = *step.factors(place);
            let g = gradient * clip;
            let m = first.clone() + (g.clone() - first.clone()) * (1.0 - beta1);
            let v = second.clone() * beta2 + g.powf_scalar(2.0) * (1.0 - beta2);
            let direction = m.clone() / (v.clone().sqrt() / root_correction + epsilon);
            *parameter = parameter.clone() * keep - direction * step_size;
            (*first, *second) = (m, v);
        }
    }

    fn read(&self, vector: Vector) -> Cow<'_, [f32]> {
        Cow::Owned(join(match vector {
            Vector::Parameters => &self.trained,
            Vector::Gradient => self.gradient.as_deref().unwrap_or_default(),
            Vector::FirstMoment => &self.moments[0],
            Vector::SecondMoment => &self.moments[1],
        }))
    }

    fn lend(&self) -> Box<dyn backend::Decoder + '_> {
        Box::new(self.decoder())
    }

    fn finish(self: Box<Self>) {
        *self.home = join(&self.trained);
    }
}
