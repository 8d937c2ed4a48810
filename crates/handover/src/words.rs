//! Our training settings in the words that the transformers library gave to all three tools.

use crate::settings::{Precision, Recipes};
use crate::sheet::Sheet;
use retort_training::{LoraSettings, Schedule, TrainBlock, TrainSettings};
use serde_json::{Value, json};

/// Decay differs in the same way everywhere.
const DECAY: &str = "weight_decay spares norms and biases here, as in transformers' Trainer; ours decays them too unless \
                         `decay_norms_and_biases: false`";

/// Name and arguments of the learning rate's schedule.
pub fn schedule(training: &TrainSettings) -> (&'static str, Option<Value>) {
    let lowest = training.min_learning_rate_ratio;
    match training.schedule {
        Schedule::Constant => ("constant_with_warmup", None),
        _ if lowest >= 1.0 => ("constant_with_warmup", None),
        Schedule::Cosine if lowest == 0.0 => ("cosine", None),
        Schedule::Cosine => ("cosine_with_min_lr", Some(json!({ "min_lr_rate": lowest }))),
        Schedule::Linear if lowest == 0.0 => ("linear", None),
        Schedule::Linear => {
            ("polynomial", Some(json!({ "lr_end": rounded(training.learning_rate * lowest), "power": 1.0 })))
        }
    }
}

/// A product of two decimal numbers without the digits that binary arithmetic adds.
fn rounded(value: f64) -> f64 {
    format!("{value:.12e}").parse().unwrap_or(value)
}

/// Batches that one GPU adds up before a step.
pub fn accumulation(recipes: &Recipes, block: &TrainBlock) -> usize {
    let together = recipes.devices().saturating_mul(recipes.per_device_batch_size).max(1);
    (block.training.rows_per_step() / together).max(1)
}

/// `lora_alpha` is a whole number in the tools' own settings.
pub fn lora_alpha(sheet: &mut Sheet, alpha: f64) -> u64 {
    if alpha.fract() != 0.0 {
        sheet.differs(format!("lora_alpha must be a whole number here: {alpha} is rounded"));
    }
    alpha.round() as u64
}

/// Names of the projections that get an adapter.
pub fn modules(lora: &LoraSettings) -> Vec<String> {
    let names = lora.target_modules.iter().map(|module| json!(module));
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The keys that TRL and LLaMA-Factory both take from transformers' `TrainingArguments`.
pub fn training_arguments(sheet: &mut Sheet, recipes: &Recipes, block: &TrainBlock, seed: u64) {
    let training = &block.training;
    sheet.comment(&format!(
        "{} rows an optimizer step: {} nodes x {} GPUs x per_device_train_batch_size x gradient_accumulation_steps.",
        training.rows_per_step(),
        recipes.nodes,
        recipes.gpus_per_node
    ));
    sheet.set("per_device_train_batch_size", recipes.per_device_batch_size);
    sheet.set("gradient_accumulation_steps", accumulation(recipes, block));
    match training.max_steps {
        Some(steps) => sheet.set("max_steps", steps),
        None => sheet.set("num_train_epochs", training.epochs),
    }
    sheet.set("learning_rate", training.learning_rate);
    let (name, arguments) = schedule(training);
    sheet.set("lr_scheduler_type", name);
    sheet.set_if("lr_scheduler_kwargs", arguments);
    if training.warmup_ratio >= 1.0 {
        sheet.differs("a warm-up over all steps is one over 99.99 percent of them: 1 would be one step");
    }
    sheet.comment("Below 1, warmup_steps is a share of all steps.");
    sheet.set("warmup_steps", training.warmup_ratio.min(0.9999));
    sheet.set("optim", "adamw_torch_fused");
    adamw(sheet, training);
    sheet.set("bf16", recipes.precision == Precision::Bf16);
    sheet.set("seed", seed);
    sheet.set("logging_steps", 1);
    sheet.set("report_to", "none");
    evaluation(sheet, block);
    if block.eval_data.is_some() {
        sheet.set("per_device_eval_batch_size", recipes.per_device_batch_size);
    }
    sheet.set("output_dir", "output");
}

/// AdamW and clipping, whose keys are the same everywhere.
pub fn adamw(sheet: &mut Sheet, training: &TrainSettings) {
    if training.decay_norms_and_biases && training.weight_decay > 0.0 {
        sheet.differs(DECAY);
    }
    sheet.set("weight_decay", training.weight_decay);
    sheet.set("adam_beta1", training.adam_beta1);
    sheet.set("adam_beta2", training.adam_beta2);
    sheet.set("adam_epsilon", training.adam_epsilon);
    sheet.comment("0 never clips.");
    sheet.set("max_grad_norm", training.max_grad_norm);
}

/// When the tool evaluates and saves.
pub fn evaluation(sheet: &mut Sheet, block: &TrainBlock) {
    let strategy = if block.training.eval_steps.is_some() { "steps" } else { "epoch" };
    if block.eval_data.is_some() {
        sheet.set("eval_strategy", strategy);
        sheet.set_if("eval_steps", block.training.eval_steps);
    }
    if block.load_best_model_at_end {
        sheet.set("save_strategy", strategy);
        sheet.set_if("save_steps", block.training.eval_steps);
        sheet.set("load_best_model_at_end", true);
        sheet.set("metric_for_best_model", "eval_loss");
        sheet.set("greater_is_better", false);
    } else {
        sheet.set("save_strategy", "epoch");
    }
}
