//! The stages in the order they run, with the stages that stand between the lines of the file.

use crate::engine::Engine;
use crate::file::Read;
use crate::file::document::pointer_step;
use crate::output_kind::OutputKind;
use crate::problem::{Problem, did_you_mean};
use crate::source::Source;
use crate::stage_kind::{Stage, Surroundings};
use std::collections::{BTreeMap, BTreeSet};

/// A unit of the run.
#[derive(Debug)]
pub struct Node {
    /// The stage's name, or `SOURCE.KIND` of a derived stage.
    pub name: String,
    /// What it does.
    pub stage: Box<dyn Stage>,
    /// What it reads, by slot (`verdicts`, `data/0`, …).
    pub inputs: BTreeMap<String, Source>,
    /// Derived stages that it needs.
    pub derived: Vec<String>,
}

impl Node {
    fn new(name: String, stage: Box<dyn Stage>, around: &Surroundings<'_>) -> Self {
        let slot = |input: crate::stage_kind::Input<'_>| (input.slot().to_owned(), Source(input.source.to_owned()));
        let inputs = stage.inputs(around).into_iter().map(slot).collect();
        Self { name, stage, inputs, derived: Vec::new() }
    }

    /// Names of the nodes it waits for.
    pub fn waits_for(&self) -> impl Iterator<Item = &str> {
        let stages = self.inputs.values().filter(|source| !source.is_path()).map(Source::as_str);
        stages.chain(self.derived.iter().map(String::as_str))
    }
}

/// What is known of finished stages that are named by a path.
pub struct Paths<'a> {
    /// What the stage made.
    pub kind: &'a dyn Fn(&str) -> Result<OutputKind, String>,
    /// Whether it has the table of outputs of a kind, or was made of one.
    pub has_table: &'a dyn Fn(&str, OutputKind) -> bool,
}

/// Builds the graph: every node after all it waits for, otherwise in the file's order. Finds unknown stages, wrong
/// kinds and cycles.
pub fn build(
    engine: &Engine,
    read: &Read,
    around: &Surroundings<'_>,
    paths: &Paths<'_>,
) -> Result<Vec<Node>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    for (name, stage) in around.stages.iter() {
        problems.extend(input_problems(read, name, stage, around, paths.kind));
        nodes.insert(name.to_owned(), Node::new(name.to_owned(), stage.boxed(), around));
    }
    if problems.is_empty() {
        add_derived(engine, &mut nodes, around, paths.has_table);
    }
    let file_order: Vec<&str> = around.stages.iter().map(|(name, _)| name).collect();
    match ordered(&nodes, &file_order) {
        Ok(order) if problems.is_empty() => Ok(order.iter().filter_map(|name| nodes.remove(name)).collect()),
        Ok(_) => Err(problems),
        Err(cycle) => {
            let pointer = cycle.first().map(|name| format!("/stages/{}", pointer_step(name))).unwrap_or_default();
            let message = format!("stages wait for each other: {}", cycle.join(" → "));
            problems.push(Problem::new(message, read.document.key_span(&pointer)));
            Err(problems)
        }
    }
}

/// Inputs that name nothing, or something of another kind.
fn input_problems(
    read: &Read,
    name: &str,
    stage: &dyn Stage,
    around: &Surroundings<'_>,
    kind_of_path: &dyn Fn(&str) -> Result<OutputKind, String>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for input in stage.inputs(around) {
        let pointer = format!("/stages/{}/{}{}", pointer_step(name), stage.kind(), input.pointer);
        let span = read.document.span(&pointer);
        let source = input.source;
        let found = if Source(source.to_owned()).is_path() {
            kind_of_path(source)
        } else {
            around.stages.get(source).map(Stage::output).ok_or_else(|| {
                let names: Vec<&str> = around.stages.names().collect();
                format!("there is no stage `{source}`; stages: {}", names.join(", "))
            })
        };
        match found {
            Ok(kind) if input.accepts.contains(&kind) => {}
            Ok(kind) => {
                let allowed: Vec<&str> = input.accepts.iter().map(|kind| kind.word()).collect();
                problems.push(Problem::new(
                    format!("`{source}` makes {}, but `{name}` needs {} here", kind.word(), allowed.join(" or ")),
                    span,
                ));
            }
            Err(message) => {
                let folder = |written: &str| around.resolver.locate(written).is_ok_and(|found| found.is_dir());
                let path = format!("./{source}");
                let help = if !source.contains('/') && folder(&path) {
                    Some(format!("there is a folder of this name: a path holds a `/`, so write `{path}`"))
                } else {
                    did_you_mean(source, around.stages.names())
                };
                problems.push(Problem::new(message, span).with_help_if(help));
            }
        }
    }
    problems
}

/// Puts the derived stages that somebody needs behind what they are derived from.
fn add_derived(
    engine: &Engine,
    nodes: &mut BTreeMap<String, Node>,
    around: &Surroundings<'_>,
    has_table: &dyn Fn(&str, OutputKind) -> bool,
) {
    let mut derived: BTreeMap<String, Node> = BTreeMap::new();
    let mut wanted: Vec<(String, Vec<String>)> = Vec::new();
    for node in nodes.values() {
        let mut names = BTreeSet::new();
        for kind in node.stage.needs().iter().filter_map(|kind| engine.kind(kind)) {
            let Some(from) = kind.derived_from else { continue };
            for root in origins(nodes, node.inputs.values().cloned().collect(), from, has_table) {
                // The name becomes a file name, also where the root is a path.
                let name = format!("{}.{}", root.replace('/', "_"), kind.name);
                names.insert(name.clone());
                if let (false, Some(stage)) = (derived.contains_key(&name), (kind.derive)(root)) {
                    derived.insert(name.clone(), Node::new(name, stage, around));
                }
            }
        }
        wanted.push((node.name.clone(), names.into_iter().collect()));
    }
    for (name, names) in wanted {
        if let Some(node) = nodes.get_mut(&name) {
            node.derived = names;
        }
    }
    nodes.append(&mut derived);
}

/// The sources of kind `from` that `sources` were made of. Each stage is looked at once, however many ways lead to it.
fn origins(
    nodes: &BTreeMap<String, Node>,
    sources: Vec<Source>,
    from: OutputKind,
    has_table: &dyn Fn(&str, OutputKind) -> bool,
) -> BTreeSet<Source> {
    let (mut open, mut seen, mut found) = (sources, BTreeSet::new(), BTreeSet::new());
    while let Some(source) = open.pop() {
        if !seen.insert(source.clone()) {
            continue;
        }
        match nodes.get(source.as_str()) {
            _ if source.is_path() => found.extend(has_table(&source, from).then_some(source)),
            Some(node) if node.stage.output() == from => drop(found.insert(source)),
            // Checkpoints and measures were made of rollouts, but nobody asks for what belongs to those behind them.
            Some(node) if matches!(node.stage.output(), OutputKind::Checkpoint | OutputKind::Measures) => {}
            Some(node) => open.extend(node.inputs.values().cloned()),
            None => {}
        }
    }
    found
}

/// The names of the nodes in their order, or a cycle.
fn ordered(nodes: &BTreeMap<String, Node>, file_order: &[&str]) -> Result<Vec<String>, Vec<String>> {
    let (mut done, mut order) = (BTreeSet::new(), Vec::new());
    for name in file_order {
        // What is waited for on the way to here, each with what it still waits for itself.
        let mut path: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut on_path = BTreeSet::new();
        let mut next = Some(*name);
        loop {
            if let Some(name) = next.take() {
                if on_path.contains(name) {
                    let start = path.iter().position(|(step, _)| *step == name).unwrap_or(0);
                    let mut cycle: Vec<String> = path[start..].iter().map(|(step, _)| (*step).to_owned()).collect();
                    cycle.push(name.to_owned());
                    return Err(cycle);
                }
                if let (false, Some(node)) = (done.contains(name), nodes.get(name)) {
                    let mut waits: Vec<&str> = node.waits_for().collect();
                    waits.reverse();
                    on_path.insert(name);
                    path.push((name, waits));
                }
            }
            let Some((name, waits)) = path.last_mut() else { break };
            next = waits.pop();
            if next.is_none() {
                let name = *name;
                path.pop();
                on_path.remove(name);
                done.insert(name);
                order.push(name.to_owned());
            }
        }
    }
    Ok(order)
}
