//! HumanEval and MBPP: every reference solution passes, and fails once it returns nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

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

/// The programs whose first `return` returns nothing and that pass all the same: the tests do not reach it, or take
/// `None` for false. Plain Python without any sandbox passes exactly these too, and fails no reference solution.
const HUMANEVAL_SURVIVORS: &[&str] = &[
    "HumanEval/12",
    "HumanEval/39",
    "HumanEval/46",
    "HumanEval/52",
    "HumanEval/56",
    "HumanEval/59",
    "HumanEval/61",
    "HumanEval/75",
    "HumanEval/94",
    "HumanEval/119",
    "HumanEval/127",
    "HumanEval/128",
    "HumanEval/137",
];
const MBPP_SURVIVORS: &[&str] = &[
    "mbpp/28", "mbpp/39", "mbpp/47", "mbpp/83", "mbpp/92", "mbpp/93", "mbpp/113", "mbpp/123", "mbpp/127", "mbpp/150",
    "mbpp/167", "mbpp/169", "mbpp/189", "mbpp/198", "mbpp/223", "mbpp/246", "mbpp/297", "mbpp/302", "mbpp/403",
    "mbpp/415", "mbpp/448", "mbpp/453", "mbpp/463", "mbpp/485", "mbpp/498", "mbpp/509", "mbpp/515", "mbpp/532",
    "mbpp/546", "mbpp/550", "mbpp/577", "mbpp/605", "mbpp/628", "mbpp/664", "mbpp/689", "mbpp/692", "mbpp/711",
    "mbpp/717", "mbpp/746", "mbpp/755", "mbpp/761", "mbpp/819", "mbpp/834", "mbpp/845", "mbpp/871", "mbpp/890",
    "mbpp/895", "mbpp/899", "mbpp/922",
];

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no `{key}`"))
}

/// A task as a completion that a chat model could have written, with its tests.
#[derive(Clone)]
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

/// The program with every `return` turned into `return None`.
fn always_returns_nothing(program: &str) -> String {
    let line = |line: &str| if line.contains("return") { returns_nothing(line) } else { line.to_owned() };
    program.lines().map(line).collect::<Vec<_>>().join("\n")
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

fn sweep(name: &str, tasks: &[Task], may_survive: &[&str]) {
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
    assert_eq!(those(tasks, &right, Verdict::Incorrect), [], "{name}: no reference solution fails");
    let survivors = those(tasks, &mutants, Verdict::Correct);
    let survived: Vec<&str> = survivors.iter().map(|(id, _)| *id).collect();
    assert_eq!(survived, may_survive, "{survivors:#?}");
    assert_eq!(those(tasks, &mutants, Verdict::Undecided), []);
    // Those whose first `return` the tests do not notice fail once every `return` returns nothing.
    let survivors: Vec<Task> = tasks.iter().filter(|task| may_survive.contains(&task.id.as_str())).cloned().collect();
    let mutants = judge(&verifier, &survivors, |task| fenced(&task.head, &always_returns_nothing(&task.solution)));
    assert_eq!(those(&survivors, &mutants, Verdict::Correct), []);
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
    sweep("HumanEval", &tasks, HUMANEVAL_SURVIVORS);
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
    sweep("MBPP", &tasks, MBPP_SURVIVORS);
}
