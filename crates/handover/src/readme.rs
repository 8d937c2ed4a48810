//! `recipes/README.md`: what to start, and what will not be the same.

use crate::launch;
use crate::rows::RowTotals;
use crate::settings::{Precision, Recipes, Tool};
use retort_training::{Method, TrainBlock};
use std::fmt::Write;

/// The whole text.
pub fn text(recipes: &Recipes, block: &TrainBlock, rows: &RowTotals, differences: &[(Tool, Vec<String>)]) -> String {
    let (method, what) = match block.method {
        Method::Sft => ("Supervised fine-tuning", "examples"),
        Method::Dpo => ("Preference training", "pairs"),
    };
    let training = &block.training;
    let mut text = format!(
        "# Recipes\n\n{method} of `{model}` on {count} {what} ({tokens} tokens, the longest row {longest}), written by Retort \
         {version} for {nodes} x {gpus} GPUs in {precision}. All of it is translated from one `train` block; no tool has been \
         given another setting.\n\n",
        model = recipes.model,
        count = rows.rows,
        tokens = rows.tokens,
        longest = rows.longest,
        version = env!("CARGO_PKG_VERSION"),
        nodes = recipes.nodes,
        gpus = recipes.gpus_per_node,
        precision = if recipes.precision == Precision::Bf16 { "bfloat16" } else { "float32" },
    );
    if let Some(words) = training.preset_in_words() {
        let _ = writeln!(text, "The training settings are the preset {words}.\n");
    }
    text.push_str("| tool | settings | versions |\n|---|---|---|\n");
    for tool in &recipes.tools {
        let folder = tool.name();
        let settings = tool.settings_file(block.method);
        let _ = writeln!(
            text,
            "| {folder} | [{folder}/{settings}]({folder}/{settings}) | [requirements.txt]({folder}/requirements.txt) |"
        );
    }
    text.push_str("\n## Start\n\nCopy the folder `recipes` to where the GPUs are. ");
    let _ = write!(text, "Then, in the folder of one tool:\n\n{}", launch::table(recipes));
    text.push_str(
        "\nThe trained model is in `output`. Save GPU memory with `gradient_checkpointing: true` in the training settings of \
         the pipeline file, and by fewer rows at a time with `per_device_batch_size`: neither changes what is learned.\n",
    );
    text.push_str("\n## Rows\n\n");
    rows_in_words(&mut text, recipes, block, rows);
    parity(&mut text, block);
    text.push_str("\n## What is not as in Retort's own trainer\n\n");
    text.push_str(
        "- The order of the rows: each tool shuffles by a generator of its own, and the optimizer sums in another order. Two \
         runs agree in quality, not in bytes. An epoch whose rows do not fill all GPUs evenly repeats a few of them.\n",
    );
    for (tool, differences) in differences {
        for difference in differences {
            let _ = writeln!(text, "- {}: {difference}.", tool.name());
        }
    }
    if block.method == Method::Dpo && recipes.tools.iter().any(|tool| *tool != Tool::LlamaFactory) {
        text.push_str(
            "- trl, axolotl: they append the tokenizer's end-of-sequence token to a text that does not end with it, so a model \
             whose turns end with another token gets one token more.\n",
        );
    }
    text
}

fn rows_in_words(text: &mut String, recipes: &Recipes, block: &TrainBlock, rows: &RowTotals) {
    let most = block.training.max_length.unwrap_or(rows.longest);
    let _ = match block.method {
        Method::Sft => writeln!(
            text,
            "`data/` holds the rows as Retort's own `train` reads them, with the base model's tokenizer and chat template: \
             `input_ids`, `attention_mask`, and `labels` with -100 where a token does not count. Every tool trains on these \
             tokens; none renders anything. Rows are at most {most} tokens long, because `train` would drop or cut longer ones."
        ),
        Method::Dpo => writeln!(
            text,
            "`data/` holds the pairs as texts (`prompt`, `chosen`, `rejected`), rendered with the base model's chat template, \
             which TRL and axolotl tokenise themselves: they know no tokenised pairs. {} of {} pairs are read back as other \
             tokens than Retort's own `train` has. Rows are at most {most} tokens long.",
            rows.read_otherwise, rows.rows
        ),
    };
    let _ = writeln!(
        text,
        "\nThe model must read as many tokens as the longest row has, {}: see `max_position_embeddings` in its `config.json`.",
        rows.longest
    );
    if block.eval_data.is_some() {
        let _ = writeln!(text, "\nBeside `train`, `test` holds {} held-out rows.", rows.held_out);
    }
    if recipes.tools.contains(&Tool::LlamaFactory) {
        let from = if block.method == Method::Sft { "data/" } else { "tokens/" };
        let _ = writeln!(
            text,
            "\nLLaMA-Factory reads tokens from a folder that `prepare.py` makes out of `{from}` (`run.sh` starts it). Without \
             `tokenized_path` it takes the conversations in its own folder and writes them by the template named `template` \
             ({}), which may not be the model's own.",
            recipes.template.as_deref().unwrap_or("read from the tokenizer")
        );
    }
}

fn parity(text: &mut String, block: &TrainBlock) {
    let side = if block.method == Method::Sft { "rows" } else { "chosen sides" };
    let _ = write!(
        text,
        "\n## Same tokens, same model?\n\n`parity/rows.jsonl` holds the first {side} (100 at most). On a machine that has the \
         base model as a folder:\n\n```sh\nretort logprobs --checkpoint BASE --input parity/rows.jsonl > scored.jsonl\npython \
         parity/check.py --model BASE --scored scored.jsonl\n```\n\nThe script needs torch and transformers. It compares every \
         token's log-prob in float32 (5e-3 is allowed, because both sum in another order) and prints the mean loss over the \
         trained tokens of these rows before training.\n"
    );
}
