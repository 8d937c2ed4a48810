//! Tables and records for people.

use crate::narrow::{Completion, Question};
use crate::train::Train;
use retort_pipeline::{Finished, Manifest, PipelineError, StageKind, canonical, did_you_mean};
use retort_records::{
    Dropped, JudgementRow, LengthRow, MeasureRow, Pair, Prompt, ReferenceLogProbs, Rollout, Row, Selection, SftExample,
    Telemetry, Verdict, VerdictRow,
};
use retort_tables::Columns;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
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
        Rollout::TABLE => {
            read::<Rollout>(finished, limit, join.then_some(|row| (Some(&row.rollout_id), &row.prompt_id)))
        }
        LengthRow::TABLE => {
            read::<LengthRow>(finished, limit, join.then_some(|row| (Some(&row.rollout_id), &row.prompt_id)))
        }
        VerdictRow::TABLE => {
            read::<VerdictRow>(finished, limit, join.then_some(|row| (Some(&row.rollout_id), &row.prompt_id)))
        }
        JudgementRow::TABLE => {
            read::<JudgementRow>(finished, limit, join.then_some(|row| (Some(&row.rollout_id), &row.prompt_id)))
        }
        Selection::TABLE => {
            read::<Selection>(finished, limit, join.then_some(|row| (Some(&row.rollout_id), &row.prompt_id)))
        }
        SftExample::TABLE => {
            read::<SftExample>(finished, limit, join.then_some(|row| (row.rollout_id.as_ref(), &row.prompt_id)))
        }
        Pair::TABLE => read::<Pair>(finished, limit, None),
        Dropped::TABLE => read::<Dropped>(finished, limit, None),
        Telemetry::TABLE => read::<Telemetry>(finished, limit, None),
        ReferenceLogProbs::TABLE => read::<ReferenceLogProbs>(finished, limit, None),
        MeasureRow::TABLE => read::<MeasureRow>(finished, limit, None),
        other => {
            let tables: Vec<&str> = finished.manifest.tables.keys().map(String::as_str).collect();
            let error = PipelineError::argument(format!("there is no table `{other}`; tables: {}", tables.join(", ")));
            Err(match did_you_mean(other, tables) {
                Some(near) => error.with_hint(near),
                None => error,
            })
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

/// The ids of the rollout that a row stands for, if it stands for one, and of its prompt.
type IdsOf<T> = fn(&T) -> (Option<&String>, &String);

/// The first rows of table `T`; with `join`, each with its prompt, rollout and verdict. Rows of several sets come in any
/// order, so what they stand for is looked up, not walked to.
fn read<T: Row>(finished: &Finished, limit: usize, join: Option<IdsOf<T>>) -> Result<Vec<Value>, PipelineError> {
    let rows: Vec<T> = finished.rows::<T>()?.take(limit).collect::<Result<_, _>>()?;
    let values = rows.iter().map(serde_json::to_value).collect::<Result<Vec<Value>, _>>();
    let mut values = values.map_err(PipelineError::json("a row"))?;
    let Some(ids) = join else { return Ok(values) };
    let prompts = looked_up(finished, rows.iter().map(|row| ids(row).1), |row: &Question| &row.prompt_id)?;
    for (row, value) in rows.iter().zip(&mut values) {
        if let Some(prompt) = prompts.get(ids(row).1) {
            value["prompt"] = json!(prompt.messages);
            if let Some(beyond) = &prompt.beyond_text {
                value["beyond_text"] = json!(beyond);
            }
            value["reference_answer"] = json!(prompt.reference_answer);
        }
    }
    let rollout_ids = || rows.iter().filter_map(|row| ids(row).0);
    if T::TABLE != Rollout::TABLE {
        let rollouts = looked_up(finished, rollout_ids(), |row: &Completion| &row.rollout_id)?;
        for (row, value) in rows.iter().zip(&mut values) {
            if let Some(rollout) = ids(row).0.and_then(|id| rollouts.get(id)) {
                value["teacher"] = json!(rollout.teacher);
                value["completion"] = json!(rollout.completion);
            }
        }
    }
    if T::TABLE != VerdictRow::TABLE {
        let verdicts = looked_up(finished, rollout_ids(), |row: &Found| &row.rollout_id)?;
        for (row, value) in rows.iter().zip(&mut values) {
            if let Some(verdict) = ids(row).0.and_then(|id| verdicts.get(id)) {
                value["verdict"] = json!(verdict.verdict);
                value["extracted_answer"] = json!(verdict.extracted_answer);
            }
        }
    }
    Ok(values)
}

/// The rows of `P` with one of `ids`, as far as the stage has or was made of such a table.
fn looked_up<'a, P: Columns>(
    finished: &Finished,
    ids: impl Iterator<Item = &'a String>,
    id_of: fn(&P) -> &String,
) -> Result<BTreeMap<String, P>, PipelineError> {
    let mut wanted: BTreeSet<&String> = ids.collect();
    let mut found = BTreeMap::new();
    if wanted.is_empty() || finished.origins(P::Table::TABLE).is_empty() {
        return Ok(found);
    }
    for row in finished.rows::<P>()? {
        let row = row?;
        if wanted.remove(id_of(&row)) {
            found.insert(id_of(&row).clone(), row);
            if wanted.is_empty() {
                break;
            }
        }
    }
    Ok(found)
}
