//! What an unfinished stage keeps: only a line that a crash cut off is dropped, and nothing whole is ever lost.

use crate::binary::{differing, results, retort, root, run, succeed, text};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn aborted(folder: &Path, arguments: &[&str], at: &str) {
    let status = retort(folder).args(arguments).env("RETORT_ABORT_AT", at).stderr(Stdio::null()).status();
    assert!(!status.expect("the binary starts").success(), "nothing passes `{at}`");
}

/// The one file called `name` in the journals under `out`.
fn journal(out: &Path, name: &str) -> PathBuf {
    let folders = fs::read_dir(out.join("store")).expect("a store").flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = folders.map(|folder| folder.join(name)).filter(|path| path.exists()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn write_samples(folder: &Path) {
    let (mut prompts, mut recorded) = (String::new(), String::new());
    for a in 0..5 {
        prompts += &(json!({"prompt": format!("{a}+1="), "answer": (a + 1).to_string()}).to_string() + "\n");
        for index in 0..4 {
            let row = json!({"prompt": format!("{a}+1="), "sample_index": index, "completion": format!("{index}: {}", a + 1),
                "completion_tokens": 4, "finish_reason": "stop"});
            recorded += &(row.to_string() + "\n");
        }
    }
    fs::write(folder.join("prompts.jsonl"), prompts).expect("prompts");
    fs::write(folder.join("recorded.jsonl"), recorded).expect("a recording");
    let pipeline = "
name: slow
stages:
  prompts: { import: { path: prompts.jsonl } }
  rollouts: { sample: { prompts: prompts, teacher: { replay: recorded.jsonl, model: m }, sampling: { n: 4, max_tokens: 9 } } }
";
    fs::write(folder.join("p.yaml"), pipeline).expect("a pipeline");
}

#[test]
fn a_damaged_line_stops_the_run_and_mending_keeps_the_rest() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write_samples(folder);
    succeed(folder, &["run", "p.yaml", "--out", "whole", "--quiet"]);
    let whole = results(&folder.join("whole"), "slow");
    let arguments = ["run", "p.yaml", "--out", "o", "--quiet"];
    for damage in ["garbage", "{\"rollout_id\": \"x\"}", "", "\u{0}\u{0}\u{0}"] {
        let _ = fs::remove_dir_all(folder.join("o"));
        aborted(folder, &arguments, "after-sample:12");
        let path = journal(&folder.join("o"), "samples.jsonl");
        let before = fs::read_to_string(&path).expect("a journal");
        let mut lines: Vec<&str> = before.lines().collect();
        assert!(lines.len() >= 12);
        let committed = lines.len();
        lines[4] = damage;
        let harmed = lines.join("\n") + "\n{\"rollout_id\": \"cut o";
        fs::write(&path, &harmed).expect("a journal can be edited");

        let output = run(folder, &arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("samples.jsonl`, line 5") && said.contains("--mend"), "{said}");
        assert_eq!(fs::read_to_string(&path).expect("a journal"), harmed, "nothing may change before one is asked");

        // Of what is whole nothing is asked again: the journal only grows by what was not there.
        aborted(folder, &[&arguments[..], &["--mend"]].concat(), "after-sample:1");
        let mended = fs::read_to_string(&path).expect("a journal");
        let kept: Vec<&str> = mended.lines().collect();
        assert_eq!(kept[..4], lines[..4]);
        assert_eq!(kept[4..committed - 1], lines[5..]);
        let aside = fs::read_to_string(path.with_extension("damaged.jsonl")).expect("the damaged lines");
        assert!(aside.starts_with(&format!("{damage}\n")), "{aside}");
        succeed(folder, &arguments);
        let found = differing(&whole, &results(&folder.join("o"), "slow"));
        assert!(found.is_empty(), "{found:?}");
    }
}

fn write_training(folder: &Path) {
    let student = root().join("pipelines/quickstart/student");
    if !folder.join("student").exists() {
        std::os::unix::fs::symlink(student, folder.join("student")).expect("a model can be pointed at");
    }
    let rows: String = (1..9)
        .map(|a| json!({"prompt": format!("{a}+1="), "completion": format!("{}", a + 1)}).to_string() + "\n")
        .collect();
    fs::write(folder.join("a.jsonl"), rows).expect("rows");
    let pipeline = "
name: t
stages:
  d: { import: { path: a.jsonl, as: sft } }
  m:
    train:
      base: ./student
      data: d
      chat_template: plain
      save_steps: 2
      lora: { r: 2, lora_alpha: 4 }
      training: { max_steps: 8, batch_size: 2, learning_rate: 1e-3 }
";
    fs::write(folder.join("p.yaml"), pipeline).expect("a pipeline");
}

#[test]
fn saved_training_states_are_set_aside_never_deleted() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write_training(folder);
    succeed(folder, &["run", "p.yaml", "--out", "whole", "--quiet"]);
    let whole = results(&folder.join("whole"), "t");
    let arguments = ["run", "p.yaml", "--out", "o"];
    aborted(folder, &arguments, "after-step:6");
    let state = journal(&folder.join("o"), "state-4");
    let weights = state.join("adapter_model.safetensors");
    let bytes = fs::read(&weights).expect("weights");
    fs::write(&weights, &bytes[..bytes.len() / 2]).expect("weights can be cut");
    aborted(folder, &arguments, "after-step:1");
    let aside = state.with_file_name("unusable-state-4-1");
    assert_eq!(fs::read(aside.join("adapter_model.safetensors")).expect("the cut weights").len(), bytes.len() / 2);
    let (_, said) = succeed(folder, &arguments);
    assert!(said.contains("8 steps"), "{said}");
    let found = differing(&whole, &results(&folder.join("o"), "t"));
    assert!(found.is_empty(), "{found:?}");

    // Notes of steps with a damaged line: the run stops, and goes on from what is whole.
    let _ = fs::remove_dir_all(folder.join("o"));
    aborted(folder, &arguments, "after-step:6");
    let steps = journal(&folder.join("o"), "steps.jsonl");
    let text_of = fs::read_to_string(&steps).expect("steps");
    fs::write(&steps, text_of.replacen("\"step\":3", "\"step\"3", 1)).expect("an edit");
    let output = run(folder, &arguments);
    assert!(text(&output.stderr).contains("steps.jsonl`, line 3"), "{}", text(&output.stderr));
    assert!(steps.with_file_name("state-4").is_dir());
    succeed(folder, &[&arguments[..], &["--mend"]].concat());
    let found = differing(&whole, &results(&folder.join("o"), "t"));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_device_that_is_not_there_costs_no_saved_state() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    write_training(folder);
    let arguments = ["run", "p.yaml", "--out", "o"];
    aborted(folder, &arguments, "after-step:6");
    let state = journal(&folder.join("o"), "state-4");
    let _ = run(folder, &[&arguments[..], &["--device", "cuda:7"]].concat());
    assert!(state.is_dir(), "the saved state is gone");
    let record: Value =
        serde_json::from_slice(&fs::read(state.join("optimizer/config.json")).expect("a state")).expect("JSON");
    assert_eq!(record["run"]["lora"]["lora_alpha"], 4.0);
    succeed(folder, &arguments);
}
