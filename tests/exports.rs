//! Files that go in and out in the forms of other tools.

use crate::binary::{differing, results, succeed, test_data};
use serde_json::{Value, json};
use std::path::Path;

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

/// Imports `rows` as rollouts inside `folder`; the file is called the same everywhere.
fn import_rollouts(folder: &Path, rows: &[Value]) {
    let text: String = rows.iter().map(|row| row.to_string() + "\n").collect();
    std::fs::write(folder.join("rollouts.jsonl"), text).expect("rollouts");
    let pipeline = "name: o\nstages:\n  rollouts: { import: { path: rollouts.jsonl, as: rollouts } }\n";
    std::fs::write(folder.join("o.yaml"), pipeline).expect("a pipeline");
    succeed(folder, &["run", "o.yaml", "--quiet"]);
}

/// Rollouts that come in the order of their positions are written at once, others wait for the last row: the tables are
/// the same to the byte.
#[test]
fn the_order_of_rows_does_not_show_in_imported_rollouts() {
    let row = |prompt: usize, teacher: &str, sample: usize| {
        json!({"id": prompt, "problem": format!("What is {prompt} + 1?"), "answer": (prompt + 1).to_string(),
            "model": teacher, "tokens": 7 + sample, "finish_reason": "stop",
            "text": format!("<think>\nsample {sample} of {teacher}\n</think>\n\n\\boxed{{{}}}", prompt + 1)})
    };
    // Enough rows for several batches of the table; the first rows fix the order of prompts and teachers.
    let positions = |prompts: usize| {
        let one = move |prompt| ["a", "b"].map(|teacher| [0, 1].map(|sample| (prompt, teacher, sample)));
        (0..prompts).flat_map(one).flatten()
    };
    let ordered: Vec<Value> = positions(300).map(|(prompt, teacher, sample)| row(prompt, teacher, sample)).collect();
    // The same numbers for prompts, teachers and samples, but most rows stand after others that belong behind them.
    let mut mixed: Vec<(usize, &str, usize)> = positions(300).collect();
    mixed[800..].sort_by_key(|(prompt, teacher, sample)| (*sample, *teacher, *prompt));
    let mixed: Vec<Value> = mixed.into_iter().map(|(prompt, teacher, sample)| row(prompt, teacher, sample)).collect();
    assert_ne!(ordered, mixed);

    let (straight, sorted) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    import_rollouts(straight.path(), &ordered);
    import_rollouts(sorted.path(), &mixed);
    let shown = |folder: &Path| succeed(folder, &["show", "runs/o/rollouts", "--json", "--limit", "9999"]).0;
    let rows = shown(straight.path());
    assert_eq!(rows.lines().count(), 1200);
    assert!(rows == shown(sorted.path()), "the rows differ");
    let (a, b) = (results(straight.path(), "o"), results(sorted.path(), "o"));
    assert!(a.keys().any(|name| name == "rollouts/rollouts/part-00000.parquet"), "{:?}", a.keys());
    assert_eq!(differing(&a, &b), Vec::<String>::new());
    let left = |folder: &Path| std::fs::read_dir(folder.join("runs/o/rollouts")).expect("a stage").flatten().count();
    assert_eq!(left(straight.path()), left(sorted.path()), "what was put aside is removed");

    // A row that comes late moves to its place, and keeps its number among those of its prompt and teacher.
    let late = tempfile::tempdir().expect("a folder");
    let rows = [row(0, "a", 0), row(1, "a", 0), row(0, "a", 1), row(2, "a", 0)];
    import_rollouts(late.path(), &rows);
    let (out, _) = succeed(late.path(), &["show", "runs/o/rollouts", "--table", "rollouts", "--json"]);
    let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    let tokens: Vec<_> =
        rows.iter().map(|row| (row["sample_index"].clone(), row["completion_tokens"].clone())).collect();
    assert_eq!(tokens, [(0, 7), (1, 8), (0, 7), (0, 7)].map(|(sample, tokens)| (json!(sample), json!(tokens))));
}

/// Lines that are none become dropped rows, each with its reason; the others are read.
#[test]
fn lines_that_are_no_rows_are_dropped_with_their_reasons() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let mut file: Vec<u8> = b"\xef\xbb\xbf{\"prompt\": \"a?\", \"answer\": 1}\r\n\n".to_vec();
    file.extend_from_slice(b"{\"prompt\": \"b?\"\n");
    file.extend_from_slice(b"{\"prompt\": \"\xff\"}\n");
    file.extend_from_slice(b"{\"prompt\": \"");
    file.extend(std::iter::repeat_n(b'x', 65 << 20));
    file.extend_from_slice(b"\"}\n\xef\xbb\xbf{\"prompt\": \"c?\"}");
    std::fs::write(work.path().join("p.jsonl"), file).expect("prompts");
    std::fs::write(work.path().join("p.yaml"), "name: p\nstages:\n  prompts: { import: { path: p.jsonl } }\n")
        .expect("a pipeline");
    let (_, err) = succeed(work.path(), &["run", "p.yaml"]);
    assert!(err.contains("2 prompts, 3 dropped (3 not_json)"), "{err}");
    let (out, _) = succeed(work.path(), &["show", "runs/p/prompts", "--table", "dropped", "--json"]);
    let dropped: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    let details: Vec<_> = dropped.iter().map(|row| (row["row_id"].as_str(), row["detail"].as_str())).collect();
    assert_eq!(
        details,
        [
            (Some("p.jsonl:2"), Some("EOF while parsing an object at line 1 column 15")),
            (Some("p.jsonl:3"), Some("not UTF-8 after 12 bytes")),
            (Some("p.jsonl:4"), Some("the line is longer than 64 MiB")),
        ]
    );
}
