//! Training that does not depend on threads, interruptions or the way batches are cut.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::path::Path;

use retort_student::{
    Adapter, Architecture, Control, Error, Examples, Family, PreferencePair, Student, Target, TokenRow,
    loss_and_gradients, packs, sequence_log_probs, train_dpo, train_sft,
};
use retort_training::{DpoSettings, LoraSettings, OverLong, TrainSettings};
use retort_weights::Dtype;

fn student(family: Family) -> Student {
    let architecture = Architecture {
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
    };
    Student::random(&architecture, 3, Target::Cpu).unwrap()
}

fn rows(count: usize, longest: usize) -> Vec<TokenRow> {
    (0..count)
        .map(|i| {
            let length = 3 + (i * 29) % longest;
            TokenRow {
                input_ids: (0..length).map(|t| ((t * t + 3 * i + t * i) % 50) as u32).collect(),
                loss: (0..length).map(|t| t >= length / 4).collect(),
            }
        })
        .collect()
}

fn settings() -> TrainSettings {
    TrainSettings { max_steps: Some(6), batch_size: 4, warmup_ratio: 0.2, ..TrainSettings::with_learning_rate(3e-3) }
}

fn bytes(student: &Student) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    student.save(dir.path(), Dtype::Float32).unwrap();
    std::fs::read(dir.path().join("model.safetensors")).unwrap()
}

fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn threads_change_no_bit() {
    for family in [Family::Llama, Family::Qwen2, Family::Qwen3] {
        let train = |threads: usize| {
            let mut student = student(family);
            let mut losses = Vec::new();
            let mut on_step = |report: retort_student::StepReport| {
                losses.push((report.loss.to_bits(), report.grad_norm.to_bits()));
                Control::Continue
            };
            on_threads(threads, || train_sft(&mut student, &rows(20, 600), &settings(), 1, None, &mut on_step))
                .unwrap();
            (bytes(&student), losses)
        };
        let one = train(1);
        assert_eq!(one, train(2));
        assert_eq!(one, train(4));
    }
}

/// A sum over five million elements is where parallel sums go astray.
#[test]
fn gradient_norm_is_stable_at_five_million_elements() {
    let architecture = Architecture {
        vocab_size: 20_000,
        hidden_size: 128,
        intermediate_size: 256,
        num_attention_heads: 2,
        num_hidden_layers: 1,
        head_dim: None,
        num_key_value_heads: None,
        model_type: Family::Llama,
        max_position_embeddings: 64,
        rms_norm_eps: 1e-6,
        rope_theta: 1e4,
        tie_word_embeddings: false,
        initializer_range: 0.02,
    };
    let norm = |threads: usize| {
        let mut student = Student::random(&architecture, 1, Target::Cpu).unwrap();
        let mut found = 0;
        let settings = TrainSettings { max_steps: Some(1), ..settings() };
        let mut on_step = |report: retort_student::StepReport| {
            found = report.grad_norm.to_bits();
            Control::Stop
        };
        on_threads(threads, || train_sft(&mut student, &rows(4, 50), &settings, 1, None, &mut on_step)).unwrap();
        (found, student.parameters())
    };
    assert!(norm(1).1 > 5_000_000);
    assert_eq!(norm(1), norm(2));
}

fn interrupted(at: usize, state: &Path) -> Student {
    let mut first = student(Family::Qwen3);
    let mut on_step = |report: retort_student::StepReport| match report.step {
        step if step == at => Control::Save(state.to_owned()),
        step if step > at => Control::Stop,
        _ => Control::Continue,
    };
    train_sft(&mut first, &rows(20, 90), &settings(), 1, None, &mut on_step).unwrap();
    let mut second = student(Family::Qwen3);
    let resumed =
        train_sft(&mut second, &rows(20, 90), &settings(), 1, Some(state), &mut |_| Control::Continue).unwrap();
    assert!(resumed.complete);
    second
}

#[test]
fn resumed_is_uninterrupted() {
    let mut whole = student(Family::Qwen3);
    train_sft(&mut whole, &rows(20, 90), &settings(), 1, None, &mut |_| Control::Continue).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for at in [1, 3, 5] {
        assert_eq!(bytes(&interrupted(at, &dir.path().join("state"))), bytes(&whole), "after step {at}");
    }
    let other = TrainSettings { batch_size: 5, ..settings() };
    let state = dir.path().join("state");
    let error = train_sft(&mut whole, &rows(20, 90), &other, 1, Some(&state), &mut |_| Control::Continue).unwrap_err();
    assert!(matches!(error, Error::Resume { .. }));
}

fn close(a: &[(String, Vec<f32>)], b: &[(String, Vec<f32>)], most: f32) {
    for ((name, a), (_, b)) in a.iter().zip(b) {
        let largest = a.iter().fold(1e-9_f32, |largest, x| largest.max(x.abs()));
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= most * largest, "{name}: {a} against {b}");
        }
    }
}

#[test]
fn batches_may_be_cut_anyhow() {
    let train = |batch_size: usize, gradient_accumulation: usize, gradient_checkpointing: bool| {
        let settings = TrainSettings { batch_size, gradient_accumulation, gradient_checkpointing, ..settings() };
        let mut student = student(Family::Qwen2);
        train_sft(&mut student, &rows(20, 90), &settings, 1, None, &mut |_| Control::Continue).unwrap();
        let layers =
            ["model.embed_tokens.weight", "model.layers.1.self_attn.q_proj.bias", "model.layers.0.mlp.up_proj.weight"];
        layers.map(|name| (name.to_owned(), student.tensor(name).unwrap().1.to_vec())).to_vec()
    };
    let whole = train(8, 1, false);
    close(&whole, &train(1, 8, false), 2e-4);
    close(&whole, &train(2, 4, false), 2e-4);
    let again = train(8, 1, true);
    assert_eq!(whole, again);
}

/// Rows that share a batch do not see each other: gradients of both together are the weighted sum of each alone.
#[test]
fn packed_is_unpacked() {
    let student = student(Family::Qwen3);
    let rows = rows(5, 300);
    let (loss, together) = loss_and_gradients(&student, &rows).unwrap();
    let tokens: usize = rows.iter().map(TokenRow::trained_tokens).sum();
    let (mut sum, mut added) = (0.0, together.clone());
    for (_, gradient) in &mut added {
        gradient.fill(0.0);
    }
    for row in &rows {
        let share = row.trained_tokens() as f64 / tokens as f64;
        let (loss, gradients) = loss_and_gradients(&student, std::slice::from_ref(row)).unwrap();
        sum += loss * share;
        for ((_, total), (_, gradient)) in added.iter_mut().zip(&gradients) {
            total.iter_mut().zip(gradient).for_each(|(total, x)| *total += x * share as f32);
        }
    }
    assert!((sum - loss).abs() < 1e-6);
    close(&together, &added, 1e-5);
}

/// Every tensor's gradient against the slope of the loss along a random direction.
#[test]
fn gradients_are_finite_differences() {
    for family in [Family::Llama, Family::Qwen2, Family::Qwen3] {
        let student = student(family);
        let rows = rows(3, 560);
        let (_, gradients) = loss_and_gradients(&student, &rows).unwrap();
        for (name, gradient) in gradients {
            let norm = gradient.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
            let step = 2e-2;
            let along = |sign: f64| {
                let mut moved = student.clone();
                let factor = (sign * step / norm) as f32;
                moved.add_to_tensor(&name, &gradient.iter().map(|x| x * factor).collect::<Vec<_>>()).unwrap();
                loss_and_gradients(&moved, &rows).unwrap().0
            };
            let slope = (along(1.0) - along(-1.0)) / (2.0 * step);
            assert!((slope - norm).abs() <= 2e-2 * norm + 2e-5, "{family:?} {name}: {slope} against {norm}");
        }
    }
}

#[test]
fn losses_fall() {
    let mut trained = student(Family::Llama);
    let settings = TrainSettings { max_steps: Some(60), batch_size: 8, ..settings() };
    let mut losses = Vec::new();
    train_sft(&mut trained, &rows(16, 40), &settings, 1, None, &mut |report| {
        losses.push(report.loss);
        Control::Continue
    })
    .unwrap();
    assert!(losses[59] < 0.5 * losses[0], "{losses:?}");

    let reference = trained.clone();
    let all = rows(16, 40);
    let log_probs = sequence_log_probs(&reference, &all).unwrap();
    let pairs: Vec<PreferencePair> = (0..8)
        .map(|i| PreferencePair {
            chosen: all[i].clone(),
            rejected: all[i + 8].clone(),
            reference_chosen: log_probs[i],
            reference_rejected: log_probs[i + 8],
        })
        .collect();
    let mut losses = Vec::new();
    train_dpo(&mut trained, &pairs, &settings, &DpoSettings::default(), 1, None, &mut |report| {
        losses.push(report.loss);
        Control::Continue
    })
    .unwrap();
    assert!((losses[0] - 2.0_f64.ln()).abs() < 1e-6, "{}", losses[0]);
    assert!(losses[59] < 0.1, "{losses:?}");
}

#[test]
fn unusable_rows_are_left_out_or_named() {
    let mut trained = student(Family::Llama);
    let mut all = rows(4, 40);
    all.push(TokenRow { input_ids: vec![1; 700], loss: vec![true; 700] });
    all.push(TokenRow { input_ids: vec![1; 7], loss: vec![false; 7] });
    let run = |student: &mut Student, all: &[TokenRow], settings: &TrainSettings| {
        train_sft(student, all, settings, 1, None, &mut |_| Control::Continue)
    };
    assert_eq!(run(&mut trained, &all, &settings()).unwrap().dropped, [4, 5]);
    let strict = TrainSettings { over_long: OverLong::Error, ..settings() };
    assert!(run(&mut trained, &all, &strict).unwrap_err().to_string().contains("row 4 has 700 tokens"));
    all[1].input_ids[0] = 50;
    assert!(run(&mut trained, &all, &settings()).unwrap_err().to_string().contains("row 1: token `50`"));
    assert!(run(&mut trained, &all[4..], &settings()).is_err());
}

#[test]
fn a_loss_that_is_no_number_names_its_rows() {
    let mut trained = student(Family::Llama);
    let size = trained.tensor("model.norm.weight").unwrap().1.len();
    trained.add_to_tensor("model.norm.weight", &vec![f32::INFINITY; size]).unwrap();
    let error = train_sft(&mut trained, &rows(4, 40), &settings(), 1, None, &mut |_| Control::Continue).unwrap_err();
    assert!(matches!(error, Error::NotFinite { step: 1, ref rows, .. } if rows.len() == 4), "{error}");
}

/// Weights that an update made infinite are written nowhere, be it the last update.
#[test]
fn weights_that_are_no_numbers_are_not_saved() {
    let dir = tempfile::tempdir().unwrap();
    let run = |max_steps: usize, control: Control| {
        let settings =
            TrainSettings { max_steps: Some(max_steps), warmup_ratio: 0.0, learning_rate: 1e39, ..settings() };
        let mut trained = student(Family::Llama);
        let mut wanted = Some(control);
        let outcome = train_sft(&mut trained, &rows(8, 40), &settings, 1, None, &mut |_| {
            wanted.take().unwrap_or(Control::Continue)
        });
        (outcome, trained)
    };
    let state = dir.path().join("state");
    for control in [Control::Save(state.clone()), Control::Keep(state.clone(), Box::new(Control::Continue))] {
        let error = run(2, control).0.unwrap_err().to_string();
        assert!(error.contains("not finite") && error.contains(".weight`"), "{error}");
        assert!(!state.exists());
    }
    let (outcome, trained) = run(1, Control::Continue);
    assert!(outcome.unwrap().complete);
    let error = trained.save(&dir.path().join("out"), Dtype::Float32).unwrap_err().to_string();
    assert!(error.contains("not finite") && error.contains(".weight`"), "{error}");
    // A further step computes with them, and its loss is none.
    assert!(matches!(run(2, Control::Continue).0.unwrap_err(), Error::NotFinite { step: 2, .. }));
}

fn lora(dropout: f64) -> LoraSettings {
    LoraSettings { r: 4, lora_alpha: 8.0, lora_dropout: dropout, ..LoraSettings::default() }
}

/// Adapters applied beside the weights give what they give merged into them, and training them moves nothing else.
#[test]
fn merged_adapters_are_applied_ones() {
    for family in [Family::Llama, Family::Qwen2, Family::Qwen3] {
        let mut base = student(family);
        let untouched = bytes(&base);
        let mut adapter = Adapter::new(&base, &lora(0.0), 3).unwrap();
        let rows = rows(8, 60);
        let settings = TrainSettings { max_steps: Some(8), learning_rate: 2e-2, ..settings() };
        let mut losses = Vec::new();
        train_sft((&mut base, &mut adapter), &rows, &settings, 1, None, &mut |report| {
            losses.push(report.loss);
            Control::Continue
        })
        .unwrap();
        assert_eq!(bytes(&base), untouched);
        assert!(losses[7] < losses[0], "{losses:?}");
        // One more step with everything as a batch: its loss is that of the merged student.
        let whole = TrainSettings { max_steps: Some(1), batch_size: 8, ..settings.clone() };
        let mut applied = 0.0;
        let before = adapter.clone();
        train_sft((&mut base, &mut adapter), &rows, &whole, 1, None, &mut |report| {
            applied = report.loss;
            Control::Stop
        })
        .unwrap();
        base.merge(&before);
        let merged = loss_and_gradients(&base, &rows).unwrap().0;
        assert!((merged - applied).abs() < 1e-5, "{family:?}: {merged} against {applied}");
        assert_ne!(bytes(&base), untouched);
    }
}

#[test]
fn adapters_are_written_as_peft_writes_them() {
    let base = student(Family::Llama);
    let adapter = Adapter::new(&base, &lora(0.1), 3).unwrap();
    let dir = tempfile::tempdir().unwrap();
    adapter.save(dir.path(), "base").unwrap();
    assert_eq!(Adapter::load(dir.path(), &base).unwrap().settings(), adapter.settings());
    let names = retort_weights::Adapter::open(dir.path()).unwrap();
    assert!(names.names().any(|name| name == "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"));
    assert_eq!(names.config_json()["peft_type"], "LORA");
    assert!(Adapter::load(dir.path(), &student(Family::Llama)).is_ok());
    let config = dir.path().join("adapter_config.json");
    let plain: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
    for (key, value, allowed) in [
        ("alpha_pattern", serde_json::json!({}), true),
        ("modules_to_save", serde_json::Value::Null, true),
        ("alpha_pattern", serde_json::json!({"q_proj": 3}), false),
        ("rank_pattern", serde_json::json!({"q_proj": 3}), false),
        ("modules_to_save", serde_json::json!(["lm_head"]), false),
    ] {
        let mut changed = plain.clone();
        changed[key] = value;
        std::fs::write(&config, changed.to_string()).unwrap();
        match Adapter::load(dir.path(), &base) {
            Ok(_) => assert!(allowed, "{key}"),
            Err(error) => assert!(!allowed && error.to_string().contains(key), "{error}"),
        }
    }
}

#[test]
fn adapters_resume_and_ignore_threads() {
    let train = |threads: usize, resume: Option<&Path>, save: Option<&Path>| {
        let mut base = student(Family::Qwen3);
        let mut adapter = Adapter::new(&base, &lora(0.2), 3).unwrap();
        let mut on_step = |report: retort_student::StepReport| match save {
            Some(path) if report.step == 3 => Control::Save(path.to_owned()),
            Some(_) if report.step == 4 => Control::Stop,
            _ => Control::Continue,
        };
        on_threads(threads, || {
            train_sft((&mut base, &mut adapter), &rows(20, 90), &settings(), 1, resume, &mut on_step).unwrap();
        });
        let dir = tempfile::tempdir().unwrap();
        adapter.save(dir.path(), "base").unwrap();
        std::fs::read(dir.path().join("adapter_model.safetensors")).unwrap()
    };
    let whole = train(1, None, None);
    assert_eq!(train(2, None, None), whole);
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    train(1, None, Some(&state));
    assert_eq!(train(4, Some(&state), None), whole);
}

/// Held-out loss is told when due and is the one of the weights that are kept in that step; dropout is no part of it.
#[test]
fn evaluation_is_of_the_weights_that_are_kept() {
    let (train, held_out) = (rows(12, 60), rows(5, 90));
    let dir = tempfile::tempdir().unwrap();
    let loss = |student: &Student| loss_and_gradients(student, &held_out).unwrap().0;
    let settings = TrainSettings { eval_steps: Some(4), ..settings() };
    let examples = Examples { rows: &train, evaluation: &held_out };
    let mut told = Vec::new();
    let mut on_step = |report: retort_student::StepReport| match report.eval_loss {
        Some(loss) => {
            told.push((report.step, loss));
            Control::Keep(dir.path().join(report.step.to_string()), Box::new(Control::Continue))
        }
        None => Control::Continue,
    };
    let mut full = student(Family::Llama);
    train_sft(&mut full, examples, &settings, 1, None, &mut on_step).unwrap();
    assert_eq!(told.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [4, 6]);
    let kept = |step: usize| dir.path().join(step.to_string());
    for (step, told) in &told {
        let checkpoint = retort_weights::Checkpoint::open(&kept(*step)).unwrap();
        let found = loss(&Student::load(&checkpoint, Target::Cpu).unwrap());
        assert!((found - told).abs() < 1e-6, "step {step}: {found} against {told}");
    }

    let mut base = student(Family::Qwen3);
    let mut adapter = Adapter::new(&base, &lora(0.3), 3).unwrap();
    told.clear();
    let mut on_step = |report: retort_student::StepReport| match report.eval_loss {
        Some(loss) => {
            told.push((report.step, loss));
            Control::Keep(dir.path().join("adapter"), Box::new(Control::Continue))
        }
        None => Control::Continue,
    };
    train_sft((&mut base, &mut adapter), examples, &settings, 1, None, &mut on_step).unwrap();
    base.merge(&Adapter::load(&dir.path().join("adapter"), &base).unwrap());
    assert!((loss(&base) - told[1].1).abs() < 1e-5, "{} against {told:?}", loss(&base));
}

/// With packing a batch is counted in packs, and training them is training their rows.
#[test]
fn packs_are_batches_of_their_rows() {
    let rows = rows(20, 60);
    let run = |settings: &TrainSettings| {
        let (mut student, mut tokens) = (student(Family::Qwen2), 0);
        let trained = train_sft(&mut student, &rows, settings, 1, None, &mut |report| {
            tokens += report.tokens;
            Control::Continue
        });
        (trained.unwrap().steps, tokens, student)
    };
    let packed = TrainSettings { packing: true, max_steps: None, max_length: Some(100), batch_size: 2, ..settings() };
    let (steps, tokens, _) = run(&packed);
    let lengths: Vec<usize> = rows.iter().map(|row| row.input_ids.len()).collect();
    assert_eq!((steps, tokens), (packs(&lengths, 100).div_ceil(2), lengths.iter().sum()));
    assert!(steps < 20_usize.div_ceil(2));
    // Everything in one step: the same loss and gradient, whichever way rows are laid together.
    let one = |packing: bool| {
        let settings =
            TrainSettings { packing, batch_size: 20, max_steps: Some(1), max_length: Some(100), ..settings() };
        let mut found = (0.0, 0.0);
        train_sft(&mut student(Family::Qwen2), &rows, &settings, 1, None, &mut |report| {
            found = (report.loss, report.grad_norm);
            Control::Continue
        })
        .unwrap();
        found
    };
    let ((loss, norm), (plain_loss, plain_norm)) = (one(true), one(false));
    assert!((loss - plain_loss).abs() < 1e-6 && (norm - plain_norm).abs() < 1e-5 * norm, "{loss} {norm} {plain_norm}");
    let pairs = PreferencePair {
        chosen: rows[0].clone(),
        rejected: rows[1].clone(),
        reference_chosen: -1.0,
        reference_rejected: -1.0,
    };
    let mut student = student(Family::Llama);
    let refused =
        train_dpo(&mut student, &[pairs], &packed, &DpoSettings::default(), 1, None, &mut |_| Control::Continue);
    assert!(refused.unwrap_err().to_string().contains("packing"));
}
