//! Values of mergekit's parameters: one for all tensors, a gradient over the layers, or one by the tensor's name.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A parameter as mergekit writes it. Gradients go from the first layer to the last, straight from one value to the next;
/// tensors outside of the layers take the first value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting<T> {
    /// The same for all tensors.
    Value(T),
    /// Values at equal distances over the layers.
    Gradient(Vec<T>),
    /// By name: the first condition that a tensor meets counts. Where none is met, the next wider setting counts.
    ByName(Vec<Condition<T>>),
    /// By name, with one condition.
    OneName(Condition<T>),
}

/// A value for the tensors whose names hold a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition<T> {
    /// A part of the names, such as `self_attn`; without it, or with `*`, all names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The value, or a gradient.
    pub value: ValueOrGradient<T>,
}

/// What a condition gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ValueOrGradient<T> {
    /// The same for all tensors.
    Value(T),
    /// Values at equal distances over the layers.
    Gradient(Vec<T>),
}

/// In one line: schemas are written out in full, and a merge has dozens of parameters.
impl<T: JsonSchema> JsonSchema for Setting<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Setting_of_{}", T::schema_name()).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let value = if T::schema_name() == "boolean" { "boolean" } else { "number" };
        json_schema!({ "type": [value, "array", "object"] })
    }
}

/// A kind of value that knows what lies between two of it.
pub trait Between: Copy {
    /// The value at `share` of the way from the first of `values` (0) to the last (1).
    fn between(values: &[Self], share: f64) -> Option<Self>;
}

impl Between for f64 {
    fn between(values: &[Self], share: f64) -> Option<Self> {
        let scaled = share * values.len().saturating_sub(1) as Self;
        let below = scaled as usize;
        let above = (below + 1).min(values.len().saturating_sub(1));
        let rest = scaled - below as Self;
        Some((1.0 - rest) * values.get(below)? + rest * values.get(above)?)
    }
}

impl Between for bool {
    fn between(values: &[Self], share: f64) -> Option<Self> {
        values.get((share * values.len().saturating_sub(1) as f64) as usize).copied()
    }
}

impl<T: Between> Setting<T> {
    /// The value for the tensor called `name`, `share` of the way through the layers; `None` where no condition is met.
    pub(crate) fn at(&self, name: &str, share: f64) -> Option<T> {
        match self {
            Self::Value(value) => Some(*value),
            Self::Gradient(values) => T::between(values, share),
            Self::ByName(conditions) => conditions.iter().find_map(|condition| condition.at(name, share)),
            Self::OneName(condition) => condition.at(name, share),
        }
    }

    /// All values that it may give.
    pub(crate) fn values(&self) -> Vec<T> {
        match self {
            Self::Value(value) => vec![*value],
            Self::Gradient(values) => values.clone(),
            Self::ByName(conditions) => conditions.iter().flat_map(Condition::values).collect(),
            Self::OneName(condition) => condition.values(),
        }
    }
}

impl<T: Between> Condition<T> {
    fn at(&self, name: &str, share: f64) -> Option<T> {
        let met = self.filter.as_deref().is_none_or(|filter| filter == "*" || name.contains(filter));
        if !met {
            return None;
        }
        match &self.value {
            ValueOrGradient::Value(value) => Some(*value),
            ValueOrGradient::Gradient(values) => T::between(values, share),
        }
    }

    fn values(&self) -> Vec<T> {
        match &self.value {
            ValueOrGradient::Value(value) => vec![*value],
            ValueOrGradient::Gradient(values) => values.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Setting<f64> {
        serde_json::from_str(yaml).unwrap()
    }

    #[test]
    fn a_gradient_goes_straight_from_value_to_value() {
        let gradient = read("[0, 0.5, 1]");
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(|share| gradient.at("x", share)), [0.0, 0.25, 0.5, 1.0].map(Some));
        assert_eq!(read("[3]").at("x", 1.0), Some(3.0));
        assert_eq!(read("[]").at("x", 0.0), None);
        assert_eq!(bool::between(&[true, false], 0.9), Some(true));
        assert_eq!(bool::between(&[true, false], 1.0), Some(false));
    }

    #[test]
    fn the_first_condition_that_is_met_counts() {
        let by_name = read(r#"[{"filter": "attn", "value": [0, 1]}, {"filter": "mlp", "value": 2}, {"value": 3}]"#);
        assert_eq!(by_name.at("layers.1.self_attn.q", 0.5), Some(0.5));
        assert_eq!(by_name.at("layers.1.mlp.up", 0.5), Some(2.0));
        assert_eq!(by_name.at("norm", 0.5), Some(3.0));
        assert_eq!(read(r#"{"filter": "mlp", "value": 2}"#).at("norm", 0.0), None);
    }
}
