//! Tables and records for people.

use crate::narrow::{Completion, Question};
use crate::train::Train;
use retort_pipeline::{Finished, Manifest, PipelineError, StageKind, canonical};
use retort_records::{
    Dropped, JudgementRow, LengthRow, MeasureRow, Pair, Prompt, ReferenceLogProbs, Rollout, Row, Selection, SftExample,
    Telemetry, Verdict, VerdictRow,
};
use retort_tables::{Columns, follow};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// What `show` shows.
#[derive(Debug)]
pub struct Shown {
    /// One or more lines about the whole.
    pub heading: String,
    /// The rows asked for.
    pub rows: Vec<Value>,
}

/// Reads at most `limit` rows of a table of the finished stage in `folder`. `join` adds what each row stands for.
pub fn show(folder: &Path, table: Option<&str>, limit: usize, join: bool) -> Result<Shown, PipelineError> {
    if !folder.join(Manifest::FILE).is_file() {
        return show_elsewhere(folder, table, limit, join);
    }
    let finished = Finished::open(&folder.display().to_string(), folder)?;
    let manifest = &finished.manifest;
    let main =
        manifest.tables.keys().find(|name| !["prompts", "dropped", "judgements", "telemetry"].contains(&name.as_str()));
    let name = table.map(str::to_owned).or_else(|| main.cloned()).or_else(|| manifest.tables.keys().next().cloned());
    let mut heading = format!("{}: {}\n", manifest.key.kind, manifest.summary);
    for (table, files) in &manifest.tables {
        let _ = writeln!(heading, "table {table}: {} rows", files.rows);
    }
    for file in &manifest.files {
        let _ = writeln!(heading, "file {}: {} bytes", file.path, file.bytes);
    }
    if let Some(facts) = Train::facts_of(&finished) {
        let _ = writeln!(heading, "training {}", canonical(&json!(facts.training)));
    }
    let rows = match name {
        Some(name) => rows(&finished, &name, limit, join)?,
        None => Vec::new(),
    };
    Ok(Shown { heading: heading.trim_end().to_owned(), rows })
}

/// A table's own folder, or a run's.
fn show_elsewhere(folder: &Path, table: Option<&str>, limit: usize, join: bool) -> Result<Shown, PipelineError> {
    let real = folder.canonicalize().map_err(PipelineError::io("read", folder))?;
    if let (Some(parent), Some(name)) = (real.parent(), real.file_name())
        && parent.join(Manifest::FILE).is_file()
    {
        return show(parent, Some(table.unwrap_or(&name.to_string_lossy())), limit, join);
    }
    let mut stages: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&real).map_err(PipelineError::io("read", folder))?.flatten() {
        if let Ok(stage) = Finished::open("", &entry.path()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            stages.push(format!("{name}: {}", stage.manifest.summary));
        }
    }
    stages.sort();
    if stages.is_empty() {
        return Err(PipelineError::argument(format!("`{}` holds no finished stage, table or run", folder.display())));
    }
    Ok(Shown { heading: stages.join("\n"), rows: Vec::new() })
}

fn rows(finished: &Finished, table: &str, limit: usize, join: bool) -> Result<Vec<Value>, PipelineError> {
    match table {
        Prompt::TABLE => read::<Prompt>(finished, limit, None),
        Rollout::TABLE => read::<Rollout>(finished, limit, join.then_some(|row| [&row.rollout_id, &row.prompt_id])),
        LengthRow::TABLE => read::<LengthRow>(finished, limit, join.then_some(|row| [&row.rollout_id, &row.prompt_id])),
        VerdictRow::TABLE => {
            read::<VerdictRow>(finished, limit, join.then_some(|row| [&row.rollout_id, &row.prompt_id]))
        }
        JudgementRow::TABLE => {
            read::<JudgementRow>(finished, limit, join.then_some(|row| [&row.rollout_id, &row.prompt_id]))
        }
        Selection::TABLE => read::<Selection>(finished, limit, join.then_some(|row| [&row.rollout_id, &row.prompt_id])),
        SftExample::TABLE => read::<SftExample>(finished, limit, None),
        Pair::TABLE => read::<Pair>(finished, limit, None),
        Dropped::TABLE => read::<Dropped>(finished, limit, None),
        Telemetry::TABLE => read::<Telemetry>(finished, limit, None),
        ReferenceLogProbs::TABLE => read::<ReferenceLogProbs>(finished, limit, None),
        MeasureRow::TABLE => read::<MeasureRow>(finished, limit, None),
        other => {
            let tables: Vec<&str> = finished.manifest.tables.keys().map(String::as_str).collect();
            Err(PipelineError::argument(format!("there is no table `{other}`; tables: {}", tables.join(", "))))
        }
    }
}

/// What was found in a rollout.
#[derive(Deserialize)]
struct Found {
    rollout_id: String,
    verdict: Verdict,
    extracted_answer: Option<String>,
}

impl Columns for Found {
    type Table = VerdictRow;
}

/// The first rows of table `T`; with `join`, which gives the ids of a row's rollout and prompt, each with its prompt, rollout
/// and verdict.
fn read<T: Row>(
    finished: &Finished,
    limit: usize,
    join: Option<fn(&T) -> [&String; 2]>,
) -> Result<Vec<Value>, PipelineError> {
    let rows: Vec<T> = finished.rows::<T>()?.take(limit).collect::<Result<_, _>>()?;
    let mut values: Vec<Value> = rows.iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect();
    let Some(ids) = join else { return Ok(values) };
    let mut prompts = follow(finished.rows::<Question>()?, |row| &row.prompt_id);
    for (row, value) in rows.iter().zip(&mut values) {
        let [_, prompt_id] = ids(row);
        let prompt = prompts.partner_of(T::TABLE, prompt_id)?;
        value["prompt"] = json!(prompt.messages);
        if let Some(beyond) = &prompt.beyond_text {
            value["beyond_text"] = json!(beyond);
        }
        value["reference_answer"] = json!(prompt.reference_answer);
    }
    if T::TABLE != Rollout::TABLE && finished.key_of(Rollout::TABLE).is_some() {
        let mut rollouts = follow(finished.rows::<Completion>()?, |row| &row.rollout_id);
        for (row, value) in rows.iter().zip(&mut values) {
            let [rollout_id, _] = ids(row);
            let rollout = rollouts.partner_of(T::TABLE, rollout_id)?;
            value["teacher"] = json!(rollout.teacher);
            value["completion"] = json!(rollout.completion);
        }
    }
    if T::TABLE != VerdictRow::TABLE && finished.key_of(VerdictRow::TABLE).is_some() {
        let mut verdicts = follow(finished.rows::<Found>()?, |row| &row.rollout_id);
        for (row, value) in rows.iter().zip(&mut values) {
            let [rollout_id, _] = ids(row);
            let verdict = verdicts.partner_of(T::TABLE, rollout_id)?;
            value["verdict"] = json!(verdict.verdict);
            value["extracted_answer"] = json!(verdict.extracted_answer);
        }
    }
    Ok(values)
}
