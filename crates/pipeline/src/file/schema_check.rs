//! Checks a document against the JSON Schema of pipeline files and puts every violation into words.

use super::document::{Document, pointer_step};
use crate::problem::{Problem, did_you_mean};
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;
use std::ops::Range;

/// All violations of `validator` inside the value at `pointer`.
pub fn violations(document: &Document, pointer: &str, validator: &Validator, schema: &Value) -> Vec<Problem> {
    let Some(value) = document.value.pointer(pointer) else { return Vec::new() };
    let mut problems = Vec::new();
    for error in validator.iter_errors(value) {
        explain(&error, &Checked { document, base: pointer, schema }, &mut problems);
    }
    problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
    problems.dedup();
    problems
}

/// The value that is checked, and what it is checked against.
struct Checked<'a> {
    document: &'a Document,
    base: &'a str,
    schema: &'a Value,
}

fn explain(error: &ValidationError<'_>, checked: &Checked<'_>, problems: &mut Vec<Problem>) {
    let Checked { document, base, .. } = *checked;
    let pointer = format!("{base}{}", error.instance_path().as_str());
    let name = pointer.rsplit('/').find(|step| step.parse::<usize>().is_err()).unwrap_or_default().to_owned();
    let given = shown(error.instance());
    let at = |pointer: &str| -> Option<Range<usize>> { document.span(pointer) };
    if name == "api_key" {
        problems.push(Problem {
            secret: true,
            ..Problem::new("`api_key` must not be written out; allowed: `env:NAME` or `file:PATH`", at(&pointer))
        });
        return;
    }
    let problem = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let allowed = properties(error, checked.schema);
            for key in unexpected {
                let span = document.key_span(&format!("{pointer}/{}", pointer_step(key)));
                let problem = Problem::new(
                    format!("unknown key `{key}`; allowed here: {}", list(allowed.iter().map(String::as_str))),
                    span,
                );
                problems.push(match did_you_mean(key, allowed.iter().map(String::as_str)) {
                    Some(help) => problem.with_help(help),
                    None => problem,
                });
            }
            return;
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            return explain_alternatives(error, context, checked, &pointer, problems);
        }
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            Problem::new(format!("key `{key}` is missing in `{name}`"), document.key_span(&pointer))
        }
        ValidationErrorKind::Type { kind } => {
            Problem::new(format!("`{name}` is {given}, expected {}", types(kind)), at(&pointer))
        }
        ValidationErrorKind::Enum { options } => {
            let words: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let problem =
                Problem::new(format!("`{name}` is {given}; allowed: {}", list(words.iter().copied())), at(&pointer));
            match error.instance().as_str().and_then(|word| did_you_mean(word, words)) {
                Some(help) => problem.with_help(help),
                None => problem,
            }
        }
        ValidationErrorKind::Constant { expected_value } => {
            Problem::new(format!("`{name}` is {given}; allowed: {}", shown(expected_value)), at(&pointer))
        }
        ValidationErrorKind::Minimum { limit } => {
            Problem::new(format!("`{name}` is {given}, but must be at least {limit}"), at(&pointer))
        }
        ValidationErrorKind::ExclusiveMinimum { limit } => {
            Problem::new(format!("`{name}` is {given}, but must be above {limit}"), at(&pointer))
        }
        ValidationErrorKind::Maximum { limit } => {
            Problem::new(format!("`{name}` is {given}, but must be at most {limit}"), at(&pointer))
        }
        ValidationErrorKind::ExclusiveMaximum { limit } => {
            Problem::new(format!("`{name}` is {given}, but must be below {limit}"), at(&pointer))
        }
        ValidationErrorKind::MinItems { limit } => {
            Problem::new(format!("`{name}` needs at least {limit} entries"), at(&pointer))
        }
        ValidationErrorKind::Pattern { pattern } => {
            Problem::new(format!("`{name}` is {given}, but must match `{pattern}`"), at(&pointer))
        }
        _ => Problem::new(format!("`{name}`: {error}"), at(&pointer)),
    };
    problems.push(problem);
}

/// Of several alternatives, the one the writer most likely meant is the one that fails deepest, then the one that
/// fails least. When all fail at the value itself, the alternatives are listed.
fn explain_alternatives(
    error: &ValidationError<'_>,
    context: &[Vec<ValidationError<'static>>],
    checked: &Checked<'_>,
    pointer: &str,
    problems: &mut Vec<Problem>,
) {
    if let Some(keys) = missing_in_each(context) {
        let name = pointer.rsplit('/').next().unwrap_or_default();
        let message = format!("key {keys} is missing in `{name}`");
        problems.push(Problem::new(message, checked.document.key_span(pointer)));
        return;
    }
    let depth = |branch: &Vec<ValidationError<'_>>| {
        branch.iter().map(|error| error.instance_path().as_str().matches('/').count()).max().unwrap_or(0)
    };
    let own_depth = error.instance_path().as_str().matches('/').count();
    let shape = |branch: &Vec<ValidationError<'_>>| {
        branch.iter().any(|error| {
            let here = error.instance_path().as_str().matches('/').count() == own_depth;
            here && matches!(
                error.kind(),
                ValidationErrorKind::Type { .. }
                    | ValidationErrorKind::Enum { .. }
                    | ValidationErrorKind::Constant { .. }
            )
        })
    };
    let best = context
        .iter()
        .filter(|branch| !branch.is_empty() && !shape(branch))
        .max_by_key(|branch| (depth(branch), std::cmp::Reverse(branch.len())));
    if let Some(branch) = best {
        for error in branch {
            explain(error, checked, problems);
        }
        return;
    }
    let name = pointer.rsplit('/').find(|step| step.parse::<usize>().is_err()).unwrap_or_default();
    let mut allowed = Vec::new();
    for error in context.iter().flatten() {
        match error.kind() {
            ValidationErrorKind::Type { kind } => allowed.push(types(kind)),
            ValidationErrorKind::Enum { options } => {
                allowed.extend(options.as_array().into_iter().flatten().map(shown));
            }
            ValidationErrorKind::Constant { expected_value } => allowed.push(shown(expected_value)),
            _ => {}
        }
    }
    allowed.dedup();
    let words = allowed.iter().map(|word| word.trim_matches('`'));
    let help = error.instance().as_str().and_then(|given| did_you_mean(given, words));
    let problem = Problem::new(
        format!("`{name}` is {}; allowed: {}", shown(error.instance()), allowed.join(", ")),
        checked.document.span(pointer),
    );
    problems.push(match help {
        Some(help) => problem.with_help(help),
        None => problem,
    });
}

/// The keys of which one is needed, when that is all that the alternatives say.
fn missing_in_each(context: &[Vec<ValidationError<'static>>]) -> Option<String> {
    let key = |branch: &Vec<ValidationError<'static>>| match branch.as_slice() {
        [error] => match error.kind() {
            ValidationErrorKind::Required { property } => Some(format!("`{}`", property.as_str()?)),
            _ => None,
        },
        _ => None,
    };
    Some(context.iter().map(key).collect::<Option<Vec<_>>>()?.join(" or "))
}

/// The keys that the failing part of the schema allows.
fn properties(error: &ValidationError<'_>, schema: &Value) -> Vec<String> {
    let path = error.schema_path().as_str();
    let part = path.rsplit_once('/').and_then(|(parent, _)| schema.pointer(parent));
    let keys = part.and_then(|part| part["properties"].as_object()).into_iter().flat_map(|keys| keys.keys());
    keys.cloned().collect()
}

fn types(kind: &TypeKind) -> String {
    let word = |json: String| match json.as_str() {
        "array" => "a list".to_owned(),
        "object" => "a map of keys".to_owned(),
        "string" => "text".to_owned(),
        "integer" => "a whole number".to_owned(),
        "number" => "a number".to_owned(),
        "boolean" => "true or false".to_owned(),
        other => other.to_owned(),
    };
    match kind {
        TypeKind::Single(json) => word(json.to_string()),
        TypeKind::Multiple(set) => {
            let words: Vec<String> =
                set.iter().map(|json| json.to_string()).filter(|json| json != "null").map(word).collect();
            words.join(" or ")
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "empty".to_owned(),
        Value::String(text) => format!("`{}`", text.chars().take(60).collect::<String>()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map of keys".to_owned(),
        other => format!("`{other}`"),
    }
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
