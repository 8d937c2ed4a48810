use retort_weights::{Llama3Scaling, ModelConfig, ModelType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// A decoder to be trained from random weights, in the words of Hugging Face's `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// The family: decides about biases and norms.
    #[serde(default)]
    pub model_type: Family,
    /// Rows of the embedding and of the head.
    #[schemars(range(min = 1))]
    pub vocab_size: usize,
    /// Width of the residual stream.
    #[schemars(range(min = 2))]
    pub hidden_size: usize,
    /// Width of the gated feed-forward layer.
    #[schemars(range(min = 1))]
    pub intermediate_size: usize,
    /// Number of decoder blocks.
    #[schemars(range(min = 1))]
    pub num_hidden_layers: usize,
    /// Query heads of a block.
    #[schemars(range(min = 1))]
    pub num_attention_heads: usize,
    /// Key and value heads of a block; as many as query heads when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub num_key_value_heads: Option<usize>,
    /// Width of one head; `hidden_size / num_attention_heads` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub head_dim: Option<usize>,
    /// Longest sequence in tokens.
    #[schemars(range(min = 2))]
    pub max_position_embeddings: usize,
    /// Added to the mean square under the root of every norm.
    #[serde(default = "default_epsilon")]
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    #[serde(default = "default_theta")]
    pub rope_theta: f64,
    /// Use the embedding as head.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Standard deviation of the random weights.
    #[serde(default = "default_range")]
    pub initializer_range: f64,
}

/// Decoder families that can be made from random weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Llama: no biases.
    #[default]
    Llama,
    /// Qwen2: biases on queries, keys and values.
    Qwen2,
    /// Qwen3: norms on queries and keys.
    Qwen3,
}

fn default_epsilon() -> f64 {
    1e-6
}

fn default_theta() -> f64 {
    10_000.0
}

fn default_range() -> f64 {
    0.02
}

impl Architecture {
    /// The config a checkpoint of this architecture has. Token ids that end or pad sequences are the tokenizer's business and
    /// stay empty.
    pub fn config(&self) -> Result<ModelConfig, Error> {
        let model_type = match self.model_type {
            Family::Llama => ModelType::Llama,
            Family::Qwen2 => ModelType::Qwen2,
            Family::Qwen3 => ModelType::Qwen3,
        };
        let config = ModelConfig {
            model_type,
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_dim: self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1)),
            max_position_embeddings: self.max_position_embeddings,
            rms_norm_eps: self.rms_norm_eps,
            rope_theta: self.rope_theta,
            rope_scaling: None::<Llama3Scaling>,
            tie_word_embeddings: self.tie_word_embeddings,
            qkv_bias: model_type == ModelType::Qwen2,
            output_bias: false,
            qk_norm: model_type == ModelType::Qwen3,
            bos_token_id: None,
            eos_token_ids: Vec::new(),
            pad_token_id: None,
            initializer_range: self.initializer_range,
        };
        // The same checks as for a checkpoint's config.
        Ok(ModelConfig::from_json(&config.to_json(retort_weights::Dtype::Float32))?)
    }
}
