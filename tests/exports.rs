//! Files that go in and out in the forms of other tools.

use crate::binary::{succeed, test_data};
use serde_json::{Value, json};

#[test]
fn chosen_rollouts_leave_with_the_columns_of_trl_and_come_back() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let rows = [
        json!({"problem": "1+1?", "answer": "2", "generations": [
            {"text": "<think>\neasy\n</think>\n\n\\boxed{2}", "model": "t", "tokens": 9},
            {"text": "<think>\nvery long way round\n</think>\n\n\\boxed{2}", "model": "t", "tokens": 30},
            {"text": "\\boxed{3}", "model": "t", "tokens": 12}]}),
        json!({"problem": "2+2?", "answer": "4", "generations": [{"text": "\\boxed{5}", "model": "t", "tokens": 3}]}),
    ];
    let text = rows.map(|row| row.to_string()).join("\n");
    std::fs::write(work.path().join("nested.jsonl"), text).expect("rollouts");
    std::fs::write(
        work.path().join("p.yaml"),
        "name: e\nstages:\n  rollouts: { import: { path: nested.jsonl, as: rollouts } }\n  verdicts: { verify: { rollouts: rollouts, verifiers: [math] } }\n  short: { select: { verdicts: verdicts, rule: shortest-correct } }\n  pairs: { pair: { verdicts: verdicts } }\n  sft: { export: { data: short } }\n  bare: { export: { data: short, format: sharegpt, reasoning: drop } }\n  dpo: { export: { data: pairs, file: parquet } }\n",
    )
    .expect("a pipeline");
    succeed(work.path(), &["run", "p.yaml"]);
    let line = |path: &str| -> Value {
        let text = std::fs::read_to_string(work.path().join(path)).expect("an export");
        serde_json::from_str(text.lines().next().expect("a row")).expect("a row is JSON")
    };
    assert_eq!(
        line("runs/e/sft/train.jsonl"),
        json!({"prompt": [{"role": "user", "content": "1+1?"}],
               "completion": [{"role": "assistant", "content": "<think>\neasy\n</think>\n\n\\boxed{2}"}]})
    );
    assert_eq!(
        line("runs/e/bare/train.jsonl"),
        json!({"conversations": [{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "\\boxed{2}"}]})
    );
    let card = std::fs::read_to_string(work.path().join("runs/e/dpo/README.md")).expect("a card");
    assert!(card.contains("data_files: train.parquet"), "{card}");

    std::fs::write(
        work.path().join("q.yaml"),
        "name: q\nstages:\n  pairs: { import: { path: runs/e/dpo/train.parquet, format: trl, as: pairs } }\n  sft: { import: { path: runs/e/sft/train.jsonl, format: trl } }\n",
    )
    .expect("a pipeline");
    succeed(work.path(), &["run", "q.yaml"]);
    let (pairs, _) = succeed(work.path(), &["show", "runs/q/pairs", "--json"]);
    let kinds: Vec<Value> = pairs.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    assert_eq!(kinds.len(), 2, "the longer correct one and the longer wrong one");
    assert!(kinds.iter().all(|pair| pair["chosen"] == "<think>\neasy\n</think>\n\n\\boxed{2}"));
    let (sft, _) = succeed(work.path(), &["show", "runs/q/sft", "--json"]);
    let example: Value = serde_json::from_str(sft.lines().next().expect("a row")).expect("JSON");
    assert_eq!(example["messages"][1]["reasoning"], "easy");
    assert_eq!((&example["messages"][0]["train"], &example["messages"][1]["train"]), (&json!(false), &json!(true)));
}

#[test]
fn preference_rows_of_users_can_be_imported() {
    let Some(_) = test_data("preference_rows_of_users_can_be_imported") else { return };
    let work = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(
        work.path().join("p.yaml"),
        "name: u\nstages:\n  pairs: { import: { path: \"${RETORT_TEST_DATA}/datasets/lf_dpo_*_demo.jsonl\", format: sharegpt, as: pairs } }\n  math: { import: { path: \"${RETORT_TEST_DATA}/datasets/math500.jsonl\", format: math } }\n  gsm8k: { import: { path: \"${RETORT_TEST_DATA}/datasets/gsm8k_train.jsonl\", format: gsm8k } }\n",
    )
    .expect("a pipeline");
    let (_, err) = succeed(work.path(), &["run", "p.yaml", "--allow-path"]);
    assert!(err.contains("600 preference pairs"), "{err}");
    assert!(err.contains("500 prompts"), "{err}");
    assert!(err.contains("7473 prompts"), "{err}");
}
