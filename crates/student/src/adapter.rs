pub(crate) mod layout;

use std::path::Path;

use retort_training::{LoraSettings, TargetModule};
use retort_weights::{Adapter as AdapterFiles, Dtype, TensorShape};
use serde_json::{Value, json};

use crate::layout::TensorPlace;
use crate::random::Random;
use crate::{Error, Student};
use layout::{AdapterLayout, merge};

/// Adapters of a student: the only part that LoRA training changes.
#[derive(Clone, Debug)]
pub struct Adapter {
    pub(crate) settings: LoraSettings,
    pub(crate) layout: AdapterLayout,
    pub(crate) values: Vec<f32>,
}

impl Adapter {
    /// Fresh adapters, which change nothing yet: A uniform within `±1 / sqrt(inputs)` as in PEFT, B zero.
    pub fn new(student: &Student, settings: &LoraSettings, seed: u64) -> Result<Self, Error> {
        settings.check()?;
        let layout = AdapterLayout::new(&student.layout, settings);
        let mut values = vec![0.0; layout.total];
        for (index, place) in layout.places.iter().enumerate() {
            if place.name.ends_with("lora_A.weight") {
                let bound = 1.0 / (place.shape[1] as f64).sqrt();
                let mut random = Random::new(&[seed, 0x6c6f_7261, index as u64]);
                for value in &mut values[place.range()] {
                    *value = ((2.0 * random.unit() - 1.0) * bound) as f32;
                }
            }
        }
        Ok(Self { settings: settings.clone(), layout, values })
    }

    /// Number of parameters of all adapters.
    pub fn parameters(&self) -> usize {
        self.layout.total
    }

    /// How the adapters were made.
    pub fn settings(&self) -> &LoraSettings {
        &self.settings
    }

    /// Reads a PEFT folder (`adapter_config.json`, `adapter_model.safetensors`) made for this student's shape.
    pub fn load(dir: &Path, student: &Student) -> Result<Self, Error> {
        let files = AdapterFiles::open(dir)?;
        let settings = settings_of(files.config_json())?;
        let layout = AdapterLayout::new(&student.layout, &settings);
        let mut values = vec![0.0; layout.total];
        for place in &layout.places {
            let found = files.shape(&place.name).unwrap_or_default().to_vec();
            if found != place.shape {
                return Err(Error::Shape { name: place.name.clone(), found, expected: place.shape.clone() });
            }
            files.read_finite(&place.name, &mut values[place.range()])?;
        }
        if let Some(name) = files.names().find(|name| !layout.places.iter().any(|place| place.name == *name)) {
            let reason = format!("adapter tensor `{name}` belongs to no projection of this student");
            return Err(retort_weights::Error::Unsupported(reason).into());
        }
        Ok(Self { settings, layout, values })
    }

    /// Writes a PEFT folder; `base_model` is what users load the adapters on.
    pub fn save(&self, dir: &Path, base_model: &str) -> Result<(), Error> {
        write(&self.settings, &self.layout, &self.values, dir, base_model)
    }
}

/// Writes adapters of this layout as a PEFT folder.
pub(crate) fn write(
    settings: &LoraSettings,
    layout: &AdapterLayout,
    values: &[f32],
    dir: &Path,
    base_model: &str,
) -> Result<(), Error> {
    let shape = |place: &TensorPlace| TensorShape { name: place.name.clone(), shape: place.shape.clone() };
    let tensors: Vec<TensorShape> = layout.places.iter().map(shape).collect();
    let config = json!({
        "base_model_name_or_path": base_model,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "lora_alpha": settings.lora_alpha,
        "lora_dropout": settings.lora_dropout,
        "peft_type": "LORA",
        "r": settings.r,
        "target_modules": settings.target_modules,
        "task_type": "CAUSAL_LM",
        "use_rslora": settings.use_rslora,
    });
    AdapterFiles::write(dir, &config, &tensors, Dtype::Float32, |name| {
        let place = layout.places.iter().find(|place| place.name == name).expect("the names are the layout's");
        values[place.range()].into()
    })?;
    Ok(())
}

fn settings_of(config: &Value) -> Result<LoraSettings, Error> {
    let refuse = |what: &str| retort_weights::Error::Unsupported(format!("adapter_config.json: {what}"));
    if config.get("peft_type").and_then(Value::as_str) != Some("LORA") {
        return Err(refuse("`peft_type` is not LORA").into());
    }
    for (name, plain) in [("bias", json!("none")), ("fan_in_fan_out", json!(false)), ("use_dora", json!(false))] {
        if config.get(name).is_some_and(|value| !value.is_null() && *value != plain) {
            return Err(refuse(&format!("`{name}` is {}; allowed is {plain}", config[name])).into());
        }
    }
    // Ranks, scales or modules of single layers.
    for name in ["rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern", "modules_to_save"] {
        let given = &config[name];
        let empty = given.is_null() || given.as_array().is_some_and(Vec::is_empty) || *given == json!({});
        if !empty {
            return Err(refuse(&format!("`{name}` is {given}; allowed is none")).into());
        }
    }
    let number = |name: &str| config.get(name).and_then(Value::as_f64).ok_or_else(|| refuse(&format!("no `{name}`")));
    let mut target_modules: Vec<TargetModule> =
        serde_json::from_value(config["target_modules"].clone()).map_err(|error| refuse(&error.to_string()))?;
    target_modules.sort_unstable();
    let settings = LoraSettings {
        r: number("r")? as usize,
        lora_alpha: number("lora_alpha")?,
        lora_dropout: number("lora_dropout").unwrap_or(0.0),
        target_modules,
        use_rslora: config.get("use_rslora").and_then(Value::as_bool).unwrap_or(false),
    };
    settings.check()?;
    Ok(settings)
}

impl Student {
    /// Adds the adapters to the weights: `W += s · B · A`. The student then computes what it did with them beside it.
    pub fn merge(&mut self, adapter: &Adapter) {
        let values = |place: usize| &adapter.values[adapter.layout.places[place].range()];
        for (block, adapters) in self.layout.blocks.iter().zip(&adapter.layout.blocks) {
            for (place, pair) in block.projections().iter().zip(adapters) {
                let Some((a, b)) = *pair else { continue };
                merge(
                    &mut self.parameters[self.layout.places[*place].range()],
                    values(a),
                    values(b),
                    &adapter.settings,
                );
            }
        }
    }
}
