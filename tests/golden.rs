//! A golden output hash beside each stage's code version: whoever changes an output must say so by a new version, because
//! results are cached under it.

use crate::binary::{root, succeed};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const PIPELINE: &str = "
name: golden
seed: 11
stages:
  imported: { import: { path: rollouts.jsonl, as: rollouts } }
  made: { synthesize: { task: { arithmetic: {} }, count: 20 } }
  sampled: { sample: { prompts: imported, teacher: { replay: recorded.jsonl, model: r }, sampling: { n: 2, max_tokens: 99 } } }
  verdicts: { verify: { rollouts: imported, verifiers: [math] } }
  judged: { judge: { verdicts: verdicts, teacher: { replay: judge.jsonl, model: j }, rows: { sample: 9 } } }
  kept: { filter: { verdicts: verdicts, keep: { max_tokens: 25 } } }
  short: { select: { verdicts: verdicts, rule: shortest-correct } }
  pairs: { pair: { verdicts: verdicts } }
  corpus: { compose: { data: [short], quota: { take: { general: 2 } } } }
  sft: { export: { data: corpus } }
";

fn write_inputs(folder: &Path) {
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
    std::fs::write(folder.join("golden.yaml"), PIPELINE).expect("a pipeline");
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

#[test]
fn outputs_change_only_with_their_code_version() {
    let work = tempfile::tempdir().expect("a temporary folder");
    write_inputs(work.path());
    write_judge(work.path());
    succeed(work.path(), &["run", "golden.yaml"]);
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut verifiers = String::new();
    for stage in [
        "imported",
        "made",
        "sampled",
        "verdicts",
        "judged",
        "kept",
        "short",
        "pairs",
        "corpus",
        "sft",
        "imported.lengths",
    ] {
        let path = work.path().join("runs/golden").join(stage).join("manifest.json");
        let manifest: Value = serde_json::from_slice(&std::fs::read(path).expect("a manifest")).expect("JSON");
        let mut hashes = Vec::new();
        for (table, files) in manifest["tables"].as_object().into_iter().flatten().filter(|(t, _)| *t != "telemetry") {
            hashes.push(format!("{table} {}", files["files"][0]["sha256"].as_str().unwrap_or_default()));
        }
        for file in manifest["files"].as_array().into_iter().flatten() {
            hashes.push(format!("{} {}", file["path"], file["sha256"].as_str().unwrap_or_default()));
        }
        let parts = &manifest["key"];
        let mut key = format!("{} {}", parts["kind"].as_str().unwrap_or_default(), parts["code_version"]);
        // Verifiers change with a version of their own, which stands in the rows that later stages hand on, too.
        if let Some(version) = parts["versions"]["verifiers"].as_str() {
            version.clone_into(&mut verifiers);
        }
        if parts["kind"] == "verify" || manifest["lineage"]["verdicts"].is_string() {
            let _ = write!(key, ", verifiers {verifiers}");
        }
        found.insert(key, hashes.join(", "));
    }
    let path = root().join("tests/golden/outputs.json");
    let golden: BTreeMap<String, String> =
        std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let mut fresh = Vec::new();
    for (kind, hashes) in &found {
        match golden.get(kind) {
            Some(kept) => assert_eq!(hashes, kept, "the output of `{kind}` changed: give the stage a new code_version"),
            None => fresh.push(kind.clone()),
        }
    }
    if std::env::var_os("RETORT_BLESS").is_some() {
        let mut text = serde_json::to_string_pretty(&found).expect("text is JSON");
        text.push('\n');
        std::fs::write(&path, text).expect("the golden hashes can be written");
    } else {
        assert!(fresh.is_empty(), "no golden output of {fresh:?}: run once with RETORT_BLESS=1");
    }
}
