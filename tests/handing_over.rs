//! Recipes for other tools: their rows are what our own trainer reads, and their settings are those of the `train` block.

use crate::binary::{root, run, succeed, text};
use serde_json::{Value, json};
use std::path::Path;

/// A student's training, handed over by its name and by its settings; and preference pairs.
const PIPELINE: &str = "
name: h
seed: 3
tokenizer: tokenizer
stages:
  examples: { import: { path: examples.jsonl, as: sft } }
  held-out: { import: { path: examples.jsonl, as: sft, limit: 2 } }
  pairs: { import: { path: pairs.jsonl, as: pairs } }
  student:
    train:
      init:
        tokenizer: tokenizer
        architecture:
          { vocab_size: 104, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,
            max_position_embeddings: 128, tie_word_embeddings: true, initializer_range: 0.05 }
      data: examples
      eval_data: held-out
      training: { max_steps: 2, batch_size: 16, learning_rate: 0.01, max_length: 64 }
  named:
    export: { data: examples, recipes: { train: student, model: org/base, nodes: 2, gpus_per_node: 4 } }
  inline:
    export:
      data: examples
      recipes:
        train: { eval_data: held-out, chat_template: plain, training: { max_steps: 2, batch_size: 16, learning_rate: 0.01, max_length: 64 } }
        model: org/base
        nodes: 2
        gpus_per_node: 4
        tokenizer: tokenizer
  packed:
    export:
      data: examples
      recipes: { train: { chat_template: plain, training: { learning_rate: 1e-4, max_length: 64 } }, model: org/base, precision: fp32 }
  preferences:
    export:
      data: pairs
      file: parquet
      recipes:
        train: { method: dpo, chat_template: plain, training: { learning_rate: 1e-6, batch_size: 8, max_length: 64 } }
        model: org/base
";

fn prepare(folder: &Path) {
    let from = root().join("pipelines/quickstart/tokenizer");
    std::fs::create_dir_all(folder.join("tokenizer")).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a tokenizer").flatten() {
        std::fs::copy(entry.path(), folder.join("tokenizer").join(entry.file_name())).expect("a copy");
    }
    let said = |a: u32, more: &str| format!("<think>{a}+1={}{more}</think>{}", a + 1, a + 1);
    let (mut examples, mut pairs) = (String::new(), String::new());
    for a in 0..20 {
        let question = json!({ "role": "user", "content": format!("{a}+1=") });
        let answer = |more: &str| json!({ "role": "assistant", "content": said(a, more) });
        // The last is too long to be trained on.
        let more = if a == 19 { "9".repeat(90) } else { String::new() };
        examples.push_str(&json!({ "messages": [question, answer(&more)] }).to_string());
        examples.push('\n');
        let pair = json!({ "prompt": [question], "chosen": [answer("")], "rejected": [answer(" so")] });
        pairs.push_str(&pair.to_string());
        pairs.push('\n');
    }
    std::fs::write(folder.join("examples.jsonl"), examples).expect("examples");
    std::fs::write(folder.join("pairs.jsonl"), pairs).expect("pairs");
    std::fs::write(folder.join("p.yaml"), PIPELINE).expect("a pipeline");
}

fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("rows");
    text.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

#[test]
fn the_rows_of_recipes_are_those_that_train_reads() {
    let work = tempfile::tempdir().expect("a temporary folder");
    prepare(work.path());
    let (_, err) = succeed(work.path(), &["run", "p.yaml", "--only", "named"]);
    assert!(err.contains("recipes for trl, axolotl, llama-factory, 1 dropped (1 too_long)"), "{err}");
    assert!(!work.path().join("runs/h/student").exists(), "the train stage need not run");
    let out = work.path().join("runs/h/named/recipes");
    let data = rows(&out.join("data/train.jsonl"));
    assert_eq!((data.len(), rows(&out.join("data/test.jsonl")).len()), (19, 2));

    let (inspected, _) = succeed(work.path(), &["inspect", "p.yaml", "--stage", "student", "--limit", "19", "--json"]);
    for (row, inspected) in data.iter().zip(inspected.lines()) {
        let inspected: Value = serde_json::from_str(inspected).expect("JSON");
        assert_eq!(inspected["input_ids"], row["input_ids"]);
        let counts = |label: &Value| *label != json!(-100);
        let labels: Vec<bool> = row["labels"].as_array().expect("labels").iter().map(counts).collect();
        assert_eq!(inspected["loss"], json!(labels));
        assert!(row["attention_mask"].as_array().is_some_and(|mask| mask.iter().all(|one| *one == 1)));
    }

    // A row of the parity file is what `logprobs` takes.
    let parity = rows(&out.join("parity/rows.jsonl"));
    assert_eq!((parity.len(), &parity[0]["input_ids"]), (19, &data[0]["input_ids"]));
    let settings = std::fs::read_to_string(out.join("trl/sft.yaml")).expect("settings");
    for line in
        ["max_steps: 2", "learning_rate: 0.01", "gradient_accumulation_steps: 2", "seed: 3", "eval_strategy: epoch"]
    {
        assert!(settings.lines().any(|found| found == line), "{line} is not in\n{settings}");
    }
    let readme = std::fs::read_to_string(out.join("README.md")).expect("a text for people");
    assert!(readme.contains("2 held-out rows"), "{readme}");
}

#[test]
fn a_stage_by_name_and_its_settings_written_out_are_the_same_export() {
    let work = tempfile::tempdir().expect("a temporary folder");
    prepare(work.path());
    succeed(work.path(), &["run", "p.yaml", "--only", "inline"]);
    let state = |change: &[&str], stage: &str| {
        let (plan, _) = succeed(work.path(), &[&["plan", "p.yaml"], change].concat());
        let line = plan.lines().find(|line| line.starts_with(&format!("{stage} "))).expect("the stage is planned");
        line.split_whitespace().nth(2).expect("a state").to_owned()
    };
    assert_eq!(state(&[], "inline"), "fresh");
    assert_eq!(state(&["--set", "inline.recipes.train.training.learning_rate=0.02"], "inline"), "stale");
    succeed(work.path(), &["run", "p.yaml", "--only", "named"]);
    assert_eq!(state(&["--set", "student.training.learning_rate=0.02"], "named"), "stale");
    let text = |stage: &str| {
        std::fs::read_to_string(work.path().join(format!("runs/h/{stage}/recipes/README.md"))).expect("a text")
    };
    assert_eq!(text("inline"), text("named"));
}

#[test]
fn pairs_leave_as_texts_and_as_tokens() {
    let work = tempfile::tempdir().expect("a temporary folder");
    prepare(work.path());
    succeed(work.path(), &["run", "p.yaml", "--only", "preferences", "--set", "preferences.file=jsonl"]);
    let out = work.path().join("runs/h/preferences/recipes");
    let (texts, tokens) = (rows(&out.join("data/train.jsonl")), rows(&out.join("tokens/train.jsonl")));
    assert_eq!((texts.len(), tokens.len()), (20, 20));
    for side in ["chosen", "rejected"] {
        assert!(texts[3][side].as_str().is_some_and(|text| text.starts_with("<think>3+1=4")), "{}", texts[3]);
        let (ids, labels) = (&tokens[3][format!("{side}_input_ids")], &tokens[3][format!("{side}_labels")]);
        assert_eq!(ids.as_array().map(Vec::len), labels.as_array().map(Vec::len));
        assert_eq!(
            (&labels[0], labels.as_array().and_then(|all| all.last())),
            (&json!(-100), ids.as_array().and_then(|all| all.last()))
        );
    }
    let readme = std::fs::read_to_string(out.join("README.md")).expect("a text for people");
    assert!(readme.contains("0 of 20 pairs are read back as other tokens"), "{readme}");

    succeed(work.path(), &["run", "p.yaml", "--only", "preferences"]);
    assert!(work.path().join("runs/h/preferences/recipes/tokens/train.parquet").is_file());
    let settings = work.path().join("runs/h/preferences/recipes/axolotl/config.yaml");
    assert!(std::fs::read_to_string(settings).expect("settings").contains("ds_type: parquet"));
}

#[test]
fn wrong_recipes_are_told_with_their_place() {
    let work = tempfile::tempdir().expect("a temporary folder");
    prepare(work.path());
    for (change, said) in [
        ("named.recipes.train=studnt", "there is no stage `studnt`; `train` stages: student"),
        ("named.recipes.train=pairs", "`pairs` is of the kind `import`; allowed is a `train` stage"),
        ("named.recipes.nodes=3", "3 nodes x 4 GPUs x `per_device_batch_size` 1 = 12 rows do not divide"),
        ("named.data=held-out", "`data` is `held-out`, but `student` trains on `examples`"),
        ("inline.recipes.train.training.max_length=null", "recipes need `training.max_length`"),
        ("inline.recipes.train.training.warmup_ratio=2", "`warmup_ratio` is `2`, but must be at most 1"),
        ("preferences.recipes.train.dpo={loss_type: simpo}", "`trl` has no preference loss `simpo`"),
        ("packed.recipes.train.training.packing=true", "which needs `precision: bf16`"),
        ("inline.reasoning=drop", "`recipes` train on the reasoning too"),
    ] {
        let output = run(work.path(), &["check", "p.yaml", "--set", change]);
        let err = text(&output.stderr).replace("\n  │ ", " ");
        assert_eq!(output.status.code(), Some(1), "{change}: {err}");
        assert!(err.contains(said) && err.contains("p.yaml:"), "{change}: {err}");
    }
}
