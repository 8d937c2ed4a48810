use super::Model;
use crate::kernels::panels::WIDTH;
use crate::kernels::product::{Packed, View, multiply};
use crate::kernels::rowwise::{exponentials, largest, scale};

/// Queries of one sequence handled together while its prompt is read.
const TILE: usize = 16;

/// Keys and values of one sequence in all blocks, kept in the panels that products read. Capacity is fixed; memory that is
/// not reached yet costs nothing.
#[derive(Debug)]
pub(super) struct Cache {
    capacity: usize,
    /// Tokens whose keys and values are here.
    pub length: usize,
    layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Cache {
    /// Room for `capacity` tokens.
    pub fn new(model: &Model, capacity: usize) -> Self {
        let config = model.config;
        let capacity = capacity.next_multiple_of(WIDTH);
        let keys = config.num_key_value_heads * config.head_dim * capacity;
        let values = config.num_key_value_heads * config.head_dim.next_multiple_of(WIDTH) * capacity;
        let layers = (0..config.num_hidden_layers).map(|_| (vec![0.0; keys], vec![0.0; values])).collect();
        Self { capacity, length: 0, layers }
    }

    /// Forgets everything; the memory stays.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Number of tokens there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Puts one token's keys and values, all heads side by side, at `position`.
    pub(super) fn put(&mut self, layer: usize, position: usize, width: usize, keys: &[f32], values: &[f32]) {
        let padded = width.next_multiple_of(WIDTH);
        let (all_keys, all_values) = &mut self.layers[layer];
        for (head, (key, value)) in keys.chunks_exact(width).zip(values.chunks_exact(width)).enumerate() {
            let panel = head * width * self.capacity + position / WIDTH * width * WIDTH + position % WIDTH;
            for (i, x) in key.iter().enumerate() {
                all_keys[panel + i * WIDTH] = *x;
            }
            for (panel, part) in value.chunks(WIDTH).enumerate() {
                let start = head * padded * self.capacity + (panel * self.capacity + position) * WIDTH;
                all_values[start..start + part.len()].copy_from_slice(part);
            }
        }
    }

    /// Attention of `count` tokens that start at `position` and are already in the cache: queries `[count, stride]`, heads
    /// side by side, to `out` `[count, query width]`, for one key head. Every query is computed alone, so the result does
    /// not depend on how many tokens come at a time.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn attend(
        &self,
        model: &Model,
        layer: usize,
        key_head: usize,
        position: usize,
        queries: &[f32],
        stride: usize,
        out: &mut [f32],
        scores: &mut Vec<f32>,
    ) {
        let config = model.config;
        let (width, query_width) = (config.head_dim, model.query_width());
        let group = config.num_attention_heads / config.num_key_value_heads;
        let count = out.len() / query_width;
        let padded = width.next_multiple_of(WIDTH);
        let keys = &self.layers[layer].0[key_head * width * self.capacity..(key_head + 1) * width * self.capacity];
        let values = &self.layers[layer].1[key_head * padded * self.capacity..(key_head + 1) * padded * self.capacity];
        let factor = 1.0 / (width as f32).sqrt();
        let first_head = key_head * group;
        let mut run = |token: usize, head: usize, tokens: usize, heads: usize| {
            // Either several tokens of one head or several heads of one token: rows with one stride.
            let rows = tokens * heads;
            let known = position + token + tokens;
            let row_stride = if heads > 1 { width } else { stride };
            let row_out = if heads > 1 { width } else { query_width };
            if scores.len() < rows * known {
                scores.resize(rows * known, 0.0);
            }
            let query = View::rows(&queries[token * stride + (first_head + head) * width..], row_stride);
            multiply(rows, known, width, query, Packed { panels: keys, depth: width }, scores, known, false);
            let start = token * query_width + (first_head + head) * width;
            for row in 0..rows {
                let seen = if heads > 1 { known } else { position + token + row + 1 };
                let (visible, hidden) = scores[row * known..(row + 1) * known].split_at_mut(seen);
                let sum = exponentials(visible, factor, largest(visible) * factor);
                scale(visible, 1.0 / sum);
                hidden.fill(0.0);
            }
            for panel in 0..padded / WIDTH {
                let columns = (width - panel * WIDTH).min(WIDTH);
                let panels = &values[panel * self.capacity * WIDTH..(panel + 1) * self.capacity * WIDTH];
                let right = Packed { panels, depth: self.capacity };
                let out = &mut out[start + panel * WIDTH..];
                multiply(rows, columns, known, View::rows(scores, known), right, out, row_out, false);
            }
        };
        if count == 1 {
            run(0, 0, 1, group);
            return;
        }
        for head in 0..group {
            for token in (0..count).step_by(TILE) {
                run(token, head, (count - token).min(TILE), 1);
            }
        }
    }
}
