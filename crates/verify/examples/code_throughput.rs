//! Programs a second, start of the sandbox included: `cargo run --release -p retort-verify --example code_throughput`.

#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::time::Instant;

use retort_verify::Case;
use retort_verify::code::{CodeSettings, CodeVerifier, SandboxChoice};

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let completion = "```python\ndef add(a, b):\n    return a + b\n\nif __name__ == '__main__':\n    print(add(*map(int, input().split())))\n```";
    for sandbox in [SandboxChoice::Builtin, SandboxChoice::Bubblewrap] {
        let settings = CodeSettings { sandbox, ..CodeSettings::default() };
        let system = vec!["/usr/bin/python3".to_owned(), "{file}".to_owned()];
        let attempt = CodeVerifier::new(settings.clone())
            .or_else(|_| CodeVerifier::new(CodeSettings { command: system, ..settings }));
        let verifier = match attempt {
            Ok(verifier) => verifier,
            Err(error) => {
                println!("{sandbox:?}: {error}");
                continue;
            }
        };
        println!("{}", verifier.isolation());
        for (form, tests) in [
            ("stdin", r#"{"inputs": ["1 2"], "outputs": ["3"]}"#),
            ("calls", r#"{"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}"#),
            (
                "humaneval",
                r#"{"prompt": "def add(a, b):\n    'x'\n", "entry_point": "add", "test": "def check(f):\n    assert f(1, 2) == 3\n"}"#,
            ),
            ("asserts", r#"{"test_list": ["assert add(1, 2) == 3"]}"#),
        ] {
            let cases = vec![Case { completion, tests: Some(tests), ..Case::default() }; 100];
            let started = Instant::now();
            let outcomes = verifier.verify_many(&cases, threads);
            let rate = cases.len() as f64 / started.elapsed().as_secs_f64();
            let reason = &outcomes[0].outcome.reason;
            println!("  {form}: {rate:.0} programs a second on {threads} threads ({reason})");
        }
    }
}
