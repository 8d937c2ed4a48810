//! A run that is killed anywhere and started again leaves the bytes of an undisturbed one.

use crate::binary::{differing, results, retort, succeed};
use crate::server::{Answer, Seen, Server};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const STAGES_AFTER_SAMPLING: &str = "
  verdicts: { verify: { rollouts: rollouts, verifiers: [math] } }
  kept: { filter: { verdicts: verdicts, keep: { max_tokens: 400 } } }
  short: { select: { verdicts: kept, rule: shortest-correct } }
  random: { select: { verdicts: kept, rule: random-correct } }
  pairs: { pair: { verdicts: kept } }
  corpus: { compose: { data: [short, random] } }
  sft: { export: { data: corpus, format: messages } }
  dpo: { export: { data: pairs, file: parquet } }
";

fn write_prompts(folder: &Path, count: usize) {
    let mut text = String::new();
    for a in 0..count {
        let _ = writeln!(text, r#"{{"prompt": "What is {a} + 7?", "answer": "{}"}}"#, a + 7);
    }
    std::fs::write(folder.join("prompts.jsonl"), text).expect("prompts can be written");
}

fn write_pipeline(folder: &Path, teacher: &str, n: usize) {
    let text = format!(
        "name: resumed\nseed: 3\nstages:\n  prompts: {{ import: {{ path: prompts.jsonl, domain: math }} }}\n  rollouts:\n    \
         sample: {{ prompts: prompts, teacher: {teacher}, sampling: {{ n: {n}, max_tokens: 512 }} }}{STAGES_AFTER_SAMPLING}"
    );
    std::fs::write(folder.join("pipeline.yaml"), text).expect("a pipeline can be written");
}

/// What the teacher says: sometimes wrong, of very different lengths, and always the same for one request.
fn reply(a: u64, seed: u64) -> (String, String, u32) {
    let steps = 1 + seed % 7;
    let reasoning = format!("Let me add {a} and 7. ").repeat(usize::try_from(steps).expect("few steps"));
    let answer = if seed.is_multiple_of(5) { a + 8 } else { a + 7 };
    (reasoning, format!("\\boxed{{{answer}}}"), 20 * u32::try_from(steps).expect("few steps"))
}

fn asked(seen: &Seen) -> (u64, u64) {
    let body: Value = serde_json::from_str(&seen.body).expect("a request is JSON");
    let text = body["messages"][0]["content"].as_str().expect("a prompt").to_owned();
    let a = text.split_whitespace().nth(2).and_then(|word| word.parse().ok()).expect("a number");
    (a, body["seed"].as_u64().expect("a seed"))
}

fn teacher_server(pause: Duration) -> Server {
    Server::start(move |seen| {
        let (a, seed) = asked(seen);
        let (reasoning, answer, tokens) = reply(a, seed);
        Answer::json(Some(&reasoning), &answer, "stop", (12, tokens)).after(pause)
    })
}

#[test]
fn aborted_at_every_commit_point_the_bytes_are_the_same() {
    let work = tempfile::tempdir().expect("a temporary folder");
    write_prompts(work.path(), 5);
    let mut recorded = String::new();
    for a in 0..5_u64 {
        for index in 0..4_u64 {
            let (reasoning, answer, tokens) = reply(a, a + 3 * index + 1);
            let row = serde_json::json!({
                "prompt": format!("What is {a} + 7?"), "sample_index": index, "reasoning": reasoning, "answer": answer,
                "completion_tokens": tokens, "finish_reason": "stop",
            });
            let _ = writeln!(recorded, "{row}");
        }
    }
    std::fs::write(work.path().join("recorded.jsonl"), recorded).expect("a recording can be written");
    write_pipeline(work.path(), "{ replay: recorded.jsonl, model: recorded }", 4);
    succeed(work.path(), &["run", "pipeline.yaml", "--out", "undisturbed", "--quiet"]);
    let undisturbed = results(&work.path().join("undisturbed"), "resumed");
    assert!(undisturbed.len() >= 20, "{:?}", undisturbed.keys());

    let mut aborted = 0;
    for point in
        ["before-write", "after-write", "after-fsync", "before-rename", "after-rename", "before-sample", "after-sample"]
    {
        for count in 1.. {
            let out = work.path().join("aborted");
            let _ = std::fs::remove_dir_all(&out);
            let arguments = ["run", "pipeline.yaml", "--out", "aborted", "--quiet"];
            let status = retort(work.path())
                .args(arguments)
                .env("RETORT_ABORT_AT", format!("{point}:{count}"))
                .stderr(Stdio::null())
                .status()
                .expect("the binary starts");
            if status.success() {
                assert!(count > 1, "nothing passes the point `{point}`");
                break;
            }
            aborted += 1;
            succeed(work.path(), &arguments);
            let differing = differing(&undisturbed, &results(&out, "resumed"));
            assert!(differing.is_empty(), "{point}:{count}: {differing:?}");
        }
    }
    assert!(aborted > 80, "only {aborted} commit points were tried");
}

/// Seeds of the samples whose journal lines are whole.
fn committed(out: &Path) -> BTreeSet<u64> {
    let mut seeds = BTreeSet::new();
    for entry in std::fs::read_dir(out.join("store")).into_iter().flatten().flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path().join("samples.jsonl")) else { continue };
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let entry: Value = serde_json::from_str(line).expect("a whole line is JSON");
            seeds.insert(entry["rollout"]["seed"].as_u64().expect("a seed"));
        }
    }
    seeds
}

#[test]
fn killed_at_twenty_moments_the_bytes_are_the_same_and_nothing_is_asked_twice() {
    const CONCURRENCY: usize = 4;
    const PROMPTS: usize = 150;
    let work = tempfile::tempdir().expect("a temporary folder");
    write_prompts(work.path(), PROMPTS);
    let server = teacher_server(Duration::from_millis(125));
    let url = format!("{{ endpoint: \"{}\", model: adder, concurrency: {CONCURRENCY} }}", server.url);
    write_pipeline(work.path(), &url, 4);
    let arguments = ["run", "pipeline.yaml", "--out", "killed", "--quiet"];
    let out = work.path().join("killed");

    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut kills = 0;
    let mut before = committed(&out);
    for _ in 0..20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let already = server.seen().len();
        let mut child = retort(work.path()).args(arguments).stderr(Stdio::null()).spawn().expect("the binary starts");
        let until = Instant::now() + Duration::from_millis(100 + state % 1500);
        while Instant::now() < until && child.try_wait().expect("a child can be watched").is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if child.try_wait().expect("a child can be watched").is_none() {
            kills += 1;
        }
        let _ = child.kill();
        let _ = child.wait();
        for seen in &server.seen()[already..] {
            let (a, seed) = asked(seen);
            assert!(!before.contains(&seed), "a committed sample of {a} + 7 was asked again");
        }
        let after = committed(&out);
        assert!(after.is_superset(&before) || after.is_empty(), "committed samples were lost");
        before = after;
    }
    assert!(kills >= 15, "the pipeline was done after {kills} kills: it is too short");
    succeed(work.path(), &arguments);
    let requests = server.seen().len();
    let most = PROMPTS * 4 + kills * CONCURRENCY;
    assert!(requests <= most, "{requests} requests: more than what was in flight was asked again");

    succeed(work.path(), &["run", "pipeline.yaml", "--out", "undisturbed", "--quiet"]);
    let differing = differing(&results(&work.path().join("undisturbed"), "resumed"), &results(&out, "resumed"));
    assert!(differing.is_empty(), "{differing:?}");
}
