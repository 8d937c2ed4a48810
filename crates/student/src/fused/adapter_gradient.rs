//! Gradients of a block's adapters (arXiv 2106.09685): each chunk of tokens gives partial sums while its rows are at hand,
//! and those are added up from the first chunk to the last.

use std::ops::Range;

use rayon::prelude::*;

use super::Model;
use super::projection::{LowRows, Part, Projection, Projections};
use crate::kernels::panels::{pack, packed_length};
use crate::kernels::product::{Packed, View, multiply};
use crate::kernels::rowwise::add;
use crate::kernels::{SharedRows, with_scratch};

impl Projection<'_> {
    /// Elements of `dB` `[outputs, rank]` and of `dAᵀ` `[inputs, rank]`, which lie in this order.
    fn gradient_sizes(&self) -> [usize; 2] {
        let rank = self.adapter.as_ref().map_or(0, |adapter| adapter.rank);
        [self.outputs * rank, self.inputs * rank]
    }
}

impl Projections<'_> {
    /// Elements of one chunk's partial sums.
    pub fn gradient_width(&self) -> usize {
        self.all.iter().flat_map(Projection::gradient_sizes).sum()
    }

    /// Where a projection's lie among them.
    fn gradient_range(&self, part: usize) -> Range<usize> {
        let size = |projection: &Projection| projection.gradient_sizes().iter().sum::<usize>();
        let start = self.all[..part].iter().map(size).sum();
        start..start + size(&self.all[part])
    }

    /// Partial sums of one adapter over these tokens: `dB = doutᵀ · low` and `dA = dlowᵀ · dropped(x)`, with what
    /// [`Projections::forward`] kept in `low` and [`Projections::backward`] gave as `dlow`.
    #[allow(clippy::too_many_arguments)]
    pub fn gradient(
        &self,
        part: Part,
        tokens: &Range<usize>,
        dout: View,
        x: &[f32],
        low: &LowRows,
        dlow: &[f32],
        sums: &mut [f32],
    ) {
        let projection = &self.all[part as usize];
        let (Some(adapter), Some(low)) = (&projection.adapter, low.of(part)) else { return };
        let (rows, rank, inputs) = (tokens.len(), adapter.rank, projection.inputs);
        let [up, _] = projection.gradient_sizes();
        let (up, down) = sums[self.gradient_range(part as usize)].split_at_mut(up);
        // SAFETY: each task has its own chunk of tokens.
        let low = unsafe { low.part(tokens.start * rank, rows * rank) };
        multiply_narrow(projection.outputs, rank, rows, View { row: 1, column: dout.row, ..dout }, low, up);
        match adapter.dropout {
            None => multiply_narrow(inputs, rank, rows, View::transposed(x, inputs), dlow, down),
            Some(dropout) => with_scratch(rows * inputs, |dropped| {
                dropped.copy_from_slice(&x[..rows * inputs]);
                dropout.apply(tokens.start, inputs, dropped);
                multiply_narrow(inputs, rank, rows, View::transposed(dropped, inputs), dlow, down);
            }),
        }
    }

    /// Adds all chunks' partial sums to `gradients`, a buffer of the adapters' layout.
    pub fn add_up(&self, model: &Model, layer: usize, sums: &[f32], gradients: &mut [f32]) {
        let Some(adapters) = model.adapters else { return };
        let (places, width) = (adapters.layout.blocks[layer], self.gradient_width());
        let gradients = SharedRows::new(gradients);
        (0..self.all.len()).into_par_iter().with_max_len(1).for_each(|part| {
            let Some((a, b)) = places[part] else { return };
            let range = self.gradient_range(part);
            // SAFETY: each task has its own adapter.
            let [a, b] = [a, b].map(|place| {
                let range = adapters.layout.places[place].range();
                unsafe { gradients.part(range.start, range.len()) }
            });
            with_scratch(a.len(), |turned| {
                turned.fill(0.0);
                for sums in sums.chunks_exact(width) {
                    let (up, down) = sums[range.clone()].split_at(b.len());
                    add(b, up);
                    add(turned, down);
                }
                let rank = adapters.settings.r;
                let inputs = a.len() / rank;
                for (i, row) in turned.chunks_exact(rank).enumerate() {
                    for (j, value) in row.iter().enumerate() {
                        a[j * inputs + i] += value;
                    }
                }
            });
        });
    }
}

/// `out = left · right` with `right` `[depth, columns]` row-major and narrow.
fn multiply_narrow(rows: usize, columns: usize, depth: usize, left: View, right: &[f32], out: &mut [f32]) {
    with_scratch(packed_length(depth, columns), |panels| {
        pack(View::rows(right, columns), depth, columns, panels);
        multiply(rows, columns, depth, left, Packed { panels, depth }, out, columns, false);
    });
}
