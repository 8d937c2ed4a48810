use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use rayon::prelude::*;
use retort_weights::{Checkpoint, Dtype, ModelConfig, TensorShape, write_checkpoint};
use serde_json::Value;

use crate::backend::{Decoder, Shape};
use crate::batch::Batch;
use crate::layout::{ParameterLayout, TensorPlace};
use crate::rotary::RotaryTables;
use crate::rows::check_tokens;
use crate::{Architecture, Error, Target};

/// A decoder with its parameters, f32.
#[derive(Clone, Debug)]
pub struct Student {
    pub(crate) config: ModelConfig,
    /// `config.json` as it will be written.
    pub(crate) config_json: Value,
    pub(crate) layout: ParameterLayout,
    pub(crate) rotary: RotaryTables,
    pub(crate) parameters: Vec<f32>,
    pub(crate) target: Target,
}

impl Student {
    /// Loads a checkpoint. All tensors are compared with the config before memory is taken for them; tensors that belong to
    /// no part of the decoder and values that are no numbers are errors.
    pub fn load(checkpoint: &Checkpoint, target: Target) -> Result<Self, Error> {
        let config = checkpoint.config()?;
        let layout = ParameterLayout::of(&config);
        for place in &layout.places {
            let found = checkpoint.shape(&place.name).ok_or_else(|| checkpoint.no_tensor(&place.name))?;
            if found != place.shape {
                let (found, expected) = (found.to_vec(), place.shape.clone());
                return Err(Error::Shape { name: place.name.clone(), found, expected });
            }
        }
        let known: HashSet<&str> = layout.places.iter().map(|place| place.name.as_str()).collect();
        if let Some(name) = checkpoint.names().find(|name| !known.contains(name)) {
            let reason = format!("tensor `{name}` belongs to no part of this decoder");
            return Err(retort_weights::Error::Unsupported(reason).into());
        }
        target.check_tensors(&layout.places)?;
        let mut parameters = vec![0.0; layout.total];
        for place in &layout.places {
            checkpoint.read_finite(&place.name, &mut parameters[place.range()])?;
        }
        let mut config_json = checkpoint.config_json().clone();
        name_as_a_language_model(&config, &mut config_json);
        Ok(Self { config, config_json, layout, rotary: RotaryTables::default(), parameters, target })
    }

    /// A decoder with random weights: matrices normal with `initializer_range`, norms 1, biases 0. The same seed gives the
    /// same weights everywhere.
    pub fn random(architecture: &Architecture, seed: u64, target: Target) -> Result<Self, Error> {
        let config = architecture.config()?;
        let layout = ParameterLayout::of(&config);
        target.check_tensors(&layout.places)?;
        let mut parameters = vec![0.0; layout.total];
        for (index, place) in layout.places.iter().enumerate() {
            let tensor = &mut parameters[place.range()];
            if place.is_matrix() {
                normal(tensor, seed, index as u64, config.initializer_range);
            } else if place.name.ends_with("norm.weight") {
                tensor.fill(1.0);
            }
        }
        let config_json = config.to_json(Dtype::Float32);
        Ok(Self { config, config_json, layout, rotary: RotaryTables::default(), parameters, target })
    }

    /// Writes `config.json` and `model.safetensors` into `dir`, creating it if needed. Tokenizer and template are the
    /// caller's to copy (`retort_weights::copy_companions`).
    pub fn save(&self, dir: &Path, dtype: Dtype) -> Result<(), Error> {
        write(&self.config_json, &self.layout, &self.parameters, dir, dtype)
    }

    /// The model's settings.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Sets the tokens that begin, end and pad sequences in the `config.json` that [`Student::save`] writes.
    pub fn set_special_tokens(&mut self, bos: Option<u32>, eos: &[u32], pad: Option<u32>) {
        self.config.bos_token_id = bos;
        self.config.eos_token_ids = eos.to_vec();
        self.config.pad_token_id = pad;
        self.config_json["bos_token_id"] = bos.into();
        self.config_json["pad_token_id"] = pad.into();
        self.config_json["eos_token_id"] = match eos {
            [] => Value::Null,
            [one] => (*one).into(),
            several => several.into(),
        };
    }

    /// Number of parameters; a tied head counts once.
    pub fn parameters(&self) -> usize {
        self.layout.total
    }

    /// Device this model is trained and run on.
    pub fn target(&self) -> Target {
        self.target
    }

    /// One tensor by its Hugging Face name: shape and row-major f32 elements.
    pub fn tensor(&self, name: &str) -> Option<(&[usize], &[f32])> {
        let place = self.layout.places.iter().find(|place| place.name == name)?;
        Some((&place.shape, &self.parameters[place.range()]))
    }

    /// Adds `change` to one tensor, element by element.
    pub fn add_to_tensor(&mut self, name: &str, change: &[f32]) -> Result<(), Error> {
        let place = self.layout.places.iter().find(|place| place.name == name);
        let place = place.ok_or_else(|| Error::Rows(format!("the model has no tensor `{name}`")))?;
        if change.len() != place.elements() {
            return Err(Error::Rows(format!(
                "`{name}` has {} elements, {} were given",
                place.elements(),
                change.len()
            )));
        }
        crate::kernels::rowwise::add(&mut self.parameters[place.range()], change);
        Ok(())
    }

    /// Logits after every token of one sequence, `[tokens, vocab_size]` row-major f32.
    pub fn logits(&self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        check_tokens(&self.config, tokens)?;
        let batch = Batch::new([tokens]);
        let rows: Vec<usize> = (0..tokens.len()).collect();
        Ok(self.decoder()?.logits(&batch, &rows))
    }

    /// The decoder on its device.
    pub(crate) fn decoder(&self) -> Result<Box<dyn Decoder + '_>, Error> {
        let Self { config, layout, rotary, .. } = self;
        Shape { config, layout, rotary }.decoder(&self.parameters, self.target)
    }
}

/// Writes parameters of this layout as a checkpoint folder.
pub(crate) fn write(
    config_json: &Value,
    layout: &ParameterLayout,
    parameters: &[f32],
    dir: &Path,
    dtype: Dtype,
) -> Result<(), Error> {
    let shape = |place: &TensorPlace| TensorShape { name: place.name.clone(), shape: place.shape.clone() };
    let tensors: Vec<TensorShape> = layout.places.iter().map(shape).collect();
    write_checkpoint(dir, config_json, &tensors, dtype, None, |name| {
        let place = layout.places.iter().find(|place| place.name == name).expect("the names are the layout's");
        Ok(Cow::Borrowed(&parameters[place.range()]))
    })?;
    Ok(())
}

/// A decoder that was saved without its head is named so in `architectures`; what is written has the head, and servers
/// choose by that name.
fn name_as_a_language_model(config: &ModelConfig, json: &mut Value) {
    let whole = |name: &Value| name.as_str().is_some_and(|name| name.ends_with("ForCausalLM"));
    let named = json.get("architectures").and_then(Value::as_array);
    if named.is_some_and(|named| !named.is_empty() && !named.iter().any(whole)) {
        json["architectures"] = config.to_json(Dtype::Float32)["architectures"].clone();
    }
}

/// Fills a tensor with normal numbers; element `i` depends on seed, tensor and `i` alone.
fn normal(tensor: &mut [f32], seed: u64, index: u64, deviation: f64) {
    const CHUNK: usize = 1 << 12;
    tensor.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        let mut random = crate::random::Random::new(&[seed, index, chunk as u64]);
        for pair in out.chunks_mut(2) {
            // Box and Muller.
            let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt() * deviation;
            let angle = std::f64::consts::TAU * random.unit();
            pair[0] = (radius * angle.cos()) as f32;
            if let Some(second) = pair.get_mut(1) {
                *second = (radius * angle.sin()) as f32;
            }
        }
    });
}
