//! Jinja's tests: what stands behind `is`.

use super::arguments::Arguments;
use super::characters::is_upper_cased;
use super::error::RenderError;
use super::filters;
use super::operators;
use super::syntax::{Binary, Comparison};
use super::value::{Object, Value};

/// Every test that a template may use.
pub(crate) const NAMES: [&str; 39] = [
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
];

/// Whether `value` passes the test.
pub(crate) fn apply(name: &str, value: &Value, arguments: &Arguments) -> Result<bool, RenderError> {
    let arity = match name {
        "!=" | "<" | "<=" | "==" | ">" | ">=" | "divisibleby" | "eq" | "equalto" | "ge" | "greaterthan" | "gt"
        | "in" | "le" | "lessthan" | "lt" | "ne" | "sameas" => 1,
        _ => 0,
    };
    if !NAMES.contains(&name) {
        return Err(RenderError::new(format!("no test named '{name}'")));
    }
    if !arguments.keywords.is_empty() {
        return Err(RenderError::refused(format!("named arguments of the test `{name}`")));
    }
    if arguments.positional.len() != arity {
        return Err(RenderError::new(format!("the test '{name}' takes {arity} argument(s)")));
    }
    let other = arguments.positional.first().unwrap_or(&Value::None);
    let compare = |comparison| operators::compare(comparison, value, other);
    let remainder = |divisor: &Value| operators::binary(Binary::Modulo, value, divisor);
    Ok(match name {
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)),
        "string" => matches!(value, Value::Str(_)),
        "mapping" => matches!(value, Value::Dict(_)),
        "iterable" => value.is_iterable(),
        "sequence" => match value {
            Value::View(..) => false,
            // An undefined value has a length, and its `__getitem__` is there until it is used.
            _ => value.length().is_some(),
        },
        "callable" => match value {
            // `Undefined` has a `__call__`, which raises.
            Value::Undefined(_) => true,
            Value::Object(object) => {
                !matches!(**object, Object::Namespace(_) | Object::Group(..) | Object::Cycler { .. })
            }
            _ => false,
        },
        "escaped" => matches!(value, Value::Str(text) if text.is_markup()),
        "lower" | "upper" => is_upper_cased(value.to_text()?.as_str(), name == "upper"),
        "odd" => remainder(&Value::Int(2))?.same(&Value::Int(1)),
        "even" => remainder(&Value::Int(2))?.same(&Value::Int(0)),
        "divisibleby" => remainder(other)?.same(&Value::Int(0)),
        "filter" | "test" if !value.is_hashable() => {
            return Err(RenderError::new(format!("unhashable type: '{}'", value.type_name())));
        }
        "filter" => value.as_str().is_some_and(|name| filters::NAMES.contains(&name)),
        "test" => value.as_str().is_some_and(|name| NAMES.contains(&name)),
        "in" => operators::contains(other, value)?,
        "==" | "eq" | "equalto" => compare(Comparison::Equal)?,
        "!=" | "ne" => compare(Comparison::NotEqual)?,
        ">" | "gt" | "greaterthan" => compare(Comparison::Greater)?,
        ">=" | "ge" => compare(Comparison::GreaterEqual)?,
        "<" | "lt" | "lessthan" => compare(Comparison::Less)?,
        "<=" | "le" => compare(Comparison::LessEqual)?,
        _ => return same_object(value, other),
    })
}

/// Python's `is`, where it does not depend on how the interpreter keeps its objects.
fn same_object(value: &Value, other: &Value) -> Result<bool, RenderError> {
    match (value, other) {
        (Value::None, _) | (_, Value::None) => Ok(matches!((value, other), (Value::None, Value::None))),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Bool(_), _) | (_, Value::Bool(_)) => Ok(false),
        _ => Err(RenderError::refused("`is sameas` of anything but true, false and none")),
    }
}
