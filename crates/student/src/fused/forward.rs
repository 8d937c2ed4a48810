use rayon::prelude::*;

use super::Model;
use super::pass::{BlockSaved, Pass, Saving, chunk_of, grow};
use super::projection::{LowRows, Part, Projections, Way};
use crate::batch::Batch;
use crate::kernels::rowwise::{add, swiglu};
use crate::kernels::{SharedRows, attention, with_scratch};
use retort_weights::ModelConfig;

impl Pass {
    /// Runs the decoder's blocks over a batch; [`Pass::hidden`] has the result, before the last norm.
    pub fn forward(&mut self, model: &Model, batch: &Batch) {
        let (tokens, hidden) = (batch.len(), model.config.hidden_size);
        let layers = model.config.num_hidden_layers;
        let streams = if self.saving == Saving::Nothing { 2 } else { layers + 1 };
        let saved = if self.saving == Saving::All { layers } else { 1 };
        self.streams.resize_with(streams, Vec::new);
        self.blocks.resize_with(saved, BlockSaved::default);
        self.streams.iter_mut().for_each(|stream| grow(stream, tokens * hidden));
        self.blocks.iter_mut().for_each(|block| block.resize(model, tokens));
        let embedding = model.tensor(model.layout.embedding);
        self.streams[0].par_chunks_mut(hidden).zip(&batch.tokens).for_each(|(row, token)| {
            row.copy_from_slice(&embedding[*token as usize * hidden..][..hidden]);
        });
        for layer in 0..layers {
            let block = if self.saving == Saving::All { layer } else { 0 };
            let (before, after) = match self.saving {
                Saving::Nothing => (0, 1),
                _ => (layer, layer + 1),
            };
            let (left, right) = self.streams.split_at_mut(after);
            block_forward(model, layer, batch, &left[before], &mut self.blocks[block], &mut right[0], &mut self.packed);
            if self.saving == Saving::Nothing {
                self.streams.swap(0, 1);
            }
        }
        if self.saving == Saving::Nothing {
            self.streams.swap(0, 1);
        }
    }
}

/// One decoder block: `stream` to `after`, keeping its intermediate results in `saved`.
pub(super) fn block_forward(
    model: &Model,
    layer: usize,
    batch: &Batch,
    stream: &[f32],
    saved: &mut BlockSaved,
    after: &mut [f32],
    packed: &mut Vec<f32>,
) {
    let (config, places) = (model.config, model.block(layer));
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let (queries, keys, projected) = (model.query_width(), model.key_width(), model.projected_width());
    let tokens = batch.len();
    let chunk = chunk_of(tokens);
    let weights = Projections::new(model, layer, Way::Forward, packed);
    let mut kept = std::mem::take(&mut saved.low);
    let low = &LowRows::new(model, layer, tokens, &mut kept);

    // Norm, projections, norms of queries and keys, rotation.
    let before_width = model.before_width();
    let before_norm = SharedRows::new(&mut saved.before_norm);
    saved.projected.par_chunks_mut(chunk * projected).enumerate().with_max_len(1).for_each(|(index, out)| {
        let (first, rows) = (index * chunk, out.len() / projected);
        let part = first..first + rows;
        with_scratch(rows * hidden, |normed| {
            model.norm_rows(places.input_norm, &stream[first * hidden..][..rows * hidden], normed);
            weights.forward(Part::Query, &part, normed, out, projected, false, low);
            weights.forward(Part::Key, &part, normed, &mut out[queries..], projected, false, low);
            weights.forward(Part::Value, &part, normed, &mut out[queries + keys..], projected, false, low);
        });
        // SAFETY: each task has its own chunk of tokens.
        let before = unsafe { before_norm.part(first * before_width, rows * before_width) };
        for (i, row) in out.chunks_exact_mut(projected).enumerate() {
            let before = &mut before[i * before_width..(i + 1) * before_width];
            model.place_heads(layer, batch.positions[first + i] as usize, row, before);
        }
    });

    attend(model, batch, saved);

    // Output projection, residual, norm, gated feed-forward, residual.
    let output_bias = model.optional(places.output_bias);
    let (middle, gate, up) =
        (SharedRows::new(&mut saved.middle), SharedRows::new(&mut saved.gate), SharedRows::new(&mut saved.up));
    let attended = &saved.attended;
    after.par_chunks_mut(chunk * hidden).enumerate().with_max_len(1).for_each(|(index, out)| {
        let (first, rows) = (index * chunk, out.len() / hidden);
        let part = first..first + rows;
        // SAFETY: each task has its own chunk of tokens.
        let (middle, gate, up) = unsafe {
            (
                middle.part(first * hidden, rows * hidden),
                gate.part(first * inner, rows * inner),
                up.part(first * inner, rows * inner),
            )
        };
        middle.copy_from_slice(&stream[first * hidden..][..rows * hidden]);
        weights.forward(Part::Output, &part, &attended[first * queries..], middle, hidden, true, low);
        if let Some(bias) = output_bias {
            middle.chunks_exact_mut(hidden).for_each(|row| add(row, bias));
        }
        out.copy_from_slice(middle);
        with_scratch(rows * hidden.max(inner), |scratch| {
            model.norm_rows(places.post_norm, middle, &mut scratch[..rows * hidden]);
            weights.forward(Part::Gate, &part, scratch, gate, inner, false, low);
            weights.forward(Part::Up, &part, scratch, up, inner, false, low);
            let gated = &mut scratch[..rows * inner];
            swiglu(gate, up, gated);
            weights.forward(Part::Down, &part, gated, out, hidden, true, low);
        });
    });
    saved.low = kept;
}

fn attend(model: &Model, batch: &Batch, saved: &mut BlockSaved) {
    let config = model.config;
    let (heads, groups, width) = (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
    let (queries, keys, projected) = (model.query_width(), model.key_width(), model.projected_width());
    let group = heads / groups;
    let attended = SharedRows::new(&mut saved.attended);
    let logsumexp = SharedRows::new(&mut saved.logsumexp);
    let input = &saved.projected;
    tasks(batch, config).into_par_iter().with_max_len(1).for_each(|task| {
        let Task { start, first, length, head: first_head, heads: count, .. } = task;
        let shape = attention::Shape {
            first,
            length,
            group: count,
            width,
            stride: projected,
            out_stride: queries,
            scale: 1.0 / (width as f32).sqrt(),
        };
        let (row, key_head) = (&input[start * projected..], first_head / group);
        let (key, value) = (&row[queries + key_head * width..], &row[queries + keys + key_head * width..]);
        attention::forward(shape, &row[first_head * width..], key, value, |token, head, out, sum| {
            let (token, head) = (start + token, first_head + head);
            // SAFETY: each task has its own sequence and heads.
            unsafe {
                attended.part(token * queries + head * width, width).copy_from_slice(out);
                logsumexp.part(token * heads + head, 1)[0] = sum;
            }
        });
    });
}

/// One task of attention: the queries of some heads in one part of one sequence, which all read one key head.
pub(super) struct Task {
    /// First token of the sequence.
    pub start: usize,
    /// First query, counted within the sequence.
    pub first: usize,
    /// Tokens of the sequence up to the last query.
    pub length: usize,
    /// First query head.
    pub head: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Which part of its sequence this is, where that is cut.
    pub part: Option<usize>,
}

/// Tokens of the shortest sequence that is cut. Shorter ones read their keys and values once for all heads that share them;
/// longer ones become tasks of single heads in [`PARTS`] parts, so that few of them keep many threads busy.
const LONG: usize = 512;
/// Parts that attention cuts a long sequence into.
pub const PARTS: usize = 2;

/// The first query of a sequence's second part, if it is long: both parts have as much to do, and as a query sees the keys up
/// to itself, work grows with the square of the length.
pub(super) fn cut(length: usize) -> Option<usize> {
    (length >= LONG).then(|| (length as f64 * 0.5_f64.sqrt()) as usize / attention::TILE * attention::TILE)
}

/// Tasks of attention, the longest first so that no thread ends late. They depend on each sequence alone, because the
/// backward pass adds up a key's gradients task by task.
pub(super) fn tasks(batch: &Batch, config: &ModelConfig) -> Vec<Task> {
    let (all, group) = (config.num_attention_heads, config.num_attention_heads / config.num_key_value_heads);
    let mut tasks = Vec::new();
    for (start, length) in batch.sequences().filter(|(_, length)| *length > 0) {
        let Some(second) = cut(length) else {
            let heads = (0..all).step_by(group);
            tasks.extend(heads.map(|head| Task { start, first: 0, length, head, heads: group, part: None }));
            continue;
        };
        for head in 0..all {
            tasks.push(Task { start, first: 0, length: second, head, heads: 1, part: Some(0) });
            tasks.push(Task { start, first: second, length, head, heads: 1, part: Some(1) });
        }
    }
    tasks.sort_by_key(|task| std::cmp::Reverse(task.length.pow(2) - task.first.pow(2)));
    tasks
}
