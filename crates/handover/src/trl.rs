//! TRL 1.16: one YAML for `trl sft` or `trl dpo`.

use crate::settings::{Precision, Recipes};
use crate::sheet::Sheet;
use crate::words::{lora_alpha, modules, training_arguments};
use retort_training::{DpoLoss, Method, TrainBlock};
use serde_json::{Value, json};

/// What `pip` installs: these were tried together.
pub fn requirements(block: &TrainBlock) -> String {
    let mut text =
        "trl==1.16.0\ntransformers==5.23.0\naccelerate==1.15.0\ndatasets==5.2.0\npeft==0.21.2\ntorch==2.15.0\n"
            .to_owned();
    if block.training.packing {
        text.push_str("# Brings flash_attention_2 ready-made, where flash-attn is not installed.\nkernels==0.18.2\n");
    }
    text
}

/// `sft.yaml` or `dpo.yaml`.
pub fn settings(recipes: &Recipes, block: &TrainBlock, seed: u64) -> Sheet {
    let command = if block.method == Method::Sft { "sft" } else { "dpo" };
    let mut sheet = Sheet::new(&format!("TRL 1.16: trl {command} --config {command}.yaml"));
    sheet.set("model_name_or_path", recipes.model.as_str());
    sheet.comment("Weights are kept in float32, as in our trainer; bf16 is what matrices are multiplied in.");
    sheet.set("dtype", "float32");
    if block.training.packing {
        sheet.comment("Rows of a pack must not see each other: only variable-length attention keeps them apart.");
        sheet.set("attn_implementation", "flash_attention_2");
    }
    sheet.set("dataset_name", "../data");
    if block.eval_data.is_some() {
        sheet.set("dataset_test_split", "test");
    }
    if block.method == Method::Sft {
        sheet.comment("The rows are tokenised, with labels: nothing is rendered, and none is longer than this.");
    } else {
        sheet.comment("The rows are rendered texts, and none is longer than this.");
    }
    sheet.set_if("max_length", block.training.max_length);
    if block.method == Method::Sft {
        sheet.set("packing", block.training.packing);
        if block.training.packing {
            sheet.set("packing_strategy", "bfd");
            sheet.set("eval_packing", false);
            sheet.set("shuffle_dataset", true);
        }
    }
    sheet.set("gradient_checkpointing", block.training.gradient_checkpointing);
    training_arguments(&mut sheet, recipes, block, seed);
    if recipes.precision == Precision::Fp32 {
        sheet.set("tf32", false);
    }
    if block.method == Method::Dpo {
        preference(&mut sheet, recipes, block);
    }
    if let Some(lora) = &block.lora {
        sheet.set("use_peft", true);
        sheet.set("lora_r", lora.r);
        let alpha = lora_alpha(&mut sheet, lora.lora_alpha);
        sheet.set("lora_alpha", alpha);
        sheet.set("lora_dropout", lora.lora_dropout);
        sheet.set("lora_target_modules", modules(lora));
        sheet.set("use_rslora", lora.use_rslora);
    }
    sheet
}

fn preference(sheet: &mut Sheet, recipes: &Recipes, block: &TrainBlock) {
    let dpo = block.dpo.clone().unwrap_or_default();
    sheet.set("beta", dpo.beta);
    let mut losses = vec![json!(dpo.loss_type)];
    if dpo.rpo_alpha > 0.0 {
        losses.push("sft".into());
        if recipes.per_device_batch_size > 1 {
            sheet.differs("the `sft` term (rpo_alpha) is averaged over the tokens of a batch, ours over pairs");
        }
    }
    sheet.set("loss_type", Value::Array(losses));
    if dpo.rpo_alpha > 0.0 {
        sheet.set("loss_weights", json!([1.0, dpo.rpo_alpha]));
    }
    if dpo.loss_type == DpoLoss::Sigmoid && dpo.label_smoothing > 0.0 {
        sheet.differs(format!(
            "label_smoothing {} is left out: the sigmoid loss of this TRL does not look at it (`robust` does)",
            dpo.label_smoothing
        ));
    } else {
        sheet.set("label_smoothing", dpo.label_smoothing);
    }
}
