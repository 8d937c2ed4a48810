//! Numbers on another device against this machine's processors, whose own are measured against transformers (parity.rs).
//! Which device: RETORT_TEST_DEVICE, by default `wgpu`.

#![cfg(any(feature = "wgpu", feature = "cuda"))]
#![allow(clippy::unwrap_used, clippy::print_stderr)] // helpers of tests; skipping must be seen

use retort_student::{
    Adapter, Architecture, Control, Examples, Family, GenerateRequest, GenerateSettings, Generator, PreferencePair,
    StepReport, Student, Target, TokenRow, loss_and_gradients, sequence_log_probs, token_log_probs, train_dpo,
    train_sft,
};
use retort_training::{DpoSettings, LoraSettings, TrainSettings};

/// The device, if it is there.
fn device() -> Option<Target> {
    let name = std::env::var("RETORT_TEST_DEVICE").unwrap_or_else(|_| "wgpu".to_owned());
    let target: Target = name.parse().unwrap();
    if let Err(error) = target.check() {
        eprintln!("SKIPPED: {error}");
        return None;
    }
    Some(target)
}

const FAMILIES: [Family; 3] = [Family::Llama, Family::Qwen2, Family::Qwen3];

fn architecture(family: Family) -> Architecture {
    Architecture {
        model_type: family,
        vocab_size: 50,
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: Some(2),
        head_dim: None,
        max_position_embeddings: 640,
        rms_norm_eps: 1e-6,
        rope_theta: 10_000.0,
        tie_word_embeddings: family == Family::Qwen2,
        initializer_range: 0.1,
    }
}

fn student(family: Family, target: Target) -> Student {
    Student::random(&architecture(family), 3, target).unwrap()
}

fn rows(count: usize, longest: usize) -> Vec<TokenRow> {
    let row = |i: usize| {
        let length = 3 + (i * 29) % longest;
        TokenRow {
            input_ids: (0..length).map(|t| ((t * t + 3 * i + t * i) % 50) as u32).collect(),
            loss: (0..length).map(|t| t >= length / 4).collect(),
        }
    };
    (0..count).map(row).collect()
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, x| largest.max(x.abs()))
}

/// Logits, log-probs, loss and every gradient.
#[test]
fn forward_and_backward_passes_agree() {
    let Some(target) = device() else { return };
    for family in FAMILIES {
        let (here, there) = (student(family, Target::Cpu), student(family, target));
        let rows = rows(9, 130);
        let mut off = 0.0_f32;
        for row in &rows {
            off = off.max(worst(&there.logits(&row.input_ids).unwrap(), &here.logits(&row.input_ids).unwrap()));
        }
        let log_probs = |student: &Student| token_log_probs(student, &rows).unwrap().concat();
        let scores = worst(&log_probs(&there), &log_probs(&here));
        let (loss, gradients) = loss_and_gradients(&here, &rows).unwrap();
        let (loss_there, gradients_there) = loss_and_gradients(&there, &rows).unwrap();
        let mut most = 0.0_f32;
        for ((name, ours), (_, theirs)) in gradients.iter().zip(&gradients_there) {
            let apart = worst(ours, theirs) / largest(ours);
            assert!(apart <= 1e-4, "{family:?}: gradient of {name} differs by {apart} of its largest element");
            most = most.max(apart);
        }
        eprintln!(
            "{target} {family:?}: logits {off:.1e}, log-probs {scores:.1e}, loss {:.1e}, gradients {most:.1e} of the largest",
            (loss - loss_there).abs()
        );
        assert!(off <= 1e-4 && scores <= 1e-4 && (loss - loss_there).abs() <= 1e-5);
    }
}

fn settings() -> TrainSettings {
    TrainSettings {
        max_steps: Some(6),
        batch_size: 4,
        weight_decay: 0.1,
        eval_steps: Some(3),
        ..TrainSettings::with_learning_rate(3e-3)
    }
}

/// Losses, gradient norms and evaluation losses of a run, one after the other.
fn numbers(told: &mut Vec<f64>) -> impl FnMut(StepReport) -> Control + '_ {
    |report| {
        told.extend([report.loss, report.grad_norm]);
        told.extend(report.eval_loss);
        Control::Continue
    }
}

fn agree(what: &str, a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    let off = a.iter().zip(b).fold(0.0_f64, |off, (a, b)| off.max((a - b).abs() / a.abs().max(1.0)));
    eprintln!("{what}: {} numbers of the run differ by {off:.1e}", a.len());
    assert!(off <= 1e-4, "{what}: {a:?} against {b:?}");
}

#[test]
fn training_agrees() {
    let Some(target) = device() else { return };
    let (train, held_out) = (rows(12, 60), rows(5, 90));
    let examples = Examples { rows: &train, evaluation: &held_out };
    for family in FAMILIES {
        let run = |target: Target| {
            let (mut student, mut told) = (student(family, target), Vec::new());
            train_sft(&mut student, examples, &settings(), 1, None, &mut numbers(&mut told)).unwrap();
            told
        };
        agree(&format!("{target} {family:?} sft"), &run(Target::Cpu), &run(target));

        let run = |target: Target| {
            let (mut student, mut told) = (student(family, target), Vec::new());
            let lora = LoraSettings { r: 4, lora_alpha: 8.0, ..LoraSettings::default() };
            let mut adapter = Adapter::new(&student, &lora, 3).unwrap();
            train_sft((&mut student, &mut adapter), examples, &settings(), 1, None, &mut numbers(&mut told)).unwrap();
            told
        };
        agree(&format!("{target} {family:?} lora"), &run(Target::Cpu), &run(target));

        let run = |target: Target| {
            let (mut student, mut told) = (student(family, target), Vec::new());
            let reference = sequence_log_probs(&student, &train).unwrap();
            let pair = |(rows, sums): (&[TokenRow], &[f64])| PreferencePair {
                chosen: rows[0].clone(),
                rejected: rows[1].clone(),
                reference_chosen: sums[0],
                reference_rejected: sums[1],
            };
            let pairs: Vec<PreferencePair> = train.chunks(2).zip(reference.chunks(2)).map(pair).collect();
            let dpo = DpoSettings::default();
            train_dpo(&mut student, &pairs, &settings(), &dpo, 1, None, &mut numbers(&mut told)).unwrap();
            told
        };
        agree(&format!("{target} {family:?} dpo"), &run(Target::Cpu), &run(target));
    }
}

/// Greedy completions are the same tokens.
#[test]
fn completions_agree() {
    let Some(target) = device() else { return };
    let requests: Vec<GenerateRequest> = rows(5, 40)
        .into_iter()
        .enumerate()
        .map(|(seed, row)| GenerateRequest { prompt_ids: row.input_ids, seed: seed as u64 })
        .collect();
    let settings = GenerateSettings { max_tokens: 12, batch_size: 3, temperature: 0.0, ..GenerateSettings::default() };
    for family in FAMILIES {
        let run = |target: Target| {
            let student = student(family, target);
            let found = Generator::new(&student).unwrap().generate(&requests, &settings).unwrap();
            found.into_iter().map(|completion| completion.ids).collect::<Vec<_>>()
        };
        assert_eq!(run(Target::Cpu), run(target), "{family:?}");
    }
}

#[cfg(feature = "wgpu")]
#[test]
fn a_missing_adapter_is_an_error() {
    let error = Target::Wgpu(99).check().unwrap_err().to_string();
    assert!(error.starts_with("device `wgpu:99`: this machine has"), "{error}");
}

/// A tensor is one buffer, whose size an adapter bounds.
#[cfg(feature = "wgpu")]
#[test]
fn a_tensor_beyond_the_largest_buffer_is_refused() {
    let target = Target::Wgpu(0);
    if let Err(error) = target.check() {
        eprintln!("SKIPPED: {error}");
        return;
    }
    let huge = Architecture { vocab_size: 1 << 31, ..architecture(Family::Llama) };
    let error = Student::random(&huge, 3, target).unwrap_err().to_string();
    assert!(error.contains("it takes tensors of at most"), "{error}");
    assert!(error.contains("`model.embed_tokens.weight`"), "{error}");
    eprintln!("{error}");
}
