//! Burn: tensors on a device, automatic differentiation, and the decoder as one operation.
//!
//! The operation has two bodies. On the CPU it is a custom operation of Burn's extension mechanism whose forward and
//! backward are the kernels of `fused`; everywhere else it is the decoder written in plain tensor operations
//! (`decoder.rs`), which Burn differentiates. Tests prove that both give the same numbers.

mod decoder;
#[cfg(feature = "wgpu")]
mod graphics;
mod learner;
mod operation;
mod scorer;

pub(crate) use decoder::{Tables, device_log_probs, device_logits};
pub use learner::Trainee;
pub(crate) use learner::{Learner, Vector, Weighing};
pub(crate) use scorer::Scorer;

use burn::tensor::{Device, Tensor, TensorData};

use crate::{Error, Target};

impl Target {
    /// The one place that names a device; nothing in this crate asks Burn for a default.
    pub(crate) fn device(self) -> Result<Device, Error> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda(number) => Ok(Device::cuda(number)),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(number) => Ok(graphics::open(number).map_err(|reason| self.unusable(reason))?.device),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(self.unusable("this program was built without the `cuda` feature")),
            #[cfg(not(feature = "wgpu"))]
            Self::Wgpu(_) => Err(self.unusable("this program was built without the `wgpu` feature")),
        }
    }

    /// Whether the device is there and takes a vector of so many f32 elements: graphics adapters bound the size of one
    /// buffer, and all parameters are one.
    #[cfg_attr(not(feature = "wgpu"), allow(unused_variables))]
    pub(crate) fn check_vector(self, elements: usize) -> Result<(), Error> {
        self.device()?;
        #[cfg(feature = "wgpu")]
        if let Self::Wgpu(number) = self {
            let max_parameters = graphics::open(number).map_err(|reason| self.unusable(reason))?.largest_buffer / 4;
            if elements as u64 > max_parameters {
                let reason = format!("it takes models of at most {max_parameters} parameters; this one has {elements}");
                return Err(self.unusable(reason));
            }
        }
        Ok(())
    }
}

/// A vector on a device, without a copy where the device is the CPU.
pub(crate) fn upload(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

/// The elements of a tensor, without a copy where they are on the CPU and nobody else holds them.
pub(crate) fn download<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("tensors of this crate are f32")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::operation::{BatchPlan, Shape, target_log_probs};
    use super::*;
    use crate::fused::{Batch, Saving};
    use crate::rotary::Rotary;
    use crate::{Architecture, Family, Student};

    fn student(family: Family) -> Student {
        let architecture = Architecture {
            model_type: family,
            vocab_size: 37,
            hidden_size: 24,
            intermediate_size: 40,
            num_hidden_layers: 2,
            num_attention_heads: 6,
            num_key_value_heads: Some(2),
            head_dim: Some(10),
            max_position_embeddings: 128,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            tie_word_embeddings: family == Family::Qwen3,
            initializer_range: 0.2,
        };
        Student::random(&architecture, 11, Target::Cpu).unwrap()
    }

    /// Sequences of 70, 1, 33 and 5 tokens, and every position but each sequence's last.
    /// Long enough for attention to cut its heads apart.
    const LONGEST: usize = 530;

    fn batch() -> (Batch, Vec<usize>, Vec<u32>) {
        let sequences: Vec<Vec<u32>> = [LONGEST as u32, 70, 1, 33, 5]
            .map(|length: u32| (0..length).map(|i| (i * i + length) % 37).collect())
            .to_vec();
        let batch = Batch::new(sequences.iter().map(Vec::as_slice));
        let inside = |row: &usize| !batch.starts.contains(&(row + 1));
        let rows: Vec<usize> = (0..batch.len()).filter(inside).collect();
        let targets = rows.iter().map(|row| batch.tokens[row + 1]).collect();
        (batch, rows, targets)
    }

    fn shape(student: &Student, saving: Saving) -> Arc<Shape> {
        let rotary = Rotary::new(&student.config, LONGEST);
        Arc::new(Shape::new(student.config.clone(), student.layout.clone(), rotary, saving, None))
    }

    fn worst(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
    }

    #[test]
    fn the_operation_is_the_plain_decoder() {
        for family in [Family::Llama, Family::Qwen2, Family::Qwen3] {
            let student = student(family);
            let device = Target::Cpu.device().unwrap();
            let (batch, rows, targets) = batch();
            let weights: Vec<f32> = (0..rows.len()).map(|i| (i as f32 * 0.7).sin()).collect();
            let weigh = || upload(weights.clone(), &device).autodiff();
            let parameters = upload(student.parameters.clone(), &device);

            let rotary = Rotary::new(&student.config, LONGEST);
            let tables = Tables::cut(&student.layout, &parameters).tracked();
            let tracked = device.clone().autodiff();
            let plain =
                device_log_probs(&student.config, &student.layout, &rotary, &tables, &batch, &rows, &targets, &tracked);
            let expected = download(plain.clone().without_autodiff());
            let mut gradients = (plain * weigh()).sum().backward();
            let mut expected_gradient = Vec::new();
            for tensor in &tables.tensors {
                expected_gradient.extend(download(tensor.grad_remove(&mut gradients).unwrap()));
            }

            for saving in [Saving::All, Saving::Inputs] {
                for known in [None, Some(weights.clone()), Some(vec![1.0; rows.len()])] {
                    let plan =
                        BatchPlan::new(shape(&student, saving), batch.clone(), rows.clone(), targets.clone(), known, 0);
                    let leaf = parameters.clone().autodiff().require_grad();
                    let fused = target_log_probs(leaf.clone(), &plan);
                    let off = worst(&download(fused.clone().without_autodiff()), &expected);
                    assert!(off < 1e-5, "{family:?}: log-probs differ by {off}");
                    let mut gradients = (fused * weigh()).sum().backward();
                    let gradient = download(leaf.grad_remove(&mut gradients).unwrap());
                    for place in &student.layout.places {
                        let (ours, theirs) = (&gradient[place.range()], &expected_gradient[place.range()]);
                        let largest = theirs.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
                        let off = worst(ours, theirs);
                        assert!(off <= 2e-5 * largest, "{family:?}: {} differs by {off} of {largest}", place.name);
                    }
                }
            }
        }
    }

    /// Without differentiation the operation is the forward pass alone.
    #[test]
    fn the_operation_runs_without_differentiation() {
        let student = student(Family::Llama);
        let (batch, rows, targets) = batch();
        let plan = BatchPlan::new(shape(&student, Saving::Nothing), batch, rows.clone(), targets, None, 0);
        let parameters = upload(student.parameters.clone(), &Target::Cpu.device().unwrap());
        assert_eq!(download(target_log_probs(parameters, &plan)).len(), rows.len());
    }

    #[test]
    fn parameters_are_updated_in_place() {
        let mut student = student(Family::Llama);
        let mut learner = Learner::new(&mut (&mut student).into(), None, LONGEST, false).unwrap();
        let place = |learner: &Learner| learner.read(Vector::Parameters, |elements| elements.as_ptr() as usize);
        let before = place(&learner);
        for time in 1..4 {
            let (batch, rows, targets) = batch();
            let (_, gradient) = learner.gradient(batch, rows, targets, Weighing::Even(-0.1));
            let norm = learner.norm(&gradient);
            learner.update(gradient, &retort_training::TrainSettings::with_learning_rate(1e-3), 1e-3, time, norm);
            assert_eq!(place(&learner), before);
        }
        learner.finish(&mut (&mut student).into());
        assert_eq!(student.parameters.len(), student.layout.total);
    }

    /// The plain decoder's update is the kernel's.
    #[test]
    fn updates_agree() {
        let settings = retort_training::TrainSettings {
            weight_decay: 0.1,
            decay_norms_and_biases: false,
            ..retort_training::TrainSettings::with_learning_rate(1e-2)
        };
        let run = |plain: bool| {
            let mut student = student(Family::Qwen2);
            let mut learner = Learner::new(&mut (&mut student).into(), None, LONGEST, false).unwrap();
            for time in 1..4 {
                let (batch, rows, targets) = batch();
                let (_, gradient) = if plain {
                    learner.plain_gradient(&batch, &rows, &targets, Weighing::Even(-0.1))
                } else {
                    learner.gradient(batch, rows, targets, Weighing::Even(-0.1))
                };
                let norm = learner.norm(&gradient);
                learner.update_by(gradient, &settings, 1e-2, time, norm, !plain);
            }
            learner.finish(&mut (&mut student).into());
            student.parameters
        };
        // Adam divides by the gradient's size, so a few elements with tiny gradients may differ by more.
        let (ours, theirs) = (run(false), run(true));
        let far = ours.iter().zip(&theirs).filter(|(a, b)| (*a - *b).abs() > 1e-4).count();
        assert!(far * 100 < ours.len(), "{far} of {} elements differ", ours.len());
    }

    /// What evaluates during training gives by plain tensor operations what it gives by kernels.
    #[test]
    fn scores_agree() {
        for family in [Family::Llama, Family::Qwen2, Family::Qwen3] {
            let (batch, rows, targets) = batch();
            let mut student = student(family);
            let mut adapter = crate::Adapter::new(&student, &retort_training::LoraSettings::default(), 2).unwrap();
            adapter.values.iter_mut().enumerate().for_each(|(i, x)| *x += (i as f32 * 0.37).sin() * 0.1);
            let compare = |mut trainee: Trainee| {
                let learner = Learner::new(&mut trainee, None, LONGEST, false).unwrap();
                let kernels = learner.with_scorer(|scorer| scorer.log_probs(&batch, &rows, &targets));
                let plain = learner.plain_scorer().log_probs(&batch, &rows, &targets);
                assert!(worst(&kernels, &plain) < 1e-5, "{family:?}");
                let mean = |log_probs: &[f32]| log_probs.iter().sum::<f32>() / log_probs.len() as f32;
                assert!((mean(&kernels) - mean(&plain)).abs() < 1e-5, "{family:?}");
                learner.finish(&mut trainee);
            };
            compare((&mut student).into());
            compare((&mut student, &mut adapter).into());
        }
    }

    /// Adapters' gradients by kernels are those by plain tensor operations.
    #[test]
    fn adapter_gradients_agree() {
        for family in [Family::Llama, Family::Qwen2, Family::Qwen3] {
            let mut student = student(family);
            let settings =
                retort_training::LoraSettings { r: 3, lora_alpha: 5.0, ..retort_training::LoraSettings::default() };
            let mut adapter = crate::Adapter::new(&student, &settings, 2).unwrap();
            // B is zero at first, and then A has no gradient.
            adapter.values.iter_mut().enumerate().for_each(|(i, x)| *x += (i as f32 * 0.37).sin() * 0.1);
            let places = adapter.layout.places.clone();
            let mut trainee = (&mut student, &mut adapter).into();
            let learner = Learner::new(&mut trainee, None, LONGEST, false).unwrap();
            let (batch, rows, targets) = batch();
            let (expected, plain) = learner.plain_gradient(&batch, &rows, &targets, Weighing::Even(-0.1));
            let (log_probs, fused) = learner.gradient(batch, rows, targets, Weighing::Even(-0.1));
            assert!(worst(&log_probs, &expected) < 1e-5, "{family:?}");
            let (plain, fused) = (download(plain), download(fused));
            for place in &places {
                let largest = plain[place.range()].iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
                let off = worst(&plain[place.range()], &fused[place.range()]);
                assert!(off <= 2e-5 * largest, "{family:?}: {} differs by {off} of {largest}", place.name);
            }
            learner.finish(&mut trainee);
        }
    }

    /// Plain tensor operations have no dropout; finite differences with the same inputs dropped stand in for them.
    #[test]
    fn adapter_gradients_with_dropout_are_finite_differences() {
        let mut student = student(Family::Qwen2);
        let settings = retort_training::LoraSettings {
            r: 3,
            lora_alpha: 5.0,
            lora_dropout: 0.3,
            ..retort_training::LoraSettings::default()
        };
        let mut adapter = crate::Adapter::new(&student, &settings, 2).unwrap();
        adapter.values.iter_mut().enumerate().for_each(|(i, x)| *x += (i as f32 * 0.37).sin() * 0.1);
        let mut run = |adapter: &mut crate::Adapter| {
            let mut trainee = (&mut student, adapter).into();
            let learner = Learner::new(&mut trainee, None, LONGEST, false).unwrap();
            learner.set_noise(9);
            let (batch, rows, targets) = batch();
            let (log_probs, gradient) = learner.gradient(batch, rows, targets, Weighing::Even(-0.1));
            learner.finish(&mut trainee);
            (log_probs.iter().map(|x| f64::from(*x) * -0.1).sum::<f64>(), download(gradient))
        };
        let gradient = run(&mut adapter).1;
        for place in adapter.layout.places.clone() {
            let along = &gradient[place.range()];
            let norm = along.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let mut value = |step: f64| {
                let mut moved = adapter.clone();
                for (x, along) in moved.values[place.range()].iter_mut().zip(along) {
                    *x += (step * f64::from(*along) / norm) as f32;
                }
                run(&mut moved).0
            };
            let slope = (value(5e-3) - value(-5e-3)) / 1e-2;
            assert!((slope - norm).abs() <= 0.01 * norm, "{}: {slope} against {norm}", place.name);
        }
    }
}
