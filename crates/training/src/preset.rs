//! Training settings that a paper states, under a name.

use schemars::{JsonSchema, Schema};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::settings::{Schedule, TrainSettings};

/// The distillation settings of DeepSeek-R1 (arXiv 2501.12948v2, appendix B.4.3 and table 6) for one base model.
///
/// From the paper: the learning rate of each base model, its fall along a cosine to a tenth, a context of 32,768 tokens and
/// 64 rows an optimizer step. The paper says 2 to 3 epochs: this takes 2. Everything else (warm-up, decay, clipping, what
/// becomes of longer rows) is not in the paper and stays our default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
pub enum Preset {
    /// Qwen2.5-Math-1.5B: 1e-4.
    #[serde(rename = "r1-distill-qwen-1.5b")]
    R1DistillQwen1_5B,
    /// Qwen2.5-Math-7B: 8e-5.
    #[serde(rename = "r1-distill-qwen-7b")]
    R1DistillQwen7B,
    /// Qwen2.5-14B: 7e-5.
    #[serde(rename = "r1-distill-qwen-14b")]
    R1DistillQwen14B,
    /// Qwen2.5-32B: 6e-5.
    #[serde(rename = "r1-distill-qwen-32b")]
    R1DistillQwen32B,
    /// Llama-3.1-8B: 5e-5.
    #[serde(rename = "r1-distill-llama-8b")]
    R1DistillLlama8B,
    /// Llama-3.3-70B-Instruct: 2e-5.
    #[serde(rename = "r1-distill-llama-70b")]
    R1DistillLlama70B,
}

/// The paper's "2-3 epochs": the lower end.
const EPOCHS: f64 = 2.0;
/// The paper's context.
const MAX_LENGTH: usize = 32_768;
/// The paper's batch: rows of one optimizer step.
const ROWS_PER_STEP: u64 = 64;
/// The paper's "one-tenth of the initial learning rate".
const MIN_LEARNING_RATE_RATIO: f64 = 0.1;
/// Rows that go through the model together when nobody says otherwise; not from the paper, which names only the product.
const BATCH_SIZE: u64 = 8;

impl Preset {
    /// Every preset, in the order of the paper's table.
    pub const ALL: [Self; 6] = [
        Self::R1DistillQwen1_5B,
        Self::R1DistillQwen7B,
        Self::R1DistillQwen14B,
        Self::R1DistillQwen32B,
        Self::R1DistillLlama8B,
        Self::R1DistillLlama70B,
    ];

    /// Its name in a pipeline file.
    pub fn name(self) -> &'static str {
        match self {
            Self::R1DistillQwen1_5B => "r1-distill-qwen-1.5b",
            Self::R1DistillQwen7B => "r1-distill-qwen-7b",
            Self::R1DistillQwen14B => "r1-distill-qwen-14b",
            Self::R1DistillQwen32B => "r1-distill-qwen-32b",
            Self::R1DistillLlama8B => "r1-distill-llama-8b",
            Self::R1DistillLlama70B => "r1-distill-llama-70b",
        }
    }

    /// The model that the paper starts from.
    pub fn base_model(self) -> &'static str {
        match self {
            Self::R1DistillQwen1_5B => "Qwen2.5-Math-1.5B",
            Self::R1DistillQwen7B => "Qwen2.5-Math-7B",
            Self::R1DistillQwen14B => "Qwen2.5-14B",
            Self::R1DistillQwen32B => "Qwen2.5-32B",
            Self::R1DistillLlama8B => "Llama-3.1-8B",
            Self::R1DistillLlama70B => "Llama-3.3-70B-Instruct",
        }
    }

    /// The highest learning rate, at which the paper's runs begin.
    pub fn learning_rate(self) -> f64 {
        match self {
            Self::R1DistillQwen1_5B => 1e-4,
            Self::R1DistillQwen7B => 8e-5,
            Self::R1DistillQwen14B => 7e-5,
            Self::R1DistillQwen32B => 6e-5,
            Self::R1DistillLlama8B => 5e-5,
            Self::R1DistillLlama70B => 2e-5,
        }
    }

    /// Puts in what the user has not given.
    fn fill(self, given: &mut Map<String, Value>) -> Result<(), String> {
        let of_a_step = |given: &Map<String, Value>, key: &str| match given.get(key).and_then(Value::as_u64) {
            Some(value) if value > 0 && ROWS_PER_STEP.is_multiple_of(value) => Ok(ROWS_PER_STEP / value),
            Some(0) | None => Ok(1),
            Some(value) => Err(format!(
                "`{key}` is `{value}`, which does not divide the {ROWS_PER_STEP} rows an optimizer step of preset `{}`: give \
                 both `batch_size` and `gradient_accumulation`",
                self.name()
            )),
        };
        match (given.contains_key("batch_size"), given.contains_key("gradient_accumulation")) {
            (true, true) => {}
            (true, false) => {
                let batches = of_a_step(given, "batch_size")?;
                given.insert("gradient_accumulation".into(), batches.into());
            }
            (false, true) => {
                let rows = of_a_step(given, "gradient_accumulation")?;
                given.insert("batch_size".into(), rows.into());
            }
            (false, false) => {
                given.insert("batch_size".into(), BATCH_SIZE.into());
                given.insert("gradient_accumulation".into(), (ROWS_PER_STEP / BATCH_SIZE).into());
            }
        }
        for (key, value) in [
            ("epochs", json!(EPOCHS)),
            ("learning_rate", json!(self.learning_rate())),
            ("schedule", json!(Schedule::Cosine)),
            ("min_learning_rate_ratio", json!(MIN_LEARNING_RATE_RATIO)),
            ("max_length", json!(MAX_LENGTH)),
        ] {
            given.entry(key).or_insert(value);
        }
        Ok(())
    }
}

impl Serialize for Preset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Reads a `training:` block: a preset stands for what the block does not give. For serde's `deserialize_with`.
pub fn with_preset<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TrainSettings, D::Error> {
    let mut given = Map::<String, Value>::deserialize(deserializer)?;
    if let Some(preset) = given.get("preset").filter(|preset| !preset.is_null()) {
        let preset = Preset::deserialize(preset).map_err(D::Error::custom)?;
        preset.fill(&mut given).map_err(D::Error::custom)?;
    }
    TrainSettings::deserialize(Value::Object(given)).map_err(D::Error::custom)
}

/// In a file, the learning rate is needed only without a preset.
pub(crate) fn learning_rate_or_preset(schema: &mut Schema) {
    schema.remove("required");
    schema.insert("anyOf".into(), json!([{ "required": ["preset"] }, { "required": ["learning_rate"] }]));
}

impl TrainSettings {
    /// The settings that a preset stands for, in one line; nothing without a preset.
    pub fn preset_in_words(&self) -> Option<String> {
        let preset = self.preset?;
        let length = self.max_length.map_or_else(|| "the model's context".to_owned(), |most| format!("{most} tokens"));
        let passes = match self.max_steps {
            Some(steps) => format!("max_steps {steps}"),
            None => format!("epochs {}", self.epochs),
        };
        let schedule = format!("{:?}", self.schedule).to_lowercase();
        let lowest = self.learning_rate * self.min_learning_rate_ratio;
        Some(format!(
            "{}: {passes}, learning_rate {:e} ({schedule} to {lowest:e}), batch_size {} x {}, max_length {length}",
            preset.name(),
            self.learning_rate,
            self.batch_size,
            self.gradient_accumulation,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(block: Value) -> Result<TrainSettings, serde_json::Error> {
        with_preset(block)
    }

    #[test]
    fn every_number_of_the_papers_table() {
        let table = [
            ("r1-distill-qwen-1.5b", "Qwen2.5-Math-1.5B", 1e-4),
            ("r1-distill-qwen-7b", "Qwen2.5-Math-7B", 8e-5),
            ("r1-distill-qwen-14b", "Qwen2.5-14B", 7e-5),
            ("r1-distill-qwen-32b", "Qwen2.5-32B", 6e-5),
            ("r1-distill-llama-8b", "Llama-3.1-8B", 5e-5),
            ("r1-distill-llama-70b", "Llama-3.3-70B-Instruct", 2e-5),
        ];
        assert_eq!(Preset::ALL.map(|preset| (preset.name(), preset.base_model(), preset.learning_rate())), table);
        for (name, _, learning_rate) in table {
            let found = read(json!({ "preset": name })).unwrap();
            let expected = TrainSettings {
                epochs: 2.0,
                schedule: Schedule::Cosine,
                min_learning_rate_ratio: 0.1,
                max_length: Some(32_768),
                batch_size: 8,
                gradient_accumulation: 8,
                preset: found.preset,
                ..TrainSettings::with_learning_rate(learning_rate)
            };
            assert_eq!(found, expected);
            assert_eq!(found.rows_per_step(), 64);
            assert_eq!(found.preset.map(Preset::name), Some(name));
            assert!(found.check().is_ok());
        }
    }

    #[test]
    fn what_the_user_gives_beats_the_preset() {
        let found =
            read(json!({ "preset": "r1-distill-qwen-7b", "epochs": 3, "learning_rate": 1e-5, "schedule": "linear",
            "min_learning_rate_ratio": 0.0, "max_length": null, "batch_size": 2, "warmup_ratio": 0.1 }))
            .unwrap();
        assert_eq!((found.epochs, found.learning_rate, found.min_learning_rate_ratio), (3.0, 1e-5, 0.0));
        assert_eq!((found.schedule, found.max_length, found.warmup_ratio), (Schedule::Linear, None, 0.1));
        assert_eq!((found.batch_size, found.gradient_accumulation), (2, 32));
        let found = read(json!({ "preset": "r1-distill-qwen-7b", "gradient_accumulation": 16 })).unwrap();
        assert_eq!((found.batch_size, found.gradient_accumulation), (4, 16));
        let found =
            read(json!({ "preset": "r1-distill-qwen-7b", "batch_size": 5, "gradient_accumulation": 3 })).unwrap();
        assert_eq!(found.rows_per_step(), 15);
        let error = read(json!({ "preset": "r1-distill-qwen-7b", "batch_size": 5 })).unwrap_err().to_string();
        assert!(error.contains("`batch_size` is `5`, which does not divide the 64 rows"), "{error}");
    }

    #[test]
    fn a_preset_written_out_is_the_same_settings() {
        let by_name = read(json!({ "preset": "r1-distill-llama-8b" })).unwrap();
        let by_hand = read(json!({ "epochs": 2, "learning_rate": 5e-5, "schedule": "cosine", "max_length": 32768,
            "min_learning_rate_ratio": 0.1, "batch_size": 8, "gradient_accumulation": 8 }))
        .unwrap();
        assert_eq!(json!(by_name), json!(by_hand));
        assert!(json!(by_name).get("preset").is_none());
        assert!(read(json!({ "epochs": 2 })).unwrap_err().to_string().contains("learning_rate"));
        let words = by_name.preset_in_words().unwrap();
        assert_eq!(
            words,
            "r1-distill-llama-8b: epochs 2, learning_rate 5e-5 (cosine to 5e-6), batch_size 8 x 8, max_length 32768 tokens"
        );
    }
}
