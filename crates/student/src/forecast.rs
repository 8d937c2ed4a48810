use retort_weights::ModelConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TrainSettings;
use crate::layout::Layout;

/// What a training run is going to take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// Parameters of the model; a tied head counts once.
    pub parameters: usize,
    /// Tokens that go through the model over the whole run.
    pub tokens: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Most memory in bytes: weights, gradients, moments and what the largest batch keeps.
    pub peak_bytes: usize,
    /// Multiplications and additions of the whole run; two cores of 2024 do about 1e11 a second.
    pub operations: f64,
}

/// Forecasts a training run on sequences of these lengths in tokens; a preference pair is two sequences, and then
/// `sequences_per_row` is 2. Sequences that are too long are taken to be dropped.
pub fn forecast(
    config: &ModelConfig,
    settings: &TrainSettings,
    lengths: &[usize],
    sequences_per_row: usize,
) -> Forecast {
    let parameters = Layout::of(config).total;
    let most = settings.max_length.unwrap_or(config.max_position_embeddings);
    let used: Vec<usize> = lengths.iter().copied().filter(|length| *length <= most).collect();
    let per_row = sequences_per_row.max(1);
    let rows = used.len() / per_row;
    let steps = settings.steps(rows);
    let total: usize = used.iter().sum();
    let row_tokens = if rows == 0 { 0.0 } else { total as f64 / rows as f64 };
    let seen = (steps * settings.rows_per_step()).min((settings.epochs.max(1.0) * rows as f64).ceil() as usize);
    let seen = if settings.max_steps.is_some() { steps * settings.rows_per_step().min(rows) } else { seen };
    let tokens = (row_tokens * seen as f64) as usize;
    // The largest batch there can be: the longest sequences together.
    let mut longest = used;
    longest.sort_unstable_by_key(|length| std::cmp::Reverse(*length));
    let batch: usize = longest.iter().take(settings.batch_size * per_row).sum();
    let mean_length = if rows == 0 { 0.0 } else { total as f64 / (rows * per_row) as f64 };
    let width = (config.num_attention_heads * config.head_dim) as f64;
    let attention = 4.0 * width * mean_length / 2.0 * config.num_hidden_layers as f64;
    let embedding = if config.tie_word_embeddings { 0 } else { config.vocab_size * config.hidden_size };
    let forward = 2.0 * (parameters - embedding) as f64 + attention;
    let passes = if settings.gradient_checkpointing { 4.0 } else { 3.0 };
    let peak_bytes = 4 * (4 * parameters + activation_floats(config, settings, batch)) + (32 << 20);
    Forecast { parameters, tokens, steps, peak_bytes, operations: tokens as f64 * forward * passes }
}

/// Numbers kept for a batch of so many tokens, forward and backward.
fn activation_floats(config: &ModelConfig, settings: &TrainSettings, tokens: usize) -> usize {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let queries = config.num_attention_heads * config.head_dim;
    let keys = config.num_key_value_heads * config.head_dim;
    let projected = queries + 2 * keys;
    let before_norm = if config.qk_norm { queries + keys } else { 0 };
    let block = projected + before_norm + queries + config.num_attention_heads + hidden + 2 * inner;
    let blocks = if settings.gradient_checkpointing { 1 } else { config.num_hidden_layers };
    let streams = (config.num_hidden_layers + 1) * hidden;
    let backward = 4 * hidden + queries + projected + inner;
    let logits = (tokens * config.vocab_size).min(crate::fused::LOGITS.max(64 * config.vocab_size));
    let packed = hidden * (2 * queries + 2 * keys + 3 * inner);
    tokens * (streams + blocks * block + backward) + logits + packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let architecture = crate::Architecture {
            model_type: crate::Family::Llama,
            vocab_size: 96,
            hidden_size: 128,
            intermediate_size: 344,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: None,
            head_dim: None,
            max_position_embeddings: 256,
            rms_norm_eps: 1e-6,
            rope_theta: 1e4,
            tie_word_embeddings: true,
            initializer_range: 0.02,
        };
        let config = architecture.config().unwrap();
        let settings = TrainSettings { batch_size: 24, epochs: 2.0, ..TrainSettings::with_learning_rate(1e-3) };
        let mut lengths = vec![100; 48];
        lengths.push(300);
        let forecast = forecast(&config, &settings, &lengths, 1);
        assert_eq!((forecast.parameters, forecast.steps, forecast.tokens), (803_968, 4, 9600));
        assert!(forecast.peak_bytes > 60 << 20 && forecast.peak_bytes < 200 << 20, "{forecast:?}");
    }
}
