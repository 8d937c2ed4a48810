use rayon::prelude::*;

use super::Model;
use super::forward::{PARTS, Task, block_forward, cut, tasks};
use super::pass::{BlockSaved, Buffers, Pass, Saving, chunk_of, grow};
use super::projection::{LowRows, Part, Projections, Way};
use crate::batch::Batch;
use crate::kernels::product::{View, multiply_parallel};
use crate::kernels::rowwise::{add, rms_norm_backward, rotate_back, swiglu_backward};
use crate::kernels::{SharedRows, attention, with_scratch};
use crate::layout::BlockPlaces;

impl Pass {
    /// Runs back through the blocks and the embedding. The gradient of [`Pass::hidden`] is in the pass (the head's backward
    /// put it there); gradients are added to `gradients`, a buffer of the parameters' layout.
    pub fn backward(&mut self, model: &Model, batch: &Batch, gradients: &mut [f32]) {
        assert!(self.saving != Saving::Nothing, "this pass kept nothing for a backward pass");
        for layer in (0..model.config.num_hidden_layers).rev() {
            let block = if self.saving == Saving::All { layer } else { 0 };
            let saved = &mut self.blocks[block];
            if self.saving == Saving::Inputs {
                let (before, after) = self.streams.split_at_mut(layer + 1);
                block_forward(model, layer, batch, &before[layer], saved, &mut after[0], &mut self.packed);
            }
            block_backward(
                model,
                layer,
                batch,
                &self.streams[layer],
                saved,
                &mut self.gradients,
                gradients,
                &mut self.packed,
            );
        }
        if model.adapters.is_none() {
            embedding_backward(model, batch, &self.gradients.stream, gradients);
        }
    }
}

/// Columns of one row of partial sums: gradients of a block's vectors.
struct PartialSums {
    post_norm: usize,
    output_bias: usize,
    input_norm: usize,
    projected_bias: usize,
    query_norm: usize,
    key_norm: usize,
    width: usize,
}

impl PartialSums {
    fn new(model: &Model) -> Self {
        let (hidden, width) = (model.config.hidden_size, model.config.head_dim);
        let output_bias = hidden;
        let input_norm = output_bias + hidden;
        let projected_bias = input_norm + hidden;
        let query_norm = projected_bias + model.projected_width();
        let key_norm = query_norm + width;
        Self { post_norm: 0, output_bias, input_norm, projected_bias, query_norm, key_norm, width: key_norm + width }
    }

    /// Adds one column range over all chunks, first to last, to a tensor's gradient.
    fn add_up(&self, partial: &[f32], start: usize, out: &mut [f32]) {
        for row in partial.chunks_exact(self.width) {
            add(out, &row[start..start + out.len()]);
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn block_backward(
    model: &Model,
    layer: usize,
    batch: &Batch,
    stream: &[f32],
    saved: &mut BlockSaved,
    buffers: &mut Buffers,
    gradients: &mut [f32],
    packed: &mut Vec<f32>,
) {
    let (config, places, layout) = (model.config, model.block(layer), model.layout);
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let (queries, keys, projected) = (model.query_width(), model.key_width(), model.projected_width());
    let tokens = batch.len();
    let chunk = chunk_of(tokens);
    let weights = Projections::new(model, layer, Way::Backward, packed);
    let sums = PartialSums::new(model);
    let Buffers {
        stream: dstream,
        middle: dmiddle,
        attended,
        projected: dprojected,
        normed,
        gated,
        partial,
        adapters,
        per_head,
        ..
    } = buffers;
    grow(dmiddle, tokens * hidden);
    grow(attended, tokens * queries);
    grow(dprojected, tokens * projected);
    // Products that give weights' gradients follow when all tokens' rows are there; adapters' come chunk by chunk.
    let adapted = model.adapters.is_some();
    let afterwards = if adapted { 0 } else { tokens };
    grow(normed, afterwards * hidden);
    grow(gated, afterwards * inner);
    grow(partial, tokens.div_ceil(chunk) * sums.width);
    partial.fill(0.0);
    let (rank, adapters_width) = (model.rank(), weights.gradient_width());
    grow(adapters, tokens.div_ceil(chunk) * adapters_width);
    let mut kept = std::mem::take(&mut saved.low);
    let low = &LowRows::new(model, layer, tokens, &mut kept);

    // Feed-forward, its norm, and the output projection. `gate` and `up` become their gradients, `gated` the product's value.
    let post_norm = model.tensor(places.post_norm);
    {
        let (gate, up) = (SharedRows::new(&mut saved.gate), SharedRows::new(&mut saved.up));
        let (middle, dstream) = (&saved.middle, &*dstream);
        let (dattended, normed, gated) = (SharedRows::new(attended), SharedRows::new(normed), SharedRows::new(gated));
        let (attended, adapters) = (&saved.attended, SharedRows::new(adapters));
        dmiddle
            .par_chunks_mut(chunk * hidden)
            .zip(partial.par_chunks_exact_mut(sums.width))
            .enumerate()
            .with_max_len(1)
            .for_each(|(index, (dmiddle, partial))| {
                let (first, rows) = (index * chunk, dmiddle.len() / hidden);
                let part = first..first + rows;
                // SAFETY: each task has its own chunk of tokens.
                let (gate, up, dattended, adapters) = unsafe {
                    (
                        gate.part(first * inner, rows * inner),
                        up.part(first * inner, rows * inner),
                        dattended.part(first * queries, rows * queries),
                        adapters.part(index * adapters_width, adapters_width),
                    )
                };
                let middle = &middle[first * hidden..][..rows * hidden];
                let dstream = &dstream[first * hidden..][..rows * hidden];
                with_scratch(rows * (2 * hidden + inner + rank), |scratch| {
                    let (dnormed, scratch) = scratch.split_at_mut(rows * hidden);
                    let (dlow, scratch) = scratch.split_at_mut(rows * rank);
                    let (normed, gated) = if adapted {
                        scratch.split_at_mut(rows * hidden)
                    } else {
                        // SAFETY: as above.
                        unsafe { (normed.part(first * hidden, rows * hidden), gated.part(first * inner, rows * inner)) }
                    };
                    let dout = View::rows(dstream, hidden);
                    weights.backward(Part::Down, &part, dout, gated, false, dlow);
                    swiglu_backward(gate, up, gated);
                    weights.gradient(Part::Down, &part, dout, gated, low, dlow, adapters);
                    model.norm_rows(places.post_norm, middle, normed);
                    dmiddle.copy_from_slice(dstream);
                    for (which, dout) in [(Part::Gate, &*gate), (Part::Up, &*up)] {
                        let dout = View::rows(dout, inner);
                        weights.backward(which, &part, dout, dnormed, which == Part::Up, dlow);
                        weights.gradient(which, &part, dout, normed, low, dlow, adapters);
                    }
                    norm_backward(model, middle, post_norm, dnormed, dmiddle, &mut partial[sums.post_norm..][..hidden]);
                    let dout = View::rows(dmiddle, hidden);
                    weights.backward(Part::Output, &part, dout, dattended, false, dlow);
                    weights.gradient(Part::Output, &part, dout, &attended[first * queries..], low, dlow, adapters);
                });
                if places.output_bias.is_some() {
                    dmiddle.chunks_exact(hidden).for_each(|row| add(&mut partial[sums.output_bias..][..hidden], row));
                }
            });
    }
    let mut weight = |part: Part, dout: &[f32], out_stride: usize, input: &[f32]| {
        if adapted {
            return;
        }
        let place = places.projections()[part as usize];
        let shape = &layout.places[place].shape;
        let (rows, columns) = (shape[0], shape[1]);
        let (left, right) = (View::transposed(dout, out_stride), View::rows(input, columns));
        multiply_parallel(rows, columns, tokens, left, right, layout.slice_mut(gradients, place), columns, true);
    };
    weight(Part::Down, dstream, hidden, gated);
    weight(Part::Gate, &saved.gate, inner, normed);
    weight(Part::Up, &saved.up, inner, normed);
    weight(Part::Output, dmiddle, hidden, &saved.attended);

    attention_backward(model, batch, saved, attended, dprojected, per_head);

    // Rotation, norms of queries and keys, projections and their norm.
    let input_norm = model.tensor(places.input_norm);
    {
        let dmiddle = &*dmiddle;
        let (dstream, normed) = (SharedRows::new(dstream), SharedRows::new(normed));
        let (before_norm, adapters) = (&saved.before_norm, SharedRows::new(adapters));
        dprojected
            .par_chunks_mut(chunk * projected)
            .zip(partial.par_chunks_exact_mut(sums.width))
            .enumerate()
            .with_max_len(1)
            .for_each(|(index, (dprojected, partial))| {
                let (first, rows) = (index * chunk, dprojected.len() / projected);
                let part = first..first + rows;
                // SAFETY: each task has its own chunk of tokens.
                let (dstream, adapters) = unsafe {
                    (dstream.part(first * hidden, rows * hidden), adapters.part(index * adapters_width, adapters_width))
                };
                for (i, row) in dprojected.chunks_exact_mut(projected).enumerate() {
                    projected_backward(model, places, batch, first + i, before_norm, row, partial, &sums);
                }
                let stream = &stream[first * hidden..][..rows * hidden];
                dstream.copy_from_slice(&dmiddle[first * hidden..][..rows * hidden]);
                with_scratch(rows * (2 * hidden + rank), |scratch| {
                    let (dnormed, scratch) = scratch.split_at_mut(rows * hidden);
                    let (dlow, scratch) = scratch.split_at_mut(rows * rank);
                    let normed = if adapted {
                        scratch
                    } else {
                        // SAFETY: as above.
                        unsafe { normed.part(first * hidden, rows * hidden) }
                    };
                    model.norm_rows(places.input_norm, stream, normed);
                    for (which, start) in [(Part::Query, 0), (Part::Key, queries), (Part::Value, queries + keys)] {
                        let dout = View::rows(&dprojected[start..], projected);
                        weights.backward(which, &part, dout, dnormed, which != Part::Query, dlow);
                        weights.gradient(which, &part, dout, normed, low, dlow, adapters);
                    }
                    norm_backward(
                        model,
                        stream,
                        input_norm,
                        dnormed,
                        dstream,
                        &mut partial[sums.input_norm..][..hidden],
                    );
                });
            });
    }
    weight(Part::Query, dprojected, projected, normed);
    weight(Part::Key, &dprojected[queries.min(dprojected.len())..], projected, normed);
    weight(Part::Value, &dprojected[(queries + keys).min(dprojected.len())..], projected, normed);
    weights.add_up(model, layer, adapters, gradients);
    saved.low = kept;
    if adapted {
        return;
    }
    for (place, start) in [
        (Some(places.post_norm), sums.post_norm),
        (places.output_bias, sums.output_bias),
        (Some(places.input_norm), sums.input_norm),
        (places.query_bias, sums.projected_bias),
        (places.key_bias, sums.projected_bias + queries),
        (places.value_bias, sums.projected_bias + queries + keys),
        (places.query_norm, sums.query_norm),
        (places.key_norm, sums.key_norm),
    ] {
        if let Some(place) = place {
            sums.add_up(partial, start, layout.slice_mut(gradients, place));
        }
    }
}

fn norm_backward(model: &Model, x: &[f32], weight: &[f32], dout: &[f32], dx: &mut [f32], dweight: &mut [f32]) {
    let hidden = weight.len();
    for ((x, dout), dx) in x.chunks_exact(hidden).zip(dout.chunks_exact(hidden)).zip(dx.chunks_exact_mut(hidden)) {
        rms_norm_backward(x, weight, model.epsilon(), dout, dx, dweight);
    }
}

/// Turns one token's gradient after rotation into the one of the plain projections, and adds up biases' and norms' shares.
#[allow(clippy::too_many_arguments)]
fn projected_backward(
    model: &Model,
    places: &BlockPlaces,
    batch: &Batch,
    token: usize,
    before_norm: &[f32],
    row: &mut [f32],
    partial: &mut [f32],
    sums: &PartialSums,
) {
    let (config, width) = (model.config, model.config.head_dim);
    let rotated = model.query_width() + model.key_width();
    let (cosine, sine) = model.rotary.at(batch.positions[token] as usize);
    row[..rotated].chunks_exact_mut(width).for_each(|head| rotate_back(head, cosine, sine));
    if let (Some(query_norm), Some(key_norm)) = (model.optional(places.query_norm), model.optional(places.key_norm)) {
        let before = &before_norm[token * rotated..(token + 1) * rotated];
        with_scratch(width, |dhead| {
            for (head, (x, dout)) in before.chunks_exact(width).zip(row.chunks_exact_mut(width)).enumerate() {
                let (norm, start) = if head < config.num_attention_heads {
                    (query_norm, sums.query_norm)
                } else {
                    (key_norm, sums.key_norm)
                };
                dhead.fill(0.0);
                rms_norm_backward(x, norm, model.epsilon(), dout, dhead, &mut partial[start..start + width]);
                dout.copy_from_slice(dhead);
            }
        });
    }
    if places.query_bias.is_some() {
        add(&mut partial[sums.projected_bias..][..row.len()], row);
    }
}

fn attention_backward(
    model: &Model,
    batch: &Batch,
    saved: &BlockSaved,
    dattended: &[f32],
    dprojected: &mut [f32],
    per_head: &mut Vec<f32>,
) {
    let config = model.config;
    let (heads, groups, width) = (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
    let (queries, keys, projected) = (model.query_width(), model.key_width(), model.projected_width());
    let group = heads / groups;
    // Gradients of keys and values `[tokens, parts, 2, heads, width]`, where they are computed in several tasks.
    let row_width = PARTS * 2 * queries;
    grow(per_head, if cut(batch.longest()).is_some() { batch.len() * row_width } else { 0 });
    let (shared, apart) = (SharedRows::new(dprojected), SharedRows::new(per_head));
    tasks(batch, config).into_par_iter().with_max_len(1).for_each(|task| {
        let Task { start, first, length, head, heads: count, part } = task;
        let shape = attention::Shape {
            first,
            length,
            group: count,
            width,
            stride: projected,
            out_stride: queries,
            scale: 1.0 / (width as f32).sqrt(),
        };
        let (first_query, first_key) = (head * width, queries + head / group * width);
        let row = &saved.projected[start * projected..];
        let inputs = attention::Saved {
            queries: &row[first_query..],
            keys: &row[first_key..],
            values: &row[first_key + keys..],
            out: &saved.attended[start * queries + first_query..],
            dout: &dattended[start * queries + first_query..],
            logsumexp: &saved.logsumexp[start * heads + head..],
            logsumexp_stride: heads,
        };
        let at = |column: usize| start * projected + column;
        // SAFETY: each task has its own sequence and its own columns and rows of queries, and of keys and values unless it
        // shares those; then it has columns of its own in the other buffer.
        unsafe {
            let dqueries = shared.pointer(at(first_query));
            let (dkeys, dvalues, dstride) = match part {
                None => (shared.pointer(at(first_key)), shared.pointer(at(first_key + keys)), projected),
                Some(part) => {
                    let first = start * row_width + part * 2 * queries + first_query;
                    (apart.pointer(first), apart.pointer(first + queries), row_width)
                }
            };
            attention::backward(shape, inputs, dqueries, dkeys, dvalues, dstride);
        }
    });
    for (start, length) in batch.sequences() {
        let Some(second) = cut(length) else { continue };
        let rows = dprojected[start * projected..].par_chunks_exact_mut(projected);
        let parts = per_head[start * row_width..].par_chunks_exact(row_width);
        rows.zip(parts).take(length).enumerate().for_each(|(token, (row, parts))| {
            let row = &mut row[queries..];
            row.fill(0.0);
            // No query of the first part sees a token of the second.
            for part in parts.chunks_exact(2 * queries).skip(usize::from(token >= second)) {
                for (sum, heads) in row.chunks_exact_mut(width).zip(part.chunks_exact(group * width)) {
                    heads.chunks_exact(width).for_each(|head| add(sum, head));
                }
            }
        });
    }
}

/// Adds each token's gradient to its row of the embedding, tokens in order within each row.
fn embedding_backward(model: &Model, batch: &Batch, dstream: &[f32], gradients: &mut [f32]) {
    let hidden = model.config.hidden_size;
    let mut order: Vec<u32> = (0..batch.len() as u32).collect();
    order.sort_by_key(|position| batch.tokens[*position as usize]);
    let embedding = SharedRows::new(model.layout.slice_mut(gradients, model.layout.embedding));
    let same: Vec<&[u32]> = order.chunk_by(|a, b| batch.tokens[*a as usize] == batch.tokens[*b as usize]).collect();
    same.into_par_iter().for_each(|positions| {
        let token = batch.tokens[positions[0] as usize] as usize;
        // SAFETY: each task has its own token, so its own row.
        let row = unsafe { embedding.part(token * hidden, hidden) };
        for position in positions {
            add(row, &dstream[*position as usize * hidden..][..hidden]);
        }
    });
}
