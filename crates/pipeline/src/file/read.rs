//! Text to settings, with every problem found on the way.

use super::assignment::{Assignment, set_inside};
use super::document::{Document, pointer_step};
use super::schema::Schemas;
use super::schema_check::violations;
use crate::engine::Engine;
use crate::problem::{Problem, did_you_mean};
use crate::stage_kind::Stages;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

// The stages are told apart by kind later: their settings' types are the kinds'.
/// A pipeline file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineFile {
    /// Name of the pipeline; its results stand under `runs/NAME`. Letters, digits, `_`, `-` and `.`.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$"))]
    pub name: String,
    /// Seed of everything random. The same seed gives the same bytes.
    #[serde(default)]
    pub seed: u64,
    /// Folder with the `tokenizer.json` of the model to be trained: lengths are counted with it. Without one, the
    /// teacher's own token counts are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// The stages by name (`[a-z0-9_-]+`), in any order.
    pub stages: BTreeMap<String, Value>,
}

/// A file that was read: its settings, and its text for later problems.
#[derive(Debug)]
pub struct Read {
    /// The settings but for the stages'.
    pub file: PipelineFile,
    /// The stages.
    pub stages: Stages,
    /// The text and the places in it.
    pub document: Document,
}

/// Reads a pipeline file and applies `--set` overrides (`stage.key=value`).
pub fn read(engine: &Engine, text: String, overrides: &[String]) -> Result<Read, Vec<Problem>> {
    let mut document = Document::parse(text)?;
    let mut problems: Vec<Problem> =
        overrides.iter().filter_map(|text| apply_override(&mut document.value, text).err()).collect();
    let schemas = Schemas::of(engine);
    match schemas.header_validator() {
        Some(validator) => problems.extend(violations(&document, "", &validator, &schemas.pipeline)),
        None => problems.push(Problem::new("the schema of pipeline files is itself invalid", None)),
    }
    let found = document.value.get("stages").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, stage) in &found {
        problems.extend(stage_problems(engine, &schemas, &document, name, stage));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut stages = Stages::default();
    for (name, stage) in found {
        let settings = stage.as_object().and_then(|map| map.iter().next());
        let Some((entry, settings)) = settings.and_then(|(kind, settings)| Some((engine.kind(kind)?, settings))) else {
            continue;
        };
        match (entry.read)(settings.clone()) {
            Ok(stage) => stages.push(name, stage),
            // The schema lets through what only the types refuse.
            Err(error) => {
                let pointer = format!("/stages/{}/{}", pointer_step(&name), entry.name);
                problems.push(Problem::new(format!("stage `{name}`: {error}"), document.key_span(&pointer)));
            }
        }
    }
    match serde_json::from_value(document.value.clone()) {
        _ if !problems.is_empty() => Err(problems),
        Ok(file) => Ok(Read { file, stages, document }),
        Err(error) => Err(vec![Problem::new(error.to_string(), None)]),
    }
}

/// Keys beside the stages that `--set` changes.
const HEADER: [&str; 3] = ["name", "seed", "tokenizer"];

fn stage_problems(engine: &Engine, schemas: &Schemas, document: &Document, name: &str, stage: &Value) -> Vec<Problem> {
    let kinds = engine.kind_names();
    let pointer = format!("/stages/{}", pointer_step(name));
    let mut problems = Vec::new();
    if name.is_empty() || !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')) {
        let message = format!("`{name}` is not a stage name; allowed: small letters, digits, `_` and `-`");
        problems.push(Problem::new(message, document.key_span(&pointer)));
    }
    let Some(map) = stage.as_object().filter(|map| map.len() == 1) else {
        let message = format!("stage `{name}` needs exactly one kind; allowed: {}", kinds.join(", "));
        problems.push(Problem::new(message, document.key_span(&pointer)));
        return problems;
    };
    for kind in map.keys() {
        let inner = format!("{pointer}/{}", pointer_step(kind));
        match (schemas.stage_validator(kind), schemas.of_stage(kind)) {
            (Some(validator), Some(schema)) => problems.extend(violations(document, &inner, &validator, schema)),
            _ => {
                let message = format!("unknown stage kind `{kind}`; allowed: {}", kinds.join(", "));
                let problem = Problem::new(message, document.key_span(&inner));
                problems.push(problem.with_help_if(did_you_mean(kind, kinds.iter().copied())));
            }
        }
    }
    problems
}

/// `stage.key.inner=value`, where the value is YAML; `seed=3` and other top-level keys work too. The value is not repeated
/// in messages: it may be a secret.
fn apply_override(root: &mut Value, text: &str) -> Result<(), Problem> {
    let given = text.split_once('=').map_or(text, |(path, _)| path);
    let problem = |reason: String| Problem::new(format!("`--set {given}=…`: {reason}"), None);
    let Assignment { path, value } = Assignment::parse(text, "stage.key=value").map_err(problem)?;
    let (first, inner) = path.split_first().map_or(("", &[][..]), |(first, inner)| (*first, inner));
    let Some(file) = root.as_object_mut() else {
        return Err(problem("the file holds no keys, so there is none to change".to_owned()));
    };
    if inner.is_empty() && HEADER.contains(&first) {
        file.insert(first.to_owned(), value);
        return Ok(());
    }
    let mut no_stages = Map::new();
    let stages = file.get_mut("stages").and_then(Value::as_object_mut).unwrap_or(&mut no_stages);
    let Some(stage) = stages.get_mut(first) else {
        let names: Vec<&str> = stages.keys().map(String::as_str).collect();
        let near = did_you_mean(first, names.iter().copied().chain(HEADER));
        let reason = format!("there is no stage `{first}`; stages: {}", names.join(", "));
        return Err(problem(reason).with_help_if(near));
    };
    if inner.is_empty() {
        return Err(problem(format!("name a key of stage `{first}`, as in `{first}.key=value`")));
    }
    let settings = stage.as_object_mut().filter(|kinds| kinds.len() == 1).and_then(|kinds| kinds.values_mut().next());
    let settings =
        settings.ok_or_else(|| problem(format!("stage `{first}` has no kind whose keys could be changed")))?;
    set_inside(settings, inner, value).map_err(problem)
}
