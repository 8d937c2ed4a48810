//! axolotl 0.21: one YAML for everything.

use crate::rows::RowFormat;
use crate::settings::{Precision, Recipes};
use crate::sheet::Sheet;
use crate::words::{accumulation, adamw, evaluation, lora_alpha, modules, schedule};
use retort_training::{DpoLoss, Method, TrainBlock};
use serde_json::{Value, json};

/// What `pip` installs; axolotl pins torch, transformers, TRL and the others itself.
pub const REQUIREMENTS: &str = "# Needs Python 3.12 or later.\naxolotl==0.21.0\n";

/// `config.yaml`.
pub fn settings(recipes: &Recipes, block: &TrainBlock, format: RowFormat, seed: u64) -> Sheet {
    let training = &block.training;
    let mut sheet = Sheet::new("axolotl 0.21: axolotl train config.yaml");
    sheet.set("base_model", recipes.model.as_str());
    data(&mut sheet, block, format);
    sheet.set("dataset_prepared_path", "prepared");
    sheet.comment("No row is longer than this.");
    sheet.set_if("sequence_len", training.max_length);
    if block.method == Method::Dpo {
        sheet.comment("Texts are counted by axolotl itself, with the tokens it adds.");
        sheet.set("excess_length_strategy", "drop");
    } else {
        sheet.set("excess_length_strategy", "raise");
        sheet.set("sample_packing", training.packing);
        sheet.set("eval_sample_packing", false);
        sheet.set("pad_to_sequence_len", false);
        if training.packing {
            sheet.set("attn_implementation", "flash_attention_2");
        }
    }
    sheet.comment(&format!(
        "{} rows an optimizer step: {} nodes x {} GPUs x micro_batch_size x gradient_accumulation_steps.",
        training.rows_per_step(),
        recipes.nodes,
        recipes.gpus_per_node
    ));
    sheet.set("micro_batch_size", recipes.per_device_batch_size);
    sheet.set("gradient_accumulation_steps", accumulation(recipes, block));
    match training.max_steps {
        Some(steps) => sheet.set("max_steps", steps),
        None => sheet.set("num_epochs", training.epochs),
    }
    sheet.set("learning_rate", training.learning_rate);
    let (name, arguments) = schedule(training);
    sheet.set("lr_scheduler", name);
    sheet.set_if("lr_scheduler_kwargs", arguments);
    if training.warmup_ratio > 0.0 {
        sheet.differs("the steps of the warm-up are rounded down here (ours up), and one step becomes two");
    }
    sheet.set("warmup_ratio", training.warmup_ratio);
    sheet.set("optimizer", "adamw_torch_fused");
    adamw(&mut sheet, training);
    let bf16 = recipes.precision == Precision::Bf16;
    if bf16 {
        sheet.differs("bf16 loads the weights in bfloat16 too; ours and TRL's stay in float32");
    }
    sheet.set("bf16", bf16);
    sheet.set("tf32", false);
    sheet.set("gradient_checkpointing", training.gradient_checkpointing);
    sheet.set("seed", seed);
    sheet.set("logging_steps", 1);
    evaluation(&mut sheet, block);
    if block.eval_data.is_some() {
        sheet.set("eval_batch_size", recipes.per_device_batch_size);
    } else {
        sheet.set("val_set_size", 0.0);
    }
    sheet.set("output_dir", "output");
    if block.method == Method::Dpo {
        preference(&mut sheet, recipes, block);
    }
    if let Some(lora) = &block.lora {
        sheet.set("adapter", "lora");
        sheet.set("lora_r", lora.r);
        let alpha = lora_alpha(&mut sheet, lora.lora_alpha);
        sheet.set("lora_alpha", alpha);
        sheet.set("lora_dropout", lora.lora_dropout);
        sheet.set("lora_target_modules", modules(lora));
        sheet.set("peft_use_rslora", lora.use_rslora);
    }
    if recipes.devices() > 1 {
        sheet.set("fsdp_version", 2);
        sheet.set(
            "fsdp_config",
            json!({
                "offload_params": false, "cpu_ram_efficient_loading": true, "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
                "state_dict_type": "SHARDED_STATE_DICT", "final_state_dict_type": "FULL_STATE_DICT",
                "reshard_after_forward": true,
            }),
        );
    }
    sheet
}

fn data(sheet: &mut Sheet, block: &TrainBlock, format: RowFormat) {
    let ds_type = format.loader();
    let set = |name: &str| {
        let path = format!("../data/{name}.{}", format.extension());
        json!([{ "path": path, "ds_type": ds_type, "split": "train", "type": null }])
    };
    match block.method {
        Method::Sft => {
            sheet.comment("The rows are tokenised, with labels and attention mask; such rows have no type.");
            sheet.set("datasets", set("train"));
            if block.eval_data.is_some() {
                sheet.set("test_datasets", set("test"));
            }
        }
        Method::Dpo => {
            sheet.comment(
                "The rows are rendered texts (prompt, chosen, rejected): without a type, nothing is added to them.",
            );
            sheet.set("datasets", set("train"));
        }
    }
}

fn preference(sheet: &mut Sheet, recipes: &Recipes, block: &TrainBlock) {
    let dpo = block.dpo.clone().unwrap_or_default();
    if dpo.loss_type == DpoLoss::Simpo {
        sheet.set("rl", "simpo");
        sheet.set("rl_beta", dpo.beta);
        sheet.set("simpo_gamma", dpo.simpo_gamma);
        if dpo.rpo_alpha > 0.0 && recipes.per_device_batch_size > 1 {
            sheet.differs("the likelihood term (cpo_alpha, our rpo_alpha) is averaged over the tokens of a batch, ours over pairs");
        }
        sheet.comment("The weight of the chosen completion's likelihood: 0 is SimPO alone.");
        sheet.set("cpo_alpha", dpo.rpo_alpha);
        return;
    }
    sheet.set("rl", "dpo");
    sheet.set("rl_beta", dpo.beta);
    let mut losses = vec![json!(dpo.loss_type)];
    if dpo.rpo_alpha > 0.0 {
        losses.push("sft".into());
        if recipes.per_device_batch_size > 1 {
            sheet.differs("the `sft` term (rpo_alpha) is averaged over the tokens of a batch, ours over pairs");
        }
    }
    sheet.set("dpo_loss_type", Value::Array(losses));
    if dpo.rpo_alpha > 0.0 {
        sheet.set("dpo_loss_weights", json!([1.0, dpo.rpo_alpha]));
    }
    if dpo.loss_type == DpoLoss::Robust {
        sheet.set("dpo_label_smoothing", dpo.label_smoothing);
    } else if dpo.label_smoothing > 0.0 {
        sheet.differs(format!(
            "label_smoothing {} is left out: the loss of axolotl's TRL does not look at it (`robust` does)",
            dpo.label_smoothing
        ));
    }
}
