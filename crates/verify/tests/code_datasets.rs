//! HumanEval and MBPP: every reference solution passes, and fails once it returns nothing.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::time::Instant;

use retort_records::Verdict;
use retort_verify::Case;
use retort_verify::code::{CodeOutcome, CodeSettings, CodeVerifier, SandboxChoice};
use serde_json::{Value, json};

fn rows(name: &str) -> Option<Vec<Value>> {
    let Some(folder) = std::env::var_os("RETORT_TEST_DATA") else {
        eprintln!("SKIPPED: {name} is needed: set RETORT_TEST_DATA");
        return None;
    };
    let text = std::fs::read_to_string(PathBuf::from(folder).join("datasets").join(name)).expect(name);
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect())
}

fn verifier() -> Option<CodeVerifier> {
    let settings = CodeSettings { sandbox: SandboxChoice::Auto, ..CodeSettings::default() };
    CodeVerifier::new(settings).inspect_err(|error| eprintln!("SKIPPED: {error}")).ok()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no `{key}`"))
}

/// A task as a completion that a chat model could have written, with its tests.
struct Task {
    id: String,
    /// What stands before the solution.
    head: String,
    solution: String,
    tests: String,
}

/// The program with its first `return` turned into `return None`.
fn returns_nothing(program: &str) -> String {
    let at = program
        .match_indices("return")
        .find(|(at, _)| {
            let before = program[..*at].chars().next_back();
            let after = program[at + 6..].chars().next();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
                && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
        .map_or(program.len(), |(at, _)| at);
    let end = program[at..].find('\n').map_or(program.len(), |length| at + length);
    format!("{}return None{}", &program[..at], &program[end..])
}

fn judge(verifier: &CodeVerifier, tasks: &[Task], wrap: impl Fn(&Task) -> String) -> Vec<CodeOutcome> {
    let completions: Vec<String> = tasks.iter().map(wrap).collect();
    let cases: Vec<Case<'_>> = tasks
        .iter()
        .zip(&completions)
        .map(|(task, completion)| Case { completion, tests: Some(&task.tests), ..Case::default() })
        .collect();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    verifier.verify_many(&cases, threads)
}

fn those<'a>(tasks: &'a [Task], outcomes: &'a [CodeOutcome], verdict: Verdict) -> Vec<(&'a str, &'a str)> {
    assert_eq!(tasks.len(), outcomes.len());
    tasks
        .iter()
        .zip(outcomes)
        .filter(|(_, outcome)| outcome.outcome.verdict == verdict)
        .map(|(task, outcome)| (task.id.as_str(), outcome.outcome.reason.as_str()))
        .collect()
}

fn sweep(name: &str, tasks: &[Task], upstream_failures: &[&str], may_survive: &[&str]) {
    let Some(verifier) = verifier() else { return };
    let started = Instant::now();
    let fenced = |head: &str, solution: &str| format!("Here it is:\n\n```python\n{head}{solution}\n```\n\nIt works.");
    let right = judge(&verifier, tasks, |task| fenced(&task.head, &task.solution));
    let mutants = judge(&verifier, tasks, |task| fenced(&task.head, &returns_nothing(&task.solution)));
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "{name}: {} programs in {seconds:.1} s, {:.1} a second",
        2 * tasks.len(),
        2.0 * tasks.len() as f64 / seconds
    );

    assert_eq!(those(tasks, &right, Verdict::Undecided), [], "{name}: the tests work");
    let failures = those(tasks, &right, Verdict::Incorrect);
    let failed: Vec<&str> = failures.iter().map(|(id, _)| *id).collect();
    assert_eq!(failed, upstream_failures, "{failures:#?}");
    let survivors = those(tasks, &mutants, Verdict::Correct);
    let survived: Vec<&str> = survivors.iter().map(|(id, _)| *id).collect();
    assert_eq!(survived, may_survive, "{survivors:#?}");
    assert_eq!(those(tasks, &mutants, Verdict::Undecided), []);
}

#[test]
fn humaneval() {
    let Some(rows) = rows("humaneval.jsonl") else { return };
    let task = |row: &Value| Task {
        id: text(row, "task_id").into(),
        head: text(row, "prompt").into(),
        solution: text(row, "canonical_solution").into(),
        tests: json!({"prompt": row["prompt"], "entry_point": row["entry_point"], "test": row["test"]}).to_string(),
    };
    let tasks: Vec<Task> = rows.iter().map(task).collect();
    assert_eq!(tasks.len(), 164);
    sweep("HumanEval", &tasks, &[], &[]);
}

/// The form in which a base model completes the prompt: the body alone, without a fence.
#[test]
fn humaneval_bodies() {
    let (Some(rows), Some(verifier)) = (rows("humaneval.jsonl"), verifier()) else { return };
    let tasks: Vec<Task> = rows
        .iter()
        .take(40)
        .map(|row| Task {
            id: text(row, "task_id").into(),
            head: String::new(),
            solution: text(row, "canonical_solution").into(),
            tests: json!({"prompt": row["prompt"], "entry_point": row["entry_point"], "test": row["test"]}).to_string(),
        })
        .collect();
    for wrap in [str::to_owned, |body: &str| body.trim().to_owned(), |body: &str| format!("```python\n{body}```")] {
        let outcomes = judge(&verifier, &tasks, |task| wrap(&task.solution));
        assert_eq!(those(&tasks, &outcomes, Verdict::Incorrect), []);
        assert_eq!(those(&tasks, &outcomes, Verdict::Undecided), []);
    }
}

#[test]
fn mbpp() {
    let Some(rows) = rows("mbpp_974.jsonl") else { return };
    let task = |row: &Value| Task {
        id: text(row, "id").into(),
        head: String::new(),
        solution: text(row, "code").replace('\r', ""),
        tests: json!({"test_list": row["test_list"], "test_setup_code": row["test_setup_code"]}).to_string(),
    };
    let tasks: Vec<Task> = rows.iter().map(task).collect();
    assert_eq!(tasks.len(), 974);
    sweep("MBPP", &tasks, &[], &[]);
}
