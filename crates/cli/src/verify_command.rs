//! `verify`: judges the rows of a file, or one prediction.

use crate::pace::three_digits;
use crate::progress::{Form, Progress};
use crate::screen::{CommandResult, duration, line, note};
use clap::Args;
use retort_pipeline::{Event, Observer, PipelineError};
use retort_stages::{FileCounts, verifier, verify_lines, verify_one};
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Progress of shorter work is not worth a line.
const QUIET_FOR: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "\
Rows are JSON objects, one a line: `prediction` (a whole completion or a bare answer) and `reference_answer` (also
`gold`, `reference` or `answer`, the first that is there); for `code` also `tests`; optional are `prompt`, `language`
and `finish_reason` (a row cut off by `length` is never correct). Each row is written as it stands, with `verdict`
(correct, incorrect, undecided), `extracted_answer`, `method` and `reason`. Numbers are judged as they are written; a
prediction that is null is incorrect, one that is missing, a list, an object, true or false is undecided. A line that is
no JSON becomes {\"line\": N, \"verdict\": \"undecided\", \"method\": \"not_json\", …}; blank lines are skipped.

Examples:
  retort verify math --input rows.jsonl --output judged.jsonl
  zcat rows.jsonl.gz | retort verify choice --input - > judged.jsonl
  retort verify code --input programs.jsonl --set timeout_seconds=4
  retort verify math --prediction 'so it is \\boxed{1/2}' --reference 0.5
  retort verify math --prediction 50% --reference 50 --set percent=strict

Exit codes: 0 done (one prediction: correct); 1 the one prediction is not correct; 2 could not do it.")]
pub struct VerifyArguments {
    /// The verifier: math, choice, code, format, exact, …; `retort explain` lists all.
    pub verifier: String,
    /// JSONL file of rows; `-` is standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "prediction")]
    pub input: Option<PathBuf>,
    /// Where the judged rows go; without it, to standard output.
    #[arg(long, value_name = "FILE", requires = "input")]
    pub output: Option<PathBuf>,
    /// Judge this one prediction.
    #[arg(long, value_name = "TEXT", conflicts_with = "input", allow_hyphen_values = true)]
    pub prediction: Option<String>,
    /// Its reference answer.
    #[arg(
        long,
        visible_alias = "reference-answer",
        value_name = "TEXT",
        requires = "prediction",
        allow_hyphen_values = true
    )]
    pub reference: Option<String>,
    /// Its tests, as JSON (`code`).
    #[arg(long, value_name = "JSON", requires = "prediction")]
    pub tests: Option<String>,
    /// A setting of the verifier; the value is YAML. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `verify`.
pub fn verify(arguments: &VerifyArguments) -> CommandResult {
    let judge = verifier(&arguments.verifier, &arguments.set, arguments.input.as_deref())?;
    if let Some(prediction) = &arguments.prediction {
        let row = verify_one(&*judge, prediction, arguments.reference.as_deref(), arguments.tests.as_deref());
        line(&row.json)?;
        return Ok(if row.correct() { ExitCode::SUCCESS } else { ExitCode::from(1) });
    }
    let started = Instant::now();
    let path = arguments.input.clone().unwrap_or_default();
    let (input, total) = open(&path)?;
    let mut input = BufReader::with_capacity(1 << 20, input);
    let progress = Progress::new(Form::Human);
    let mut shown = false;
    // Rows on the same terminal would run into a bar.
    let bar = std::io::stderr().is_terminal() && (arguments.output.is_some() || !std::io::stdout().is_terminal());
    let mut advanced = |counts: &FileCounts| {
        if !bar || started.elapsed() < QUIET_FOR {
            return;
        }
        let stage = arguments.verifier.as_str();
        if !std::mem::replace(&mut shown, true) {
            progress.event(Event::Started { stage, kind: "verify", total: None, unit: "rows" });
            progress.event(Event::Resumed { stage, done: counts.rows() });
        }
        let part = total.filter(|total| *total > 0).map(|total| 100 * counts.bytes / total);
        let part = part.map(|percent| format!("{percent}%")).unwrap_or_default();
        progress.event(Event::Advanced { stage, done: counts.rows(), note: &part });
    };
    let counts = match &arguments.output {
        None => {
            let output = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
            match verify_lines(&*judge, &mut input, output, &path, &mut advanced) {
                Err(PipelineError::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => {
                    return Ok(ExitCode::SUCCESS);
                }
                counts => counts?,
            }
        }
        Some(target) => {
            let (file, partial) = create(target)?;
            let mut file = BufWriter::with_capacity(1 << 20, file);
            let counts = verify_lines(&*judge, &mut input, &mut file, &path, &mut advanced)?;
            drop(file);
            if let Some(partial) = partial {
                std::fs::rename(&partial, target).map_err(failed("write", target))?;
            }
            counts
        }
    };
    if shown {
        progress.clear();
    }
    note(&summary(&arguments.verifier, &counts, started.elapsed()));
    Ok(ExitCode::SUCCESS)
}

fn summary(verifier: &str, counts: &FileCounts, took: Duration) -> String {
    let FileCounts { correct, incorrect, undecided, not_rows, .. } = counts;
    let rows = counts.rows();
    let no_rows = if *not_rows > 0 { format!(" ({not_rows} lines are no rows)") } else { String::new() };
    let rate = rows as f64 / took.as_secs_f64().max(1e-9);
    format!(
        "{verifier}: {rows} rows: {correct} correct, {incorrect} incorrect, {undecided} undecided{no_rows} [{}, {} rows/s]",
        duration(took),
        three_digits(rate)
    )
}

/// The input and its length, where it has one.
fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), PipelineError> {
    if path == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let file = File::open(path).map_err(failed("read", path))?;
    let facts = file.metadata().map_err(failed("read", path))?;
    if facts.is_dir() {
        return Err(failed("read", path)(ErrorKind::IsADirectory.into()));
    }
    Ok((Box::new(file), facts.is_file().then_some(facts.len())))
}

/// The file to write: beside a regular target, so that it appears whole and may be the input itself; else the target.
fn create(target: &Path) -> Result<(File, Option<PathBuf>), PipelineError> {
    let special = std::fs::metadata(target).is_ok_and(|facts| !facts.is_file());
    if special {
        let file = File::options().write(true).open(target).map_err(failed("write", target))?;
        return Ok((file, None));
    }
    let mut partial = target.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    Ok((File::create(&partial).map_err(failed("write", &partial))?, Some(partial)))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> PipelineError {
    let path = path.to_owned();
    move |source| PipelineError::Io { action, path, source }
}
