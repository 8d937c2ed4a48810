//! Checkpoints as people have them: every oddity is read right or refused by name. The models are made here.

use crate::binary::{run, succeed, text};
use crate::tiny_model::{CHATML, IM_END, TinyModel};
use serde_json::{Value, json};
use std::path::Path;

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), content).expect("a file");
}

/// Log-probs of one row of token ids, or what was said instead.
fn log_probs(folder: &Path, model: &str) -> Result<Vec<f64>, String> {
    write(folder, "ids.jsonl", "{\"input_ids\":[5,6,7,8]}\n");
    let output = run(folder, &["logprobs", "--checkpoint", model, "--input", "ids.jsonl"]);
    if !output.status.success() {
        assert!(matches!(output.status.code(), Some(1 | 2)), "{:?}: {}", output.status, text(&output.stderr));
        return Err(text(&output.stderr));
    }
    let row: Value = serde_json::from_slice(&output.stdout).expect("a row");
    Ok(row["token_logprobs"].as_array().expect("numbers").iter().filter_map(Value::as_f64).collect())
}

/// What is said about a model that is refused.
fn refusal(folder: &Path, model: &str) -> String {
    log_probs(folder, model).expect_err("it is refused")
}

fn pipeline(folder: &Path, stages: &str) {
    write(folder, "p.yaml", format!("name: x\nseed: 1\nstages:\n{stages}"));
}

fn train(folder: &Path, rows: &[Value], settings: &str) {
    let rows: String = rows.iter().map(|row| row.to_string() + "\n").collect();
    write(folder, "d.jsonl", rows);
    pipeline(
        folder,
        &format!(
            "  data: {{ import: {{ path: d.jsonl, format: messages }} }}\n  g: {{ train: {{ base: ./m, data: data, {settings} }} }}\n"
        ),
    );
}

fn hello() -> Value {
    json!({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]})
}

#[test]
fn the_end_that_was_trained_stands_in_every_file() {
    let work = tempfile::tempdir().expect("a folder");
    let folder = work.path();
    TinyModel { eos: "<|endoftext|>", ..TinyModel::default() }.write(&folder.join("m"));
    train(folder, &[hello()], "training: { max_steps: 150, learning_rate: 2e-2 }");
    let (_, said) = succeed(folder, &["run", "p.yaml", "--only", "g"]);
    assert!(said.contains("<|im_end|>"), "{said}");
    let checkpoint = folder.join("runs/x/g/checkpoint");
    let generation = read(&checkpoint.join("generation_config.json"));
    assert_eq!(generation["eos_token_id"], json!([IM_END, 256]));
    assert_eq!(generation["pad_token_id"], json!(256));
    assert_eq!(read(&checkpoint.join("config.json"))["eos_token_id"], json!(IM_END));
    let tokenizer = read(&checkpoint.join("tokenizer_config.json"));
    assert_eq!((&tokenizer["eos_token"], &tokenizer["pad_token"]), (&json!("<|im_end|>"), &json!("<|endoftext|>")));
    let facts = read(&folder.join("runs/x/g/manifest.json"))["facts"]["end_of_turn"].clone();
    assert_eq!(facts, json!({"token": "<|im_end|>", "id": IM_END, "changed": true}));

    write(folder, "prompt.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}\n");
    let checkpoint = checkpoint.to_str().expect("a path of text");
    let (out, _) = succeed(folder, &["generate", "--checkpoint", checkpoint, "--input", "prompt.jsonl", "--json"]);
    let row: Value = serde_json::from_str(&out).expect("a row");
    assert_eq!((&row["completion"], &row["finish_reason"]), (&json!("hello"), &json!("stop")));
    let ids = row["completion_ids"].as_array().expect("ids");
    assert_eq!(ids.last(), Some(&json!(IM_END)));
}

#[test]
fn files_that_name_the_trained_end_stay_as_they_are() {
    let work = tempfile::tempdir().expect("a folder");
    let folder = work.path();
    TinyModel::default().write(&folder.join("m"));
    train(folder, &[hello()], "training: { max_steps: 1, learning_rate: 1e-3 }");
    succeed(folder, &["run", "p.yaml", "--only", "g", "--quiet"]);
    for name in ["generation_config.json", "tokenizer_config.json"] {
        let file = |folder: &str| std::fs::read(work.path().join(folder).join(name)).expect("a file");
        assert_eq!(file("m"), file("runs/x/g/checkpoint"), "{name}");
    }
    let facts = read(&folder.join("runs/x/g/manifest.json"))["facts"]["end_of_turn"].clone();
    assert_eq!(facts["changed"], json!(false));
}

#[test]
fn a_thought_that_never_ends_is_not_trained() {
    let work = tempfile::tempdir().expect("a folder");
    let folder = work.path();
    TinyModel::default().write(&folder.join("m"));
    let row =
        |said: &str| json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": said}]});
    let rows = [row("<think>\nnever ends"), row("<think>\nabc\n</think>"), row("The tag </think> closes")];
    train(folder, &rows, "training: { max_steps: 1, learning_rate: 1e-3 }");
    succeed(folder, &["run", "p.yaml", "--only", "g", "--quiet"]);
    let dropped = read(&folder.join("runs/x/g/manifest.json"))["facts"]["dropped"].clone();
    assert_eq!(dropped, json!({"unfinished_reasoning": 1}));
    let (shown, _) = succeed(folder, &["inspect", "p.yaml", "--stage", "g", "--limit", "3"]);
    assert!(shown.contains("</think>"), "{shown}");
}

#[test]
fn a_base_without_a_template_needs_the_name_of_one() {
    let work = tempfile::tempdir().expect("a folder");
    let folder = work.path();
    TinyModel { template: None, ..TinyModel::default() }.write(&folder.join("m"));
    train(folder, &[hello()], "training: { max_steps: 1, learning_rate: 1e-3 }");
    let output = run(folder, &["run", "p.yaml", "--only", "g"]);
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("chatml") && said.contains("plain"), "{said}");
    train(folder, &[hello()], "chat_template: chatml, training: { max_steps: 1, learning_rate: 1e-3 }");
    succeed(folder, &["run", "p.yaml", "--only", "g", "--quiet"]);
    assert!(folder.join("runs/x/g/checkpoint/chat_template.jinja").is_file());
    train(folder, &[hello()], "chat_template: mine, training: { max_steps: 1, learning_rate: 1e-3 }");
    let said = text(&run(folder, &["check", "p.yaml"]).stderr);
    assert!(said.contains("`mine`") && said.contains("chatml"), "{said}");
}

#[test]
fn the_thinking_switch_reaches_the_template() {
    let work = tempfile::tempdir().expect("a folder");
    let folder = work.path();
    let switch = "{% if add_generation_prompt and enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}";
    TinyModel { template: Some(format!("{CHATML}{switch}")), ..TinyModel::default() }.write(&folder.join("m"));
    let row = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
    let own = r#"{"messages":[{"role":"user","content":"hi"}],"chat_template_kwargs":{"enable_thinking":true}}"#;
    write(folder, "r.jsonl", format!("{row}\n{own}\n"));
    let lengths = |more: &[&str]| -> Vec<usize> {
        let arguments = ["generate", "--checkpoint", "m", "--input", "r.jsonl", "--json", "--max-tokens", "1"];
        let (out, _) = succeed(folder, &[&arguments[..], more].concat());
        let rows = out.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row"));
        rows.map(|row| row["prompt_ids"].as_array().expect("ids").len()).collect()
    };
    let (plain, off) = (lengths(&[]), lengths(&["--chat-template-kwargs", "{\"enable_thinking\": false}"]));
    assert_eq!(plain[0], plain[1]);
    assert_eq!(off[1], plain[1], "a row's own switch goes first");
    assert_eq!(off[0], plain[0] + 6, "two tags and four line feeds");
}

#[test]
fn values_that_are_no_numbers_are_named() {
    let work = tempfile::tempdir().expect("a folder");
    let folder = work.path();
    TinyModel { nan: true, ..TinyModel::default() }.write(&folder.join("nan"));
    TinyModel { seed: 2, ..TinyModel::default() }.write(&folder.join("m"));
    assert!(refusal(folder, "nan").contains("`model.norm.weight`"));
    let output = run(folder, &["generate", "--checkpoint", "nan", "--prompt", "hi"]);
    assert!(!output.status.success() && text(&output.stderr).contains("`model.norm.weight`"));

    write(folder, "d.jsonl", format!("{}\n", hello()));
    write(folder, "pr.jsonl", "{\"prompt\":\"1+1?\",\"answer\":\"2\"}\n");
    pipeline(
        folder,
        "  data: { import: { path: d.jsonl, format: messages } }
  pr: { import: { path: pr.jsonl } }
  diverged: { train: { base: ./m, data: data, training: { max_steps: 1, learning_rate: 3e38, max_grad_norm: 0 } } }
  merged: { merge: { models: [ { model: ./m }, { model: ./nan } ] } }
  measured: { evaluate: { checkpoints: [./nan], prompts: pr, sampling: { n: 1, max_tokens: 4 } } }
  taught: { sample: { teacher: ./nan, prompts: pr, sampling: { n: 1, max_tokens: 4 } } }
",
    );
    for stage in ["diverged", "merged", "measured", "taught"] {
        let output = run(folder, &["run", "p.yaml", "--only", stage]);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains("not finite") && said.contains("weight`"), "{stage}: {said}");
    }
}

#[test]
fn a_stored_head_is_used() {
    let work = tempfile::tempdir().expect("a folder");
    let folder = work.path();
    TinyModel { head: true, ..TinyModel::default() }.write(&folder.join("head"));
    let untied = vec![("tie_word_embeddings", json!(false))];
    TinyModel { head: true, config: untied, ..TinyModel::default() }.write(&folder.join("untied"));
    TinyModel::default().write(&folder.join("tied"));
    assert_eq!(log_probs(folder, "head"), log_probs(folder, "untied"));
    assert_ne!(log_probs(folder, "head"), log_probs(folder, "tied"));
    let said = text(&run(folder, &["generate", "--checkpoint", "head", "--prompt", "a", "--max-tokens", "1"]).stderr);
    assert!(said.contains("lm_head.weight"), "{said}");
}

#[test]
fn merges_of_what_cannot_be_added_are_refused() {
    let work = tempfile::tempdir().expect("a folder");
    let folder = work.path();
    let model = |name: &str, model: TinyModel| TinyModel { seed: 3, ..model }.write(&folder.join(name));
    TinyModel::default().write(&folder.join("a"));
    model("head", TinyModel { head: true, ..TinyModel::default() });
    model("bare", TinyModel { prefix: "", ..TinyModel::default() });
    model("theta", TinyModel { config: vec![("rope_theta", json!(1e6))], ..TinyModel::default() });
    let heads = vec![("num_attention_heads", json!(4)), ("num_key_value_heads", json!(2)), ("head_dim", json!(4))];
    model("heads", TinyModel { config: heads, ..TinyModel::default() });
    model("end", TinyModel { eos: "<|endoftext|>", template: None, ..TinyModel::default() });
    model("tokens", TinyModel::default());
    let mut tokenizer = read(&folder.join("tokens/tokenizer.json"));
    tokenizer["added_tokens"][3]["content"] = json!("<thought>");
    write(&folder.join("tokens"), "tokenizer.json", tokenizer.to_string());
    let merge = |other: &str| {
        pipeline(
            folder,
            &format!("  {other}: {{ merge: {{ models: [ {{ model: ./a }}, {{ model: ./{other} }} ] }} }}\n"),
        );
        let output = run(folder, &["run", "p.yaml"]);
        (output.status.success(), text(&output.stderr))
    };
    for (other, word) in [("theta", "rope_theta"), ("heads", "num_attention_heads"), ("tokens", "<thought>")] {
        let (merged, said) = merge(other);
        assert!(!merged && said.contains(word), "{other}: {said}");
    }
    assert!(merge("bare").0);
    let (merged, said) = merge("end");
    assert!(merged && said.contains("chat templates"), "{said}");
    assert!(merge("head").0);
    let config = read(&folder.join("runs/x/head/checkpoint/config.json"));
    assert_eq!(config["tie_word_embeddings"], json!(false));
    assert!(log_probs(folder, "runs/x/head/checkpoint").is_ok());
}

#[test]
fn decoders_saved_without_their_head_and_rotary_tables_are_read() {
    let work = tempfile::tempdir().expect("a folder");
    let folder = work.path();
    TinyModel::default().write(&folder.join("whole"));
    let whole = log_probs(folder, "whole");
    TinyModel { prefix: "", config: vec![("architectures", json!(["LlamaModel"]))], ..TinyModel::default() }
        .write(&folder.join("m"));
    assert_eq!(log_probs(folder, "m"), whole);
    train(folder, &[hello()], "training: { max_steps: 1, learning_rate: 1e-3 }");
    succeed(folder, &["run", "p.yaml", "--only", "g", "--quiet"]);
    let config = read(&folder.join("runs/x/g/checkpoint/config.json"));
    assert_eq!(config["architectures"], json!(["LlamaForCausalLM"]));

    let tables = vec![("model.layers.0.self_attn.rotary_emb.inv_freq", vec![1.0; 4])];
    TinyModel { more: tables, ..TinyModel::default() }.write(&folder.join("tables"));
    assert_eq!(log_probs(folder, "tables"), whole);
    let sliding =
        vec![("use_sliding_window", json!(true)), ("sliding_window", json!(64)), ("max_window_layers", json!(1))];
    TinyModel { config: sliding, ..TinyModel::default() }.write(&folder.join("sliding"));
    assert_eq!(log_probs(folder, "sliding"), whole);
    TinyModel { prefix: "module.model.", ..TinyModel::default() }.write(&folder.join("wrapped"));
    assert!(refusal(folder, "wrapped").contains("module.model.embed_tokens.weight"));
}

#[test]
fn sizes_that_the_weights_contradict_are_named() {
    let work = tempfile::tempdir().expect("a folder");
    let folder = work.path();
    let sizes = [
        ("num_hidden_layers", json!(1_000_000_000_000_u64)),
        ("num_hidden_layers", json!(9999)),
        ("hidden_size", json!(4_611_686_018_427_387_904_u64)),
        ("vocab_size", json!(i64::MAX)),
        ("vocab_size", json!(2_000_000_000)),
        ("intermediate_size", json!(u64::MAX)),
        ("intermediate_size", json!(48)),
        ("rope_theta", json!(0)),
        ("rms_norm_eps", json!("small")),
        ("tie_word_embeddings", json!("true")),
    ];
    for (name, value) in sizes {
        TinyModel { config: vec![(name, value.clone())], ..TinyModel::default() }.write(&folder.join("m"));
        let said = refusal(folder, "m");
        let named = said.contains(name) || said.contains("tensor `model.");
        assert!(named && !said.contains("panicked"), "{name} {value}: {said}");
    }
}

#[test]
fn what_is_no_checkpoint_is_called_what_it_is() {
    let work = tempfile::tempdir().expect("a folder");
    let folder = work.path();
    let fresh = |name: &str| {
        TinyModel::default().write(&folder.join(name));
        folder.join(name)
    };
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    for file in ["model.safetensors", "tokenizer.json", "config.json"] {
        write(&fresh("lfs"), file, pointer);
        let said = refusal(folder, "lfs");
        assert!(said.contains("git-lfs") && said.contains(file), "{said}");
    }
    let adapter = fresh("adapter");
    std::fs::remove_file(adapter.join("config.json")).expect("a file");
    std::fs::rename(adapter.join("model.safetensors"), adapter.join("adapter_model.safetensors")).expect("a file");
    write(&adapter, "adapter_config.json", r#"{"peft_type":"LORA","base_model_name_or_path":"the/base"}"#);
    let said = refusal(folder, "adapter");
    assert!(said.contains("PEFT adapter") && said.contains("the/base"), "{said}");

    let older = fresh("older");
    std::fs::remove_file(older.join("tokenizer.json")).expect("a file");
    write(&older, "tokenizer.model", "");
    write(folder, "r.jsonl", "{\"prompt\":\"a\",\"completion\":\"b\"}\n");
    let (out, _) = succeed(folder, &["logprobs", "--checkpoint", "older", "--input", "r.jsonl"]);
    assert!(out.contains("tokenizer.model") && out.contains("save_pretrained"), "{out}");

    let infinite = fresh("infinite");
    let config = std::fs::read_to_string(infinite.join("config.json")).expect("a file");
    for (written, word) in [("Infinity", "Infinity"), ("-Infinity", "-Infinity"), ("NaN", "NaN")] {
        write(&infinite, "config.json", config.replacen('{', &format!("{{\"x\": {written}, "), 1));
        assert!(refusal(folder, "infinite").contains(&format!("`{word}` in line 1")), "{written}");
    }
    write(&infinite, "config.json", format!("\u{feff}{config}"));
    assert!(refusal(folder, "infinite").contains("byte order mark"));

    fresh("m");
    write(folder, "d.jsonl", format!("{}\n", hello()));
    let stage = |base: &str| {
        pipeline(
            folder,
            &format!(
                "  data: {{ import: {{ path: d.jsonl, format: messages }} }}\n  g: {{ train: {{ base: {base}, data: data, training: {{ learning_rate: 1e-3 }} }} }}\n"
            ),
        );
        text(&run(folder, &["check", "p.yaml"]).stderr)
    };
    assert!(stage("m").contains("`./m`"));
    assert!(stage("./adapter").contains("PEFT adapter"));
}
