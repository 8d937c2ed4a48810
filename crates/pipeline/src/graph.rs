//! The stages in the order they run, with the stages that stand between the lines of the file.

use crate::file::Read;
use crate::file::document::pointer_step;
use crate::problem::{Problem, did_you_mean};
use crate::source::{Kind, Source};
use crate::stage::Stage;
use std::collections::{BTreeMap, BTreeSet};

/// What a node does.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a run has a handful of nodes, and matches look through the stage")]
pub enum Work {
    /// A stage of the file.
    Stage(Stage),
    /// Counts the lengths of rollouts in tokens of the model to be trained. Stands between a stage that makes rollouts
    /// and those that count; nobody writes it.
    Lengths,
}

/// A unit of the run.
#[derive(Debug, Clone)]
pub struct Node {
    /// The stage's name, or `ROLLOUTS.lengths`.
    pub name: String,
    /// What it does.
    pub work: Work,
    /// What it reads, by what reads it (`verdicts`, `data/0`, …).
    pub inputs: BTreeMap<String, Source>,
    /// Nodes that count the rollouts behind its inputs.
    pub lengths: Vec<String>,
}

impl Node {
    /// The stage kind.
    pub fn kind(&self) -> &'static str {
        match &self.work {
            Work::Stage(stage) => stage.kind(),
            Work::Lengths => "lengths",
        }
    }

    /// What it makes.
    pub fn output(&self) -> Kind {
        match &self.work {
            Work::Stage(stage) => stage.output(),
            Work::Lengths => Kind::Lengths,
        }
    }

    /// Names of the nodes it waits for.
    pub fn waits_for(&self) -> impl Iterator<Item = &str> {
        let stages = self.inputs.values().filter(|source| !source.is_path()).map(Source::as_str);
        stages.chain(self.lengths.iter().map(String::as_str))
    }
}

/// Builds the graph: every node after all it waits for, otherwise in the file's order. Finds unknown stages, wrong
/// kinds and cycles.
pub fn build(read: &Read, kind_of_path: &dyn Fn(&str) -> Result<Kind, String>) -> Result<Vec<Node>, Vec<Problem>> {
    let stages = &read.file.stages;
    let mut problems = Vec::new();
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    for name in &read.order {
        let Some(stage) = stages.get(name) else { continue };
        let mut inputs = BTreeMap::new();
        for input in stage.inputs() {
            let pointer = format!("/stages/{}/{}{}", pointer_step(name), stage.kind(), input.pointer);
            let span = read.document.span(&pointer);
            let source = Source(input.source.to_owned());
            let found = if source.is_path() {
                kind_of_path(&source)
            } else {
                stages.get(input.source).map(Stage::output).ok_or_else(|| {
                    let names: Vec<&str> = stages.keys().map(String::as_str).collect();
                    format!("there is no stage `{source}`; stages: {}", names.join(", "), source = input.source)
                })
            };
            match found {
                Ok(kind) if input.accepts.contains(&kind) => {}
                Ok(kind) => {
                    let allowed: Vec<&str> = input.accepts.iter().map(|kind| kind.word()).collect();
                    problems.push(Problem::new(
                        format!(
                            "`{}` makes {}, but `{name}` needs {} here",
                            input.source,
                            kind.word(),
                            allowed.join(" or ")
                        ),
                        span,
                    ));
                }
                Err(message) => {
                    let problem = Problem::new(message, span);
                    problems.push(match did_you_mean(input.source, stages.keys().map(String::as_str)) {
                        Some(help) => problem.with_help(help),
                        None => problem,
                    });
                }
            }
            inputs.insert(input.pointer.trim_start_matches('/').to_owned(), source);
        }
        if let Stage::Report(report) = stage
            && report.of.is_empty()
        {
            let others = read.order.iter().filter(|other| !matches!(stages.get(*other), Some(Stage::Report(_))));
            for (index, other) in others.enumerate() {
                // The name is part of the key: the report shows it.
                inputs.insert(format!("of/{index}/{other}"), Source(other.clone()));
            }
        }
        nodes.insert(
            name.clone(),
            Node { name: name.clone(), work: Work::Stage(stage.clone()), inputs, lengths: Vec::new() },
        );
    }
    if problems.is_empty() {
        add_lengths(&mut nodes);
    }
    match ordered(&nodes, &read.order) {
        Ok(order) if problems.is_empty() => Ok(order),
        Ok(_) => Err(problems),
        Err(cycle) => {
            let pointer = cycle.first().map(|name| format!("/stages/{}", pointer_step(name))).unwrap_or_default();
            let message = format!("stages wait for each other: {}", cycle.join(" → "));
            problems.push(Problem::new(message, read.document.key_span(&pointer)));
            Err(problems)
        }
    }
}

/// Puts a counting node behind every source of rollouts whose lengths somebody needs.
fn add_lengths(nodes: &mut BTreeMap<String, Node>) {
    let mut counting: BTreeMap<String, Node> = BTreeMap::new();
    let mut wanted: Vec<(String, Vec<String>)> = Vec::new();
    for node in nodes.values() {
        let Work::Stage(stage) = &node.work else { continue };
        if !stage.needs_lengths() {
            continue;
        }
        let mut names = BTreeSet::new();
        for source in node.inputs.values() {
            for root in rollouts_behind(nodes, source, 0) {
                // The name becomes a file name, also where the root is a path.
                let name = format!("{}.lengths", root.0.replace('/', "_"));
                names.insert(name.clone());
                counting.entry(name.clone()).or_insert_with(|| Node {
                    name,
                    work: Work::Lengths,
                    inputs: [("rollouts".to_owned(), root)].into(),
                    lengths: Vec::new(),
                });
            }
        }
        wanted.push((node.name.clone(), names.into_iter().collect()));
    }
    for (name, lengths) in wanted {
        if let Some(node) = nodes.get_mut(&name) {
            node.lengths = lengths;
        }
    }
    nodes.append(&mut counting);
}

/// The sources of rollouts that `source` was made of.
fn rollouts_behind(nodes: &BTreeMap<String, Node>, source: &Source, depth: usize) -> Vec<Source> {
    if source.is_path() {
        return vec![source.clone()];
    }
    match nodes.get(source.as_str()) {
        Some(node) if node.output() == Kind::Rollouts => vec![source.clone()],
        // Checkpoints and measures were made of rollouts, but nobody counts those behind them.
        Some(node) if matches!(node.output(), Kind::Checkpoint | Kind::Measures) => Vec::new(),
        // Cycles are reported later: here they must only end.
        Some(node) if depth < nodes.len() => {
            node.inputs.values().flat_map(|input| rollouts_behind(nodes, input, depth + 1)).collect()
        }
        _ => Vec::new(),
    }
}

/// Orders the nodes, or returns a cycle.
fn ordered(nodes: &BTreeMap<String, Node>, file_order: &[String]) -> Result<Vec<Node>, Vec<String>> {
    fn visit(
        name: &str,
        nodes: &BTreeMap<String, Node>,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
        order: &mut Vec<Node>,
    ) -> Result<(), Vec<String>> {
        if done.contains(name) {
            return Ok(());
        }
        if let Some(start) = path.iter().position(|step| step == name) {
            let mut cycle = path[start..].to_vec();
            cycle.push(name.to_owned());
            return Err(cycle);
        }
        let Some(node) = nodes.get(name) else { return Ok(()) };
        path.push(name.to_owned());
        for wait in node.waits_for() {
            visit(wait, nodes, path, done, order)?;
        }
        path.pop();
        done.insert(name.to_owned());
        order.push(node.clone());
        Ok(())
    }
    let (mut done, mut order) = (BTreeSet::new(), Vec::new());
    for name in file_order {
        visit(name, nodes, &mut Vec::new(), &mut done, &mut order)?;
    }
    Ok(order)
}
