//! Text to settings, with every problem found on the way.

use super::document::{Document, pointer_step};
use super::schema::{PIPELINE, header_validator, of_stage, stage_validator};
use super::schema_check::violations;
use crate::problem::{Problem, did_you_mean};
use crate::stage::Stage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

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
    pub stages: Stages,
}

/// Stages by name, in the file's order.
pub type Stages = BTreeMap<String, Stage>;

/// A file that was read: its settings, and its text for later problems.
#[derive(Debug)]
pub struct Read {
    /// The settings.
    pub file: PipelineFile,
    /// The stages' names in the file's order.
    pub order: Vec<String>,
    /// The text and the places in it.
    pub document: Document,
}

/// Reads a pipeline file and applies `--set` overrides (`stage.key=value`).
pub fn read(text: String, overrides: &[String]) -> Result<Read, Vec<Problem>> {
    let mut document = Document::parse(text)?;
    let mut problems: Vec<Problem> =
        overrides.iter().filter_map(|text| apply_override(&mut document.value, text).err()).collect();
    match header_validator() {
        Some(validator) => problems.extend(violations(&document, "", &validator, &PIPELINE)),
        None => problems.push(Problem::new("the schema of pipeline files is itself invalid", None)),
    }
    let stages = document.value.get("stages").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, stage) in &stages {
        problems.extend(stage_problems(&document, name, stage));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    match serde_json::from_value(document.value.clone()) {
        Ok(file) => Ok(Read { file, order: stages.keys().cloned().collect(), document }),
        // The schema lets through what only the types refuse: find the stage that says so.
        Err(error) => {
            let culprit = stages.iter().find_map(|(name, stage)| {
                let error = serde_json::from_value::<Stage>(stage.clone()).err()?;
                let kind = stage.as_object().and_then(|map| map.keys().next()).map(|kind| pointer_step(kind));
                let pointer = format!("/stages/{}/{}", pointer_step(name), kind.unwrap_or_default());
                Some(Problem::new(format!("stage `{name}`: {error}"), document.key_span(&pointer)))
            });
            Err(vec![culprit.unwrap_or_else(|| Problem::new(error.to_string(), None))])
        }
    }
}

fn stage_problems(document: &Document, name: &str, stage: &Value) -> Vec<Problem> {
    let pointer = format!("/stages/{}", pointer_step(name));
    let mut problems = Vec::new();
    if name.is_empty() || !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')) {
        let message = format!("`{name}` is not a stage name; allowed: small letters, digits, `_` and `-`");
        problems.push(Problem::new(message, document.key_span(&pointer)));
    }
    let Some(map) = stage.as_object().filter(|map| map.len() == 1) else {
        let message = format!("stage `{name}` needs exactly one kind; allowed: {}", Stage::KINDS.join(", "));
        problems.push(Problem::new(message, document.key_span(&pointer)));
        return problems;
    };
    for kind in map.keys() {
        let inner = format!("{pointer}/{}", pointer_step(kind));
        match (stage_validator(kind), of_stage(kind)) {
            (Some(validator), Some(schema)) => problems.extend(violations(document, &inner, &validator, schema)),
            _ => {
                let message = format!("unknown stage kind `{kind}`; allowed: {}", Stage::KINDS.join(", "));
                let problem = Problem::new(message, document.key_span(&inner));
                problems.push(match did_you_mean(kind, Stage::KINDS) {
                    Some(help) => problem.with_help(help),
                    None => problem,
                });
            }
        }
    }
    problems
}

/// `stage.key.inner=value`, where the value is YAML; `seed=3` and other top-level keys work too.
fn apply_override(root: &mut Value, text: &str) -> Result<(), Problem> {
    let problem = |reason: String| Problem::new(format!("`--set {text}`: {reason}"), None);
    let (path, value) = text.split_once('=').ok_or_else(|| problem("expected `stage.key=value`".into()))?;
    let value: Value = serde_saphyr::from_str(value).map_err(|error| problem(error.without_snippet().to_string()))?;
    let mut steps = path.split('.');
    let first = steps.next().unwrap_or_default();
    let mut place = if root.get("stages").and_then(|stages| stages.get(first)).is_some() {
        let stage = &mut root["stages"][first];
        let kind = stage.as_object().and_then(|map| map.keys().next().cloned()).unwrap_or_default();
        if steps.clone().next().is_none() {
            return Err(problem(format!("name a key of stage `{first}`, as in `{first}.key=value`")));
        }
        &mut stage[kind]
    } else if steps.clone().next().is_none() && ["name", "seed", "tokenizer"].contains(&first) {
        &mut root[first]
    } else {
        let stages = root.get("stages").and_then(Value::as_object);
        let names = stages.map(|stages| stages.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        return Err(problem(format!("there is no stage `{first}`; stages: {}", names.join(", "))));
    };
    for step in steps {
        if !place.is_object() && !place.is_null() {
            return Err(problem(format!("`{step}` cannot stand inside a value that is not a map")));
        }
        place = &mut place[step];
    }
    *place = value;
    Ok(())
}
