//! Whatever changes an output changes its key, so that a result is never taken for another.

use crate::binary::{retort, root, run, succeed, text};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn rows(folder: &Path, stage: &str, table: &str) -> Vec<Value> {
    let (out, _) = succeed(folder, &["show", stage, "--table", table, "--json", "--limit", "1000"]);
    out.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

fn write(folder: &Path, name: &str, content: &str) {
    fs::write(folder.join(name), content).expect("a file can be written");
}

#[test]
fn order_and_names_of_files_decide() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    for (name, completion) in [("a", "x"), ("b", "y")] {
        fs::create_dir(folder.join(name)).expect("a folder");
        let row = json!({"prompt": "q", "answer": name, "completion": completion, "tokens": 3});
        write(folder, &format!("{name}/rows.jsonl"), &row.to_string());
    }
    let pipeline =
        |paths: &str| format!("name: c\nstages: {{ data: {{ import: {{ path: {paths}, as: rollouts }} }} }}\n");
    for (paths, answer) in [("[a/rows.jsonl, b/rows.jsonl]", "a"), ("[b/rows.jsonl, a/rows.jsonl]", "b")] {
        write(folder, "p.yaml", &pipeline(paths));
        succeed(folder, &["run", "p.yaml"]);
        assert_eq!(rows(folder, "runs/c/data", "prompts")[0]["reference_answer"], answer);
    }
    // The same rows under another name are from another source.
    for name in ["old", "new"] {
        fs::copy(folder.join("a/rows.jsonl"), folder.join(format!("{name}.jsonl"))).expect("a file can be copied");
        write(folder, "p.yaml", &pipeline(&format!("{name}.jsonl")));
        succeed(folder, &["run", "p.yaml"]);
        assert_eq!(rows(folder, "runs/c/data", "prompts")[0]["source"], format!("{name}.jsonl"));
    }
}

#[test]
fn names_that_are_written_decide() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write(folder, "a.jsonl", "{\"prompt\": \"q\", \"completion\": \"a\"}\n");
    let pipeline = "
name: c
stages:
  d: { import: { path: a.jsonl, as: sft } }
  e: { import: { path: a.jsonl, as: sft } }
  first: { export: { data: d } }
  second: { export: { data: d } }
  third: { export: { data: e } }
";
    write(folder, "p.yaml", pipeline);
    succeed(folder, &["run", "p.yaml"]);
    for (stage, source) in [("first", "d"), ("second", "d"), ("third", "e")] {
        let card = fs::read_to_string(folder.join("runs/c").join(stage).join("README.md")).expect("a card");
        assert!(card.contains(&format!("\n# {stage}\n")) && card.contains(&format!("from stage `{source}`")), "{card}");
    }
}

#[test]
fn adapters_name_the_base_that_was_given_and_kernels_have_a_version() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    let quickstart = root().join("pipelines/quickstart");
    std::os::unix::fs::symlink(quickstart.join("student"), folder.join("student")).expect("a model");
    for place in ["x", "y"] {
        fs::create_dir(folder.join(place)).expect("a folder");
        std::os::unix::fs::symlink(quickstart.join("student"), folder.join(place).join("base")).expect("a model");
    }
    write(folder, "a.jsonl", "{\"prompt\": \"1+1=\", \"completion\": \"2\"}\n");
    let stage = |base: &str, alpha: u32| {
        format!(
            "{{ train: {{ base: {base}, data: d, chat_template: plain, lora: {{ r: 2, lora_alpha: {alpha} }}, training: {{ max_steps: 1, batch_size: 1, \
             learning_rate: 1e-3 }} }} }}"
        )
    };
    let pipeline = format!(
        "name: c\nstages:\n  d: {{ import: {{ path: a.jsonl, as: sft }} }}\n  x: {}\n  y: {}\n  z: {}\n",
        stage("x/base", 4),
        stage("y/base", 4),
        stage("x/base", 8)
    );
    write(folder, "p.yaml", &pipeline);
    succeed(folder, &["run", "p.yaml", "--allow-path"]);
    for (stage, base, alpha) in [("x", "x/base", 4.0), ("y", "y/base", 4.0), ("z", "x/base", 8.0)] {
        let at = folder.join("runs/c").join(stage);
        let adapter = fs::read(at.join("adapter/adapter_config.json")).expect("an adapter");
        let adapter: Value = serde_json::from_slice(&adapter).expect("JSON");
        assert_eq!(adapter["base_model_name_or_path"], base);
        assert_eq!(adapter["lora_alpha"], alpha);
        let record: Value =
            serde_json::from_slice(&fs::read(at.join("manifest.json")).expect("a record")).expect("JSON");
        assert!(record["key"]["versions"]["kernels"].is_string());
    }
}

#[test]
fn the_judges_requests_are_forecast_after_a_filter_too() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    let row = |at: usize| {
        json!({"prompt": format!("q{at}"), "answer": "the red fox jumps", "completion": "some words that no rule can judge",
            "tokens": 9})
        .to_string()
    };
    let lines: Vec<String> = (0..20).map(row).collect();
    write(folder, "a.jsonl", &lines.join("\n"));
    let pipeline = "
name: c
stages:
  data: { import: { path: a.jsonl, as: rollouts } }
  v: { verify: { rollouts: data, verifiers: [math] } }
  k: { filter: { verdicts: v, keep: { verdict: [correct, undecided] } } }
  j: { judge: { verdicts: k, teacher: { endpoint: \"http://127.0.0.1:9/v1\", model: m }, sampling: { max_tokens: 100 } } }
";
    write(folder, "p.yaml", pipeline);
    succeed(folder, &["run", "p.yaml", "--only", "k"]);
    let undecided = rows(folder, "runs/c/k", "verdicts").iter().filter(|row| row["verdict"] == "undecided").count();
    let (planned, _) = succeed(folder, &["plan", "p.yaml"]);
    assert!(undecided > 0 && planned.contains(&format!("at most {} requests", 2 * undecided)), "{planned}");
}

#[test]
fn a_key_that_is_not_set_is_found_before_any_work_and_only_where_it_is_needed() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write(folder, "a.jsonl", "{\"prompt\": \"1+1=\", \"answer\": \"2\"}\n");
    let pipeline = "
name: c
stages:
  p: { import: { path: a.jsonl } }
  r:
    sample:
      prompts: p
      teacher: { endpoint: \"http://127.0.0.1:9/v1\", model: m, api_key: env:RETORT_TEST_NO_SUCH_KEY }
      sampling: { max_tokens: 10 }
";
    write(folder, "p.yaml", pipeline);
    let output = run(folder, &["check", "p.yaml"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("RETORT_TEST_NO_SUCH_KEY") && said.contains("p.yaml:8:"), "{said}");
    let output = run(folder, &["run", "p.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.join("runs/c/p").exists(), "work began");
    succeed(folder, &["run", "p.yaml", "--only", "p"]);
    let status = retort(folder).args(["check", "p.yaml"]).env("RETORT_TEST_NO_SUCH_KEY", "k").status();
    assert!(status.expect("the binary starts").success());
}
