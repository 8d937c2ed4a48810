//! Running one program against its tests, for each form of tests.
//!
//! The program never sees what is expected. Outputs and returned values are compared in this process; where the tests
//! are code (HumanEval, MBPP), they run in a second sandbox and call the program through a pipe that carries plain values.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::command::Resolved;
use super::compare;
use super::drivers::{Drivers, driver_command};
use super::extract;
use super::outcome::{TestResult, TestStatus};
use super::sandbox::{Limits, Program, RunResult, Sandbox, Status};
use super::{CodeError, Data, Tests};

/// What is needed to run programs.
pub(super) struct Bench<'a> {
    pub sandbox: &'a Sandbox,
    pub command: &'a Resolved,
    pub drivers: &'a Drivers,
    pub file: &'static str,
    pub limits: Limits,
    pub stop_at_first_failure: bool,
}

/// What came of a run.
pub(super) enum Ran {
    /// One result for each test.
    Tested { method: &'static str, tests: Vec<TestResult> },
    /// The tests themselves do not work.
    BadTests(String),
}

/// What the judging side says about tests that are code.
#[derive(Deserialize)]
struct Judged {
    tests: Vec<JudgedTest>,
    fault: Option<String>,
    /// A function has returned something and changed its arguments too: the tests must be run carefully.
    again: bool,
}

#[derive(Deserialize)]
struct JudgedTest {
    passed: bool,
    reason: Option<String>,
}

impl Bench<'_> {
    pub(super) fn run(&self, program: &str, tests: &Tests) -> Result<Ran, CodeError> {
        match tests {
            Tests::Stdin { cases } => self.stdin(program, cases),
            Tests::Calls { function, cases } => self.calls(program, function, cases),
            Tests::HumanEval { prompt, entry_point, test } => {
                let test = format!("{test}\n\ncheck({entry_point})\n");
                let solution = if extract::defines_python(program, entry_point) {
                    json!({ "prelude": prompt, "sources": [program] })
                } else {
                    let sources: Vec<String> = bodies(program).iter().map(|body| format!("{prompt}{body}")).collect();
                    json!({ "prelude": "", "sources": sources })
                };
                let judge = json!({ "prelude": prompt, "tests": [test], "entry": entry_point });
                self.judged("humaneval", solution, judge)
            }
            Tests::Asserts { setup, asserts } => {
                let solution = json!({ "prelude": "", "sources": [program] });
                let judge = json!({ "prelude": setup.replace('\r', ""), "tests": asserts, "entry": null });
                self.judged("asserts", solution, judge)
            }
        }
    }

    /// A run for each test: input in, output out, compared here.
    fn stdin(&self, program: &str, cases: &[(String, String)]) -> Result<Ran, CodeError> {
        let (launcher, launch);
        let program = if self.command.starts_without_site() {
            let payload = json!({ "packages": self.command.packages, "sources": [program] });
            launcher = self.drivers.launcher(&payload);
            launch = driver_command(self.command);
            Program { file: "main.py", source: &launcher, command: &launch }
        } else {
            Program { file: self.file, source: program, command: &self.command.command }
        };
        let mut tests: Vec<TestResult> = Vec::with_capacity(cases.len());
        for (input, expected) in cases {
            let failed = tests.last().is_some_and(|last| last.status != TestStatus::Passed);
            if failed && self.stop_at_first_failure {
                tests.resize(cases.len(), TestResult::new(TestStatus::NotRun, ""));
                break;
            }
            let result = self.sandbox.run(&program, input.as_bytes(), &self.limits)?;
            tests.push(match result.status {
                Status::Exited(0) => {
                    let printed = std::str::from_utf8(&result.stdout).map_err(|error| format!("the output: {error}"));
                    match printed.and_then(|printed| compare::output(printed, expected)) {
                        Ok(()) => TestResult::passed(),
                        Err(reason) => TestResult::new(TestStatus::WrongAnswer, reason),
                    }
                }
                _ => failure(&result),
            });
        }
        Ok(Ran::Tested { method: "stdin", tests })
    }

    /// One run for all tests: calls in, values out, compared here. The times hold for each call.
    fn calls(&self, program: &str, function: &str, cases: &[(Vec<Data>, Data)]) -> Result<Ran, CodeError> {
        let mut requests = String::new();
        for (arguments, _) in cases {
            let arguments: Vec<Value> = arguments.iter().map(Data::on_the_wire).collect();
            let request = json!({ "op": "call", "name": function, "args": arguments, "named": { "d": [] } });
            requests.push_str(&request.to_string());
            requests.push('\n');
        }
        let source = self.drivers.solution(&json!({
            "prelude": "", "sources": [program], "packages": self.command.packages, "function": function,
        }));
        let command = driver_command(self.command);
        let program = Program { file: "main.py", source: &source, command: &command };
        // One line more than there are calls: the first says that the program is loaded.
        let result = self.sandbox.run_lines(&program, requests.as_bytes(), &self.limits, cases.len() + 1)?;
        let mut replies = result.stdout.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let mut read = || replies.next().map(Reply::read);
        let mut tests = Vec::with_capacity(cases.len());
        let unloaded = match read() {
            Some(Reply { ready: Some(true), .. }) => None,
            Some(reply) => {
                let error = reply.raised().unwrap_or_else(|| "the program sent something else".into());
                Some(TestResult::new(TestStatus::RuntimeError, format!("the program does not load: {error}")))
            }
            None => None, // Nor is there a reply to the first call: the run itself says why.
        };
        if let Some(unloaded) = unloaded {
            tests.resize(cases.len(), unloaded);
            return Ok(Ran::Tested { method: "calls", tests });
        }
        for (_, expected) in cases {
            let Some(reply) = read() else {
                tests.push(failure(&result));
                tests.resize(cases.len(), TestResult::new(TestStatus::NotRun, ""));
                break;
            };
            tests.push(match (reply.raised(), &reply.ok) {
                (Some(error), _) => TestResult::new(TestStatus::RuntimeError, error),
                (None, Some(returned)) if compare::value(returned, expected) => TestResult::passed(),
                (None, returned) => {
                    let returned = returned.as_ref().map_or_else(|| "nothing".into(), Value::to_string);
                    TestResult::new(TestStatus::WrongAnswer, format!("returned `{}`", compare::short(&returned)))
                }
            });
        }
        Ok(Ran::Tested { method: "calls", tests })
    }

    /// Tests that are code: a sandbox for them and a sandbox for the program.
    fn judged(&self, method: &'static str, mut solution: Value, mut judge: Value) -> Result<Ran, CodeError> {
        judge["reply_bytes"] = json!(self.limits.output_bytes);
        let count = judge["tests"].as_array().map_or(0, Vec::len);
        for payload in [&mut solution, &mut judge] {
            payload["packages"] = json!(self.command.packages);
        }
        let solution = self.drivers.solution(&solution);
        let mut run = |careful: bool| {
            judge["careful"] = json!(careful);
            let judge = self.drivers.judge(&judge);
            let command = driver_command(self.command);
            let judge = Program { file: "main.py", source: &judge, command: &command };
            let solution = Program { file: "main.py", source: &solution, command: &command };
            let (judge, solution) = self.sandbox.run_pair(&judge, &solution, &self.limits)?;
            let judged = serde_json::from_slice::<Judged>(&judge.stdout).ok();
            Ok::<_, CodeError>((judged.filter(|_| judge.status == Status::Exited(0)), judge, solution))
        };
        let mut ran = run(false)?;
        if ran.0.as_ref().is_some_and(|judged| judged.again) {
            ran = run(true)?;
        }
        let (judged, judge, solution) = ran;
        let (loaded, used) = (judge.stdout.starts_with(b" "), judge.stdout.starts_with(b" \n"));
        // A limit that the program met explains the failure better than "the program ended".
        let met = |status| {
            matches!(status, Status::TimedOut | Status::MemoryExceeded | Status::ProcessesExceeded | Status::Signal(_))
        };
        Ok(match judged {
            Some(Judged { fault: Some(fault), .. }) => Ran::BadTests(fault),
            Some(Judged { tests, .. }) if tests.len() == count && count > 0 => {
                let result = |test: JudgedTest| match (test.passed, met(solution.status)) {
                    (true, _) => TestResult::passed(),
                    (false, true) => failure(&solution),
                    (false, false) => {
                        let reason = test.reason.unwrap_or_default();
                        let ended = reason.starts_with("the program");
                        let status = if ended { TestStatus::RuntimeError } else { TestStatus::WrongAnswer };
                        TestResult::new(status, reason)
                    }
                };
                Ran::Tested { method, tests: tests.into_iter().map(result).collect() }
            }
            _ if met(solution.status) && (!loaded || used) => {
                Ran::Tested { method, tests: std::iter::repeat_with(|| failure(&solution)).take(count).collect() }
            }
            // Tests that work with values of the program and then never end, or need more memory than there is, do so
            // because of these values.
            _ if used => {
                let status = TestStatus::of(judge.status);
                let result = TestResult::new(status, "in the tests, with what the program returned");
                Ran::Tested { method, tests: vec![result; count] }
            }
            _ => Ran::BadTests(format!("the tests themselves failed: {}", judge.status)),
        })
    }
}

/// The ways in which a text can be the body of a function: as it stands, or with the indentation that a trimmed or
/// fenced text has lost. The first that compiles counts.
fn bodies(text: &str) -> Vec<String> {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if first.starts_with([' ', '\t']) {
        return vec![text.to_owned()];
    }
    let indented = text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
    vec![format!("    {}", text.trim_start()), indented, text.to_owned()]
}

/// A line that a program sends: that it is loaded, or what a call returned or raised.
///
/// Any process of the program can write such a line. One that is no reply (another key, a key that stands twice, half a
/// surrogate pair) says nothing.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    ready: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    ok: Option<Value>,
    error: Option<String>,
    text: Option<String>,
    #[serde(rename = "args")]
    _arguments: Option<IgnoredAny>,
}

/// A value that stands there, `null` among them.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Reply {
    fn read(line: &[u8]) -> Self {
        let line = std::str::from_utf8(line).ok().filter(|line| crate::json::is_unambiguous(line));
        line.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
    }

    /// What was raised.
    fn raised(&self) -> Option<String> {
        let text = self.text.as_deref().unwrap_or_default();
        self.error.as_ref().map(|error| compare::short(&format!("{error}: {text}")))
    }
}

/// The result of a run that did not end well.
fn failure(result: &RunResult) -> TestResult {
    let stderr = String::from_utf8_lossy(&result.stderr);
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let status = TestStatus::of(result.status);
    let reason = match status {
        TestStatus::RuntimeError if last.is_empty() => result.status.to_string(),
        TestStatus::RuntimeError => format!("{}: {}", result.status, compare::short(last)),
        _ => format!("after {} ms", result.wall_ms),
    };
    TestResult::new(status, reason)
}
