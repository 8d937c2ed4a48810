//! Settings of `math`: how strict it is where graders differ.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a percent sign means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Percent {
    /// `28%` is both `28` and `0.28` when the other side has no sign.
    #[default]
    Lenient,
    /// `28%` is `0.28` only.
    Strict,
}

/// What a unit on one side only means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnitPolicy {
    /// A missing unit is forgiven; two units must agree or convert.
    #[default]
    Lenient,
    /// A missing unit is a mistake.
    Strict,
    /// Units are not looked at.
    Ignore,
}

/// Whether lists without brackets have an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ListOrder {
    /// `1, 2` is `2, 1`.
    #[default]
    Any,
    /// `1, 2` is not `2, 1`.
    Fixed,
}

/// Settings of `math`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MathSettings {
    /// What a percent sign means when only one side has one.
    pub percent: Percent,
    /// What a unit on one side only means.
    pub units: UnitPolicy,
    /// Whether lists without brackets, such as the roots of an equation, have an order.
    pub list_order: ListOrder,
    /// Digits after the point from which a correctly rounded decimal number stands for an exact value: with 6,
    /// `0.333333` is `1/3` and `0.333` is not. Null asks for equality.
    #[schemars(range(min = 1, max = 100))]
    pub decimal_places: Option<u32>,
    /// Judge only answers in a box; without one the completion is incorrect.
    pub require_box: bool,
}

impl Default for MathSettings {
    fn default() -> Self {
        Self {
            percent: Percent::Lenient,
            units: UnitPolicy::Lenient,
            list_order: ListOrder::Any,
            decimal_places: Some(6),
            require_box: false,
        }
    }
}
