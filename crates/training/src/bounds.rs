//! What a setting may be stands once, in the JSON Schema of the settings: editors and `check` read it there, and so does
//! whoever fills settings in by hand.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// A setting has a value that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is `{given}`; allowed is {allowed}")]
pub struct SettingError {
    /// The setting.
    pub name: String,
    /// The value given.
    pub given: String,
    /// What is allowed.
    pub allowed: String,
}

/// Says which number or list of `settings` is outside the bounds that the settings' schema states, if any.
pub(crate) fn check<T: Serialize + JsonSchema>(settings: &T) -> Result<(), SettingError> {
    let schema = schemars::schema_for!(T).to_value();
    let given = serde_json::to_value(settings).unwrap_or_default();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let Some(value) = given.get(name) else { continue };
        let wrong = |given: String, allowed: String| Err(SettingError { name: name.clone(), given, allowed });
        let bounds = Bounds::of(property);
        match value {
            Value::Number(number) if !bounds.hold(number.as_f64().unwrap_or(f64::NAN)) => {
                return wrong(number.as_f64().unwrap_or(f64::NAN).to_string(), bounds.in_words());
            }
            // JSON has no word for NaN and the infinities.
            Value::Null if property["type"] == "number" => {
                return wrong("NaN or infinite".to_owned(), bounds.in_words());
            }
            Value::Array(items) if (items.len() as u64) < property["minItems"].as_u64().unwrap_or(0) => {
                return wrong(value.to_string(), format!("at least {} of them", property["minItems"]));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The bounds of one number.
struct Bounds {
    minimum: Option<f64>,
    above: Option<f64>,
    maximum: Option<f64>,
    below: Option<f64>,
}

impl Bounds {
    fn of(property: &Value) -> Self {
        let bound = |keyword: &str| property[keyword].as_f64();
        Self {
            minimum: bound("minimum"),
            above: bound("exclusiveMinimum"),
            maximum: bound("maximum"),
            below: bound("exclusiveMaximum"),
        }
    }

    fn hold(&self, value: f64) -> bool {
        self.minimum.is_none_or(|least| value >= least)
            && self.above.is_none_or(|low| value > low)
            && self.maximum.is_none_or(|most| value <= most)
            && self.below.is_none_or(|high| value < high)
    }

    fn in_words(&self) -> String {
        let low = self.minimum.map(|least| least.to_string()).or(self.above.map(|low| format!("more than {low}")));
        let high = self.maximum.map(|most| most.to_string()).or(self.below.map(|high| format!("less than {high}")));
        match (low, high) {
            (Some(low), Some(high)) => format!("{low} to {high}"),
            (Some(low), None) if self.above.is_some() => low,
            (Some(low), None) => format!("{low} or more"),
            (None, Some(high)) if self.below.is_some() => high,
            (None, Some(high)) => format!("{high} or less"),
            (None, None) => "a finite number".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{DpoSettings, LoraSettings, TrainSettings};

    #[test]
    fn every_bound_of_the_schema_is_held() {
        let told = |settings: TrainSettings| settings.check().unwrap_err().to_string();
        let good = TrainSettings::with_learning_rate(1e-4);
        assert_eq!(good.check(), Ok(()));
        assert_eq!(TrainSettings { learning_rate: 0.0, warmup_ratio: 1.0, ..good.clone() }.check(), Ok(()));
        for (settings, error) in [
            (TrainSettings { epochs: 0.0, ..good.clone() }, "`epochs` is `0`; allowed is more than 0"),
            (
                TrainSettings { epochs: f64::NAN, ..good.clone() },
                "`epochs` is `NaN or infinite`; allowed is more than 0",
            ),
            (TrainSettings { max_steps: Some(0), ..good.clone() }, "`max_steps` is `0`; allowed is 1 or more"),
            (TrainSettings { batch_size: 0, ..good.clone() }, "`batch_size` is `0`; allowed is 1 or more"),
            (
                TrainSettings { gradient_accumulation: 0, ..good.clone() },
                "`gradient_accumulation` is `0`; allowed is 1 or more",
            ),
            (TrainSettings { learning_rate: -1.0, ..good.clone() }, "`learning_rate` is `-1`; allowed is 0 or more"),
            (TrainSettings { warmup_ratio: 1.5, ..good.clone() }, "`warmup_ratio` is `1.5`; allowed is 0 to 1"),
            (TrainSettings { adam_beta1: 1.0, ..good.clone() }, "`adam_beta1` is `1`; allowed is 0 to less than 1"),
            (TrainSettings { adam_beta2: -0.1, ..good.clone() }, "`adam_beta2` is `-0.1`; allowed is 0 to less than 1"),
            (
                TrainSettings { max_grad_norm: f64::INFINITY, ..good.clone() },
                "`max_grad_norm` is `NaN or infinite`; allowed is 0 or more",
            ),
            (TrainSettings { max_length: Some(1), ..good.clone() }, "`max_length` is `1`; allowed is 2 or more"),
            (TrainSettings { eval_steps: Some(0), ..good.clone() }, "`eval_steps` is `0`; allowed is 1 or more"),
        ] {
            assert_eq!(told(settings), error);
        }
    }

    #[test]
    fn bounds_that_are_not_reached_themselves() {
        let dpo = |beta, label_smoothing| DpoSettings { beta, label_smoothing, ..DpoSettings::default() }.check();
        assert_eq!(dpo(1e-9, 0.49), Ok(()));
        assert_eq!(dpo(0.0, 0.0).unwrap_err().to_string(), "`beta` is `0`; allowed is more than 0");
        assert_eq!(dpo(0.1, 0.5).unwrap_err().to_string(), "`label_smoothing` is `0.5`; allowed is 0 to less than 0.5");
        let lora = |lora_dropout| LoraSettings { lora_dropout, ..LoraSettings::default() }.check();
        assert_eq!(lora(0.99), Ok(()));
        assert_eq!(lora(1.0).unwrap_err().to_string(), "`lora_dropout` is `1`; allowed is 0 to less than 1");
        let none = LoraSettings { target_modules: Vec::new(), ..LoraSettings::default() };
        assert_eq!(none.check().unwrap_err().to_string(), "`target_modules` is `[]`; allowed is at least 1 of them");
    }
}
