//! LLaMA-Factory 0.9.5: one YAML, `dataset_info.json`, and our tokens in the form that `tokenized_path` reads.

use crate::rows::RowFormat;
use crate::settings::{Precision, Recipes};
use crate::sheet::Sheet;
use crate::words::{lora_alpha, modules, training_arguments};
use retort_training::{DpoLoss, Method, TrainBlock};
use serde_json::{Value, json};

/// What `pip` installs: the newest that LLaMA-Factory 0.9.5 allows itself.
pub const REQUIREMENTS: &str = "# Needs Python 3.11 or later.\nllamafactory==0.9.5\ntransformers==5.6.0\naccelerate==1.11.0\n\
                                datasets==4.0.0\npeft==0.18.1\ntrl==0.24.0\ndeepspeed==0.16.9\n";

/// Turns the tokenised rows into the folder that `tokenized_path` names.
pub const PREPARE: &str = include_str!("templates/prepare.py");

/// `train.yaml`.
pub fn settings(recipes: &Recipes, block: &TrainBlock, seed: u64) -> Sheet {
    let mut sheet = Sheet::new("LLaMA-Factory 0.9.5: llamafactory-cli train train.yaml");
    sheet.set("model_name_or_path", recipes.model.as_str());
    sheet.set("stage", json!(block.method));
    sheet.set("do_train", true);
    sheet.set("finetuning_type", if block.lora.is_some() { "lora" } else { "full" });
    if recipes.devices() > 1 {
        sheet.set("deepspeed", "ds_z3.json");
    }
    sheet.comment(
        "Tokens and labels as our trainer has them, made by prepare.py; the keys of the data below are then not used.",
    );
    sheet.set("tokenized_path", "tokenized");
    sheet.comment(
        "Without tokenized_path, LLaMA-Factory writes the conversations by its own template: other tokens than ours.",
    );
    sheet.set("dataset_dir", ".");
    sheet.set("dataset", "retort");
    if block.eval_data.is_some() {
        sheet.set("eval_dataset", "retort_eval");
    }
    if recipes.template.is_none() {
        sheet.comment("`template` is not given: it is read from the tokenizer.");
    }
    sheet.set_if("template", recipes.template.as_deref());
    sheet.set_if("cutoff_len", block.training.max_length);
    if block.training.packing {
        sheet
            .differs("packing is left out, because tokenised rows are not packed here: a batch counts rows, not packs");
    }
    sheet.set("disable_gradient_checkpointing", !block.training.gradient_checkpointing);
    training_arguments(&mut sheet, recipes, block, seed);
    if recipes.precision == Precision::Fp32 {
        sheet.set("tf32", false);
    }
    if block.method == Method::Dpo {
        preference(&mut sheet, block);
    }
    if let Some(lora) = &block.lora {
        sheet.set("lora_rank", lora.r);
        let alpha = lora_alpha(&mut sheet, lora.lora_alpha);
        sheet.set("lora_alpha", alpha);
        sheet.set("lora_dropout", lora.lora_dropout);
        sheet.set("lora_target", modules(lora).join(","));
        sheet.set("use_rslora", lora.use_rslora);
    }
    sheet
}

fn preference(sheet: &mut Sheet, block: &TrainBlock) {
    let dpo = block.dpo.clone().unwrap_or_default();
    sheet.set("pref_beta", dpo.beta);
    sheet.set("pref_loss", json!(dpo.loss_type));
    if dpo.loss_type == DpoLoss::Simpo {
        sheet.set("simpo_gamma", dpo.simpo_gamma);
    }
    sheet.comment("The weight of the chosen completion's average log-prob: our rpo_alpha.");
    sheet.set("pref_ftx", dpo.rpo_alpha);
    if dpo.loss_type == DpoLoss::Sigmoid {
        sheet.set("dpo_label_smoothing", dpo.label_smoothing);
    }
}

/// `dataset_info.json`: what the conversations' columns are.
pub fn dataset_info(block: &TrainBlock, format: RowFormat) -> Value {
    let name = |set: &str| format!("{set}.{}", format.extension());
    let set = |file: String| match block.method {
        Method::Sft => {
            json!({ "file_name": file, "formatting": "sharegpt", "columns": { "messages": "conversations" } })
        }
        Method::Dpo => json!({ "file_name": file, "formatting": "sharegpt", "ranking": true,
            "columns": { "messages": "conversations", "chosen": "chosen", "rejected": "rejected" } }),
    };
    let mut info = json!({ "retort": set(name("train")) });
    if block.eval_data.is_some() {
        info["retort_eval"] = set(name("test"));
    }
    info
}

/// DeepSpeed's ZeRO stage 3: weights, gradients and optimizer are shared out.
pub fn zero_3() -> Value {
    json!({
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "zero_allow_untested_optimizer": true,
        "bf16": { "enabled": "auto" },
        "zero_optimization": {
            "stage": 3,
            "overlap_comm": false,
            "contiguous_gradients": true,
            "reduce_bucket_size": "auto",
            "stage3_prefetch_bucket_size": "auto",
            "stage3_param_persistence_threshold": "auto",
            "stage3_gather_16bit_weights_on_model_save": true,
        },
    })
}
