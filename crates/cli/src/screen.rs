//! Text for people: errors with the place in the file, numbers with units, text of models without control characters.

use crate::colour::coloured;
use crate::failure::Failure;
use crate::secrets::masked;
use console::Term;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report, Severity};
use retort_pipeline::{PipelineError, Problem};
use serde_json::{Value, json};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// What a command can end in.
pub type CommandResult = Result<ExitCode, Failure>;

/// Writes a line to standard output. A reader that went away is no error.
pub fn line(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(PipelineError::io("write to", "standard output")(error).into()),
        Ok(()) => Ok(()),
    }
}

/// Writes a line to standard error, where no secret is ever shown.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", masked(text));
}

/// Shows an error, as a line of JSON where a program reads it, and gives the exit code that goes with it.
pub fn failed(error: &Failure, json: bool) -> ExitCode {
    if json {
        note(&as_json(error).to_string());
        let interrupted = matches!(error, Failure::Pipeline(PipelineError::Interrupted { .. }));
        return ExitCode::from(if interrupted { 130 } else { 2 });
    }
    match error {
        Failure::Pipeline(PipelineError::Problems { path, text, problems }) => {
            show_problems(path, text, problems);
            ExitCode::from(2)
        }
        Failure::Pipeline(PipelineError::Interrupted { .. }) => {
            note(&format!("{error}; what is finished is kept: run the same command again to go on"));
            ExitCode::from(130)
        }
        _ => {
            note(&format!("error: {error}"));
            if let Some(hint) = error.hint() {
                note(&format!("hint: {hint}"));
            }
            // It was done, and nothing came of it.
            let no_rows = matches!(error, Failure::Pipeline(PipelineError::NoRows { .. }));
            ExitCode::from(if no_rows { 1 } else { 2 })
        }
    }
}

fn as_json(error: &Failure) -> Value {
    let mut value = json!({ "event": "error", "message": error.to_string(), "hint": error.hint() });
    if let Failure::Pipeline(PipelineError::Problems { path, text, problems }) = error {
        let problem = |problem: &Problem| {
            let place = problem.span.as_ref().map(|span| line_and_column(text, span.start));
            json!({
                "message": problem.message,
                "help": problem.help,
                "line": place.map(|(line, _)| line),
                "column": place.map(|(_, column)| column),
            })
        };
        value["file"] = json!(path);
        value["problems"] = problems.iter().map(problem).collect();
    }
    value
}

/// Line and column of a byte of `text`, from 1.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    (1 + before.matches('\n').count(), 1 + before.chars().rev().take_while(|c| *c != '\n').count())
}

/// Shows every problem of a pipeline file with the lines it is about.
pub fn show_problems(path: &Path, text: &str, problems: &[Problem]) {
    let name = path.display().to_string();
    let text = &masked(text);
    let theme =
        if coloured(&std::io::stderr()) { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(columns());
    for problem in problems {
        let mut diagnostic = MietteDiagnostic::new(problem.message.clone()).with_severity(Severity::Error);
        if let Some(span) = &problem.span {
            let label = LabeledSpan::new_primary_with_span(Some("here".into()), span.clone());
            diagnostic = diagnostic.with_label(label);
        }
        if let Some(help) = &problem.help {
            diagnostic = diagnostic.with_help(help.clone());
        }
        // A place that may hold a secret is named, not shown.
        if let (true, Some(span)) = (problem.secret, &problem.span) {
            let (line, column) = line_and_column(text, span.start);
            note(&format!(
                "  × {}\n   ╭─[{name}:{line}:{column}]\n   ╰──── (not shown: it may be a secret)",
                problem.message
            ));
            continue;
        }
        let report = Report::new(diagnostic).with_source_code(NamedSource::new(&name, text.to_owned()));
        let mut shown = String::new();
        if handler.render_report(&mut shown, report.as_ref()).is_ok() {
            note(shown.trim_end());
        }
    }
    let count = problems.len();
    note(&format!("{name}: {count} problem{}", if count == 1 { "" } else { "s" }));
}

/// How wide text about a problem may be: as the terminal is, but no wider than is easily read.
fn columns() -> usize {
    const WIDEST: usize = 110;
    Term::stderr().size_checked().map_or(WIDEST, |(_, columns)| usize::from(columns).min(WIDEST))
}

/// `45 s`, `3 min 4 s`, `2 h 5 min`, `3 d 4 h`: a time that is only forecast.
pub fn about(time: Duration) -> String {
    let (minute, hour, day) = (60, 3600, 24 * 3600);
    match time.as_secs() {
        seconds if seconds < minute => format!("{seconds} s"),
        seconds if seconds < hour => format!("{} min {} s", seconds / minute, seconds % minute),
        seconds if seconds < day => format!("{} h {} min", seconds / hour, seconds % hour / minute),
        seconds => format!("{} d {} h", seconds / day, seconds % day / hour),
    }
}

/// `1.2 s`, `3 min 4 s`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else if seconds < 3600.0 {
        format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
    } else {
        format!("{} h {} min", time.as_secs() / 3600, time.as_secs() / 60 % 60)
    }
}

/// `1.5 MB` and the like.
pub fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// Text of a model, safe for a terminal: control characters are shown, not obeyed.
pub fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}
