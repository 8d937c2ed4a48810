//! The README's own commands and pipelines, taken from its text and run by a shell in an empty folder.

use crate::binary::{root, text};
use crate::server::{Answer, Server};
use std::path::Path;
use std::process::Command;

/// The texts of the code blocks under a heading, of one language.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a README");
    let start = readme.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading `{heading}`"));
    let section = &readme[start + 1..];
    let section = &section[..section[1..].find("\n## ").map_or(section.len(), |end| end + 1)];
    let pieces = section.split("```").skip(1).step_by(2);
    pieces.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).map(str::to_owned).collect()
}

/// Runs the lines of a block in `folder`, where `retort` is the built binary; gives what stands on standard output.
fn shell(folder: &Path, script: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_retort")).parent().expect("the binary lies in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", binary.display()))
        .output()
        .expect("bash starts");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{script}\n{:?}\n{out}\n{err}", output.status);
    out
}

/// `text` with something else in place of what must stand in it.
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the README has no `{from}` in\n{text}");
    text.replace(from, to)
}

/// Fewer prompts and steps: the whole takes minutes.
const FEWER: &str = "--quiet --memory 3GB --set prompts.count=24 --set rollouts.sampling.n=2 --set long.training.max_steps=2 \
    --set short.training.max_steps=2 --set long-rollouts.sampling.n=2 --set dpo.training.max_steps=2 --set heldout.count=8 \
    --set measures.sampling.n=1";

#[test]
fn start() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let blocks = blocks("Start", "sh");
    let [begin, look] = &blocks[..] else { panic!("{blocks:?}") };
    shell(
        work.path(),
        &with(begin, "run pipelines/quickstart.yaml", &format!("run pipelines/quickstart.yaml {FEWER}")),
    );
    let said = shell(work.path(), look);
    assert!(said.contains("checkpoint: short") && said.contains("drop_reason: "), "{said}");
    for path in ["report/report.html", "long/checkpoint", "merged/checkpoint/config.json", "lock.json"] {
        assert!(work.path().join("runs/quickstart").join(path).exists(), "{path}");
    }
}

#[test]
fn rollouts_that_exist_already() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let blocks = blocks("Rollouts that exist already", "sh");
    let [ours, own] = &blocks[..] else { panic!("{blocks:?}") };
    shell(work.path(), ours);
    let written = |name: &str| {
        let path = work.path().join("runs/from-rollouts").join(name).join("train.jsonl");
        std::fs::read_to_string(path).expect("rows for TRL")
    };
    for (name, columns) in [("sft", &["prompt", "completion"][..]), ("dpo", &["prompt", "chosen", "rejected"])] {
        for line in written(name).lines() {
            let row: serde_json::Value = serde_json::from_str(line).expect("a row is JSON");
            assert!(columns.iter().all(|column| !row[column].is_null()), "{name}: {line}");
        }
    }
    // Somebody's own rollouts, whose completions stand in a column `text`.
    let mine = work.path().join("mine.jsonl");
    let row = |text: &str, tokens| {
        format!(
            "{{\"prompt\": \"What is 2 + 2?\", \"answer\": \"4\", \"text\": \"{text}\", \"completion_tokens\": {tokens}}}\n"
        )
    };
    let rows = [row("<think>Two and two.</think>4", 8), row("<think>Two and two are four.</think>So 4", 20)];
    std::fs::write(&mine, rows.concat()).expect("rollouts can be written");
    shell(work.path(), &with(own, "/data/mine.jsonl", &mine.to_string_lossy()));
    assert_eq!(written("sft").lines().count(), 1);
    assert!(written("sft").contains("Two and two.") && written("dpo").contains("So 4"), "{}", written("dpo"));
}

#[test]
fn only_the_verdicts() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let rows = "{\"prediction\": \"\\\\boxed{8}\", \"reference_answer\": \"8\"}\n{\"prediction\": \"9\", \"reference_answer\": \"8\"}\n";
    std::fs::write(work.path().join("answers.jsonl"), rows).expect("rows can be written");
    for block in blocks("Only the verdicts", "sh") {
        let said = shell(work.path(), &block);
        assert!(said.contains("\"verdict\":\"correct\""), "{said}");
    }
    let judged = std::fs::read_to_string(work.path().join("judged.jsonl")).expect("judged rows");
    assert!(judged.contains("\"verdict\":\"correct\"") && judged.contains("\"verdict\":\"incorrect\""), "{judged}");
}

/// The README's pipeline for an own teacher, and then its stages that train, with the quickstart's small student in place of
/// Qwen2.5-0.5B.
#[test]
fn your_own_teacher_and_train() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    shell(
        folder,
        "retort init quickstart && mkdir -p models data && cp -r pipelines/quickstart/student models/Qwen2.5-0.5B",
    );
    let prompts: Vec<String> = (1..9)
        .map(|a| {
            format!(
                "{{\"question\": \"{a}+7=\", \"answer\": \"{a}+7 is <<{a}+7={}>>{}.\\n#### {}\"}}\n",
                a + 7,
                a + 7,
                a + 7
            )
        })
        .collect();
    std::fs::write(folder.join("data/gsm8k_train.jsonl"), prompts.concat()).expect("prompts can be written");
    let server = Server::start(|seen| {
        let body: serde_json::Value = serde_json::from_str(&seen.body).expect("a request is JSON");
        let asked = body["messages"][0]["content"].as_str().and_then(|text| text.split('+').next());
        let a: u32 = asked.and_then(|a| a.parse().ok()).expect("a sum");
        let reasoning = "so. ".repeat(1 + 4 * (seen.number % 3));
        Answer::json(Some(&reasoning), &format!("\\boxed{{{}}}", a + 7), "stop", (6, 20))
    });
    let pipelines = blocks("Your own teacher", "yaml");
    let [pipeline] = &pipelines[..] else { panic!("{pipelines:?}") };
    let pipeline = with(pipeline, "http://127.0.0.1:8000/v1", &server.url);
    std::fs::write(folder.join("mine.yaml"), &pipeline).expect("a pipeline can be written");
    for block in blocks("Your own teacher", "sh") {
        shell(folder, &format!("export TEACHER_KEY=secret\n{block}"));
    }
    assert_eq!(server.seen().len(), 8 * 8);
    for name in ["sft", "dpo"] {
        let rows = std::fs::read_to_string(folder.join(format!("runs/mine/{name}/train.jsonl"))).expect("rows for TRL");
        assert!(rows.lines().count() >= 8, "{name}: {rows}");
    }

    let stages = blocks("Train", "yaml");
    let [stages] = &stages[..] else { panic!("{stages:?}") };
    // The small student has no chat template.
    let stages = with(stages, "train: { ", "train: { chat_template: plain, ");
    let stages = with(&stages, "max_tokens: 2048", "max_tokens: 16");
    std::fs::copy(folder.join("data/gsm8k_train.jsonl"), folder.join("data/gsm8k_test.jsonl")).expect("prompts");
    std::fs::write(folder.join("mine.yaml"), format!("{pipeline}{stages}")).expect("a pipeline can be written");
    shell(folder, "export TEACHER_KEY=secret\nretort check mine.yaml && retort run mine.yaml --quiet --memory 3GB");
    assert_eq!(server.seen().len(), 8 * 8, "no sample is asked twice");
    assert!(folder.join("runs/mine/shorter/checkpoint/model.safetensors").is_file());
    std::fs::write(folder.join("rows.jsonl"), "{\"prompt\": \"1+7=\", \"completion\": \"8\"}\n").expect("rows");
    for block in blocks("Train", "sh") {
        // The stand-in reads 512 tokens.
        let block =
            with(&with(&block, "--max-tokens 512", "--max-tokens 16"), "--sequence 1024", "--sequence 64 --steps 1");
        let said = shell(folder, &format!("export TEACHER_KEY=secret\n{block}"));
        assert!(said.contains("token_logprobs") && said.contains("tokens_per_second"), "{said}");
    }
}
