use std::path::Path;

use serde_json::{Value, json};

use crate::folder::read_json;
use crate::{Dtype, Error};

/// Largest size that a config may name.
const LARGEST: usize = i32::MAX as usize;
/// Most blocks and most parameters: ten times those of any model there is.
const MOST_LAYERS: usize = 10_000;
const MOST_PARAMETERS: u128 = 100_000_000_000_000;

/// The decoder families this project computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelType {
    /// Llama 2 and 3.x and models of their shape (SmolLM2, TinyLlama).
    Llama,
    /// Qwen2 and Qwen2.5: biases on the query, key and value projections.
    Qwen2,
    /// Qwen3, dense: RMS norms on queries and keys.
    Qwen3,
}

/// `rope_type: llama3`: low frequencies are divided by `factor`, high ones kept, those between interpolated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// Divisor of the low frequencies.
    pub factor: f64,
    /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided.
    pub low_freq_factor: f64,
    /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
    pub high_freq_factor: f64,
    /// Context length in tokens that the model was first trained with.
    pub original_max_position_embeddings: usize,
}

/// What `config.json` says of a decoder, in Hugging Face's words; both dialects (transformers 4 and 5) give the same value.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools)] // the switches are independent of each other, as in config.json
pub struct ModelConfig {
    /// The family.
    pub model_type: ModelType,
    /// Rows of the embedding and of the head; may exceed the tokenizer's tokens (Qwen pads).
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated feed-forward layer.
    pub intermediate_size: usize,
    /// Number of decoder blocks.
    pub num_hidden_layers: usize,
    /// Query heads of a block.
    pub num_attention_heads: usize,
    /// Key and value heads of a block; each serves `num_attention_heads / num_key_value_heads` query heads.
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Longest sequence in tokens that the model was made for.
    pub max_position_embeddings: usize,
    /// Added to the mean square under the root of every RMS norm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Scaling of the rotary frequencies, if any.
    pub rope_scaling: Option<Llama3Scaling>,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Biases on the query, key and value projections.
    pub qkv_bias: bool,
    /// Bias on the attention's output projection.
    pub output_bias: bool,
    /// RMS norms over `head_dim` on queries and keys (Qwen3).
    pub qk_norm: bool,
    /// Beginning-of-sequence token, if any.
    pub bos_token_id: Option<u32>,
    /// End-of-sequence tokens; a generation config may name others.
    pub eos_token_ids: Vec<u32>,
    /// Padding token, if any.
    pub pad_token_id: Option<u32>,
    /// Standard deviation of randomly initialised weights.
    pub initializer_range: f64,
}

impl ModelConfig {
    /// Reads either dialect. What would be computed wrongly (mixture of experts, sliding windows in use, other rope types,
    /// other activations) is refused by name.
    pub fn from_json(config: &Value) -> Result<Self, Error> {
        let family = text(config, "model_type").ok_or_else(|| missing("model_type"))?;
        let model_type = match family {
            "llama" => ModelType::Llama,
            "qwen2" => ModelType::Qwen2,
            "qwen3" => ModelType::Qwen3,
            other => {
                return Err(Error::Unsupported(format!("model_type `{other}`; allowed are llama, qwen2 and qwen3")));
            }
        };
        refuse_what_differs(config)?;
        let (rope_theta, rope_scaling) = rope(config)?;
        let hidden_size = whole(config, "hidden_size")?;
        let heads = whole(config, "num_attention_heads")?;
        let key_value_heads = optional_whole(config, "num_key_value_heads")?.unwrap_or(heads);
        let head_dim = match optional_whole(config, "head_dim")? {
            Some(width) => width,
            None if model_type == ModelType::Qwen3 => 128,
            None if heads > 0 => hidden_size / heads,
            None => 0,
        };
        let attention_bias = flag(config, "attention_bias")?.unwrap_or(false);
        let parsed = Self {
            model_type,
            vocab_size: whole(config, "vocab_size")?,
            hidden_size,
            intermediate_size: whole(config, "intermediate_size")?,
            num_hidden_layers: whole(config, "num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: key_value_heads,
            head_dim,
            max_position_embeddings: optional_whole(config, "max_position_embeddings")?.unwrap_or(2048),
            rms_norm_eps: number(config, "rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            tie_word_embeddings: flag(config, "tie_word_embeddings")?.unwrap_or(false),
            qkv_bias: model_type == ModelType::Qwen2 || attention_bias,
            output_bias: model_type != ModelType::Qwen2 && attention_bias,
            qk_norm: model_type == ModelType::Qwen3,
            bos_token_id: token_ids(config, "bos_token_id")?.first().copied(),
            eos_token_ids: token_ids(config, "eos_token_id")?,
            pad_token_id: token_ids(config, "pad_token_id")?.first().copied(),
            initializer_range: number(config, "initializer_range")?.unwrap_or(0.02),
        };
        parsed.check()?;
        Ok(parsed)
    }

    /// `config.json` for this model in the dialect that transformers 4 and 5 both read.
    pub fn to_json(&self, dtype: Dtype) -> Value {
        let (family, architecture) = match self.model_type {
            ModelType::Llama => ("llama", "LlamaForCausalLM"),
            ModelType::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            ModelType::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
        };
        let scaling = self.rope_scaling.map(|scaling| {
            json!({
                "factor": scaling.factor,
                "high_freq_factor": scaling.high_freq_factor,
                "low_freq_factor": scaling.low_freq_factor,
                "original_max_position_embeddings": scaling.original_max_position_embeddings,
                "rope_type": "llama3",
            })
        });
        let eos = match self.eos_token_ids.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            several => json!(several),
        };
        let mut config = json!({
            "architectures": [architecture],
            "attention_dropout": 0.0,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": self.initializer_range,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "model_type": family,
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "pad_token_id": self.pad_token_id,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": scaling,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": dtype.name(),
            "use_cache": true,
            "vocab_size": self.vocab_size,
        });
        if self.model_type != ModelType::Qwen2 {
            config["attention_bias"] = json!(self.qkv_bias);
        }
        if self.model_type == ModelType::Llama {
            config["mlp_bias"] = json!(false);
        }
        config
    }

    /// Number of parameters of the matrices, which are nearly all.
    fn parameter_count(&self) -> u128 {
        let [vocabulary, hidden, inner, layers, heads, keys, width] = [
            self.vocab_size,
            self.hidden_size,
            self.intermediate_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.num_key_value_heads,
            self.head_dim,
        ]
        .map(|size| size as u128);
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        let block = 2 * (heads + keys) * width * hidden + 3 * inner * hidden;
        tables * vocabulary * hidden + layers * block
    }

    fn check(&self) -> Result<(), Error> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(Error::Unsupported(format!("`{name}` is 0")));
        }
        if let Some((name, size)) = sizes.iter().find(|(_, size)| *size > LARGEST) {
            return Err(Error::Unsupported(format!("`{name}` is `{size}`; allowed are 1 to {LARGEST}")));
        }
        let parameters = self.parameter_count();
        if self.num_hidden_layers > MOST_LAYERS || parameters > MOST_PARAMETERS {
            return Err(Error::Unsupported(format!(
                "its sizes (`num_hidden_layers` `{}`, `hidden_size` `{}`, `intermediate_size` `{}`, `vocab_size` `{}`) make \
                 {parameters} parameters; no model is that large",
                self.num_hidden_layers, self.hidden_size, self.intermediate_size, self.vocab_size
            )));
        }
        let positive = [("rope_theta", self.rope_theta), ("rms_norm_eps", self.rms_norm_eps)];
        if let Some((name, value)) = positive.iter().find(|(_, value)| !(*value > 0.0 && value.is_finite())) {
            return Err(Error::Unsupported(format!("`{name}` is `{value}`; allowed is more than 0")));
        }
        if let Some(scaling) = self.rope_scaling {
            let Llama3Scaling { factor, low_freq_factor: low, high_freq_factor: high, .. } = scaling;
            if !(factor > 0.0 && low > 0.0 && high > low && scaling.original_max_position_embeddings > 0) {
                return Err(Error::Unsupported(format!(
                    "llama3 rope scaling with factor `{factor}`, low_freq_factor `{low}`, high_freq_factor `{high}`; allowed \
                     are numbers above 0, and the high above the low"
                )));
            }
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(Error::Unsupported(format!(
                "num_attention_heads `{}` is not a multiple of num_key_value_heads `{}`",
                self.num_attention_heads, self.num_key_value_heads
            )));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(Error::Unsupported(format!(
                "head_dim `{}` is odd; rotary positions need pairs",
                self.head_dim
            )));
        }
        Ok(())
    }
}

/// End-of-sequence tokens of a checkpoint folder: those of `generation_config.json` when it names any, else of
/// `config.json`. Either may hold one id or a list.
pub fn end_of_sequence_ids(folder: &Path) -> Result<Vec<u32>, Error> {
    let generation = folder.join("generation_config.json");
    if generation.is_file() {
        let ids = token_ids(&read_json(&generation)?, "eos_token_id")
            .map_err(|error| Error::malformed(&generation, error))?;
        if !ids.is_empty() {
            return Ok(ids);
        }
    }
    token_ids(&read_json(&folder.join("config.json"))?, "eos_token_id")
}

fn refuse_what_differs(config: &Value) -> Result<(), Error> {
    let activation = text(config, "hidden_act").unwrap_or("silu");
    if activation != "silu" && activation != "swish" {
        return Err(Error::Unsupported(format!("hidden_act `{activation}`; allowed is silu")));
    }
    for expert in ["num_experts", "num_local_experts", "n_routed_experts"] {
        if config.get(expert).and_then(Value::as_u64).unwrap_or(0) > 0 {
            return Err(Error::Unsupported(format!("mixture of experts (`{expert}`)")));
        }
    }
    if slides(config)? {
        return Err(Error::Unsupported("sliding-window attention in use; only full attention is computed".to_owned()));
    }
    if flag(config, "mlp_bias")?.unwrap_or(false) {
        return Err(Error::Unsupported("mlp_bias `true`".to_owned()));
    }
    if config.get("quantization_config").is_some_and(|value| !value.is_null()) {
        return Err(Error::Unsupported("quantised weights (`quantization_config`)".to_owned()));
    }
    let partial = number(config, "partial_rotary_factor")?.unwrap_or(1.0);
    if partial != 1.0 {
        return Err(Error::Unsupported(format!("partial_rotary_factor `{partial}`")));
    }
    Ok(())
}

/// Whether a sliding window changes what some layer computes: as transformers decides for Qwen2 and Qwen3, and with a window
/// that is shorter than the longest sequence. Llama has none.
fn slides(config: &Value) -> Result<bool, Error> {
    if text(config, "model_type") == Some("llama") {
        return Ok(false);
    }
    let window = match config.get("sliding_window") {
        // What transformers takes where the file says nothing.
        None => Some(4096),
        Some(_) => optional_whole(config, "sliding_window")?,
    };
    let longest = optional_whole(config, "max_position_embeddings")?.unwrap_or(2048);
    if window.is_some_and(|window| window >= longest) {
        return Ok(false);
    }
    if let Some(kinds) = config.get("layer_types").and_then(Value::as_array) {
        return Ok(kinds.iter().any(|kind| kind != "full_attention"));
    }
    let used = flag(config, "use_sliding_window")?.unwrap_or(false) && window.is_some();
    let first = optional_whole(config, "max_window_layers")?.unwrap_or(28);
    Ok(used && first < whole(config, "num_hidden_layers")?)
}

/// Rotary base and scaling from `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (transformers 4).
fn rope(config: &Value) -> Result<(f64, Option<Llama3Scaling>), Error> {
    let object = |name: &str| config.get(name).filter(|value| value.is_object());
    let parameters = object("rope_parameters").or_else(|| object("rope_scaling"));
    let theta = match parameters.map(|rope| number(rope, "rope_theta")).transpose()?.flatten() {
        Some(theta) => theta,
        None => number(config, "rope_theta")?.unwrap_or(10_000.0),
    };
    let Some(rope) = parameters else { return Ok((theta, None)) };
    match text(rope, "rope_type").or_else(|| text(rope, "type")).unwrap_or("default") {
        "default" => Ok((theta, None)),
        "llama3" => {
            let given = |name: &str| number(rope, name)?.ok_or_else(|| missing(name));
            let scaling = Llama3Scaling {
                factor: given("factor")?,
                low_freq_factor: given("low_freq_factor")?,
                high_freq_factor: given("high_freq_factor")?,
                original_max_position_embeddings: whole(rope, "original_max_position_embeddings")?,
            };
            Ok((theta, Some(scaling)))
        }
        other => Err(Error::Unsupported(format!("rope_type `{other}`; allowed are default and llama3"))),
    }
}

fn text<'a>(config: &'a Value, name: &str) -> Option<&'a str> {
    config.get(name).and_then(Value::as_str)
}

fn number(config: &Value, name: &str) -> Result<Option<f64>, Error> {
    typed(config, name, "numbers", Value::as_f64)
}

fn flag(config: &Value, name: &str) -> Result<Option<bool>, Error> {
    typed(config, name, "true and false", Value::as_bool)
}

fn optional_whole(config: &Value, name: &str) -> Result<Option<usize>, Error> {
    typed(config, name, "whole numbers", |value| value.as_u64().and_then(|number| usize::try_from(number).ok()))
}

/// A value that may be left out or null, but not of another type.
fn typed<T>(config: &Value, name: &str, allowed: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, Error> {
    match config.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(Error::Unsupported(format!("`{name}` is `{value}`; allowed are {allowed}"))),
        },
    }
}

fn whole(config: &Value, name: &str) -> Result<usize, Error> {
    optional_whole(config, name)?.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Error {
    Error::Unsupported(format!("config.json has no `{name}`"))
}

/// Token ids given as one number or as a list; a negative number stands for none.
fn token_ids(config: &Value, name: &str) -> Result<Vec<u32>, Error> {
    let wrong = |value: &Value| Error::Unsupported(format!("`{name}` is `{value}`; allowed are token ids"));
    let one = |value: &Value| -> Result<Option<u32>, Error> {
        match (value.as_i64(), value.as_u64().and_then(|id| u32::try_from(id).ok())) {
            (_, Some(id)) => Ok(Some(id)),
            (Some(..=-1), None) => Ok(None),
            _ if value.is_null() => Ok(None),
            _ => Err(wrong(value)),
        }
    };
    match config.get(name) {
        Some(Value::Array(list)) => list.iter().filter_map(|value| one(value).transpose()).collect(),
        Some(value) => Ok(one(value)?.into_iter().collect()),
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Value {
        json!({"model_type": "llama", "vocab_size": 8, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 16, "rope_theta": 5e5,
            "eos_token_id": [1, 2], "torch_dtype": "float32"})
    }

    #[test]
    fn both_dialects_read_the_same() {
        let scaling = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32});
        let mut four = tiny();
        four["rope_scaling"] = scaling.clone();
        let mut five = tiny();
        five.as_object_mut().unwrap().remove("rope_theta");
        five["rope_parameters"] = scaling;
        five["rope_parameters"]["rope_theta"] = json!(5e5);
        let four = ModelConfig::from_json(&four).unwrap();
        assert_eq!(four, ModelConfig::from_json(&five).unwrap());
        assert_eq!(four.eos_token_ids, [1, 2]);
        assert_eq!(four, ModelConfig::from_json(&four.to_json(Dtype::Float32)).unwrap());
    }

    #[test]
    fn unsupported_models_are_named() {
        for (name, value, word) in [
            ("model_type", json!("mixtral"), "mixtral"),
            ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), "yarn"),
            ("num_experts", json!(8), "experts"),
            ("hidden_act", json!("gelu"), "gelu"),
            ("hidden_size", json!("wide"), "hidden_size"),
            ("num_key_value_heads", json!(0), "num_key_value_heads"),
        ] {
            let mut config = tiny();
            config[name] = value;
            let text = ModelConfig::from_json(&config).unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
        let mut sliding = tiny();
        sliding["use_sliding_window"] = json!(true);
        // Llama has no windows, whatever the file says.
        assert!(ModelConfig::from_json(&sliding).is_ok());
        sliding["model_type"] = json!("qwen2");
        sliding["sliding_window"] = json!(4);
        sliding["max_window_layers"] = json!(0);
        let text = ModelConfig::from_json(&sliding).unwrap_err().to_string();
        assert!(text.contains("sliding"), "{text}");
    }
}
