//! The verifier: from a completion and its tests to a verdict and a result for each test.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use retort_records::Verdict;

use super::command::{Resolved, resolve};
use super::drivers::Drivers;
use super::outcome::{CodeOutcome, TestResult, TestStatus};
use super::sandbox::{Isolation, Sandbox};
use super::{CodeError, CodeSettings, Tests, compare, extract, run};
use crate::{Case, Outcome, Verifier, VerifyError};

impl CodeSettings {
    /// The verifier. Fails when no sandbox works here or the command is not installed.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        let unavailable = |error: CodeError| match error {
            CodeError::Setting { setting, given, allowed } => {
                VerifyError::Setting { verifier: "code", setting, given, allowed: allowed.into() }
            }
            error => VerifyError::Unavailable { verifier: "code", reason: error.to_string() },
        };
        Ok(Box::new(CodeVerifier::new(self.clone()).map_err(unavailable)?))
    }
}

/// Runs programs against tests.
#[derive(Debug, Clone)]
pub struct CodeVerifier {
    settings: CodeSettings,
    sandbox: Sandbox,
    command: Resolved,
    drivers: Drivers,
}

impl CodeVerifier {
    /// Finds the command and tries the sandbox. Nothing can be verified without both, and the error says what to do.
    pub fn new(settings: CodeSettings) -> Result<Self, CodeError> {
        settings.check()?;
        let command = resolve(&settings.command)?;
        let mut paths = settings.read_only_paths.clone();
        paths.extend(command.paths.iter().cloned());
        let sandbox = Sandbox::new(settings.sandbox, &paths, &settings.private_paths)?;
        let executable = std::path::PathBuf::from(&command.command[0]);
        if !sandbox.shows(&executable) {
            return Err(CodeError::HiddenCommand(executable));
        }
        let drivers = Drivers::new(&sandbox, &command)?;
        Ok(Self { settings, sandbox, command, drivers })
    }

    /// How programs are kept apart from the machine.
    pub fn isolation(&self) -> Isolation {
        self.sandbox.isolation()
    }

    /// The verdict on one case, with the result of each test.
    pub fn check(&self, case: &Case<'_>) -> CodeOutcome {
        let early = |verdict, method: &'static str, reason: &str| CodeOutcome {
            outcome: Outcome::new(verdict, method, reason),
            tests: Vec::new(),
        };
        if case.truncated {
            return early(Verdict::Incorrect, "truncated", "the completion was cut off");
        }
        let Some(tests) = case.tests.filter(|tests| !tests.trim().is_empty()) else {
            return early(Verdict::Undecided, "no_tests", "the prompt has no tests");
        };
        let tests = match Tests::parse(tests) {
            Ok(tests) => tests,
            Err(reason) => return early(Verdict::Undecided, "bad_tests", &reason),
        };
        let Some(answer) = case.answer_text() else {
            return early(Verdict::Incorrect, "no_answer", "the completion has no answer");
        };
        // Without think tags the text counts as it stands: the first line of a function's body is indented.
        let answer = if case.completion.trim() == answer.trim() { case.completion } else { answer };
        if !matches!(tests, Tests::Stdin { .. }) && self.settings.language != "python" {
            return early(Verdict::Undecided, "language", "tests of functions need the language `python`");
        }
        self.run(answer, &tests)
    }

    /// The outcomes of `cases`, in their order, on `threads` threads at once.
    pub fn verify_many(&self, cases: &[Case<'_>], threads: usize) -> Vec<CodeOutcome> {
        let next = AtomicUsize::new(0);
        let outcomes: Vec<OnceLock<CodeOutcome>> = cases.iter().map(|_| OnceLock::new()).collect();
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, cases.len().max(1)) {
                scope.spawn(|| {
                    while let Some((case, outcome)) = {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        cases.get(at).zip(outcomes.get(at))
                    } {
                        outcome.get_or_init(|| self.check(case));
                    }
                });
            }
        });
        outcomes.into_iter().filter_map(OnceLock::into_inner).collect()
    }

    fn run(&self, answer: &str, tests: &Tests) -> CodeOutcome {
        let wanted = match tests {
            Tests::Calls { function, .. } => Some(function.as_str()),
            Tests::HumanEval { entry_point, .. } => Some(entry_point.as_str()),
            Tests::Stdin { .. } | Tests::Asserts { .. } => None,
        };
        let defines = |code: &str| {
            wanted.is_some_and(|name| {
                extract::defines_python(code, name)
                    || matches!(tests, Tests::Calls { .. }) && extract::defines_python(code, "Solution")
            })
        };
        let program = extract::program(answer, &self.settings.language, defines);
        let bench = run::Bench {
            sandbox: &self.sandbox,
            command: &self.command,
            drivers: &self.drivers,
            file: extract::file_name(&self.settings.language),
            limits: self.settings.limits(),
            stop_at_first_failure: self.settings.stop_at_first_failure,
        };
        // A machine that is out of processes or memory for a moment is not the program's fault: once more.
        let ran = bench.run(&program, tests).or_else(|_| bench.run(&program, tests));
        let (outcome, tests) = match ran {
            Ok(run::Ran::Tested { method, tests }) => (summary(method, &tests), tests),
            Ok(run::Ran::BadTests(reason)) => (Outcome::new(Verdict::Undecided, "bad_tests", reason), Vec::new()),
            Err(error) => (Outcome::new(Verdict::Undecided, "sandbox", error.to_string()), Vec::new()),
        };
        CodeOutcome { outcome: outcome.with_answer(program), tests }
    }
}

impl Verifier for CodeVerifier {
    fn name(&self) -> &'static str {
        "code"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        self.check(case).outcome
    }
}

fn summary(method: &'static str, tests: &[TestResult]) -> Outcome {
    let passed = tests.iter().filter(|test| test.status == TestStatus::Passed).count();
    let count = |number: usize| -> Cow<'static, str> {
        if number == 1 { "1 test".into() } else { format!("{number} tests").into() }
    };
    match tests.iter().position(|test| test.status != TestStatus::Passed) {
        None if tests.is_empty() => Outcome::new(Verdict::Undecided, method, "there are no tests"),
        None => Outcome::new(Verdict::Correct, method, format!("{} passed", count(tests.len()))),
        Some(at) => {
            let TestResult { status, reason } = &tests[at];
            let colon = if reason.is_empty() { "" } else { ": " };
            Outcome::new(
                Verdict::Incorrect,
                method,
                format!(
                    "{passed} of {} passed; test {}: {}{colon}{}",
                    count(tests.len()),
                    at + 1,
                    status.text(),
                    compare::short(reason)
                ),
            )
        }
    }
}
