//! Everything that can be known about a pipeline file before it runs.

use crate::engine::Engine;
use crate::error::PipelineError;
use crate::file::{PipelineFile, Read, document::pointer_step, read};
use crate::finished::{Finished, is_checkpoint};
use crate::graph::{Node, Paths, build};
use crate::machine::Machine;
use crate::output_kind::OutputKind;
use crate::problem::{Problem, did_you_mean};
use crate::resolver::{Access, Resolver, expand_glob, shown};
use crate::stage_kind::{SettingProblem, Stage, Surroundings};
use std::path::{Path, PathBuf};

/// A pipeline file without problems.
#[derive(Debug)]
pub struct Checked {
    /// The file.
    pub path: PathBuf,
    pub(crate) read: Read,
    pub(crate) nodes: Vec<Node>,
    pub(crate) resolver: Box<dyn Resolver>,
    pub(crate) machine: Machine,
    /// What is no problem but should be known.
    pub warnings: Vec<String>,
}

impl Checked {
    /// The file's settings but for the stages'.
    pub fn file(&self) -> &PipelineFile {
        &self.read.file
    }

    /// The nodes in the order they run.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Names of the stages in the order they run, derived ones included.
    pub fn order(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.name.as_str()).collect()
    }

    /// The stage called `name`, or an error that names those there are.
    pub fn node(&self, name: &str) -> Result<&Node, PipelineError> {
        let found = self.nodes.iter().find(|node| node.name == name);
        found.ok_or_else(|| {
            let order = self.order();
            let error = PipelineError::argument(format!("there is no stage `{name}`; stages: {}", order.join(", ")));
            match did_you_mean(name, order) {
                Some(near) => error.with_hint(near),
                None => error,
            }
        })
    }

    /// What the work of `nodes` needs and is not there now, such as a teacher's key, each at its place in the file.
    pub fn unmet<'n>(&self, nodes: impl Iterator<Item = &'n Node>) -> Result<(), PipelineError> {
        let mut problems = Vec::new();
        for node in nodes {
            let base = format!("/stages/{}/{}", pointer_step(&node.name), node.stage.kind());
            let unmet = node.stage.unmet(&self.around()).into_iter();
            problems.extend(unmet.map(|SettingProblem { pointer, message, hint }| {
                let span = self.read.document.span(&format!("{base}{pointer}"));
                Problem::new(message, span).with_help_if(hint)
            }));
        }
        let (path, text) = (self.path.clone(), self.read.document.text.clone());
        if problems.is_empty() { Ok(()) } else { Err(PipelineError::Problems { path, text, problems }) }
    }

    /// What stands around every stage.
    pub fn around(&self) -> Surroundings<'_> {
        surroundings(&self.read, self.resolver.as_ref(), &self.machine)
    }
}

fn surroundings<'a>(read: &'a Read, resolver: &'a dyn Resolver, machine: &'a Machine) -> Surroundings<'a> {
    Surroundings { stages: &read.stages, tokenizer: read.file.tokenizer.as_deref(), resolver, machine }
}

impl Engine {
    /// Reads and checks the pipeline file at `path` for a given machine. All problems are reported at once.
    pub fn check(
        &self,
        path: &Path,
        overrides: &[String],
        allow_path: bool,
        machine: Machine,
    ) -> Result<Checked, PipelineError> {
        let text = std::fs::read_to_string(path).map_err(PipelineError::io("read", path))?;
        let fail = |problems| PipelineError::Problems { path: path.to_owned(), text: text.clone(), problems };
        let read = read(self, text.clone(), overrides).map_err(fail)?;
        let resolver = (self.resolver)(Access::of(path, allow_path).map_err(PipelineError::io("use", path))?);
        let around = surroundings(&read, resolver.as_ref(), &machine);

        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        if let Some(folder) = around.tokenizer {
            match around.resolver.locate(folder).and_then(|folder| (self.check_tokenizer)(&folder)) {
                Ok(found) => warnings.extend(found),
                Err(reason) => problems.push(Problem::new(reason, read.document.span("/tokenizer"))),
            }
        }
        for (name, stage) in around.stages.iter() {
            let base = format!("/stages/{}/{}", pointer_step(name), stage.kind());
            problems.extend(stage_problems(&read, &around, stage, &base));
        }
        let kind_of_path = |text: &str| {
            let folder = around.resolver.locate(text)?;
            if is_checkpoint(&folder) {
                return Ok(OutputKind::Checkpoint);
            }
            Finished::open(text, &folder).map(|found| found.manifest.output).map_err(|error| error.to_string())
        };
        let has_table = |text: &str, kind: OutputKind| {
            let Ok(folder) = around.resolver.locate(text) else { return false };
            let found = if is_checkpoint(&folder) { None } else { Finished::open(text, &folder).ok() };
            // As in the file: nobody asks for what belongs to the rollouts behind a checkpoint or its measures.
            let found =
                found.filter(|found| !matches!(found.manifest.output, OutputKind::Checkpoint | OutputKind::Measures));
            found.zip(kind.table()).is_some_and(|(found, table)| !found.origins(table).is_empty())
        };
        let paths = Paths { kind: &kind_of_path, has_table: &has_table };
        let nodes = build(self, &read, &around, &paths).unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        });
        if problems.is_empty() {
            return Ok(Checked { path: path.to_owned(), nodes, resolver, machine, warnings, read });
        }
        problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
        Err(fail(problems))
    }
}

/// What the stage says of its settings, and files that are not there.
fn stage_problems(read: &Read, around: &Surroundings<'_>, stage: &dyn Stage, base: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for SettingProblem { pointer, message, hint } in stage.problems(around) {
        // What is wrong with a stage as a whole is shown at its kind.
        let at = format!("{base}{pointer}");
        let span = if pointer.is_empty() { read.document.key_span(&at) } else { read.document.span(&at) };
        problems.push(Problem::new(message, span).with_help_if(hint));
    }
    for file in stage.files(around) {
        let span = read.document.span(&format!("{base}{}", file.pointer));
        match around.resolver.locate(&file.path) {
            Err(reason) => problems.push(Problem::new(reason, span)),
            // A folder may be named where its files decide.
            Ok(path) if expand_glob(&path).is_empty() && (!path.is_dir() || (file.deciding)(&path).is_empty()) => {
                let workspace = shown(around.resolver.workspace());
                problems.push(
                    Problem::new(format!("there is no file `{}`", file.path), span)
                        .with_help(format!("paths start from the workspace `{workspace}`")),
                );
            }
            Ok(_) => {}
        }
    }
    problems
}
