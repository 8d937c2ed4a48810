use rayon::prelude::*;

use super::Model;
use super::cache::Cache;
use super::pass::grow;
use crate::kernels::SharedRows;
use crate::kernels::panels::{WIDTH, pack_parallel, packed_length};
use crate::kernels::product::{Packed, View, multiply, multiply_into};
use crate::kernels::rowwise::{add, rms_norm, rotate, swiglu};

/// All matrices of a decoder packed once, for generation.
#[derive(Debug)]
pub struct Decoder {
    layers: Vec<[Matrix; 7]>,
    head: Matrix,
    /// Whether every product is shared out among threads, for models larger than caches; otherwise callers run several
    /// decoders' steps at the same time.
    pub parallel: bool,
}

#[derive(Debug)]
struct Matrix {
    panels: Vec<f32>,
    rows: usize,
    columns: usize,
}

/// Tokens of one sequence that go through the decoder in one step; they follow what its cache holds.
#[derive(Debug)]
pub struct Segment<'a> {
    /// The sequence's cache.
    pub cache: &'a mut Cache,
    /// The tokens: a prompt or a part of it, or the last sampled one.
    pub tokens: &'a [u32],
    /// Whether logits after the last token are wanted.
    pub wanted: bool,
}

/// Buffers of a step, used again.
#[derive(Debug, Default)]
pub struct Buffers {
    stream: Vec<f32>,
    normed: Vec<f32>,
    projected: Vec<f32>,
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    logits: Vec<f32>,
}

impl Matrix {
    fn new(model: &Model, place: usize) -> Self {
        let shape = &model.layout.places[place].shape;
        let (rows, columns) = (shape[0], shape[1]);
        let mut panels = vec![0.0; packed_length(columns, rows)];
        pack_parallel(View::transposed(model.tensor(place), columns), columns, rows, &mut panels);
        Self { panels, rows, columns }
    }

    /// `out (+)= input · Wᵀ`, `input` `[count, columns]`.
    fn apply(&self, parallel: bool, count: usize, input: &[f32], out: &mut [f32], stride: usize, accumulate: bool) {
        let left = View::rows(input, self.columns);
        let right = Packed { panels: &self.panels, depth: self.columns };
        if !parallel || count == 0 {
            multiply(count, self.rows, self.columns, left, right, out, stride, accumulate);
            return;
        }
        let panels = self.rows.div_ceil(WIDTH);
        let block = panels.div_ceil(4 * rayon::current_num_threads()).max(1);
        assert!((count - 1) * stride + self.rows <= out.len(), "output is too small");
        let out = SharedRows::new(out);
        (0..panels.div_ceil(block)).into_par_iter().for_each(|task| {
            let first = task * block * WIDTH;
            let columns = (self.rows - first).min(block * WIDTH);
            let right = Packed { panels: &self.panels[first * self.columns..], depth: self.columns };
            // SAFETY: tasks own disjoint blocks of columns, inside `out` (asserted).
            unsafe {
                multiply_into(count, columns, self.columns, left, right, out.pointer(first), stride, accumulate);
            }
        });
    }
}

impl Decoder {
    /// Packs the weights.
    pub fn new(model: &Model, parallel: bool) -> Self {
        let layers = model.layout.blocks.iter().map(|block| {
            [block.query, block.key, block.value, block.output, block.gate, block.up, block.down]
                .map(|place| Matrix::new(model, place))
        });
        Self { layers: layers.collect(), head: Matrix::new(model, model.layout.head), parallel }
    }

    /// Puts the segments' tokens through the decoder and into their caches. Gives back logits `[wanted segments,
    /// vocab_size]`, in order. What a segment gets depends on nothing but its own tokens.
    pub fn step<'b>(&self, model: &Model, segments: &mut [Segment], buffers: &'b mut Buffers) -> &'b [f32] {
        let config = model.config;
        let (hidden, inner, width) = (config.hidden_size, config.intermediate_size, config.head_dim);
        let (queries, keys, projected) = (model.query_width(), model.key_width(), model.projected_width());
        let count: usize = segments.iter().map(|segment| segment.tokens.len()).sum();
        let Buffers { stream, normed, projected: all, attended, gate, up, logits } = buffers;
        grow(stream, count * hidden);
        grow(normed, count * hidden);
        grow(all, count * projected);
        grow(attended, count * queries);
        grow(gate, count * inner);
        grow(up, count * inner);
        let embedding = model.tensor(model.layout.embedding);
        let tokens = segments.iter().flat_map(|segment| segment.tokens);
        for (row, token) in stream.chunks_exact_mut(hidden).zip(tokens) {
            row.copy_from_slice(&embedding[*token as usize * hidden..][..hidden]);
        }
        for (layer, [query, key, value, output, gate_matrix, up_matrix, down]) in self.layers.iter().enumerate() {
            let places = model.block(layer);
            norm_rows(model, model.tensor(places.input_norm), stream, normed);
            query.apply(self.parallel, count, normed, all, projected, false);
            key.apply(self.parallel, count, normed, &mut all[queries..], projected, false);
            value.apply(self.parallel, count, normed, &mut all[queries + keys..], projected, false);
            let mut rows = all.chunks_exact_mut(projected);
            for segment in segments.iter_mut() {
                for offset in 0..segment.tokens.len() {
                    let row = rows.next().expect("one row for each token");
                    let position = segment.cache.length + offset;
                    finish_projection(model, layer, position, row);
                    let (_, rest) = row.split_at(queries);
                    segment.cache.put(layer, position, width, &rest[..keys], &rest[keys..]);
                }
            }
            self.attend(model, layer, segments, all, attended);
            output.apply(self.parallel, count, attended, stream, hidden, true);
            if let Some(bias) = model.optional(places.output_bias) {
                stream.chunks_exact_mut(hidden).for_each(|row| add(row, bias));
            }
            norm_rows(model, model.tensor(places.post_norm), stream, normed);
            gate_matrix.apply(self.parallel, count, normed, gate, inner, false);
            up_matrix.apply(self.parallel, count, normed, up, inner, false);
            // `up` receives the product through a copy of the row: the function reads both before it writes.
            for (gate, up) in gate.chunks_exact_mut(inner).zip(up.chunks_exact(inner)) {
                gated_in_place(gate, up);
            }
            down.apply(self.parallel, count, gate, stream, hidden, true);
        }
        let (mut row, mut wanted) = (0, 0);
        for segment in segments.iter_mut() {
            row += segment.tokens.len();
            segment.cache.length += segment.tokens.len();
            if segment.wanted && !segment.tokens.is_empty() {
                let last = &stream[(row - 1) * hidden..row * hidden];
                let out = &mut normed[wanted * hidden..(wanted + 1) * hidden];
                rms_norm(last, model.tensor(model.layout.norm), model.epsilon(), out);
                wanted += 1;
            }
        }
        grow(logits, wanted * config.vocab_size);
        if wanted > 0 {
            self.head.apply(self.parallel, wanted, &normed[..wanted * hidden], logits, config.vocab_size, false);
        }
        logits
    }

    fn attend(&self, model: &Model, layer: usize, segments: &[Segment], projected: &[f32], attended: &mut [f32]) {
        let (queries, stride) = (model.query_width(), model.projected_width());
        let heads = model.config.num_key_value_heads;
        let mut rest = (projected, attended);
        let mut tasks = Vec::with_capacity(segments.len());
        for segment in segments {
            let count = segment.tokens.len();
            let (rows, rows_after) = rest.0.split_at(count * stride);
            let (out, out_after) = rest.1.split_at_mut(count * queries);
            rest = (rows_after, out_after);
            tasks.push((segment, rows, out));
        }
        let run = |(segment, rows, out): (&Segment, &[f32], &mut [f32])| {
            if segment.tokens.is_empty() {
                return;
            }
            let mut scores = Vec::new();
            for head in 0..heads {
                let position = segment.cache.length;
                segment.cache.attend(model, layer, head, position, rows, stride, out, &mut scores);
            }
        };
        if self.parallel {
            tasks.into_par_iter().for_each(run);
        } else {
            tasks.into_iter().for_each(run);
        }
    }
}

fn norm_rows(model: &Model, weight: &[f32], stream: &[f32], normed: &mut [f32]) {
    let hidden = weight.len();
    for (x, out) in stream.chunks_exact(hidden).zip(normed.chunks_exact_mut(hidden)) {
        rms_norm(x, weight, model.epsilon(), out);
    }
}

/// Biases, norms and rotation of one token's queries, keys and values.
fn finish_projection(model: &Model, layer: usize, position: usize, row: &mut [f32]) {
    let (places, width) = (model.block(layer), model.config.head_dim);
    let (queries, keys) = (model.query_width(), model.key_width());
    let biases = [places.query_bias, places.key_bias, places.value_bias].map(|bias| model.optional(bias));
    if let [Some(query), Some(key), Some(value)] = biases {
        add(&mut row[..queries], query);
        add(&mut row[queries..queries + keys], key);
        add(&mut row[queries + keys..], value);
    }
    if let (Some(query_norm), Some(key_norm)) = (model.optional(places.query_norm), model.optional(places.key_norm)) {
        let mut before = vec![0.0; width];
        for (head, part) in row[..queries + keys].chunks_exact_mut(width).enumerate() {
            before.copy_from_slice(part);
            let norm = if head < model.config.num_attention_heads { query_norm } else { key_norm };
            rms_norm(&before, norm, model.epsilon(), part);
        }
    }
    let (cosine, sine) = model.rotary.at(position);
    row[..queries + keys].chunks_exact_mut(width).for_each(|head| rotate(head, cosine, sine));
}

/// `gate = swiglu(gate, up)`, in pieces that fit on the stack.
fn gated_in_place(gate: &mut [f32], up: &[f32]) {
    let mut out = [0.0_f32; 256];
    for (gate, up) in gate.chunks_mut(out.len()).zip(up.chunks(out.len())) {
        swiglu(gate, up, &mut out[..gate.len()]);
        gate.copy_from_slice(&out[..gate.len()]);
    }
}
