//! What each command does with what was typed.

use crate::arguments::{
    Arguments, CheckArguments, ExplainArguments, GcArguments, ManArguments, PlanArguments, RunArguments,
    SchemaArguments, ShowArguments, VerifyDataArguments,
};
use crate::pipeline_flags::OutFlag;
use crate::progress::{Form, Progress};
use crate::screen::{CommandResult, bytes, duration, line, note, show_problems, tame};
use clap::CommandFactory;
use retort_pipeline::{PipelineError, RunOptions, StageState, Store, did_you_mean};
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// `check`.
pub fn check(arguments: &CheckArguments) -> CommandResult {
    let file = &arguments.pipeline;
    let checked = file.check().and_then(|checked| {
        checked.unmet(checked.nodes().iter())?;
        Ok(checked)
    });
    match checked {
        Ok(checked) => {
            for warning in &checked.warnings {
                note(&format!("warning: {warning}"));
            }
            line(&format!("{}: no problems in {} stages", file.file.display(), checked.file().stages.len()))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(PipelineError::Problems { path, text, problems }) => {
            show_problems(&path, &text, &problems);
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(error.into()),
    }
}

/// `plan`.
pub fn plan(arguments: &PlanArguments) -> CommandResult {
    let file = &arguments.pipeline;
    let checked = file.check()?;
    for warning in &checked.warnings {
        note(&format!("warning: {warning}"));
    }
    let plan = retort_pipeline::plan(&checked, &arguments.out.out)?;
    let width = plan.stages.iter().map(|stage| stage.name.len()).max().unwrap_or(0);
    for stage in &plan.stages {
        let (state, why) = match &stage.state {
            StageState::Fresh => ("fresh", String::new()),
            StageState::Missing => ("missing", String::new()),
            StageState::Stale(why) => ("stale", format!(" because of {why}")),
            StageState::Damaged(what) => ("damaged", format!(": {what}")),
        };
        let note = if stage.note.is_empty() { String::new() } else { format!("  {}", stage.note) };
        line(format!("{:width$}  {:10}  {state:7}{why}{note}", stage.name, stage.kind).trim_end())?;
    }
    let open = plan.open();
    line(&match open {
        0 => "nothing to do".to_owned(),
        1 => "1 stage to run".to_owned(),
        _ => format!("{open} stages to run"),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// `run`.
pub fn run(arguments: &RunArguments) -> CommandResult {
    static CANCEL: AtomicBool = AtomicBool::new(false);
    let started = Instant::now();
    let file = &arguments.pipeline;
    let checked = file.check()?;
    let form = match (arguments.quiet, arguments.json) {
        (true, _) => Form::Quiet,
        (_, true) => Form::Json,
        _ => Form::Human,
    };
    for warning in &checked.warnings {
        match form {
            Form::Quiet => {}
            Form::Json => note(&json!({ "event": "warning", "message": warning }).to_string()),
            Form::Human => note(&format!("warning: {warning}")),
        }
    }
    let progress = Arc::new(Progress::new(form));
    let shown = Arc::clone(&progress);
    // The first Ctrl-C asks the stage to stop at a safe point; the second ends the process, which loses nothing committed.
    let handler = move || {
        if CANCEL.swap(true, Ordering::Relaxed) {
            shown.clear();
            std::process::exit(130);
        }
        shown.say("stopping at the next safe point; press Ctrl-C again to stop at once");
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        note(&format!("warning: Ctrl-C will stop the run at once: {error}"));
    }
    let options = RunOptions { out: arguments.out.out.clone(), only: arguments.only.clone(), mend: arguments.mend };
    let summary = retort_pipeline::run(&checked, &options, &*progress, &CANCEL);
    progress.clear();
    let summary = summary?;
    if form == Form::Human {
        let ran = summary.stages.iter().filter(|stage| stage.ran).count();
        let fresh = summary.stages.len() - ran;
        note(&format!("{ran} stages run, {fresh} fresh, in {}", duration(started.elapsed())));
        note(&format!("results: {}", summary.folder.display()));
        if let Some(report) = &summary.report {
            note(&format!("report:  {}", report.display()));
        }
    }
    for stage in &summary.without_rows {
        let dropped = summary.folder.join(stage).display().to_string();
        note(&format!("`{stage}` ends with no rows; why they went: `retort show {dropped} --table dropped`"));
    }
    Ok(if summary.without_rows.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// `show`.
pub fn show(arguments: &ShowArguments) -> CommandResult {
    let shown = retort_stages::show(&arguments.folder, arguments.table.as_deref(), arguments.limit, arguments.join)?;
    if arguments.json {
        for row in &shown.rows {
            line(&row.to_string())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    line(&shown.heading)?;
    for row in &shown.rows {
        line("")?;
        for (name, value) in row.as_object().into_iter().flatten() {
            let text = match value {
                serde_json::Value::String(text) => tame(text),
                serde_json::Value::Null => continue,
                other => tame(&other.to_string()),
            };
            line(&format!("{name}: {}", shorten(&text)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Long texts by their beginning and end, which is where reasoning starts and answers stand.
fn shorten(text: &str) -> String {
    let length = text.chars().count();
    if length <= 400 {
        return text.to_owned();
    }
    let start: String = text.chars().take(200).collect();
    let end: String = text.chars().skip(length - 180).collect();
    format!("{start} […{} characters…] {end}", length - 380)
}

/// `schema`.
pub fn schema(arguments: &SchemaArguments) -> CommandResult {
    let files = retort_stages::schema_files(&retort_stages::engine())?;
    match &arguments.write {
        None => line(files.first().map(|file| file.text.trim_end()).unwrap_or_default())?,
        Some(folder) => {
            for file in &files {
                let path = folder.join(&file.name);
                std::fs::create_dir_all(folder)
                    .and_then(|()| std::fs::write(&path, &file.text))
                    .map_err(PipelineError::io("write", path))?;
            }
            line(&format!("{} schemas in {}", files.len(), folder.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `explain`.
pub fn explain(arguments: &ExplainArguments) -> CommandResult {
    let engine = retort_stages::engine();
    let names = retort_stages::explained_names(&engine);
    let Some(name) = &arguments.name else {
        for (group, names) in &names {
            line(&format!("{group}: {}", names.join(", ")))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    match retort_stages::explain(&engine, name) {
        Some(text) => line(text.trim_end())?,
        None => {
            let all: Vec<&str> = names.iter().flat_map(|(_, names)| names.iter().copied()).collect();
            let message = format!("there is nothing called `{name}`; names: {}", all.join(", "));
            let error = PipelineError::argument(message);
            return Err(match did_you_mean(name, all) {
                Some(near) => error.with_hint(near),
                None => error,
            }
            .into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The store that was typed; a folder without one is a mistake, not an empty store.
fn existing_store(out: &OutFlag) -> Result<Store, PipelineError> {
    let store = Store::read_only(&out.out)?;
    if store.exists() {
        return Ok(store);
    }
    let reason = format!("`{}` holds no results: there is no folder `store` in it", out.out.display());
    Err(PipelineError::argument(reason).with_hint("name the folder of `run --out` with `--out`"))
}

/// `gc`.
pub fn gc(arguments: &GcArguments) -> CommandResult {
    existing_store(&arguments.out)?;
    let store = Store::open(&arguments.out.out)?;
    let _lock = store.lock()?;
    let freed = store.gc(arguments.dry_run, arguments.unfinished)?;
    let verb = if arguments.dry_run { "would free" } else { "freed" };
    line(&format!("{verb} {} in {} outputs", bytes(freed.bytes), freed.outputs))?;
    if freed.unfinished > 0 {
        note(&format!("{} unfinished stages keep their samples; remove them with `--unfinished`", freed.unfinished));
    }
    Ok(ExitCode::SUCCESS)
}

/// `verify-data`.
pub fn verify_data(arguments: &VerifyDataArguments) -> CommandResult {
    let report = existing_store(&arguments.out)?.verify_data()?;
    for file in &report.bad {
        line(&format!("{}: {}", file.path.display(), file.reason))?;
    }
    line(&format!("{} files good, {} bad", report.good, report.bad.len()))?;
    Ok(if report.bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// `completions`.
pub fn completions(shell: clap_complete::Shell) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "retort", &mut script);
    line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// `man`.
pub fn man(arguments: &ManArguments) -> CommandResult {
    let command = Arguments::command().disable_help_subcommand(true);
    let Some(folder) = &arguments.write else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(command).render(&mut page);
        rendered.map_err(PipelineError::io("write", "the manual page"))?;
        line(String::from_utf8_lossy(&page).trim_end())?;
        return Ok(ExitCode::SUCCESS);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(PipelineError::io("write manual pages to", folder))?;
    line(&format!("manual pages in {}: `man -l {}`", folder.display(), folder.join("retort.1").display()))?;
    Ok(ExitCode::SUCCESS)
}
