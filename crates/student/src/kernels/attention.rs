//! Causal attention of one sequence and one group of heads, forward and backward, without a [sequence, sequence] matrix:
//! scores exist for [`TILE`] queries and at most [`BLOCK`] keys at a time (arXiv 2205.14135).

use super::panels::{pack, packed_length};
use super::product::{Packed, View, multiply};
use super::rowwise::{dot, exponentials, largest, scale, softmax_backward};
use super::with_scratch;

/// Queries handled together.
pub const TILE: usize = 48;
/// Keys handled together.
const BLOCK: usize = 512;

/// Where one head group of one sequence lies: queries of `group` heads, one key head, one value head, row-major with the
/// same stride.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The first query; those before it are left to others.
    pub first: usize,
    /// Tokens of the sequence up to the last query.
    pub length: usize,
    /// Query heads that share the key and value head.
    pub group: usize,
    /// Width of a head.
    pub width: usize,
    /// Distance from token to token in `queries`, `keys`, `values`.
    pub stride: usize,
    /// Distance from token to token in outputs.
    pub out_stride: usize,
    /// Factor on the scores, `1 / sqrt(width)`.
    pub scale: f32,
}

/// Attention of one head group. `queries`, `keys`, `values` start at the group's first element of the sequence's first token.
/// `write(token, head, row, logsumexp)` receives each output row of `width` elements.
pub fn forward(
    shape: Shape,
    queries: &[f32],
    keys: &[f32],
    values: &[f32],
    mut write: impl FnMut(usize, usize, &[f32], f32),
) {
    let Shape { first: first_query, length, group, width, stride, scale: factor, .. } = shape;
    let (keys_size, values_size) = (packed_length(width, length), packed_length(length, width));
    with_scratch(keys_size + values_size + TILE * (BLOCK + width + 2), |scratch| {
        let (keys_packed, rest) = scratch.split_at_mut(keys_size);
        let (values_packed, rest) = rest.split_at_mut(values_size);
        let (scores, rest) = rest.split_at_mut(TILE * BLOCK);
        let (out, rest) = rest.split_at_mut(TILE * width);
        let (maxima, sums) = rest.split_at_mut(TILE);
        pack(View::transposed(keys, stride), width, length, keys_packed);
        pack(View::rows(values, stride), length, width, values_packed);
        for head in 0..group {
            for start in (first_query..length).step_by(TILE) {
                let rows = (length - start).min(TILE);
                maxima.fill(f32::NEG_INFINITY);
                sums.fill(0.0);
                let query = View::rows(&queries[start * stride + head * width..], stride);
                for first in (0..start + rows).step_by(BLOCK) {
                    let count = (start + rows - first).min(BLOCK);
                    let panels = Packed { panels: &keys_packed[first * width..], depth: width };
                    multiply(rows, count, width, query, panels, scores, BLOCK, false);
                    for i in 0..rows {
                        // Query `start + i` sees keys up to itself.
                        let seen = (start + i + 1).saturating_sub(first).min(count);
                        let row = &mut scores[i * BLOCK..i * BLOCK + count];
                        let (visible, hidden) = row.split_at_mut(seen);
                        hidden.fill(0.0);
                        if seen == 0 {
                            continue;
                        }
                        let maximum = (largest(visible) * factor).max(maxima[i]);
                        let shrink = super::rowwise::exp(maxima[i] - maximum);
                        sums[i] = sums[i] * shrink + exponentials(visible, factor, maximum);
                        if first > 0 && shrink != 1.0 {
                            scale(&mut out[i * width..(i + 1) * width], shrink);
                        }
                        maxima[i] = maximum;
                    }
                    // Value panels hold all keys one after the other, so a block of keys starts inside each panel.
                    let weights = View::rows(scores, BLOCK);
                    multiply_values(rows, count, first, shape, weights, values_packed, out);
                }
                for i in 0..rows {
                    let row = &mut out[i * width..(i + 1) * width];
                    scale(row, 1.0 / sums[i]);
                    write(start + i, head, row, maxima[i] + sums[i].ln());
                }
            }
        }
    });
}

/// `out (+)= weights · values[first .. first + count]`, where the packed panels hold all `length` keys.
fn multiply_values(
    rows: usize,
    count: usize,
    first: usize,
    shape: Shape,
    weights: View,
    values_packed: &[f32],
    out: &mut [f32],
) {
    use super::panels::WIDTH;
    let panel_length = shape.length * WIDTH;
    for panel in 0..shape.width.div_ceil(WIDTH) {
        let columns = (shape.width - panel * WIDTH).min(WIDTH);
        let panels = &values_packed[panel * panel_length + first * WIDTH..(panel + 1) * panel_length];
        let right = Packed { panels, depth: shape.length - first };
        multiply(rows, columns, count, weights, right, &mut out[panel * WIDTH..], shape.width, first > 0);
    }
}

/// What [`backward`] reads of the forward pass, each starting at the group's first element of the sequence's first token.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// Queries after rotation, `group` heads wide.
    pub queries: &'a [f32],
    /// Keys after rotation.
    pub keys: &'a [f32],
    /// Values.
    pub values: &'a [f32],
    /// Outputs, at `out_stride`.
    pub out: &'a [f32],
    /// Gradients of the outputs, at `out_stride`.
    pub dout: &'a [f32],
    /// Logarithm of each query's sum of exponentials, `[length, heads]`.
    pub logsumexp: &'a [f32],
    /// Distance from token to token in `logsumexp`.
    pub logsumexp_stride: usize,
}

/// Gradients of one head group: overwrites `dqueries` (start and `stride` as for the inputs), `dkeys` and `dvalues`.
///
/// # Safety
/// The three pointers are valid for writes at `token * stride + i`, the last two with `key_stride`, for all tokens of the
/// sequence and for `i` below `group * width`, `width` and `width`; nobody else touches those elements.
pub unsafe fn backward(
    shape: Shape,
    saved: Saved,
    dqueries: *mut f32,
    dkeys: *mut f32,
    dvalues: *mut f32,
    key_stride: usize,
) {
    let Shape { first: first_query, length, group, width, stride, out_stride, scale: factor } = shape;
    let transposed_size = packed_length(width, length);
    let keys_size = packed_length(length, width);
    let tile_size = packed_length(TILE, width);
    let total = 2 * transposed_size + keys_size + 2 * tile_size + 2 * TILE * BLOCK + 2 * length * width + TILE * width;
    with_scratch(total, |scratch| {
        let (keys_transposed, rest) = scratch.split_at_mut(transposed_size);
        let (values_transposed, rest) = rest.split_at_mut(transposed_size);
        let (keys_packed, rest) = rest.split_at_mut(keys_size);
        let (query_packed, rest) = rest.split_at_mut(tile_size);
        let (dout_packed, rest) = rest.split_at_mut(tile_size);
        let (weights, rest) = rest.split_at_mut(TILE * BLOCK);
        let (dscores, rest) = rest.split_at_mut(TILE * BLOCK);
        let (dk, rest) = rest.split_at_mut(length * width);
        let (dv, dq) = rest.split_at_mut(length * width);
        pack(View::transposed(saved.keys, stride), width, length, keys_transposed);
        pack(View::transposed(saved.values, stride), width, length, values_transposed);
        pack(View::rows(saved.keys, stride), length, width, keys_packed);
        dk.fill(0.0);
        dv.fill(0.0);
        for head in 0..group {
            for start in (first_query..length).step_by(TILE) {
                let rows = (length - start).min(TILE);
                let query = View::rows(&saved.queries[start * stride + head * width..], stride);
                let dout = View::rows(&saved.dout[start * out_stride + head * width..], out_stride);
                let out = &saved.out[start * out_stride + head * width..];
                pack(query, rows, width, query_packed);
                pack(dout, rows, width, dout_packed);
                for first in (0..start + rows).step_by(BLOCK) {
                    let count = (start + rows - first).min(BLOCK);
                    let panels = Packed { panels: &keys_transposed[first * width..], depth: width };
                    multiply(rows, count, width, query, panels, weights, BLOCK, false);
                    let panels = Packed { panels: &values_transposed[first * width..], depth: width };
                    multiply(rows, count, width, dout, panels, dscores, BLOCK, false);
                    for i in 0..rows {
                        let seen = (start + i + 1).saturating_sub(first).min(count);
                        let (p, hidden) = weights[i * BLOCK..i * BLOCK + count].split_at_mut(seen);
                        let (ds, dhidden) = dscores[i * BLOCK..i * BLOCK + count].split_at_mut(seen);
                        hidden.fill(0.0);
                        dhidden.fill(0.0);
                        let logsumexp = saved.logsumexp[(start + i) * saved.logsumexp_stride + head];
                        exponentials(p, factor, logsumexp);
                        let along = dot(&out[i * out_stride..][..width], &dout.data[i * out_stride..][..width]);
                        softmax_backward(p, ds, along, factor);
                    }
                    // dq += ds · k; dk += dsᵀ · q; dv += pᵀ · dout
                    let ds = View::rows(dscores, BLOCK);
                    multiply_values(rows, count, first, shape, ds, keys_packed, dq);
                    let block = first * width..;
                    let right = Packed { panels: query_packed, depth: rows };
                    let ds = View::transposed(dscores, BLOCK);
                    multiply(count, width, rows, ds, right, &mut dk[block.clone()], width, true);
                    let right = Packed { panels: dout_packed, depth: rows };
                    let p = View::transposed(weights, BLOCK);
                    multiply(count, width, rows, p, right, &mut dv[block], width, true);
                }
                for i in 0..rows {
                    // SAFETY: the caller's promise for `dqueries`.
                    let row = unsafe {
                        std::slice::from_raw_parts_mut(dqueries.add((start + i) * stride + head * width), width)
                    };
                    row.copy_from_slice(&dq[i * width..(i + 1) * width]);
                }
            }
        }
        for token in 0..length {
            for (target, source) in [(dkeys, &*dk), (dvalues, &*dv)] {
                // SAFETY: the caller's promise for `dkeys` and `dvalues`.
                let row = unsafe { std::slice::from_raw_parts_mut(target.add(token * key_stride), width) };
                row.copy_from_slice(&source[token * width..(token + 1) * width]);
            }
        }
    });
}
