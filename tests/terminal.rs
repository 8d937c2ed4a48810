//! The binary on real terminals of 80 and 40 columns: bars fit, rates are true, and no stale line is left.

mod screen;

use crate::binary::{retort, root, text};
use crate::server::{Answer, Server};
use screen::Screen;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PROMPTS: usize = 60;
const PAUSE: Duration = Duration::from_millis(20);
const CONCURRENCY: usize = 2;

fn begin(folder: &Path, server: &Server) {
    let mut prompts = String::new();
    for a in 0..PROMPTS {
        let _ = writeln!(prompts, r#"{{"prompt": "What is {a} + 7?", "answer": "{}"}}"#, a + 7);
    }
    std::fs::write(folder.join("prompts.jsonl"), prompts).expect("prompts can be written");
    let pipeline = format!(
        "name: shown\nstages:\n  prompts: {{ import: {{ path: prompts.jsonl }} }}\n  rollouts-of-a-long-name:\n    sample:\n      \
         prompts: prompts\n      teacher: {{ endpoint: \"{}\", model: adder, concurrency: {CONCURRENCY} }}\n      \
         sampling: {{ n: 2, max_tokens: 64 }}\n  verdicts: {{ verify: {{ rollouts: rollouts-of-a-long-name, verifiers: [math] }} }}\n",
        server.url
    );
    std::fs::write(folder.join("shown.yaml"), pipeline).expect("a pipeline can be written");
}

fn adder() -> Server {
    Server::start(|_| Answer::json(Some("Let me add."), "\\boxed{7}", "stop", (12, 20)).after(PAUSE))
}

/// Runs a command on a terminal; gives its screen and exit code.
fn on_a_terminal(folder: &Path, columns: usize, command: &[&str], variables: &[(&str, &str)]) -> (Screen, i32, String) {
    let output = Command::new("python3")
        .arg(root().join("tests/terminal/on_a_terminal.py"))
        .arg(columns.to_string())
        .args(command)
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied())
        .output()
        .expect("python3 starts");
    let written = text(&output.stdout);
    (Screen::after(columns, &written), output.status.code().expect("a code"), written)
}

/// The rates that lines told, in units a second.
fn rates(screen: &Screen) -> Vec<f64> {
    let words = screen.replaced.iter().flat_map(|line| line.split(' '));
    words.filter_map(|word| word.strip_suffix("/s")?.parse().ok()).collect()
}

const BINARY: &str = env!("CARGO_BIN_EXE_retort");

#[test]
fn bars_fit_the_terminal_and_leave_no_line_behind() {
    for columns in [80, 40] {
        let work = tempfile::tempdir().expect("a temporary folder");
        let server = adder();
        begin(work.path(), &server);
        let (screen, code, written) = on_a_terminal(work.path(), columns, &[BINARY, "run", "shown.yaml"], &[]);
        assert_eq!(code, 0, "{}", screen.text());
        let bars: Vec<&String> = screen.replaced.iter().filter(|line| line.starts_with("rollouts")).collect();
        assert!(bars.len() > 10, "{columns}: too few bars were drawn: {}", written.escape_debug());
        assert!(bars.iter().all(|bar| bar.chars().count() <= columns), "{columns}: {bars:?}");
        assert!(bars.iter().any(|bar| bar.contains("ETA")), "{columns}: {bars:?}");
        assert_eq!(bars.iter().any(|bar| bar.contains('█')), columns == 80, "{bars:?}");
        assert!(!screen.wrapped.iter().any(|line| line.contains("/120")), "{columns}: {:?}", screen.wrapped);
        let seen = screen.text();
        assert!(!seen.contains("ETA") && !seen.contains(['█', '░']), "{columns}: a bar stayed:\n{seen}");
        for stage in ["prompts: ", "rollouts-of-a-long-name: ", "verdicts: "] {
            assert_eq!(seen.matches(&format!("\n{stage}")).count() + usize::from(seen.starts_with(stage)), 1, "{seen}");
        }
    }
}

#[test]
fn an_interrupted_or_failed_run_takes_its_bar_away_and_resuming_counts_only_new_work() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let server = adder();
    begin(work.path(), &server);
    let stopped = ["timeout", "--foreground", "--signal=INT", "0.9", BINARY, "run", "shown.yaml"];
    let (screen, _, _) = on_a_terminal(work.path(), 80, &stopped, &[]);
    let seen = screen.text();
    assert!(seen.contains("stopping at the next safe point") && seen.contains("interrupted in stage"), "{seen}");
    assert!(!seen.contains("/120"), "a bar stayed:\n{seen}");
    let asked = server.seen().len();
    assert!((10..110).contains(&asked), "{asked} samples were asked before the interruption");

    let (screen, code, _) = on_a_terminal(work.path(), 80, &[BINARY, "run", "shown.yaml"], &[]);
    assert_eq!(code, 0, "{}", screen.text());
    let fastest = CONCURRENCY as f64 / PAUSE.as_secs_f64();
    let rates = rates(&screen);
    assert!(
        !rates.is_empty() && rates.iter().all(|rate| *rate <= fastest),
        "{rates:?} at most {fastest}/s are possible"
    );

    let failing = Server::start(|seen| match seen.number {
        0..40 => Answer::json(None, "7", "stop", (12, 20)).after(PAUSE),
        _ => Answer::Whole { status: 401, headers: Vec::new(), body: "no".into() },
    });
    let work = tempfile::tempdir().expect("a temporary folder");
    begin(work.path(), &failing);
    let (screen, code, _) = on_a_terminal(work.path(), 40, &[BINARY, "run", "shown.yaml"], &[]);
    let seen = screen.text();
    assert_eq!(code, 2, "{seen}");
    assert!(seen.contains("error: ") && !seen.contains("/120"), "a bar stayed:\n{seen}");
}

#[test]
fn no_color_means_no_colour_anywhere() {
    let work = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(work.path().join("wrong.yaml"), "name: wrong\nstages:\n  a: { imprt: { path: x } }\n")
        .expect("a file");
    let check = [BINARY, "check", "wrong.yaml"];
    let typo = [BINARY, "chek"];
    let help = [BINARY, "--help"];
    let colour = |written: &str| written.contains("\u{1b}[3") || written.contains("\u{1b}[1m");
    for command in [&check[..], &typo, &help] {
        let (_, _, plain) = on_a_terminal(work.path(), 80, command, &[("NO_COLOR", "1")]);
        assert!(!plain.contains('\u{1b}') && !plain.is_empty(), "{command:?}: {}", plain.escape_debug());
    }
    for (command, variables) in [(&check[..], &[][..]), (&check, &[("NO_COLOR", "")]), (&typo, &[])] {
        let (_, _, coloured) = on_a_terminal(work.path(), 80, command, variables);
        assert!(colour(&coloured), "{command:?} {variables:?}: {}", coloured.escape_debug());
    }
    let piped = retort(work.path()).args(["check", "wrong.yaml"]).env_remove("NO_COLOR").output().expect("it starts");
    assert!(!text(&piped.stderr).contains('\u{1b}'));

    // Problems are told within the terminal's width.
    let (screen, _, _) = on_a_terminal(work.path(), 40, &check, &[("NO_COLOR", "1")]);
    assert!(screen.wrapped.is_empty(), "{:?}", screen.wrapped);
}
