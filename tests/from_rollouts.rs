//! Rollouts that reasoning models already wrote, from the file to the report: the README's second pipeline.

use crate::binary::{results, root, run, succeed, test_data};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const FILE: &str = "pipelines/long2short/from-rollouts.yaml";

fn run_pipeline(out: &Path, more: &[&str]) -> (String, String) {
    let out = out.to_string_lossy().into_owned();
    let mut arguments = vec!["run", FILE, "--out", &out];
    arguments.extend_from_slice(more);
    succeed(&root(), &arguments)
}

/// When each file of the finished stages was last written; the store's own lock and index are none.
fn changes(store: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let (mut open, mut found) = (vec![store.to_owned()], BTreeMap::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder can be read").flatten() {
            let metadata = entry.metadata().expect("a file can be looked at");
            if metadata.is_dir() {
                open.push(entry.path());
            } else if ![".lock", ".inputs.json"].iter().any(|own| entry.file_name() == *own) {
                found.insert(entry.path(), metadata.modified().expect("a time"));
            }
        }
    }
    found
}

fn rows(folder: &Path, table: &str) -> Vec<Value> {
    let folder = folder.to_string_lossy().into_owned();
    let (out, _) = succeed(&root(), &["show", &folder, "--table", table, "--json", "--limit", "100000", "--join"]);
    out.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

/// Rollouts of the pilot set that are right but carry no box, as `source prompt / label`.
const RIGHT_WITHOUT_BOX: usize = 4;
const RIGHT: usize = 62;

#[test]
fn the_pilot_set_is_judged_and_selected() {
    let out = tempfile::tempdir().expect("a temporary folder");
    run_pipeline(out.path(), &[]);
    let stages = out.path().join("runs/from-rollouts");
    let verdicts = rows(&stages.join("verdicts"), "verdicts");
    assert_eq!(verdicts.len(), 70);
    let truncated: Vec<&Value> = verdicts.iter().filter(|row| row["truncated"] == true).collect();
    assert_eq!(truncated.len(), 1, "the row cut at 32,768 tokens is the only truncated one");
    assert_ne!(truncated[0]["verdict"], "correct");
    let correct = verdicts.iter().filter(|row| row["verdict"] == "correct").count();
    assert!(
        (RIGHT - RIGHT_WITHOUT_BOX..=RIGHT).contains(&correct),
        "58 are right by rule and 4 more without a box: {correct} were called correct"
    );

    let short = rows(&stages.join("short"), "selection");
    assert!(short.iter().all(|row| row["verdict"] == "correct"));
    assert!(short.iter().all(|row| row["rollout_id"] != truncated[0]["rollout_id"]));
    for chosen in &short {
        let same = verdicts.iter().filter(|row| row["prompt_id"] == chosen["prompt_id"] && row["verdict"] == "correct");
        assert_eq!(chosen["correct_count"], same.count());
        let mean = chosen["mean_correct_tokens"].as_f64().expect("a mean");
        assert!(chosen["total_tokens"].as_f64().expect("a count") <= mean);
    }
    for pair in rows(&stages.join("pairs"), "pairs") {
        let (chosen, rejected) = (pair["chosen_tokens"].as_f64(), pair["rejected_tokens"].as_f64());
        let ratio = rejected.expect("a count") / chosen.expect("a count");
        let least = if pair["pair_kind"] == "correct_longer" { 1.5 } else { 1.0 };
        assert!(ratio >= least, "{ratio} {}", pair["pair_kind"]);
    }
    let html = std::fs::read_to_string(stages.join("report/report.html")).expect("a report");
    assert!(
        html.contains("shortest-correct") && !html.contains("<script"),
        "the report shows the rule, without scripts"
    );
}

#[test]
fn a_second_run_does_nothing_and_one_setting_makes_only_what_follows_stale() {
    let out = tempfile::tempdir().expect("a temporary folder");
    run_pipeline(out.path(), &[]);
    let first = results(out.path(), "from-rollouts");
    let written = changes(&out.path().join("store"));
    let (_, err) = run_pipeline(out.path(), &[]);
    assert!(err.contains("0 stages run"), "{err}");
    assert_eq!(changes(&out.path().join("store")), written, "a finished stage was touched");

    let folder = out.path().to_string_lossy().into_owned();
    let change = "pairs.rule.length_ratio=1.2";
    let (plan, _) = succeed(&root(), &["plan", FILE, "--out", &folder, "--set", change]);
    let state = |stage: &str| {
        let line = plan.lines().find(|line| line.starts_with(&format!("{stage} "))).expect("the stage is planned");
        line.split_whitespace().nth(2).expect("a state").to_owned()
    };
    for stage in ["rollouts", "verdicts", "short", "random", "sft"] {
        assert_eq!(state(stage), "fresh", "{plan}");
    }
    for stage in ["pairs", "dpo", "report"] {
        assert_eq!(state(stage), "stale", "{plan}");
    }
    assert!(plan.contains("settings: pair.rule.length_ratio 1.5 → 1.2"), "{plan}");

    let (_, err) = run_pipeline(out.path(), &["--set", change]);
    assert!(err.contains("3 stages run"), "{err}");
    let (_, err) = run_pipeline(out.path(), &[]);
    assert!(err.contains("0 stages run"), "changing it back costs nothing: {err}");
    assert_eq!(results(out.path(), "from-rollouts"), first);
}

#[test]
fn gc_frees_what_no_run_points_to_and_verify_data_finds_a_changed_byte() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let folder = out.path().to_string_lossy().into_owned();
    run_pipeline(out.path(), &["--set", "pairs.rule.length_ratio=1.2"]);
    run_pipeline(out.path(), &[]);
    let (freed, _) = succeed(&root(), &["gc", "--out", &folder]);
    assert!(freed.contains("in 3 outputs"), "pairs, dpo and report of the other setting: {freed}");
    let (_, err) = run_pipeline(out.path(), &[]);
    assert!(err.contains("0 stages run"), "{err}");
    let (said, _) = succeed(&root(), &["verify-data", "--out", &folder]);
    assert!(said.contains(", 0 bad"), "{said}");

    let part = out.path().join("runs/from-rollouts/short/selection/part-00000.parquet");
    let mut bytes = std::fs::read(&part).expect("a shard");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&part, bytes).expect("a shard can be damaged");
    let output = run(&root(), &["verify-data", "--out", &folder]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("selection/part-00000.parquet"));
}

#[test]
fn the_labels_of_the_gsm8k_solutions_are_reproduced() {
    let Some(data) = test_data("the_labels_of_the_gsm8k_solutions_are_reproduced") else { return };
    let out = tempfile::tempdir().expect("a temporary folder");
    let pipeline = out.path().join("gsm8k.yaml");
    std::fs::write(
        &pipeline,
        "name: gsm8k\nstages:\n  rollouts:\n    import:\n      path: ${RETORT_TEST_DATA}/datasets/gsm8k_test_4model_solutions.jsonl\n      as: rollouts\n      domain: math\n  verdicts:\n    verify: { rollouts: rollouts, verifiers: [{ answer-pattern: { prefix: \"A:\" } }] }\n",
    )
    .expect("a pipeline can be written");
    let folder = out.path().to_string_lossy().into_owned();
    succeed(&root(), &["run", &pipeline.to_string_lossy(), "--allow-path", "--out", &folder]);
    let verdicts = rows(&out.path().join("runs/gsm8k/verdicts"), "verdicts");
    let source = std::fs::read_to_string(data.join("datasets/gsm8k_test_4model_solutions.jsonl")).expect("the labels");
    let mut labels = Vec::new();
    for line in source.lines() {
        let row: Value = serde_json::from_str(line).expect("a row is JSON");
        for sample in row["samples"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            labels.push((text(&row["prompt"]), text(&sample["model"]), sample["is_correct"] == true));
        }
    }
    assert_eq!((labels.len(), verdicts.len()), (5276, 5276));
    let judged: std::collections::BTreeMap<(String, String), bool> = verdicts
        .iter()
        .map(|row| {
            let prompt = row["prompt"][0]["content"].as_str().unwrap_or_default().to_owned();
            let teacher = row["teacher"].as_str().unwrap_or_default().to_owned();
            ((prompt, teacher), row["verdict"] == "correct")
        })
        .collect();
    let wrong: Vec<_> =
        labels.iter().filter(|(prompt, model, label)| judged[&(prompt.clone(), model.clone())] != *label).collect();
    assert!(wrong.is_empty(), "{} labels differ: {:?}", wrong.len(), wrong.first());
}
