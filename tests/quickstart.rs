//! The quickstart on a reduced setting: a teacher is trained, asked, and distilled into short students, whole.

use crate::binary::{differing, results, retort, root, run, succeed, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Sums of small numbers, a model of 20 thousand parameters, a few dozen steps.
const TEACHER: &str = "
name: teacher
seed: 5
tokenizer: tokenizer
stages:
  chains:
    synthesize:
      task: { arithmetic: { operations: { min: 1, max: 1 }, min_value: 1, max_value: 4, operators: ['+'] } }
      count: 12
      samples_per_prompt: 24
      chain_of_thought: { checks: { min: 0, max: 2 }, detours: { min: 0, max: 0 } }
  judged: { verify: { rollouts: chains, verifiers: [math] } }
  all: { select: { verdicts: judged, rule: all-correct } }
  teacher:
    train:
      init:
        tokenizer: tokenizer
        architecture:
          { vocab_size: 104, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,
            max_position_embeddings: 96, tie_word_embeddings: true, initializer_range: 0.05 }
      data: all
      training: { max_steps: 220, batch_size: 16, learning_rate: 0.01, warmup_ratio: 0.05 }
      dtype: bfloat16
";

const STUDENTS: &str = "
name: students
seed: 6
tokenizer: tokenizer
stages:
  prompts:
    synthesize:
      task: { arithmetic: { operations: { min: 1, max: 1 }, min_value: 1, max_value: 4, operators: ['+'] } }
      count: 12
  rollouts: { sample: { prompts: prompts, teacher: ./teacher, sampling: { n: 6, max_tokens: 60 } } }
  verdicts: { verify: { rollouts: rollouts, verifiers: [math] } }
  short: { select: { verdicts: verdicts, rule: shortest-correct } }
  random: { select: { verdicts: verdicts, rule: random-correct } }
  short-student: { train: { base: ./teacher, chat_template: plain, data: short, save_steps: 3, training: { max_steps: 8, batch_size: 4, learning_rate: 0.002 } } }
  long-student: { train: { base: ./teacher, chat_template: plain, data: random, save_steps: 3, training: { max_steps: 8, batch_size: 4, learning_rate: 0.002 } } }
  long-rollouts: { sample: { prompts: prompts, teacher: long-student, sampling: { n: 6, max_tokens: 60 } } }
  long-verdicts: { verify: { rollouts: long-rollouts, verifiers: [math] } }
  pairs: { pair: { verdicts: long-verdicts, rule: { length_ratio: 1.1 } } }
  dpo-student:
    train:
      { method: dpo, base: long-student, chat_template: plain, data: pairs, save_steps: 2, training: { max_steps: 6, batch_size: 4, learning_rate: 0.001 } }
  merged: { merge: { models: [{ model: long-student }, { model: short-student }] } }
  measures:
    evaluate:
      checkpoints: [long-student, short-student, dpo-student, merged, ./teacher]
      prompts: prompts
      sampling: { n: 2, max_tokens: 60 }
      measure: { resamples: 500 }
  report: { report: {} }
";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder can be read").flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a file can be copied");
    }
}

/// A folder with both pipelines and a trained teacher.
fn prepare(folder: &Path) {
    copy(&root().join("pipelines/quickstart/tokenizer"), &folder.join("tokenizer"));
    std::fs::write(folder.join("teacher.yaml"), TEACHER).expect("a pipeline");
    std::fs::write(folder.join("students.yaml"), STUDENTS).expect("a pipeline");
    succeed(folder, &["run", "teacher.yaml", "--out", "made", "--quiet"]);
    copy(&folder.join("made/runs/teacher/teacher/checkpoint"), &folder.join("teacher"));
}

fn rows(folder: &Path, stage: &str, table: &str) -> Vec<Value> {
    let (out, _) = succeed(folder, &["show", stage, "--table", table, "--json", "--limit", "10000"]);
    out.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

#[test]
fn a_teacher_is_distilled_and_nothing_depends_on_threads_or_aborts() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    prepare(folder);
    let arguments = |out: &'static str| ["run", "students.yaml", "--out", out, "--quiet"];
    succeed(folder, &arguments("whole"));
    let whole = results(&folder.join("whole"), "students");
    let stages = folder.join("whole/runs/students");
    reads_as_a_model(&stages.join("dpo-student/checkpoint"));
    measured(folder);
    let html = std::fs::read_to_string(stages.join("report/report.html")).expect("a report");
    for part in ["Training: short-student", "Evaluation: measures", "accuracy, pass@1", "Differences from"] {
        assert!(html.contains(part), "the report has no `{part}`");
    }
    let (_, err) = succeed(folder, &["run", "students.yaml", "--out", "whole"]);
    assert!(err.contains("0 stages run"), "{err}");
    let (out, _) = succeed(folder, &["verify-data", "--out", "whole"]);
    assert!(out.contains(", 0 bad"), "{out}");

    // One thread writes the bytes of two.
    let status = retort(folder).args(arguments("one")).env("RAYON_NUM_THREADS", "1").status().expect("it starts");
    assert!(status.success());
    let found = differing(&whole, &results(&folder.join("one"), "students"));
    assert!(found.is_empty(), "one thread: {found:?}");

    let mut tried: BTreeMap<&str, usize> = BTreeMap::new();
    for (point, counts) in [
        ("before-sample", vec![1, 3]),
        ("after-sample", vec![1, 2, 5]),
        ("after-step", vec![1, 5, 13, 19]),
        ("before-state", vec![1, 2, 5]),
        ("after-state", vec![1, 2, 4]),
        ("before-reference", vec![1]),
        ("after-reference", vec![1]),
        ("checkpoint-written", vec![1, 3, 4]),
    ] {
        for count in counts {
            let out = folder.join("aborted");
            let _ = std::fs::remove_dir_all(&out);
            let status = retort(folder)
                .args(arguments("aborted"))
                .env("RETORT_ABORT_AT", format!("{point}:{count}"))
                .stderr(Stdio::null())
                .status()
                .expect("the binary starts");
            assert!(!status.success(), "nothing passes `{point}` {count} times");
            succeed(folder, &arguments("aborted"));
            let found = differing(&whole, &results(&out, "students"));
            assert!(found.is_empty(), "{point}:{count}: {found:?}");
            *tried.entry(point).or_default() += 1;
        }
    }
    assert_eq!(tried.len(), 8, "{tried:?}");
}

/// A checkpoint has what other programs look for.
fn reads_as_a_model(folder: &Path) {
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        assert!(folder.join(file).is_file(), "{} is missing", folder.join(file).display());
    }
    let config: Value =
        serde_json::from_slice(&std::fs::read(folder.join("config.json")).expect("a config")).expect("JSON");
    assert_eq!((&config["model_type"], &config["vocab_size"]), (&"llama".into(), &104.into()));
    assert_eq!(config["eos_token_id"], 2);
}

fn measured(folder: &Path) {
    let measures = rows(folder, "whole/runs/students/measures", "measures");
    let names: Vec<&str> = measures.iter().filter_map(|row| row["checkpoint"].as_str()).collect();
    assert_eq!(names, ["long-student", "short-student", "dpo-student", "merged", "teacher"]);
    assert!(measures[0]["accuracy_difference"].is_null() && !measures[1]["accuracy_difference"].is_null());
    for row in &measures {
        let number = |name: &str| row[name].as_f64().expect("a number");
        assert!(number("accuracy_low") <= number("accuracy") && number("accuracy") <= number("accuracy_high"));
        assert_eq!(
            (row["prompts"].as_u64(), row["samples"].as_u64(), row["n"].as_u64()),
            (Some(12), Some(24), Some(2))
        );
    }
    let teacher = measures[4]["accuracy"].as_f64().expect("a number");
    assert!(teacher > 0.5, "the teacher learned nothing: {teacher}");
    let rollouts = rows(folder, "whole/runs/students/measures", "rollouts");
    assert_eq!(rollouts.len(), 12 * 2 * 5);
    assert!(rollouts.iter().all(|row| row["completion_tokens"].as_u64().is_some_and(|tokens| tokens <= 60)));
    let reference = rows(folder, "whole/runs/students/dpo-student", "reference_log_probs");
    let pairs = rows(folder, "whole/runs/students/pairs", "pairs");
    assert_eq!(reference.len(), pairs.len());
    assert!(reference.iter().all(|row| row["checkpoint"] == "long-student" && row["chosen_logp"].as_f64() < Some(0.0)));
}

/// The file that the README begins with, on fewer prompts and steps, from the models in the repository.
#[test]
fn the_quickstart_runs_on_a_reduced_setting() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let out = work.path().to_str().expect("a path of text");
    let mut arguments = vec!["run", "pipelines/quickstart.yaml", "--quiet", "--memory", "3GB", "--out", out];
    for change in [
        "prompts.count=48",
        "rollouts.sampling.n=4",
        "long.training.max_steps=6",
        "short.training.max_steps=6",
        "long-rollouts.sampling.n=4",
        "dpo.training.max_steps=3",
        "heldout.count=64",
        "measures.sampling.n=2",
    ] {
        arguments.extend(["--set", change]);
    }
    succeed(&root(), &arguments);
    let measures = rows(work.path(), "runs/quickstart/measures", "measures");
    assert_eq!(measures.len(), 6);
    for row in &measures {
        // The models in the repository are good; a handful of steps leaves the others shaken, not broken.
        let least = if matches!(row["checkpoint"].as_str(), Some("teacher" | "student")) { 0.8 } else { 0.5 };
        let accuracy = row["accuracy"].as_f64().expect("a number");
        assert!(accuracy > least, "{} answers {accuracy} rightly", row["checkpoint"]);
    }
    assert!(work.path().join("runs/quickstart/report/report.html").is_file());
}

#[test]
fn training_killed_at_any_moment_goes_on_and_ctrl_c_saves_first() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    copy(&root().join("pipelines/quickstart/tokenizer"), &folder.join("tokenizer"));
    std::fs::write(folder.join("teacher.yaml"), TEACHER).expect("a pipeline");
    let arguments =
        |out: &'static str| ["run", "teacher.yaml", "--out", out, "--set", "teacher.save_steps=10", "--quiet"];
    succeed(folder, &arguments("whole"));
    let whole = results(&folder.join("whole"), "teacher");
    let mut hit = 0;
    for signal in ["-KILL", "-INT", "-KILL", "-INT", "-KILL"] {
        let mut child = retort(folder).args(arguments("killed")).stderr(Stdio::piped()).spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(400));
        hit += usize::from(child.try_wait().expect("a child").is_none());
        let _ = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
        let _ = child.wait();
    }
    assert!(hit > 0, "every run was over before it could be killed");
    succeed(folder, &arguments("killed"));
    let found = differing(&whole, &results(&folder.join("killed"), "teacher"));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn training_that_cannot_fit_is_refused_before_anything_is_loaded() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let folder = work.path();
    copy(&root().join("pipelines/quickstart/tokenizer"), &folder.join("tokenizer"));
    std::fs::write(folder.join("teacher.yaml"), TEACHER).expect("a pipeline");
    let huge = "teacher.init.architecture.hidden_size=65536";
    let output = run(folder, &["check", "teacher.yaml", "--set", huge, "--memory", "3GB"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("of memory, `3.0 GB` is there"), "{said}");
    let (plan, _) = succeed(folder, &["plan", "teacher.yaml", "--memory", "3GB"]);
    assert!(plan.contains("train"), "{plan}");
    succeed(folder, &["run", "teacher.yaml", "--only", "all", "--quiet"]);
    let (plan, _) = succeed(folder, &["plan", "teacher.yaml"]);
    assert!(plan.contains("220 steps") && plan.contains("peak"), "{plan}");
}
