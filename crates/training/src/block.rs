use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::dpo::DpoSettings;
use crate::lora::LoraSettings;
use crate::preset::with_preset;
use crate::settings::TrainSettings;

/// What a student learns from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Examples: supervised fine-tuning.
    #[default]
    Sft,
    /// Preference pairs: direct preference optimization (arXiv 2305.18290).
    Dpo,
}

/// Those settings of a `train` stage that do not say where it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainBlock {
    /// What the student learns from.
    #[serde(default)]
    pub method: Method,
    /// How to train.
    #[serde(deserialize_with = "with_preset")]
    pub training: TrainSettings,
    /// Held-out data whose loss is computed every `training.eval_steps`; only for `sft`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_data: Option<String>,
    /// Keep the weights with the lowest evaluation loss.
    #[serde(default)]
    pub load_best_model_at_end: bool,
    /// Train low-rank adapters instead of all parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSettings>,
    /// The preference loss; only for `dpo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpo: Option<DpoSettings>,
    /// The chat template to train with; the model's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// Variables of the chat template.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub chat_template_kwargs: Map<String, Value>,
}

/// Two settings that do not go with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Contradiction {
    /// Where the one to change stands: a JSON pointer inside the block.
    pub pointer: &'static str,
    /// What is wrong.
    pub message: &'static str,
}

impl TrainBlock {
    /// Settings that do not go with one another, each within its own bounds.
    pub fn contradictions(&self) -> Vec<Contradiction> {
        let evaluated = self.eval_data.is_some();
        let rules = [
            (self.method == Method::Sft && self.dpo.is_some(), "/dpo", "`dpo` is only for `method: dpo`"),
            (evaluated && self.method == Method::Dpo, "/eval_data", "`eval_data` is only for `method: sft`"),
            (
                self.training.packing && self.method == Method::Dpo,
                "/training/packing",
                "`packing` is only for `method: sft`",
            ),
            (
                self.training.packing && self.training.max_length.is_none() && self.method == Method::Sft,
                "/training/packing",
                "`packing` needs `max_length`: packs are so long",
            ),
            (
                self.load_best_model_at_end && !evaluated,
                "/load_best_model_at_end",
                "`load_best_model_at_end` needs `eval_data`",
            ),
            (
                self.training.eval_steps.is_some() && !evaluated,
                "/training/eval_steps",
                "`eval_steps` needs `eval_data`",
            ),
        ];
        let broken = rules.into_iter().filter(|(broken, ..)| *broken);
        broken.map(|(_, pointer, message)| Contradiction { pointer, message }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_that_do_not_go_with_one_another() {
        let pointers = |block: serde_json::Value| {
            let block: TrainBlock = serde_json::from_value(block).unwrap();
            block.contradictions().into_iter().map(|found| found.pointer).collect::<Vec<_>>()
        };
        let rate = json!({ "learning_rate": 1e-4 });
        assert!(pointers(json!({ "training": rate })).is_empty());
        assert!(pointers(json!({ "training": rate, "eval_data": "a", "load_best_model_at_end": true })).is_empty());
        assert_eq!(
            pointers(json!({ "training": { "learning_rate": 1e-4, "eval_steps": 2 }, "dpo": {},
                "load_best_model_at_end": true })),
            ["/dpo", "/load_best_model_at_end", "/training/eval_steps"]
        );
        assert_eq!(
            pointers(
                json!({ "method": "dpo", "training": { "learning_rate": 1e-4, "packing": true }, "eval_data": "a" })
            ),
            ["/eval_data", "/training/packing"]
        );
        let packed =
            |max_length: Option<usize>| json!({ "learning_rate": 1e-4, "packing": true, "max_length": max_length });
        assert_eq!(pointers(json!({ "training": packed(None) })), ["/training/packing"]);
        assert!(pointers(json!({ "training": packed(Some(512)) })).is_empty());
    }
}
