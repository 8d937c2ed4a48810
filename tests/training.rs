//! What a `train` stage can be told beside the essentials: adapters, packing, evaluation, long rows; and `retort inspect`.

use crate::binary::{differing, results, retort, root, run, succeed, text};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;

/// A small model, examples of two lengths, and students that learn from them in every way.
const PIPELINE: &str = "
name: t
seed: 3
stages:
  examples: { import: { path: examples.jsonl, as: sft } }
  held-out: { import: { path: held-out.jsonl, as: sft } }
  base:
    train:
      init:
        tokenizer: tokenizer
        architecture:
          { vocab_size: 104, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,
            max_position_embeddings: 128, tie_word_embeddings: true, initializer_range: 0.05 }
      data: examples
      training: { max_steps: 4, batch_size: 4, learning_rate: 0.01, max_length: 64 }
  adapted:
    train:
      base: base
      chat_template: plain
      data: examples
      eval_data: held-out
      load_best_model_at_end: true
      lora: { r: 4, lora_alpha: 8, lora_dropout: 0.1, target_modules: [q_proj, v_proj], use_rslora: true }
      save_steps: 2
      training: { max_steps: 6, batch_size: 4, learning_rate: 0.02, max_length: 64, eval_steps: 2 }
  packed:
    train:
      base: base
      chat_template: plain
      data: examples
      training: { packing: true, epochs: 1, batch_size: 2, learning_rate: 0.01, max_length: 64, over_long: truncate }
  about: { report: { of: [adapted, base] } }
";

fn example(prompt: &str, reasoning: &str, answer: &str) -> String {
    let said = format!("<think>{reasoning}</think>{answer}");
    serde_json::json!({ "messages": [{ "role": "user", "content": prompt }, { "role": "assistant", "content": said }] })
        .to_string()
        + "\n"
}

fn prepare(folder: &Path) {
    let from = root().join("pipelines/quickstart/tokenizer");
    std::fs::create_dir_all(folder.join("tokenizer")).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a tokenizer").flatten() {
        std::fs::copy(entry.path(), folder.join("tokenizer").join(entry.file_name())).expect("a copy");
    }
    let examples = (0..24).map(|i| example(&format!("{i}+1"), &format!("{i}+1={}", i + 1), &format!("{}", i + 1)));
    let half = example("7+8", &"7+8=15. ".repeat(20), "15");
    let cut = example("8+8", "8+8=16", &"16 ".repeat(60));
    std::fs::write(folder.join("examples.jsonl"), examples.collect::<String>() + &half + &cut).expect("examples");
    let held_out = (30..36).map(|i| example(&format!("{i}+1"), &format!("{i}+1={}", i + 1), &format!("{}", i + 1)));
    std::fs::write(folder.join("held-out.jsonl"), held_out.collect::<String>()).expect("examples");
    std::fs::write(folder.join("p.yaml"), PIPELINE).expect("a pipeline");
}

fn facts(folder: &Path, stage: &str) -> Value {
    let path = folder.join("runs/t").join(stage).join("manifest.json");
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("a manifest")).expect("JSON");
    manifest["facts"].clone()
}

#[test]
fn adapters_packs_and_evaluation() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    prepare(folder);
    succeed(folder, &["run", "p.yaml", "--quiet"]);

    let adapted = folder.join("runs/t/adapted");
    let config: Value = serde_json::from_str(
        &std::fs::read_to_string(adapted.join("adapter/adapter_config.json")).expect("PEFT's file"),
    )
    .expect("JSON");
    assert_eq!((&config["peft_type"], &config["r"], &config["use_rslora"]), (&"LORA".into(), &4.into(), &true.into()));
    assert_eq!(config["target_modules"], serde_json::json!(["q_proj", "v_proj"]));
    let read = |stage: &str| {
        std::fs::read(folder.join("runs/t").join(stage).join("checkpoint/model.safetensors")).expect("weights")
    };
    assert_eq!(read("adapted").len(), read("base").len());
    assert_ne!(read("adapted"), read("base"));
    let losses = &facts(folder, "adapted")["eval_loss"];
    assert!(losses["best"].as_f64() <= losses["last"].as_f64() && losses["rows"] == 6, "{losses}");
    let steps = std::fs::read_to_string(adapted.join("steps.jsonl")).expect("steps");
    let evaluated: Vec<u64> = steps
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a step"))
        .filter(|step| step.get("eval_loss").is_some())
        .filter_map(|step| step["step"].as_u64())
        .collect();
    assert_eq!(evaluated, [2, 4, 6]);

    let about = std::fs::read_to_string(folder.join("runs/t/about/report.html")).expect("a report");
    assert_eq!(about.matches("training and evaluation loss of").count(), 1, "only `adapted` was evaluated");
    assert!(about.contains("lowest evaluation loss"));

    // Without `truncate` both long rows go; with it the one whose thought would be cut does.
    assert_eq!(facts(folder, "base")["dropped"], serde_json::json!({ "too_long": 2 }));
    let packed = facts(folder, "packed");
    assert_eq!(packed["dropped"], serde_json::json!({ "thought_cut": 1 }));
    assert_eq!(packed["truncated"], 1);
    let packs = std::fs::read_to_string(folder.join("runs/t/packed/steps.jsonl")).expect("steps");
    assert!(packs.lines().count() < 24 / 2, "several rows share a pack: {packs}");

    for (point, counts) in [("after-step", vec![6, 8]), ("after-state", vec![1, 2]), ("before-state", vec![2])] {
        for count in counts {
            let out = folder.join("aborted");
            let _ = std::fs::remove_dir_all(&out);
            let arguments = ["run", "p.yaml", "--only", "adapted", "--out", "aborted", "--quiet"];
            let abort = format!("{point}:{count}");
            let mut command = retort(folder);
            command.args(arguments).env("RETORT_ABORT_AT", &abort).stderr(Stdio::null());
            assert!(!command.status().expect("the binary starts").success(), "nothing passes {abort}");
            succeed(folder, &arguments);
            let mut whole = results(folder, "t");
            whole.retain(|name, _| !name.starts_with("packed/") && !name.starts_with("about/"));
            let found = differing(&whole, &results(&out, "t"));
            assert!(found.is_empty(), "{abort}: {found:?}");
        }
    }
}

#[test]
fn inspect_shows_what_is_trained() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    prepare(folder);
    let early = run(folder, &["inspect", "p.yaml", "--stage", "base"]);
    assert_eq!(early.status.code(), Some(2));
    assert!(text(&early.stderr).contains("run the pipeline with `--only examples`"), "{}", text(&early.stderr));
    succeed(folder, &["run", "p.yaml", "--only", "base", "--quiet"]);
    let (out, _) = succeed(folder, &["inspect", "p.yaml", "--stage", "base", "--limit", "1"]);
    assert!(out.contains("of them trained") && out.contains('⟦') && !out.contains('\x1b'), "{out}");
    let (trained, rest) = (out.split('⟦').nth(1).unwrap_or_default(), out.split('⟦').next().unwrap_or_default());
    assert!(trained.contains('='), "the reasoning is trained: {out}");
    assert!(rest.contains('+') && !rest.contains('='), "the prompt is not: {out}");

    let (out, _) = succeed(folder, &["inspect", "p.yaml", "--stage", "packed", "--limit", "26", "--json"]);
    let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    assert_eq!(rows.len(), 26);
    let joined =
        |row: &Value| -> String { row["tokens"].as_array().into_iter().flatten().filter_map(Value::as_str).collect() };
    assert!(joined(&rows[0]).contains("0+1=1"), "{}", rows[0]);
    assert!(rows[24]["reason"].as_str().is_some_and(|reason| reason.starts_with("thought_cut")), "{}", rows[24]);
    assert_eq!(rows[25]["input_ids"].as_array().map(Vec::len), Some(64));

    for (change, said) in [
        ("adapted.method=dpo", "only for `method: sft`"),
        ("adapted.eval_data=null", "`load_best_model_at_end` needs `eval_data`"),
        ("adapted.lora={r: 0}", "`r` is `0`, but must be at least 1"),
        ("base.lora={}", "`lora` needs `base`"),
    ] {
        let wrong = run(folder, &["check", "p.yaml", "--set", change]);
        let shown = text(&wrong.stderr);
        assert!(wrong.status.code() == Some(1) && shown.contains(said), "{change}: {shown}");
    }
}
