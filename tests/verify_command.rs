//! `retort verify`: rows of a file, or one prediction.

use crate::binary::{run, succeed, test_data, text};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

fn judged(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("every line is a row")).collect()
}

/// Verdict and method of every row of `input` by `verifier`.
fn verdicts(verifier: &[&str], input: &str) -> Vec<(String, String)> {
    let work = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(work.path().join("rows.jsonl"), input).expect("rows");
    let mut arguments = vec!["verify"];
    arguments.extend_from_slice(verifier);
    arguments.extend_from_slice(&["--input", "rows.jsonl"]);
    let (out, _) = succeed(work.path(), &arguments);
    let word = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    judged(&out).iter().map(|row| (word(row, "verdict"), word(row, "method"))).collect()
}

/// What `retort verify math` writes for one line, which need not be JSON that this test can read.
fn succeed_on(line: &str) -> String {
    let work = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(work.path().join("rows.jsonl"), line).expect("a row");
    succeed(work.path(), &["verify", "math", "--input", "rows.jsonl"]).0
}

#[test]
fn rows_keep_what_they_hold_and_get_a_verdict() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let rows = [
        r#"{"id": 12345678901234567890123, "prediction": "<think>hm, 3?</think>So \\boxed{\\frac{1}{2}}", "reference_answer": "0.5"}"#,
        r#"{ "prediction":"7" , "gold":"8", "note":"é" }"#,
        r#"{"prediction": "42", "answer": 42, "verdict": "correct", "z": null}"#,
        "",
        r#"{"prediction": "x"}"#,
    ];
    std::fs::write(work.path().join("rows.jsonl"), rows.join("\r\n")).expect("rows");
    let (out, err) = succeed(work.path(), &["verify", "math", "--input", "rows.jsonl"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert!(lines[0].starts_with(r#"{"id":12345678901234567890123,"prediction":"<think>"#), "{}", lines[0]);
    let rows = judged(&out);
    assert_eq!(rows[0]["verdict"], "correct");
    assert_eq!(rows[0]["extracted_answer"], r"\frac{1}{2}");
    assert!(rows[0]["method"].is_string() && rows[0]["reason"].is_string());
    assert_eq!((&rows[1]["verdict"], &rows[1]["note"]), (&json!("incorrect"), &json!("é")));
    assert_eq!((&rows[2]["verdict"], &rows[2]["answer"], &rows[2]["z"]), (&json!("correct"), &json!(42), &Value::Null));
    assert_eq!((&rows[3]["verdict"], &rows[3]["method"]), (&json!("undecided"), &json!("no_reference")));
    assert!(err.contains("math: 4 rows: 2 correct, 1 incorrect, 1 undecided"), "{err}");
}

#[test]
fn bad_rows_are_rows_with_a_reason() {
    let input = [
        r#"{"prediction": null, "reference_answer": "1"}"#,
        r#"{"reference_answer": "1"}"#,
        r#"{"prediction": "", "reference_answer": "1"}"#,
        r#"{"prediction": "  \n", "reference_answer": "1"}"#,
        r#"{"prediction": ["1"], "reference_answer": "1"}"#,
        r#"{"prediction": {"a": 1}, "reference_answer": "1"}"#,
        r#"{"prediction": true, "reference_answer": "1"}"#,
        r#"{"prediction": 1, "reference_answer": "1"}"#,
        r#"{"prediction": -1.50, "reference_answer": -1.5}"#,
        r#"{"prediction": "1", "reference_answer": null}"#,
        r#"{"prediction": "1", "reference_answer": "1", "finish_reason": "length"}"#,
        "{}",
        "not JSON",
        "[1, 2]",
        "{\"prediction\": \"1\"",
    ]
    .join("\n");
    let expected = [
        ("incorrect", "no_prediction"),
        ("undecided", "no_prediction"),
        ("incorrect", "no_answer"),
        ("incorrect", "no_answer"),
        ("undecided", "not_text"),
        ("undecided", "not_text"),
        ("undecided", "not_text"),
        ("correct", "*"),
        ("correct", "*"),
        ("undecided", "no_reference"),
        ("incorrect", "truncated"),
        ("undecided", "no_prediction"),
        ("undecided", "not_json"),
        ("undecided", "not_object"),
        ("undecided", "not_json"),
    ];
    let found = verdicts(&["math"], &input);
    assert_eq!(found.len(), expected.len());
    for (at, ((verdict, method), (wanted_verdict, wanted_method))) in found.iter().zip(expected).enumerate() {
        assert!([verdict.as_str(), "*"].contains(&wanted_verdict), "row {at}: {verdict}");
        assert!([method.as_str(), "*"].contains(&wanted_method), "row {at}: {method}");
    }
    assert!(succeed_on(r#"{"prediction": "\ud800", "gold": "1"}"#).contains(r#""verdict":"undecided""#), "half a pair");
    let work = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(work.path().join("rows.jsonl"), b"\n\n{\"prediction\": \"\xff\"}\nnope\n").expect("rows");
    let (out, _) = succeed(work.path(), &["verify", "exact", "--input", "rows.jsonl"]);
    let rows = judged(&out);
    assert_eq!((&rows[0]["line"], &rows[0]["method"]), (&json!(3), &json!("not_json")));
    assert_eq!((&rows[1]["line"], &rows[1]["method"]), (&json!(4), &json!("not_json")));
}

#[test]
fn every_verifier_can_be_asked() {
    let row = r#"{"prediction": "The answer is (B)", "reference_answer": "B"}"#;
    assert_eq!(verdicts(&["choice"], row)[0].0, "correct");
    assert_eq!(verdicts(&["exact"], r#"{"prediction": "Paris", "reference_answer": "Paris"}"#)[0].0, "correct");
    assert_eq!(verdicts(&["exact"], r#"{"prediction": "Rome", "reference": "Paris"}"#)[0].0, "incorrect");
    let format = r#"{"prediction": "<think>a</think>b"}"#.to_owned() + "\n" + r#"{"prediction": "b"}"#;
    let found = verdicts(&["format"], &format);
    assert_eq!((found[0].0.as_str(), found[1].1.as_str()), ("correct", "think_missing"));
    assert_eq!(verdicts(&["format", "--set", "think=optional"], &format)[1].0, "correct");
    let pattern = ["regex", "--set", "pattern=^[0-9]+$"];
    assert_eq!(verdicts(&pattern, r#"{"prediction": "12"}"#)[0].0, "correct");
}

#[test]
fn programs_are_run_when_a_sandbox_works() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let tests = json!({"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]});
    let right = "```python\nprint(sum(map(int, input().split())))\n```";
    let rows = [
        json!({"prediction": right, "tests": tests}),
        json!({"prediction": right, "tests": tests.to_string()}),
        json!({"prediction": "```python\nprint(3)\n```", "tests": tests}),
        json!({"prediction": right}),
    ];
    let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(work.path().join("rows.jsonl"), rows.join("\n")).expect("rows");
    let output = run(work.path(), &["verify", "code", "--input", "rows.jsonl"]);
    if output.status.code() == Some(2) && text(&output.stderr).contains("cannot work here") {
        eprintln!("SKIPPED programs_are_run_when_a_sandbox_works: {}", text(&output.stderr));
        return;
    }
    let rows = judged(&text(&output.stdout));
    let found: Vec<&Value> = rows.iter().map(|row| &row["verdict"]).collect();
    assert_eq!(found, ["correct", "correct", "incorrect", "undecided"], "{}", text(&output.stdout));
}

#[test]
fn one_prediction_is_answered_by_the_exit_code() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let ask = |arguments: &[&str]| {
        let output = run(work.path(), &[&["verify", "math"], arguments].concat());
        let row = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default();
        (output.status.code(), row["verdict"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(ask(&["--prediction", "so \\boxed{1/2}", "--reference", "0.5"]), (Some(0), "correct".into()));
    assert_eq!(ask(&["--prediction", "-5", "--reference", "-5"]), (Some(0), "correct".into()));
    assert_eq!(ask(&["--prediction", "4", "--reference", "5"]), (Some(1), "incorrect".into()));
    assert_eq!(ask(&["--prediction", "4"]), (Some(1), "undecided".into()));
    assert_eq!(ask(&["--prediction", "", "--reference", "5"]), (Some(1), "incorrect".into()));
    let percent = ["--prediction", "50%", "--reference", "50"];
    assert_eq!(ask(&percent).0, Some(0));
    assert_eq!(ask(&[&percent[..], &["--set", "percent=strict"]].concat()).0, Some(1));
}

#[test]
fn mistakes_are_named() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let said = |arguments: &[&str]| {
        let output = run(work.path(), &[&["verify"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    for (arguments, words) in [
        (&["maths", "--prediction", "1"][..], &["there is no verifier `maths`", "did you mean `math`?"][..]),
        (&["math", "--prediction", "1", "--set", "percents=strict"], &["unknown key `percents`", "did you mean"]),
        (&["math", "--prediction", "1", "--set", "percent=strickt"], &["`percent` is `strickt`", "strict"]),
        (&["math", "--prediction", "1", "--set", "percent"], &["expected `key=value`"]),
        (&["regex", "--prediction", "1"], &["key `pattern` is missing"]),
        (&["regex", "--prediction", "1", "--set", "pattern=("], &["is not a regular expression"]),
        (&["math"], &["--input"]),
        (&["math", "--input", "nothing.jsonl"], &["cannot read `nothing.jsonl`"]),
        (&["math", "--input", "."], &["cannot read `.`"]),
    ] {
        let said = said(arguments);
        for word in words {
            assert!(said.contains(word), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn long_files_stream_in_order_to_a_whole_file() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let path = work.path().join("rows.jsonl");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    for number in 0..20_000_u32 {
        let row =
            json!({"id": number, "prediction": number.to_string(), "reference_answer": (number / 2 * 2).to_string()});
        writeln!(file, "{row}").expect("a row");
    }
    drop(file);
    let (out, err) = succeed(work.path(), &["verify", "math", "--input", "rows.jsonl", "--output", "rows.jsonl"]);
    assert!(out.is_empty());
    assert!(err.contains("20000 rows: 10000 correct, 10000 incorrect, 0 undecided"), "{err}");
    let rows = judged(&std::fs::read_to_string(&path).expect("the output"));
    assert_eq!(rows.len(), 20_000);
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(row["id"], number);
        assert_eq!(row["verdict"], if number % 2 == 0 { "correct" } else { "incorrect" });
    }
    let left = std::fs::read_dir(work.path()).expect("a folder").count();
    assert_eq!(left, 1, "nothing else is left behind");
}

#[test]
fn real_pairs_are_judged_as_the_graders_agree() {
    let Some(data) = test_data("real_pairs_are_judged_as_the_graders_agree") else { return };
    let pairs = std::fs::read_to_string(data.join("verifiers/real_pairs.jsonl")).expect("the pairs");
    let rows: Vec<Value> = judged(&pairs);
    let work = tempfile::tempdir().expect("a temporary folder");
    let input: Vec<String> = rows.iter().map(|row| prediction_row(row).to_string()).collect();
    std::fs::write(work.path().join("rows.jsonl"), input.join("\n")).expect("rows");
    let (out, _) = succeed(Path::new(work.path()), &["verify", "math", "--input", "rows.jsonl"]);
    let found = judged(&out);
    assert_eq!(found.len(), rows.len());
    let consensus = rows.iter().zip(&found).filter(|(row, _)| row["consensus"].is_boolean());
    let wrong = consensus.filter(|(row, found)| row["consensus"] == false && found["verdict"] == "correct").count();
    assert_eq!(wrong, 0, "wrong answers that were called correct");
}

fn prediction_row(row: &Value) -> Value {
    json!({ "prediction": row["pred"], "reference_answer": row["gold"] })
}
