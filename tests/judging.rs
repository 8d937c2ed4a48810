//! The `judge` stage: recorded replies and a server, both orders, agreement with the rules.

use crate::binary::{retort, run, succeed, text};
use crate::server::{Answer, Seen, Server};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Prediction, reference answer and what a judge says when it reads the reference first and when it reads the prediction
/// first. `json` leaves a row undecided whose reference answer is not JSON.
const ROWS: [(&str, &str, [&str; 2]); 8] = [
    ("5", "five", ["correct", "correct"]),
    ("6", "sixty", ["incorrect", "incorrect"]),
    ("7", "seven", ["correct", "incorrect"]),
    ("8", "8", ["correct", "correct"]),
    ("9", "10", ["correct", "correct"]),
    ("12", "a dozen", ["prose", "correct"]),
    ("13", "some", ["ambiguous", "ambiguous"]),
    ("14", "15", ["incorrect", "incorrect"]),
];

fn reply(word: &str) -> String {
    match word {
        "prose" => "I think that it is fine.".into(),
        word => format!("```json\n{}\n```", json!({"analysis": format!("they are {word}"), "correctness": word})),
    }
}

fn write(folder: &Path, teacher: &str, more: &str) {
    let row = |(prediction, reference, _): &(&str, &str, [&str; 2])| {
        json!({"prompt": format!("What is {reference}?"), "answer": reference,
            "samples": [{"text": format!("<think>so {prediction}</think>{prediction}"), "model": "t", "tokens": 9}]})
    };
    let mut rows: Vec<Value> = ROWS.iter().map(row).collect();
    rows.push(json!({"prompt": "Cut?", "answer": "cut", "samples": [
        {"text": "<think>so</think>1", "model": "t", "tokens": 9, "finish_reason": "length"}]}));
    let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(folder.join("rollouts.jsonl"), rows.join("\n")).expect("rollouts");
    let pipeline = format!(
        "name: j\nstages:\n  rollouts: {{ import: {{ path: rollouts.jsonl, as: rollouts }} }}\n  verdicts: {{ verify: {{ \
         rollouts: rollouts, verifiers: [{{ json: {{ compare: true }} }}] }} }}\n  judged:\n    judge: {{ verdicts: verdicts, \
         teacher: {teacher}, rows: {{ sample: 20 }}{more} }}\n  report: {{ report: {{}} }}\n"
    );
    std::fs::write(folder.join("p.yaml"), pipeline).expect("a pipeline");
}

fn rows(folder: &Path, stage: &str, table: &str) -> Vec<Value> {
    let arguments = ["show", &format!("runs/j/{stage}"), "--table", table, "--json", "--limit", "99", "--join"];
    let (out, _) = succeed(folder, &arguments);
    out.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

/// Which row of [`ROWS`] a request is about, and its order: 0 when the reference answer stands first.
fn asked(seen: &Seen) -> (usize, usize) {
    let body: Value = serde_json::from_str(&seen.body).expect("JSON");
    let text = body["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
    let at = |name: &str| text.find(&format!("[{name} ")).unwrap_or_else(|| panic!("no {name} in {text}"));
    let row = ROWS.iter().position(|(_, reference, _)| text.contains(&format!("What is {reference}?")));
    (row.expect("a known row"), usize::from(at("prediction") < at("reference answer")))
}

fn serve() -> Server {
    Server::start(|seen| {
        let (row, order) = asked(seen);
        Answer::json(Some("let me see"), &reply(ROWS[row].2[order]), "stop", (5, 9))
    })
}

fn check(folder: &Path) {
    let judged = rows(folder, "judged", "verdicts");
    let found: Vec<(&str, String)> = judged[..ROWS.len()]
        .iter()
        .map(|row| {
            let check = row["checks"].as_array().and_then(|checks| checks.last()).expect("a check");
            assert_eq!(check["verifier"], "judge");
            (row["verdict"].as_str().unwrap_or_default(), check["method"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    let expected = [
        ("correct", "both_orders"),
        ("incorrect", "both_orders"),
        ("undecided", "orders_disagree"),
        ("correct", "both_orders"),
        // The rules' verdict stands, whatever the judge says.
        ("incorrect", "both_orders"),
        ("undecided", "unreadable"),
        ("undecided", "ambiguous"),
        ("incorrect", "both_orders"),
    ];
    let found: Vec<(&str, &str)> = found.iter().map(|(verdict, method)| (*verdict, method.as_str())).collect();
    assert_eq!(found, expected);
    let judgements = rows(folder, "judged", "judgements");
    assert_eq!(judgements.len(), 16, "two orders of eight rows");
    assert_eq!(
        (&judgements[0]["order"], &judgements[1]["order"]),
        (&json!("reference_first"), &json!("prediction_first"))
    );
    assert!(judgements[0]["analysis"] == "they are correct" && judgements[10]["problem"].is_string());
    assert!(judgements[0]["prompt"].is_array(), "the judged row can be joined");

    let manifest = std::fs::read(folder.join("runs/j/judged/manifest.json")).expect("a manifest");
    let facts: Value = serde_json::from_slice::<Value>(&manifest).expect("JSON")["facts"].clone();
    assert_eq!((&facts["asked"], &facts["undecided_asked"], &facts["settled"]), (&json!(8), &json!(5), &json!(2)));
    // Decided by both: 8/8, 9/10 and 14/15; the judge calls the second right.
    let agreement = &facts["agreement"];
    assert_eq!((&agreement["compared"], &agreement["counts"]["incorrect"]["correct"]), (&json!(3), &json!(1)));
    assert!((agreement["kappa"].as_f64().expect("kappa") - 0.4).abs() < 1e-9, "{agreement}");
    assert_eq!(facts["disagreements"][0]["judge_says"], "they are correct");
    let report = std::fs::read_to_string(folder.join("runs/j/report/report.html")).expect("a report");
    for word in ["Cohen", "66.7%", "0.400", "Disagreements to read"] {
        assert!(report.contains(word), "the report lacks `{word}`");
    }
}

#[test]
fn a_server_judges_what_the_rules_leave_open() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let server = serve();
    write(work.path(), &format!("{{ endpoint: \"{}\", model: j, concurrency: 4 }}", server.url), "");
    let (_, said) = succeed(work.path(), &["run", "p.yaml"]);
    assert!(said.contains("2 of 5 undecided settled"), "{said}");
    assert_eq!(server.seen().len(), 16);
    check(work.path());
    let truncated = &rows(work.path(), "judged", "verdicts")[8];
    assert_eq!((&truncated["truncated"], &truncated["verdict"]), (&json!(true), &json!("incorrect")));

    succeed(work.path(), &["run", "p.yaml"]);
    assert_eq!(server.seen().len(), 16, "what is there is not asked again");
}

#[test]
fn a_killed_judge_asks_no_row_twice() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let server = serve();
    write(work.path(), &format!("{{ endpoint: \"{}\", model: j, concurrency: 1 }}", server.url), "");
    let killed =
        retort(work.path()).args(["run", "p.yaml", "--quiet"]).env("RETORT_ABORT_AT", "after-sample:7").output();
    assert!(!killed.expect("the binary starts").status.success());
    succeed(work.path(), &["run", "p.yaml"]);
    check(work.path());
    let mut times: BTreeMap<(usize, usize), u32> = BTreeMap::new();
    for seen in server.seen() {
        *times.entry(asked(&seen)).or_default() += 1;
    }
    assert_eq!(times.len(), 16);
    // One was in flight when the process died; the seven that were written down are not asked again.
    assert!(times.values().sum::<u32>() <= 17, "{times:?}");
}

#[test]
fn recorded_replies_stand_in_for_a_server() {
    let work = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(work.path().join("replies.jsonl"), r#"{"prompt_id": "none", "completion": "x"}"#).expect("a file");
    write(work.path(), "{ replay: replies.jsonl, model: j }", "");
    succeed(work.path(), &["run", "p.yaml", "--only", "verdicts"]);
    let mut recorded = String::new();
    for (row, (_, _, says)) in rows(work.path(), "verdicts", "verdicts").iter().zip(ROWS) {
        for (order, word) in says.iter().enumerate() {
            let line = json!({"prompt_id": row["rollout_id"], "sample_index": order, "completion": reply(word)});
            let _ = writeln!(recorded, "{line}");
        }
    }
    std::fs::write(work.path().join("replies.jsonl"), recorded).expect("a file");
    succeed(work.path(), &["run", "p.yaml"]);
    check(work.path());
}

#[test]
fn settings_are_checked() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let teacher = "{ endpoint: \"http://127.0.0.1:9/v1\", model: j }";
    for (more, says) in [
        (", sampling: { n: 2, max_tokens: 9 }", "each order is asked once"),
        (", orders: backwards", "`orders` is `backwards`"),
    ] {
        write(work.path(), teacher, more);
        let output = run(work.path(), &["check", "p.yaml"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
    write(work.path(), teacher, ", orders: reference-first, sampling: { max_tokens: 9 }");
    succeed(work.path(), &["check", "p.yaml"]);
    succeed(work.path(), &["plan", "p.yaml"]);
}
