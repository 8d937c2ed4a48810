use super::Model;

/// What the forward pass keeps for the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saving {
    /// Nothing: there will be no backward pass.
    Nothing,
    /// Every block's intermediate results.
    All,
    /// Only every block's input; the block runs again during the backward pass (arXiv 1604.06174).
    Inputs,
}

/// One block's intermediate results, `[tokens, …]` each.
#[derive(Debug, Default)]
pub(super) struct BlockSaved {
    /// Queries, keys and values side by side, after norm and rotation.
    pub projected: Vec<f32>,
    /// Queries and keys before their norms; empty without them.
    pub before_norm: Vec<f32>,
    /// Attention's output.
    pub attended: Vec<f32>,
    /// Logarithm of the sum of exponentials of each query, `[tokens, heads]`.
    pub logsumexp: Vec<f32>,
    /// Residual stream between attention and feed-forward.
    pub middle: Vec<f32>,
    /// Gate before its activation.
    pub gate: Vec<f32>,
    /// The other factor of the gated product.
    pub up: Vec<f32>,
    /// What adapters make of their inputs, `[tokens, rank]` for each projection that has one.
    pub low: Vec<f32>,
}

impl BlockSaved {
    pub(super) fn resize(&mut self, model: &Model, tokens: usize) {
        let config = model.config;
        grow(&mut self.projected, tokens * model.projected_width());
        grow(&mut self.before_norm, tokens * model.before_width());
        grow(&mut self.attended, tokens * model.query_width());
        grow(&mut self.logsumexp, tokens * config.num_attention_heads);
        grow(&mut self.middle, tokens * config.hidden_size);
        grow(&mut self.gate, tokens * config.intermediate_size);
        grow(&mut self.up, tokens * config.intermediate_size);
        grow(&mut self.low, tokens * model.adapted_width());
    }
}

/// Sets the length without keeping the content; memory is kept for the next, perhaps larger, batch.
pub(super) fn grow(buffer: &mut Vec<f32>, length: usize) {
    if buffer.len() < length {
        buffer.clear();
        buffer.reserve_exact(length);
    }
    buffer.resize(length, 0.0);
}

/// Memory of a forward and a backward pass, used again from step to step.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) saving: Saving,
    /// Residual stream before each block, and after the last.
    pub(super) streams: Vec<Vec<f32>>,
    pub(super) blocks: Vec<BlockSaved>,
    /// Packed weights of the block at work.
    pub(super) packed: Vec<f32>,
    pub(super) gradients: Buffers,
}

/// Buffers of the backward pass that every block uses.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Gradient of the residual stream after the block, then before it.
    pub stream: Vec<f32>,
    /// Gradient of the residual stream between attention and feed-forward.
    pub middle: Vec<f32>,
    pub attended: Vec<f32>,
    pub projected: Vec<f32>,
    /// Normed input of the products whose weights' gradients are being summed.
    pub normed: Vec<f32>,
    /// Value of the gated product.
    pub gated: Vec<f32>,
    /// Partial sums of vectors' gradients, one row for each chunk of tokens.
    pub partial: Vec<f32>,
    /// Logits or their gradients.
    pub logits: Vec<f32>,
    pub rows: Vec<f32>,
    /// Partial sums of adapters' gradients, one row for each chunk of tokens.
    pub adapters: Vec<f32>,
    /// Gradients of keys and values of long sequences, one for each part and query head.
    pub per_head: Vec<f32>,
}

impl Pass {
    /// No memory yet; it comes with the first batch.
    pub fn new(saving: Saving) -> Self {
        Self { saving, streams: Vec::new(), blocks: Vec::new(), packed: Vec::new(), gradients: Buffers::default() }
    }

    /// The residual stream after the last block, `[tokens, hidden_size]`.
    pub fn hidden(&self) -> &[f32] {
        self.streams.last().map_or(&[], Vec::as_slice)
    }
}

/// Tokens that one task handles at a time. It depends on the batch alone, never on threads, because partial sums of
/// gradients are cut by it.
pub fn chunk_of(tokens: usize) -> usize {
    let longest = match tokens {
        0..256 => 24,
        256..1024 => 48,
        1024..4096 => 96,
        _ => 144,
    };
    // An even number of chunks of nearly the same length, so that no thread ends late.
    tokens.div_ceil(tokens.div_ceil(longest).next_multiple_of(2)).max(1)
}
