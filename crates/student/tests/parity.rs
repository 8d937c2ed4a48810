//! Numbers against transformers: logits, masked loss, every gradient, three AdamW steps, DPO. Needs RETORT_TEST_DATA.
//! RETORT_TEST_DEVICE puts the models on another device than the processors.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // helpers of tests; skipping must be seen

use std::path::{Path, PathBuf};

use retort_student::{
    Control, PreferencePair, Student, Target, TokenRow, loss_and_gradients, sequence_log_probs, token_log_probs,
    train_dpo, train_sft,
};
use retort_training::{DpoSettings, Schedule, TrainSettings};
use retort_weights::Checkpoint;
use safetensors::SafeTensors;
use serde_json::Value;

fn test_data(part: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("RETORT_TEST_DATA") else {
        eprintln!("SKIPPED: needs {part}; set RETORT_TEST_DATA");
        return None;
    };
    Some(Path::new(&root).join(part))
}

struct Reference {
    json: Value,
    bytes: Vec<u8>,
    student: Student,
}

impl Reference {
    fn four(root: &Path, family: &str) -> Self {
        let at = root.join("transformers").join(family);
        Self::open(
            &at.with_extension("json"),
            &at.with_extension("safetensors"),
            &root.join("mergekit").join(family).join("base"),
        )
    }

    fn five(root: &Path, family: &str) -> Self {
        let at = root.join("transformers5").join(family);
        Self::open(&at.join("reference.json"), &at.join("reference.safetensors"), &at.join("checkpoint"))
    }

    fn open(json: &Path, tensors: &Path, checkpoint: &Path) -> Self {
        let target = std::env::var("RETORT_TEST_DEVICE").map_or(Target::Cpu, |name| name.parse().unwrap());
        let student = Student::load(&Checkpoint::open(checkpoint).unwrap(), target).unwrap();
        let json = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
        Self { json, bytes: std::fs::read(tensors).unwrap(), student }
    }

    fn tensor(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = tensors.tensor(name).unwrap();
        data.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    fn whole_numbers(&self, name: &str) -> Vec<Vec<i64>> {
        if let Some(lists) = self.json.get(name) {
            return serde_json::from_value(lists.clone()).unwrap();
        }
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let numbers: Vec<i64> =
            tensor.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
        numbers.chunks(tensor.shape()[1]).map(<[i64]>::to_vec).collect()
    }

    fn rows(&self) -> Vec<TokenRow> {
        let (ids, labels) = (self.whole_numbers("input_ids"), self.whole_numbers("labels"));
        let row = |(ids, labels): (Vec<i64>, Vec<i64>)| TokenRow {
            input_ids: ids.iter().map(|id| *id as u32).collect(),
            loss: labels.iter().map(|label| *label != -100).collect(),
        };
        ids.into_iter().zip(labels).map(row).collect()
    }
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
}

fn all(root: &Path) -> Vec<(String, Reference)> {
    let four = ["llama", "qwen2"].map(|family| (format!("4 {family}"), Reference::four(root, family)));
    let five = ["llama3", "qwen2", "qwen3"].map(|family| (format!("5 {family}"), Reference::five(root, family)));
    four.into_iter().chain(five).collect()
}

#[test]
fn logits_loss_and_gradients() {
    let Some(root) = test_data("reference") else { return };
    for (name, reference) in all(&root) {
        let rows = reference.rows();
        let logits: Vec<f32> = rows.iter().flat_map(|row| reference.student.logits(&row.input_ids).unwrap()).collect();
        let off = worst(&logits, &reference.tensor("logits"));
        assert!(off <= 1e-4, "{name}: logits differ by {off}");
        let (loss, gradients) = loss_and_gradients(&reference.student, &rows).unwrap();
        let expected = reference.json["loss"].as_f64().unwrap();
        assert!((loss - expected).abs() <= 1e-5, "{name}: loss {loss} against {expected}");
        for (tensor, gradient) in gradients {
            let expected = reference.tensor(&format!("grad.{tensor}"));
            let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let off = worst(&gradient, &expected);
            assert!(off <= 1e-4 * largest, "{name}: gradient of {tensor} differs by {off} of {largest}");
        }
    }
}

#[test]
fn token_log_probabilities() {
    let Some(root) = test_data("reference/transformers5") else { return };
    for family in ["llama3", "qwen2", "qwen3"] {
        let reference = Reference::five(root.parent().unwrap(), family);
        let rows: Vec<TokenRow> =
            reference.rows().into_iter().map(|row| TokenRow { loss: vec![true; row.input_ids.len()], ..row }).collect();
        let expected: Vec<Vec<f32>> = serde_json::from_value(reference.json["token_logprobs"].clone()).unwrap();
        for (ours, expected) in token_log_probs(&reference.student, &rows).unwrap().iter().zip(&expected) {
            assert!(worst(ours, expected) <= 1e-5, "{family}");
        }
    }
}

fn three_steps() -> TrainSettings {
    TrainSettings {
        max_steps: Some(3),
        schedule: Schedule::Constant,
        weight_decay: 0.1,
        adam_beta2: 0.95,
        ..TrainSettings::with_learning_rate(1e-2)
    }
}

#[test]
fn three_adamw_steps() {
    let Some(root) = test_data("reference") else { return };
    for family in ["llama", "qwen2"] {
        let mut reference = Reference::four(&root, family);
        let rows = reference.rows();
        let (_, gradients) = loss_and_gradients(&reference.student, &rows).unwrap();
        let expected: Vec<f64> = serde_json::from_value(reference.json["adamw"]["losses"].clone()).unwrap();
        let norm = reference.json["grad_norm"].as_f64().unwrap();
        train_sft(&mut reference.student, &rows, &three_steps(), 0, None, &mut |report| {
            assert!((report.loss - expected[report.step - 1]).abs() <= 1e-5, "{family}: {report:?}");
            assert!(report.step > 1 || (report.grad_norm - norm).abs() <= 1e-5, "{family}: {report:?}");
            Control::Continue
        })
        .unwrap();
        let (loss, _) = loss_and_gradients(&reference.student, &rows).unwrap();
        assert!((loss - expected[3]).abs() <= 1e-5, "{family}");
        let mut apart = 0;
        for (tensor, gradient) in gradients {
            let ours = reference.student.tensor(&tensor).unwrap().1;
            for ((a, b), gradient) in ours.iter().zip(reference.tensor(&format!("after3.{tensor}"))).zip(gradient) {
                // Adam divides by the gradient's size, so where that is rounding noise the step is noise too.
                if gradient.abs() < 1e-6 {
                    apart += 1;
                    continue;
                }
                assert!((a - b).abs() <= 1e-5, "{family}: {tensor} {a} against {b}, gradient {gradient}");
            }
        }
        eprintln!("{family}: {apart} elements with a gradient below 1e-6 left apart");
    }
}

#[test]
fn preference_loss() {
    let Some(root) = test_data("reference") else { return };
    for family in ["llama", "qwen2"] {
        let mut reference = Reference::four(&root, family);
        let dpo = reference.json["dpo"].clone();
        let prompt = dpo["prompt_len"].as_u64().unwrap() as usize;
        let rows = |name: &str| -> Vec<TokenRow> {
            let lists: Vec<Vec<u32>> = serde_json::from_value(dpo[name].clone()).unwrap();
            lists
                .into_iter()
                .map(|ids| TokenRow { loss: (0..ids.len()).map(|i| i >= prompt).collect(), input_ids: ids })
                .collect()
        };
        let numbers = |name: &str| -> Vec<f64> { serde_json::from_value(dpo[name].clone()).unwrap() };
        let (chosen, rejected) = (rows("chosen"), rows("rejected"));
        // The reference's policy is the model after the three steps of the test above.
        let base = reference.student.clone();
        let trained = reference.rows();
        train_sft(&mut reference.student, &trained, &three_steps(), 0, None, &mut |_| Control::Continue).unwrap();
        for (rows, name) in [(&chosen, "policy_chosen"), (&rejected, "policy_rejected")] {
            for (ours, expected) in sequence_log_probs(&reference.student, rows).unwrap().iter().zip(numbers(name)) {
                assert!((ours - expected).abs() <= 1e-5, "{family}: {name} {ours} against {expected}");
            }
        }
        let reference_chosen = sequence_log_probs(&base, &chosen).unwrap();
        let reference_rejected = sequence_log_probs(&base, &rejected).unwrap();
        let pairs: Vec<PreferencePair> = (0..chosen.len())
            .map(|i| PreferencePair {
                chosen: chosen[i].clone(),
                rejected: rejected[i].clone(),
                reference_chosen: reference_chosen[i],
                reference_rejected: reference_rejected[i],
            })
            .collect();
        let settings = TrainSettings { max_steps: Some(1), ..TrainSettings::with_learning_rate(1e-3) };
        let beta = dpo["beta"].as_f64().unwrap();
        let objective = DpoSettings { beta, ..DpoSettings::default() };
        let expected = dpo["loss"].as_f64().unwrap();
        train_dpo(&mut reference.student, &pairs, &settings, &objective, 0, None, &mut |report| {
            assert!((report.loss - expected).abs() <= 1e-5, "{family}: {report:?} against {expected}");
            Control::Continue
        })
        .unwrap();
    }
}
