//! `retort init`: every recipe is written whole into an empty folder, passes `check` there, and runs.

use crate::binary::{root, run, succeed, text};
use crate::server::{Answer, Server};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Names of the recipes and their pipeline files, as the binary tells them.
fn recipes() -> Vec<(String, PathBuf)> {
    let here = tempfile::tempdir().expect("a temporary folder");
    let (list, _) = succeed(here.path(), &["init", "--list"]);
    assert_eq!(std::fs::read_dir(here.path()).expect("a folder").count(), 0, "a list writes nothing");
    let name = |line: &str| line.split_whitespace().next().expect("a name").to_owned();
    let names: Vec<String> = list.lines().map(name).collect();
    names.into_iter().map(|name| (name.clone(), begin(&name).1)).collect()
}

/// Writes a recipe into an empty folder; gives the folder and the pipeline file in it.
fn begin(recipe: &str) -> (tempfile::TempDir, PathBuf) {
    let work = tempfile::tempdir().expect("a temporary folder");
    let (said, _) = succeed(work.path(), &["init", recipe]);
    let file = said.strip_prefix("wrote ").and_then(|rest| rest.split(' ').next()).expect("the file is named");
    let file = PathBuf::from(file);
    assert!(work.path().join(&file).is_file(), "{said}");
    (work, file)
}

fn run_reduced(folder: &Path, file: &Path, changes: &[&str]) {
    let file = file.to_string_lossy();
    let mut arguments = vec!["run", &*file, "--quiet", "--memory", "3GB"];
    for change in changes {
        arguments.extend(["--set", change]);
    }
    succeed(folder, &arguments);
}

#[test]
fn every_recipe_passes_check_right_after_init_and_names_what_to_fill_in() {
    let recipes = recipes();
    let names: Vec<&str> = recipes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["quickstart", "from-rollouts", "r1-distill", "long2short", "own-teacher"]);
    for (name, file) in recipes {
        let (work, _) = begin(&name);
        let shown = file.to_string_lossy();
        let (out, err) = succeed(work.path(), &["check", &shown]);
        assert!(out.contains("no problems") && err.is_empty(), "{name}: {out}{err}");

        // It is the repository's own file, and its first line finds the schema.
        let written = std::fs::read_to_string(work.path().join(&file)).expect("a pipeline");
        assert_eq!(written, std::fs::read_to_string(root().join(&file)).expect("the repository's"), "{name}");
        assert!(written.contains(&format!("\nname: {name}\n")), "{name}");
        let schema = written.lines().next().and_then(|line| line.split("$schema=").nth(1)).expect("a schema");
        assert!(work.path().join(&file).parent().expect("a folder").join(schema).is_file(), "{name}: {schema}");

        // What the terminal says to fill in is said in the file, and names stages and settings that stand there.
        let (said, _) = succeed(work.path(), &["init", &name]);
        let keys: Vec<&str> =
            said.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(": ")).map(|(key, _)| key).collect();
        assert!(keys.len() >= 3, "{said}");
        for key in keys {
            assert!(written.contains(&format!("#   {key}: ")), "{name}: {key}");
            let mut steps = key.split('.');
            let first = steps.next().expect("a name");
            let stands = ["\n  ", "\n# ", "\n"].iter().any(|start| written.contains(&format!("{start}{first}:")));
            assert!(stands, "{name}: there is no `{first}`");
        }
    }
}

#[test]
fn what_is_there_already_is_never_overwritten_without_force() {
    let (work, file) = begin("quickstart");
    let (again, _) = succeed(work.path(), &["init", "quickstart", "."]);
    assert!(again.contains("is there already"), "{again}");
    // Another recipe that shares files with it.
    succeed(work.path(), &["init", "r1-distill"]);

    let mine = work.path().join(&file);
    let student = work.path().join("pipelines/quickstart/student/config.json");
    std::fs::write(&mine, "name: mine\n").expect("a file can be changed");
    std::fs::remove_file(&student).expect("a file can be deleted");
    let output = run(work.path(), &["init"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("pipelines/quickstart.yaml` exists with other content") && said.contains("--force"),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(&mine).expect("the file"), "name: mine\n");
    assert!(!student.exists(), "nothing is written where not all can be");

    succeed(work.path(), &["init", "--force"]);
    let whole = std::fs::read_to_string(root().join(&file)).expect("the repository's");
    assert_eq!(std::fs::read_to_string(&mine).expect("the file"), whole);
    assert!(student.is_file());
}

#[test]
fn a_name_that_is_no_recipe_lists_those_there_are() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let output = run(work.path(), &["init", "my-project"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("there is no recipe `my-project`") && said.contains("RECIPE DIR"), "{said}");
    for (name, _) in recipes() {
        assert!(said.contains(&format!("  {name} ")), "{name}: {said}");
    }
    assert_eq!(std::fs::read_dir(work.path()).expect("a folder").count(), 0);
}

#[test]
fn a_folder_is_made_and_the_next_steps_are_those_to_type() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let (said, _) = succeed(work.path(), &["init", "from-rollouts", "deep/new"]);
    assert!(said.contains("wrote deep/new/pipelines/long2short/from-rollouts.yaml"), "{said}");
    let next: Vec<&str> = said.lines().skip_while(|line| *line != "Next:").skip(1).map(str::trim).collect();
    let folder = work.path().join(next[0].strip_prefix("cd ").expect("first into the folder"));
    for command in &next[1..] {
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words[0], "retort");
        succeed(&folder, &words[1..]);
    }
    let rows = std::fs::read_to_string(folder.join("runs/from-rollouts/sft/train.jsonl")).expect("rows for TRL");
    assert!(rows.lines().count() >= 15, "{rows}");
}

#[test]
fn the_recipes_with_models_run_on_a_reduced_setting() {
    let (work, file) = begin("quickstart");
    let few = ["prompts.count=24", "rollouts.sampling.n=2", "long.training.max_steps=2", "short.training.max_steps=2"];
    let fewer = ["long-rollouts.sampling.n=2", "dpo.training.max_steps=2", "heldout.count=8", "measures.sampling.n=1"];
    run_reduced(work.path(), &file, &[few, fewer].concat());
    assert!(work.path().join("runs/quickstart/report/report.html").is_file());

    let (_, file) = begin("r1-distill");
    succeed(work.path(), &["init", "r1-distill"]);
    run_reduced(work.path(), &file, &["prompts.count=12", "student.training.max_steps=2"]);
    assert!(work.path().join("runs/r1-distill/handed-over/recipes/README.md").is_file());

    let (_, file) = begin("long2short");
    succeed(work.path(), &["init", "long2short"]);
    let few = ["prompts.count=24", "rollouts.sampling.n=4", "short.training.max_steps=2", "dpo.training.max_steps=2"];
    run_reduced(work.path(), &file, &[&few[..], &["heldout.count=8", "measures.sampling.n=1"]].concat());
    assert!(work.path().join("runs/long2short/merged/checkpoint/model.safetensors").is_file());
}

/// A server that counts its tokens and is right about every second sample.
#[test]
fn the_recipe_for_an_own_teacher_runs_against_a_server() {
    let (work, file) = begin("own-teacher");
    let prompts = std::fs::read_to_string(work.path().join("pipelines/own-teacher/prompts.jsonl")).expect("prompts");
    let rows: Vec<Value> = prompts.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect();
    let server = Server::start(move |seen| {
        let asked = rows.iter().find(|row| {
            let body: Value = serde_json::from_str(&seen.body).expect("a request is JSON");
            body["messages"][0]["content"] == row["prompt"]
        });
        let answer = asked.and_then(|row| row["answer"].as_str()).expect("a prompt of the recipe");
        let (answer, tokens) = if seen.number % 2 == 0 { (answer, 20) } else { ("-1", 90) };
        Answer::json(Some("Let me see."), &format!("\\boxed{{{answer}}}"), "stop", (12, tokens))
    });
    let endpoint = format!("rollouts.teacher.endpoint={}", server.url);
    run_reduced(work.path(), &file, &[&endpoint, "rollouts.teacher.concurrency=1"]);
    assert_eq!(server.seen().len(), 8 * 8);
    for (file, count) in [("sft", 8), ("dpo", 8)] {
        let rows = work.path().join(format!("runs/own-teacher/{file}/train.jsonl"));
        let rows = std::fs::read_to_string(rows).expect("rows for TRL");
        assert!(rows.lines().count() >= count, "{file}: {rows}");
    }
}
