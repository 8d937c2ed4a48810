//! The kernels measured by the tensors: the same weights on both sides, the tensors on Burn's own CPU backend.

use super::*;
use crate::generate::{GenerateRequest, GenerateSettings, Generator};
use crate::{Adapter, Architecture, Family, Student, Trainee, tensors};
use retort_training::TrainSettings;

/// Long enough for attention to cut its heads apart.
const LONGEST: u32 = 530;
const FAMILIES: [Family; 3] = [Family::Llama, Family::Qwen2, Family::Qwen3];

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

fn adapter(student: &Student, lora_dropout: f64) -> Adapter {
    let settings = LoraSettings { r: 3, lora_alpha: 5.0, lora_dropout, ..LoraSettings::default() };
    let mut adapter = Adapter::new(student, &settings, 2).unwrap();
    // B is zero at first, and then A has no gradient.
    adapter.values.iter_mut().enumerate().for_each(|(i, x)| *x += (i as f32 * 0.37).sin() * 0.1);
    adapter
}

/// Sequences of several lengths, and every position but each sequence's last.
fn batch() -> (Batch, Targets) {
    let sequences: Vec<Vec<u32>> =
        [LONGEST, 70, 1, 33, 5].map(|length| (0..length).map(|i| (i * i + length) % 37).collect()).to_vec();
    let batch = Batch::new(sequences.iter().map(Vec::as_slice));
    let rows: Vec<usize> = (0..batch.len()).filter(|row| !batch.starts.contains(&(row + 1))).collect();
    let tokens = rows.iter().map(|row| batch.tokens[row + 1]).collect();
    (batch, Targets { rows, tokens })
}

/// What `work` gives with a learner on the side of the kernels and with one on the side of the tensors.
fn both<R>(
    student: &Student,
    adapter: Option<&Adapter>,
    checkpointing: bool,
    work: impl Fn(&mut dyn Learner) -> R,
) -> [R; 2] {
    [false, true].map(|by_tensors| {
        let (mut student, mut adapter) = (student.clone(), adapter.cloned());
        let trainee: Trainee = match &mut adapter {
            None => (&mut student).into(),
            Some(adapter) => (&mut student, adapter).into(),
        };
        let (fixed, trained) = trainee.parts(checkpointing);
        let mut learner: Box<dyn Learner> = if by_tensors {
            let (device, zeros) = (Target::Cpu.device().unwrap(), vec![0.0; trained.len()]);
            Box::new(tensors::Learner::new(fixed, trained, [zeros.clone(), zeros], &device).unwrap())
        } else {
            fixed.learner(trained, None).unwrap()
        };
        work(&mut *learner)
    })
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
}

/// Each tensor differs by at most this share of its largest element.
fn agree(what: &str, places: &[TensorPlace], ours: &[f32], theirs: &[f32], most: f32) {
    for place in places {
        let (ours, theirs) = (&ours[place.range()], &theirs[place.range()]);
        let largest = theirs.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let off = worst(ours, theirs);
        assert!(off <= most * largest, "{what}: {} differs by {off} of {largest}", place.name);
    }
}

#[test]
fn log_probs_and_gradients() {
    for family in FAMILIES {
        let student = student(family);
        let (batch, targets) = batch();
        let waves: Vec<f32> = (0..targets.len()).map(|i| (i as f32 * 0.7).sin()).collect();
        for (later, checkpointing) in [(false, false), (true, false), (true, true)] {
            let [(ours, gradient), (theirs, expected)] = both(&student, None, checkpointing, |learner| {
                let mut weigh = |_: &[f32]| waves.clone();
                let weighing = if later { Weighing::Later(&mut weigh) } else { Weighing::Even(-0.1) };
                (learner.accumulate(&batch, &targets, weighing), learner.read(Vector::Gradient).into_owned())
            });
            assert!(worst(&ours, &theirs) < 1e-5, "{family:?}");
            agree(&format!("{family:?}"), &student.layout.places, &gradient, &expected, 2e-5);
        }
    }
}

#[test]
fn gradients_of_adapters() {
    for family in FAMILIES {
        let student = student(family);
        let adapter = adapter(&student, 0.0);
        let (batch, targets) = batch();
        let [(ours, gradient), (theirs, expected)] = both(&student, Some(&adapter), false, |learner| {
            (learner.accumulate(&batch, &targets, Weighing::Even(-0.1)), learner.read(Vector::Gradient).into_owned())
        });
        assert!(worst(&ours, &theirs) < 1e-5, "{family:?}");
        agree(&format!("{family:?}"), &adapter.layout.places, &gradient, &expected, 2e-5);
    }
}

/// Batches add up to the step's gradient, and its norm is told the same.
#[test]
fn gradients_add_up() {
    let student = student(Family::Qwen2);
    let (batch, targets) = batch();
    let [ours, theirs] = both(&student, None, false, |learner| {
        learner.accumulate(&batch, &targets, Weighing::Even(-0.1));
        let once = learner.read(Vector::Gradient).into_owned();
        learner.accumulate(&batch, &targets, Weighing::Even(-0.2));
        let thrice = learner.read(Vector::Gradient).into_owned();
        let expected: Vec<f32> = once.iter().map(|x| 3.0 * x).collect();
        agree("the sum", &student.layout.places, &thrice, &expected, 1e-5);
        let norm = thrice.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        assert!((learner.gradient_norm() - norm).abs() < 1e-5 * norm);
        learner.gradient_norm()
    });
    assert!((ours - theirs).abs() < 1e-5 * ours);
}

#[test]
fn updates() {
    let settings =
        TrainSettings { weight_decay: 0.1, decay_norms_and_biases: false, ..TrainSettings::with_learning_rate(1e-2) };
    let student = student(Family::Qwen2);
    let (batch, targets) = batch();
    for adapter in [None, Some(adapter(&student, 0.0))] {
        let [ours, theirs] = both(&student, adapter.as_ref(), false, |learner| {
            for time in 1..4 {
                learner.accumulate(&batch, &targets, Weighing::Even(-0.1));
                learner.update(&AdamwStep::new(&settings, 1e-2, time, learner.gradient_norm()));
                assert_eq!(learner.gradient_norm(), 0.0);
            }
            learner.read(Vector::Parameters).into_owned()
        });
        // Adam divides by the gradient's size, so a few elements with tiny gradients may differ by more.
        let far = ours.iter().zip(&theirs).filter(|(a, b)| (*a - *b).abs() > 1e-4).count();
        assert!(far * 100 < ours.len(), "{far} of {} elements differ", ours.len());
    }
}

/// A learner's own weights, lent: they answer, and generate greedily the same tokens on both sides.
#[test]
fn lent_weights() {
    let requests: Vec<GenerateRequest> = [1, 40, 7, 90]
        .iter()
        .enumerate()
        .map(|(seed, length)| GenerateRequest {
            prompt_ids: (0..*length).map(|t| (t * 5 + 1) % 37).collect(),
            seed: seed as u64,
        })
        .collect();
    let settings = GenerateSettings {
        max_tokens: 25,
        batch_size: 3,
        temperature: 0.0,
        log_probs: true,
        ..GenerateSettings::default()
    };
    for family in FAMILIES {
        let student = student(family);
        let (batch, targets) = batch();
        for adapter in [None, Some(adapter(&student, 0.0))] {
            let generate = |decoder: Box<dyn Decoder + '_>| {
                Generator::of(&student.config, decoder).generate(&requests, &settings).unwrap()
            };
            let [(ours, completed), (theirs, expected)] = both(&student, adapter.as_ref(), false, |learner| {
                let lent = learner.lend();
                let log_probs = lent.log_probs(&batch, &targets);
                let answers = [log_probs, lent.entropies(&batch, &targets.rows), lent.logits(&batch, &[3, 600])];
                (answers, generate(learner.lend()))
            });
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!(worst(ours, theirs) < 1e-5, "{family:?}");
            }
            for (ours, theirs) in completed.iter().zip(&expected) {
                assert_eq!(ours.ids, theirs.ids, "{family:?}");
                let log_probs = [ours, theirs].map(|completion| completion.log_probs.as_deref().unwrap());
                assert!(worst(log_probs[0], log_probs[1]) < 1e-5, "{family:?}");
            }
            // Adapters beside the weights generate what they do merged into them.
            let mut merged = student.clone();
            if let Some(adapter) = &adapter {
                merged.merge(adapter);
            }
            assert_eq!(completed, generate(merged.decoder().unwrap()), "{family:?}");
        }
    }
}

/// What is trained is changed where it lies.
#[test]
fn parameters_are_updated_in_place() {
    let mut student = student(Family::Llama);
    let before = (student.parameters.as_ptr(), student.parameters.clone());
    let (fixed, trained) = Trainee::from(&mut student).parts(false);
    let mut learner = fixed.learner(trained, None).unwrap();
    let (batch, targets) = batch();
    learner.accumulate(&batch, &targets, Weighing::Even(-0.1));
    learner.update(&AdamwStep::new(&TrainSettings::with_learning_rate(1e-3), 1e-3, 1, learner.gradient_norm()));
    learner.finish();
    assert_eq!(student.parameters.as_ptr(), before.0);
    assert!(worst(&student.parameters, &before.1) > 1e-4);
}

/// Tensors have no dropout; finite differences with the same inputs dropped stand in for them.
#[test]
fn gradients_of_adapters_with_dropout_are_finite_differences() {
    let mut student = student(Family::Qwen2);
    let adapter = adapter(&student, 0.3);
    let mut run = |adapter: &mut Adapter| {
        let (fixed, trained) = Trainee::from((&mut student, adapter)).parts(false);
        let mut learner = fixed.learner(trained, None).unwrap();
        learner.set_noise(9);
        let (batch, targets) = batch();
        let log_probs = learner.accumulate(&batch, &targets, Weighing::Even(-0.1));
        (log_probs.iter().map(|x| f64::from(*x) * -0.1).sum::<f64>(), learner.read(Vector::Gradient).into_owned())
    };
    let gradient = run(&mut adapter.clone()).1;
    for place in &adapter.layout.places {
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
