//! A stage of every kind with the hash of its output, beside its version: whoever changes an output must say so by a new
//! version, because results are cached under it.

use crate::binary::{root, succeed};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Kinds without a golden output: training and what samples from models differ in their last bits between processors, and
/// reports name the program's version.
const WITHOUT: [&str; 3] = ["train", "evaluate", "report"];

fn golden_path() -> PathBuf {
    root().join("tests/golden/outputs.json")
}

/// The golden entries by stage: `stage` is the stage as in a pipeline file, `version` what its output depends on besides,
/// `output` its tables and files with their SHA-256.
fn golden() -> BTreeMap<String, Value> {
    serde_json::from_slice(&std::fs::read(golden_path()).expect("golden outputs")).expect("golden outputs are JSON")
}

fn write_inputs(folder: &Path, golden: &BTreeMap<String, Value>) {
    let (mut rollouts, mut recorded) = (String::new(), String::new());
    for a in 0..6_u32 {
        let prompt = format!("What is {a} times 3?");
        let sample = |answer: u32, words: usize, tokens: u32| {
            let reasoning = "so ".repeat(words);
            json!({"text": format!("<think>\n{reasoning}\n</think>\n\n\\boxed{{{answer}}}"), "tokens": tokens, "model": "t"})
        };
        let samples = [sample(a * 3, 3, 10 + a), sample(a * 3, 9, 30 + a), sample(a * 3 + 1, 5, 20 + a)];
        rollouts.push_str(&json!({"prompt": prompt, "answer": (a * 3).to_string(), "samples": samples}).to_string());
        rollouts.push('\n');
        for index in 0..2 {
            let row = json!({"prompt": prompt, "sample_index": index, "completion": format!("it is {}", a * 3),
                "completion_tokens": 4, "finish_reason": "stop"});
            recorded.push_str(&row.to_string());
            recorded.push('\n');
        }
    }
    std::fs::write(folder.join("rollouts.jsonl"), rollouts).expect("rollouts");
    std::fs::write(folder.join("recorded.jsonl"), recorded).expect("a recording");
    std::fs::write(folder.join("judge.jsonl"), judge_line("none", 0)).expect("a recording");
    for model in ["teacher", "student"] {
        let link = std::os::unix::fs::symlink(root().join("pipelines/quickstart").join(model), folder.join(model));
        link.expect("a model can be pointed at");
    }
    let stages: BTreeMap<&String, &Value> =
        golden.iter().filter_map(|(name, entry)| Some((name, entry.get("stage")?))).collect();
    // JSON is YAML too.
    let pipeline = json!({ "name": "golden", "seed": 11, "stages": stages });
    std::fs::write(folder.join("golden.yaml"), pipeline.to_string()).expect("a pipeline");
}

fn judge_line(rollout_id: &str, order: usize) -> String {
    let said = ["correct", "incorrect"][usize::from(rollout_id.as_bytes()[0].is_multiple_of(2) && order == 1)];
    let text = format!("<think>hm</think>{{\"analysis\": \"so\", \"correctness\": \"{said}\"}}");
    json!({"prompt_id": rollout_id, "sample_index": order, "completion": text, "finish_reason": "stop"}).to_string()
        + "\n"
}

/// Replies of a judge about the rollouts, whose ids are known once they are judged by rule.
fn write_judge(folder: &Path) {
    succeed(folder, &["run", "golden.yaml", "--only", "verdicts"]);
    let (rows, _) = succeed(folder, &["show", "runs/golden/verdicts", "--json", "--limit", "99"]);
    let ids = rows.lines().map(|row| serde_json::from_str::<Value>(row).expect("a row")["rollout_id"].clone());
    let ids: Vec<String> = ids.filter_map(|id| id.as_str().map(str::to_owned)).collect();
    let lines: String = ids.iter().flat_map(|id| [judge_line(id, 0), judge_line(id, 1)]).collect();
    std::fs::write(folder.join("judge.jsonl"), lines).expect("a recording");
}

/// What a stage's output depends on besides its settings and inputs.
fn version(manifest: &Value, verifiers: &str) -> String {
    let parts = &manifest["key"];
    let mut version = format!("{} {}", parts["kind"].as_str().unwrap_or_default(), parts["code_version"]);
    // Verifiers change with a version of their own, which stands in the rows that later stages hand on, too.
    if parts["kind"] == "verify" || !manifest["lineage"]["verdicts"].is_null() {
        let _ = write!(version, ", verifiers {verifiers}");
    }
    version
}

fn output(manifest: &Value) -> Vec<String> {
    let mut hashes = Vec::new();
    for (table, files) in manifest["tables"].as_object().into_iter().flatten().filter(|(t, _)| *t != "telemetry") {
        hashes.push(format!("{table} {}", files["files"][0]["sha256"].as_str().unwrap_or_default()));
    }
    for file in manifest["files"].as_array().into_iter().flatten() {
        hashes.push(format!("{} {}", file["path"], file["sha256"].as_str().unwrap_or_default()));
    }
    hashes
}

#[test]
fn outputs_change_only_with_their_version() {
    let mut golden = golden();
    let work = tempfile::tempdir().expect("a temporary folder");
    write_inputs(work.path(), &golden);
    write_judge(work.path());
    succeed(work.path(), &["run", "golden.yaml", "--allow-path"]);
    let manifest = |stage: &str| -> Value {
        let path = work.path().join("runs/golden").join(stage).join("manifest.json");
        serde_json::from_slice(&std::fs::read(path).expect("a manifest")).expect("JSON")
    };
    let verifiers = manifest("verdicts")["key"]["versions"]["verifiers"].as_str().expect("a version").to_owned();
    let bless = std::env::var_os("RETORT_BLESS").is_some();
    for (stage, entry) in &mut golden {
        let manifest = manifest(stage);
        let (version, output) = (version(&manifest, &verifiers), json!(output(&manifest)));
        if bless {
            entry["version"] = version.into();
            entry["output"] = output;
        } else if entry["version"] == version.as_str() {
            assert_eq!(output, entry["output"], "the output of `{stage}` changed: give its kind a new version");
        } else {
            panic!("no golden output of `{stage}` at version `{version}`: run once with RETORT_BLESS=1");
        }
    }
    if bless {
        let mut text = serde_json::to_string_pretty(&golden).expect("text is JSON");
        text.push('\n');
        std::fs::write(golden_path(), text).expect("the golden hashes can be written");
    }
}

#[test]
fn every_kind_has_a_golden_output() {
    let (kinds, _) = succeed(&root(), &["explain"]);
    let kinds = kinds.lines().find_map(|line| line.strip_prefix("stages: ")).expect("the list of kinds").to_owned();
    let golden = golden();
    let covered: BTreeSet<&str> =
        golden.values().filter_map(|entry| entry["version"].as_str()?.split(' ').next()).chain(WITHOUT).collect();
    let missing: Vec<&str> = kinds.split(", ").filter(|kind| !covered.contains(kind)).collect();
    assert!(missing.is_empty(), "no golden output of {missing:?}: add an entry to tests/golden/outputs.json");
}
