use retort_training::{LoraSettings, OverLong, TrainSettings};
use retort_weights::ModelConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::adapter::layout::AdapterLayout;
use crate::fused::{LOGITS, PARTS, chunk_of};
use crate::layout::ParameterLayout;
use crate::packing::pack;

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
/// `sequences_per_row` is 2. Sequences that are too long are taken to be cut or dropped, as `over_long` says. With `lora` only adapters are trained.
pub fn forecast(
    config: &ModelConfig,
    settings: &TrainSettings,
    lora: Option<&LoraSettings>,
    lengths: &[usize],
    sequences_per_row: usize,
) -> Forecast {
    let layout = ParameterLayout::of(config);
    let parameters = layout.total;
    let max_length = settings.max_length.unwrap_or(config.max_position_embeddings);
    let per_row = sequences_per_row.max(1);
    let used: Vec<usize> = match settings.over_long {
        OverLong::Truncate => lengths.iter().map(|length| max_length.min(*length)).collect(),
        OverLong::Drop | OverLong::Error => lengths
            .chunks(per_row)
            .filter(|row| row.iter().all(|length| *length <= max_length))
            .flatten()
            .copied()
            .collect(),
    };
    let packs = if settings.packing { pack(&used, max_length) } else { Vec::new() };
    let rows = if settings.packing { packs.len() } else { used.len() / per_row };
    let steps = settings.steps(rows);
    let total: usize = used.iter().sum();
    let row_tokens = if rows == 0 { 0.0 } else { total as f64 / rows as f64 };
    let seen = (steps * settings.rows_per_step()).min((settings.epochs.max(1.0) * rows as f64).ceil() as usize);
    let seen = if settings.max_steps.is_some() { steps * settings.rows_per_step().min(rows) } else { seen };
    let tokens = (row_tokens * seen as f64) as usize;
    // The largest batch there can be: the longest sequences together.
    let mut longest = used;
    longest.sort_unstable_by_key(|length| std::cmp::Reverse(*length));
    let batch: usize = if settings.packing {
        total.min(settings.batch_size * max_length)
    } else {
        longest.iter().take(settings.batch_size * per_row).sum()
    };
    let mean_length = total as f64 / longest.len().max(1) as f64;
    let width = (config.num_attention_heads * config.head_dim) as f64;
    let attention = 4.0 * width * mean_length / 2.0 * config.num_hidden_layers as f64;
    let embedding = if config.tie_word_embeddings { 0 } else { config.vocab_size * config.hidden_size };
    let forward = 2.0 * (parameters - embedding) as f64 + attention;
    // A frozen weight needs no gradient of its own: a third of a training step.
    let passes = if lora.is_some() { 2.0 } else { 3.0 } + if settings.gradient_checkpointing { 1.0 } else { 0.0 };
    let adapters = lora.map(|lora| AdapterLayout::new(&layout, lora).total);
    let learned = adapters.map_or(4 * parameters, |adapters| parameters + 4 * adapters);
    // Every chunk of tokens gives partial sums of one block's adapters' gradients.
    let partial = batch.div_ceil(chunk_of(batch)) * adapters.unwrap_or(0) / config.num_hidden_layers;
    let peak_bytes = 4 * (learned + partial + activation_floats(config, settings, lora, batch)) + (32 << 20);
    Forecast { parameters, tokens, steps, peak_bytes, operations: tokens as f64 * forward * passes }
}

/// Numbers kept for a batch of so many tokens, forward and backward.
fn activation_floats(
    config: &ModelConfig,
    settings: &TrainSettings,
    lora: Option<&LoraSettings>,
    tokens: usize,
) -> usize {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let queries = config.num_attention_heads * config.head_dim;
    let keys = config.num_key_value_heads * config.head_dim;
    let projected = queries + 2 * keys;
    let before_norm = if config.qk_norm { queries + keys } else { 0 };
    let low = lora.map_or(0, |lora| lora.r.saturating_mul(lora.target_modules.len()));
    let block = projected + before_norm + queries + config.num_attention_heads + hidden + 2 * inner + low;
    let blocks = if settings.gradient_checkpointing { 1 } else { config.num_hidden_layers };
    let streams = (config.num_hidden_layers + 1) * hidden;
    // Gradients of keys and values, which long sequences compute in parts.
    let parts = 2 * PARTS * queries;
    // Inputs of products that give weights' gradients; adapters' come chunk by chunk.
    let inputs = if lora.is_none() { hidden + inner } else { 0 };
    let backward = 3 * hidden + queries + projected + inputs + parts;
    let logits = (tokens * config.vocab_size).min(LOGITS.max(64 * config.vocab_size));
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
        let plain = forecast(&config, &settings, None, &lengths, 1);
        let packed = TrainSettings { packing: true, batch_size: 4, ..settings.clone() };
        let packed = forecast(&config, &packed, None, &lengths, 1);
        assert_eq!((packed.steps, packed.tokens), (12, 9600));
        let adapted = forecast(&config, &settings, Some(&LoraSettings::default()), &lengths, 1);
        assert!(adapted.peak_bytes < plain.peak_bytes && adapted.operations < plain.operations);
        let forecast = plain;
        assert_eq!((forecast.parameters, forecast.steps, forecast.tokens), (803_968, 4, 9600));
        assert!(forecast.peak_bytes > 60 << 20 && forecast.peak_bytes < 200 << 20, "{forecast:?}");
    }
}
