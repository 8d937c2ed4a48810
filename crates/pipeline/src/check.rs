//! Everything that can be known about a pipeline file before it runs.

use crate::error::PipelineError;
use crate::file::{Read, document::pointer_step, read};
use crate::graph::{Node, build};
use crate::inputs::{Finished, is_checkpoint};
use crate::machine::Machine;
use crate::problem::Problem;
use crate::source::Kind;
use crate::stage::Stage;
use crate::workspace::Access;
use retort_chat::{ChatTemplate, Tokenizer};
use retort_weights::{Checkpoint, ModelConfig};
use std::path::{Path, PathBuf};

/// A pipeline file without problems.
#[derive(Debug)]
pub struct Checked {
    /// The file.
    pub path: PathBuf,
    /// Its settings and text.
    pub read: Read,
    /// The nodes in the order they run.
    pub(crate) nodes: Vec<Node>,
    /// Which files it may name.
    pub access: Access,
    /// The folder of the tokenizer, when one is set.
    pub(crate) tokenizer: Option<PathBuf>,
    /// What the run may use of the machine.
    pub machine: Machine,
    /// What is no problem but should be known.
    pub warnings: Vec<String>,
}

impl Checked {
    /// Names of the stages in the order they run, those that stand between the lines included.
    pub fn order(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.name.as_str()).collect()
    }
}

/// Reads and checks the pipeline file at `path`. All problems are reported at once.
pub fn check(path: &Path, overrides: &[String], allow_path: bool) -> Result<Checked, PipelineError> {
    check_on(path, overrides, allow_path, Machine::default())
}

/// [`check`] for a given machine: training that does not fit into its memory is a problem.
pub fn check_on(
    path: &Path,
    overrides: &[String],
    allow_path: bool,
    machine: Machine,
) -> Result<Checked, PipelineError> {
    let text = std::fs::read_to_string(path).map_err(PipelineError::io("read", path))?;
    let fail = |problems| PipelineError::Problems { path: path.to_owned(), text: text.clone(), problems };
    let mut read = read(text.clone(), overrides).map_err(fail)?;
    let access = Access::of(path, allow_path).map_err(PipelineError::io("use", path))?;

    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let tokenizer = read.file.tokenizer.as_ref().and_then(|folder| {
        let span = read.document.span("/tokenizer");
        match access.resolve(folder) {
            Err(reason) => problems.push(Problem::new(reason, span)),
            Ok(folder) => match Tokenizer::load(&folder) {
                Err(error) => problems.push(Problem::new(error.to_string(), span)),
                Ok(_) => {
                    warnings.extend(template_warning(&folder));
                    return Some(folder);
                }
            },
        }
        None
    });
    problems.extend(crate::stages::hand_over::link(&mut read, &access));
    for name in &read.order {
        let Some(stage) = read.file.stages.get(name) else { continue };
        let base = format!("/stages/{}/{}", pointer_step(name), stage.kind());
        for (pointer, message) in stage.problems() {
            problems.push(Problem::new(message, read.document.span(&format!("{base}{pointer}"))));
        }
        for (pointer, file) in stage.files() {
            let span = read.document.span(&format!("{base}{pointer}"));
            match access.resolve(&file) {
                Err(reason) => problems.push(Problem::new(reason, span)),
                Ok(path) => {
                    if crate::stages::import::expand_glob(&path).is_empty() {
                        problems.push(
                            Problem::new(format!("there is no file `{file}`"), span)
                                .with_help(format!("paths start from the workspace `{}`", shown(&access.workspace))),
                        );
                    }
                }
            }
        }
    }
    let kind_of_path = |text: &str| {
        let folder = access.resolve(text)?;
        if is_checkpoint(&folder) {
            return Ok(Kind::Checkpoint);
        }
        Finished::open(text, &folder).map(|found| found.manifest.output).map_err(|error| error.to_string())
    };
    let nodes = build(&read, &kind_of_path).unwrap_or_else(|found| {
        problems.extend(found);
        Vec::new()
    });
    problems.extend(too_large(&read, &access, machine.memory));
    if problems.is_empty() {
        return Ok(Checked { path: path.to_owned(), read, nodes, access, tokenizer, machine, warnings });
    }
    problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
    Err(fail(problems))
}

/// Training that would not fit into memory even on the shortest rows, or on rows longer than the model reads.
fn too_large(read: &Read, access: &Access, memory: u64) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in &read.order {
        let Some(Stage::Train(train)) = read.file.stages.get(name) else { continue };
        let Some(config) = model_of(read, access, name, 0) else { continue };
        if let Some(message) = train.longer_than_the_model(&config) {
            let pointer = format!("/stages/{}/train/training/max_length", pointer_step(name));
            problems.push(
                Problem::new(message, read.document.span(&pointer))
                    .with_help("a lower `max_length`, or `null` for what the model reads; a preset sets it too"),
            );
        }
        let forecast = train.least(&config);
        if forecast.peak_bytes as u64 > memory {
            let pointer = format!("/stages/{}/train", pointer_step(name));
            problems.push(
                Problem::new(crate::plan::too_large(&forecast, memory), read.document.key_span(&pointer))
                    .with_help("give more memory with `--memory`, or train a smaller model"),
            );
        }
    }
    problems
}

/// The model that a stage trains, merges or starts from, as far as the file and the disk say.
fn model_of(read: &Read, access: &Access, name: &str, depth: usize) -> Option<ModelConfig> {
    let source = match read.file.stages.get(name)? {
        Stage::Train(train) => match (&train.init, &train.base) {
            (Some(init), _) => return init.architecture.config().ok(),
            (None, base) => base.as_ref()?.0.clone(),
        },
        Stage::Merge(merge) => merge.0.models.first()?.model.clone(),
        _ => return None,
    };
    if !source.contains('/') {
        // Cycles are reported elsewhere: here they must only end.
        return if depth < read.order.len() { model_of(read, access, &source, depth + 1) } else { None };
    }
    let folder = access.resolve(&source).ok()?;
    let folder =
        if is_checkpoint(&folder) { folder } else { Finished::open(&source, &folder).ok()?.checkpoint_folder() };
    Checkpoint::open(&folder).ok()?.config().ok()
}

/// Training on a template that deletes reasoning would silently teach the student not to think.
fn template_warning(folder: &Path) -> Option<String> {
    match ChatTemplate::load(folder) {
        Ok(Some(template)) if template.deletes_reasoning() => Some(format!(
            "the chat template of `{}` deletes `<think>` text from assistant turns; training renders the trained turn itself \
             so that reasoning is kept",
            shown(folder)
        )),
        Ok(_) => None,
        Err(error) => Some(format!("the chat template of `{}` is not usable: {error}", shown(folder))),
    }
}

/// A path as people see it: relative to where they stand when that is shorter.
pub(crate) fn shown(path: &Path) -> String {
    let relative = std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    match relative {
        Some(relative) if relative.as_os_str().is_empty() => ".".to_owned(),
        Some(relative) => relative.display().to_string(),
        None => path.display().to_string(),
    }
}
