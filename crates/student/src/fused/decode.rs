use rayon::prelude::*;

use super::Model;
use super::cache::Cache;
use super::pass::grow;
use crate::adapter::layout::merge;
use crate::backend::Segment;
use crate::kernels::SharedRows;
use crate::kernels::panels::{WIDTH, pack_parallel, packed_length};
use crate::kernels::product::{Packed, View, multiply, multiply_into};
use crate::kernels::rowwise::{add, swiglu_in_place};

/// All matrices of a decoder packed once, for generation.
#[derive(Debug)]
pub(super) struct PackedDecoder {
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

/// Buffers of a step, used again.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    stream: Vec<f32>,
    normed: Vec<f32>,
    projected: Vec<f32>,
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    logits: Vec<f32>,
}

impl Matrix {
    fn new(model: &Model, place: usize, weight: &[f32]) -> Self {
        let shape = &model.layout.places[place].shape;
        let (rows, columns) = (shape[0], shape[1]);
        let mut panels = vec![0.0; packed_length(columns, rows)];
        pack_parallel(View::transposed(weight, columns), columns, rows, &mut panels);
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

impl PackedDecoder {
    /// Packs the weights; adapters are added to those they are beside.
    pub fn new(model: &Model, parallel: bool) -> Self {
        let projection = |layer: usize, part: usize| {
            let place = model.block(layer).projections()[part];
            let (Some((_, a, b)), Some(adapters)) = (model.adapter(layer, part), model.adapters) else {
                return Matrix::new(model, place, model.tensor(place));
            };
            let mut merged = model.tensor(place).to_vec();
            merge(&mut merged, a, b, adapters.settings);
            Matrix::new(model, place, &merged)
        };
        let layers =
            (0..model.config.num_hidden_layers).map(|layer| std::array::from_fn(|part| projection(layer, part)));
        let head = Matrix::new(model, model.layout.head, model.tensor(model.layout.head));
        Self { layers: layers.collect(), head, parallel }
    }

    /// Puts the segments' tokens through the decoder and into the caches of their places. Gives back logits `[wanted
    /// segments, vocab_size]`, in order.
    pub fn step<'b>(
        &self,
        model: &Model,
        segments: &[Segment],
        caches: &mut [Cache],
        buffers: &'b mut Buffers,
    ) -> &'b [f32] {
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
        let mut before = vec![0.0; model.before_width()];
        for (layer, [query, key, value, output, gate_matrix, up_matrix, down]) in self.layers.iter().enumerate() {
            let places = model.block(layer);
            model.norm_rows(places.input_norm, stream, normed);
            query.apply(self.parallel, count, normed, all, projected, false);
            key.apply(self.parallel, count, normed, &mut all[queries..], projected, false);
            value.apply(self.parallel, count, normed, &mut all[queries + keys..], projected, false);
            let mut rows = all.chunks_exact_mut(projected);
            for segment in segments {
                let cache = &mut caches[segment.place];
                for (offset, row) in rows.by_ref().take(segment.tokens.len()).enumerate() {
                    let position = cache.length + offset;
                    model.place_heads(layer, position, row, &mut before);
                    let (_, rest) = row.split_at(queries);
                    cache.put(layer, position, width, &rest[..keys], &rest[keys..]);
                }
            }
            self.attend(model, layer, segments, caches, all, attended);
            output.apply(self.parallel, count, attended, stream, hidden, true);
            if let Some(bias) = model.optional(places.output_bias) {
                stream.chunks_exact_mut(hidden).for_each(|row| add(row, bias));
            }
            model.norm_rows(places.post_norm, stream, normed);
            gate_matrix.apply(self.parallel, count, normed, gate, inner, false);
            up_matrix.apply(self.parallel, count, normed, up, inner, false);
            swiglu_in_place(gate, up);
            down.apply(self.parallel, count, gate, stream, hidden, true);
        }
        let (mut row, mut wanted) = (0, 0);
        for segment in segments {
            row += segment.tokens.len();
            caches[segment.place].length += segment.tokens.len();
            if segment.wanted && !segment.tokens.is_empty() {
                let last = &stream[(row - 1) * hidden..row * hidden];
                let out = &mut normed[wanted * hidden..(wanted + 1) * hidden];
                model.norm_rows(model.layout.norm, last, out);
                wanted += 1;
            }
        }
        grow(logits, wanted * config.vocab_size);
        if wanted > 0 {
            self.head.apply(self.parallel, wanted, &normed[..wanted * hidden], logits, config.vocab_size, false);
        }
        logits
    }

    fn attend(
        &self,
        model: &Model,
        layer: usize,
        segments: &[Segment],
        caches: &[Cache],
        projected: &[f32],
        attended: &mut [f32],
    ) {
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
            let (cache, mut scores) = (&caches[segment.place], Vec::new());
            for head in 0..heads {
                cache.attend(model, layer, head, cache.length, rows, stride, out, &mut scores);
            }
        };
        if self.parallel {
            tasks.into_par_iter().for_each(run);
        } else {
            tasks.into_iter().for_each(run);
        }
    }
}
