//! How filters find what an attribute names.

use super::error::RenderError;
use super::value::Value;
use super::{methods, operators};

/// What `attribute` names in `item`: parts with dots between, digits being indices.
pub(crate) fn looked_up(item: &Value, attribute: &Value, default: Option<&Value>) -> Result<Value, RenderError> {
    let parts: Vec<Value> = match attribute {
        Value::Str(text) => text
            .as_str()
            .split('.')
            .map(|part| match part.parse() {
                Ok(index) if part.bytes().all(|byte| byte.is_ascii_digit()) => Value::Int(index),
                _ => Value::from(part),
            })
            .collect(),
        Value::None => Vec::new(),
        other => vec![other.clone()],
    };
    parts.iter().try_fold(item.clone(), |item, part| {
        let found = element(&item, part)?;
        Ok(match default {
            Some(default) if found.is_undefined() => default.clone(),
            _ => found,
        })
    })
}

/// `value[key]`, for the values that filters go through.
fn element(value: &Value, key: &Value) -> Result<Value, RenderError> {
    if let Value::Undefined(what) = value {
        return Err(operators::undefined(what));
    }
    if let Some(found) = operators::item(value, key) {
        return Ok(found);
    }
    let attribute = key.as_str().and_then(|name| methods::attribute(value, name));
    Ok(attribute.unwrap_or_else(|| Value::undefined(format!("'{}' object has no such element", value.type_name()))))
}
