//! Sampling from a real server over a real socket, through the whole binary.

use crate::binary::{retort, run, succeed, text};
use crate::server::{Answer, Server};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

fn write(folder: &Path, teacher: &str, n: usize) {
    std::fs::write(folder.join("prompts.csv"), "question,answer\nWhat is 1 + 1?,2\nWhat is 2 + 2?,4\n")
        .expect("prompts");
    let pipeline = format!(
        "name: s\nstages:\n  prompts: {{ import: {{ path: prompts.csv }} }}\n  rollouts:\n    sample: {{ prompts: prompts, \
         teacher: {teacher}, sampling: {{ n: {n}, max_tokens: 64, temperature: 0.6 }} }}\n"
    );
    std::fs::write(folder.join("p.yaml"), pipeline).expect("a pipeline");
}

fn rows(folder: &Path, table: &str) -> Vec<Value> {
    let (out, _) = succeed(folder, &["show", "runs/s/rollouts", "--table", table, "--json"]);
    out.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

#[test]
fn finish_reasons_failures_and_secrets_are_where_they_belong() {
    const CANARY: &str = "sk-canary-0123456789";
    let work = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(|seen| {
        let body: Value = serde_json::from_str(&seen.body).expect("JSON");
        assert_eq!(seen.header("authorization"), Some("Bearer sk-canary-0123456789"));
        assert_eq!((&body["max_tokens"], &body["temperature"]), (&64.into(), &0.6.into()));
        match (body["messages"][0]["content"].as_str(), seen.number) {
            (Some("What is 1 + 1?"), _) => Answer::stream("reasoning_content", "one and one", "2", "length", (5, 64)),
            _ => Answer::error(400, "the prompt is not to my liking"),
        }
    });
    write(work.path(), &format!("{{ endpoint: \"{}\", model: m, api_key: \"env:RETORT_KEY\" }}", server.url), 2);
    let output =
        retort(work.path()).args(["run", "p.yaml", "--json"]).env("RETORT_KEY", CANARY).output().expect("runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rollouts = rows(work.path(), "rollouts");
    assert_eq!(rollouts.len(), 2);
    assert!(rollouts.iter().all(|row| row["finish_reason"] == "length" && row["reasoning"] == "one and one"));
    let dropped = rows(work.path(), "dropped");
    assert_eq!(dropped.len(), 2);
    assert!(dropped.iter().all(|row| row["drop_reason"] == "http_400"));
    assert!(dropped[0]["detail"].as_str().is_some_and(|text| text.contains("not to my liking")));

    let mut folders = vec![work.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = std::fs::read(entry.path()).expect("a file");
                assert!(!text(&bytes).contains(CANARY), "{} holds the key", entry.path().display());
            }
        }
    }
    assert!(!text(&output.stderr).contains(CANARY));
}

#[test]
fn a_second_run_waits_for_nobody_and_says_who_holds_the_folder() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(|_| Answer::json(None, "2", "stop", (5, 1)).after(Duration::from_secs(3)));
    write(work.path(), &format!("{{ endpoint: \"{}\", model: m }}", server.url), 1);
    let mut first =
        retort(work.path()).args(["run", "p.yaml", "--quiet"]).stderr(Stdio::null()).spawn().expect("starts");
    while server.seen().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let second = run(work.path(), &["run", "p.yaml"]);
    assert_eq!(second.status.code(), Some(2));
    assert!(text(&second.stderr).contains(&format!("is in use by process {}", first.id())), "{}", text(&second.stderr));
    first.wait().expect("the first run ends");
}

#[test]
fn ctrl_c_stops_cleanly_and_says_how_to_go_on() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(|_| Answer::json(None, "2", "stop", (5, 1)).after(Duration::from_millis(300)));
    write(work.path(), &format!("{{ endpoint: \"{}\", model: m, concurrency: 1 }}", server.url), 50);
    let child = retort(work.path()).args(["run", "p.yaml"]).stderr(Stdio::piped()).spawn().expect("starts");
    while server.seen().len() < 3 {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is there");
    let output = child.wait_with_output().expect("the run ends");
    assert_eq!(output.status.code(), Some(130));
    let said = text(&output.stderr);
    assert!(said.contains("run the same command again to go on"), "{said}");
}
