//! All files of a hand-over as a user would see them, and where settings are refused.

use crate::files::files;
use crate::rows::{RowFormat, RowTotals};
use crate::settings::{Recipes, SettingProblem, TrainedBy};
use crate::{axolotl, words};
use retort_training::TrainBlock;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn recipes(settings: Value) -> (Recipes, TrainBlock) {
    let recipes: Recipes = serde_json::from_value(settings).unwrap();
    let TrainedBy::Settings(block) = recipes.train.clone() else { panic!("the settings are written out") };
    (recipes, *block)
}

fn written(settings: Value) -> BTreeMap<String, String> {
    let (recipes, block) = recipes(settings);
    assert_eq!(recipes.problems(&block), []);
    let rows = RowTotals { rows: 800, held_out: 20, tokens: 90_000, longest: 4000, ..RowTotals::default() };
    files(&recipes, &block, &rows, RowFormat::Jsonl, 7)
}

/// All files in one text, so that a change is seen as it would be by a user.
fn shown(files: &BTreeMap<String, String>) -> String {
    let scripts = ["parity/check.py", "llama-factory/prepare.py"];
    let files = files.iter().filter(|(name, _)| !scripts.contains(&name.as_str()));
    files.flat_map(|(name, text)| ["=== ", name.as_str(), "\n", text.as_str()]).collect()
}

#[test]
fn a_preset_on_two_nodes() {
    insta::assert_snapshot!(shown(&written(json!({
        "train": { "training": { "preset": "r1-distill-qwen-1.5b" } }, "model": "Qwen/Qwen2.5-Math-1.5B", "nodes": 2,
    }))));
}

#[test]
fn adapters_packed_with_held_out_rows_on_one_gpu() {
    insta::assert_snapshot!(shown(&written(json!({
        "train": {
            "training": { "epochs": 1.5, "learning_rate": 2e-4, "schedule": "linear", "warmup_ratio": 0.05, "max_length": 2048,
                "packing": true, "eval_steps": 50, "gradient_checkpointing": true, "decay_norms_and_biases": false,
                "max_grad_norm": 0.0 },
            "eval_data": "held-out", "load_best_model_at_end": true, "lora": { "r": 8, "use_rslora": true },
        },
        "model": "/models/yes: no", "gpus_per_node": 1, "per_device_batch_size": 2, "template": "qwen",
    }))));
}

#[test]
fn pairs_with_a_likelihood_term() {
    insta::assert_snapshot!(shown(&written(json!({
        "train": {
            "method": "dpo", "training": { "max_steps": 100, "learning_rate": 1e-6, "max_length": 4096 },
            "dpo": { "beta": 0.05, "label_smoothing": 0.1, "rpo_alpha": 0.5 },
        },
        "model": "Qwen/Qwen3-8B", "precision": "fp32",
    }))));
}

#[test]
fn every_loss_has_its_name_or_is_refused() {
    let with = |loss: &str, tool: &str| {
        recipes(json!({
            "train": { "method": "dpo", "training": { "learning_rate": 1e-6, "max_length": 512 }, "dpo": { "loss_type": loss } },
            "model": "m", "tools": [tool], "gpus_per_node": 2,
        }))
    };
    let refused = |loss: &str, tool: &str| {
        let (recipes, block) = with(loss, tool);
        recipes.problems(&block)
    };
    for loss in ["sigmoid", "sigmoid_norm", "robust", "ipo", "hinge"] {
        assert_eq!(refused(loss, "trl"), []);
        assert_eq!(refused(loss, "axolotl"), []);
    }
    for loss in ["sigmoid", "ipo", "hinge", "simpo"] {
        assert_eq!(refused(loss, "llama-factory"), []);
    }
    let SettingProblem { pointer, message } = refused("simpo", "trl").remove(0);
    assert_eq!(pointer, "/tools/0");
    assert_eq!(message, "`trl` has no preference loss `simpo`: leave it out of `tools`");
    assert_eq!(refused("robust", "llama-factory").len(), 1);
    let (simpo, block) = with("simpo", "axolotl");
    let sheet = axolotl::settings(&simpo, &block, RowFormat::Parquet, 7);
    assert!(sheet.text().contains("rl: simpo\n") && sheet.text().contains("ds_type: parquet\n"), "{}", sheet.text());
}

#[test]
fn rows_of_a_step_are_spread_over_all_gpus_or_refused() {
    let with = |nodes: usize, together: usize| {
        recipes(json!({
            "train": { "training": { "preset": "r1-distill-qwen-7b" } }, "model": "m", "nodes": nodes,
            "per_device_batch_size": together,
        }))
    };
    for (nodes, together, accumulated) in [(1, 1, 8), (2, 1, 4), (2, 4, 1), (8, 1, 1)] {
        let (recipes, block) = with(nodes, together);
        assert_eq!(recipes.problems(&block), []);
        assert_eq!(words::accumulation(&recipes, &block), accumulated);
    }
    let (recipes, block) = with(3, 1);
    let SettingProblem { pointer, message } = recipes.problems(&block).remove(0);
    assert_eq!(pointer, "/nodes");
    assert_eq!(
        message,
        "an optimizer step has 64 rows (`batch_size` 8 x `gradient_accumulation` 8), which 3 nodes x 8 GPUs x \
         `per_device_batch_size` 1 = 24 rows do not divide"
    );
}

#[test]
fn the_learning_rate_falls_by_the_same_schedule() {
    let with = |settings: Value| {
        let training = retort_training::with_preset(settings).unwrap();
        words::schedule(&training)
    };
    assert_eq!(with(json!({ "learning_rate": 1e-4 })), ("cosine_with_min_lr", Some(json!({ "min_lr_rate": 0.1 }))));
    assert_eq!(with(json!({ "learning_rate": 1e-4, "min_learning_rate_ratio": 0.0 })), ("cosine", None));
    assert_eq!(with(json!({ "learning_rate": 1e-4, "schedule": "constant" })), ("constant_with_warmup", None));
    let linear = json!({ "learning_rate": 3e-4, "schedule": "linear" });
    assert_eq!(with(linear), ("polynomial", Some(json!({ "lr_end": 3e-5, "power": 1.0 }))));
}

#[test]
fn the_key_follows_the_settings_and_not_the_name_of_the_stage() {
    let (inline, mut block) =
        recipes(json!({ "train": { "training": { "learning_rate": 1e-4, "max_length": 64 } }, "model": "m" }));
    let named =
        Recipes { train: TrainedBy::Stage("student".into()), tokenizer: Some("models/a".into()), ..inline.clone() };
    let key = inline.key_settings(&block);
    assert_eq!(named.key_settings(&block), key);
    block.training.learning_rate = 2e-4;
    assert_ne!(named.key_settings(&block), key);
}
