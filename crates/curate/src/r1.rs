//! The rejection filters of DeepSeek-R1.

use retort_records::{Prompt, Rollout};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DropReason, SettingsError};

/// Thresholds of the filters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct R1Filters {}

impl R1Filters {
    /// Refuses thresholds out of range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        Ok(())
    }
}

/// Every filter that drops the rollout.
pub fn r1_reasons(_: &R1Filters, _: &Rollout, _: &Prompt) -> Vec<DropReason> {
    Vec::new()
}
