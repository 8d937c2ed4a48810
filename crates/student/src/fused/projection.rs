use std::ops::Range;

use super::Model;
use super::dropout::Dropout;
use super::pass::grow;
use crate::kernels::panels::{pack_parallel, packed_length};
use crate::kernels::product::{Packed, View, multiply};
use crate::kernels::rowwise::{add, drop_out, scale};
use crate::kernels::{SharedRows, with_scratch};

/// The seven projections of a block, in the order of [`crate::layout::BlockPlaces::projections`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Query,
    Key,
    Value,
    Output,
    Gate,
    Up,
    Down,
}

/// Which pass weights are packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Backward,
}

/// A block's weights, packed; with adapters beside those that have one.
pub(super) struct Projections<'a> {
    pub(super) all: [Projection<'a>; 7],
}

/// One projection, `out = x · Wᵀ`, plus `s · (x · Aᵀ) · Bᵀ` with an adapter (arXiv 2106.09685).
pub(super) struct Projection<'a> {
    pub inputs: usize,
    pub outputs: usize,
    base: Packed<'a>,
    pub adapter: Option<Adapter<'a>>,
}

/// A projection's adapter, packed.
pub(super) struct Adapter<'a> {
    pub rank: usize,
    scale: f32,
    /// To the low rank: `Aᵀ`, `[inputs, rank]`, in the forward pass; `B`, `[outputs, rank]`, in the backward pass.
    down: Packed<'a>,
    /// Back from it: `Bᵀ`, `[rank, outputs]`, in the forward pass; `A`, `[rank, inputs]`, in the backward pass.
    up: Packed<'a>,
    pub dropout: Option<Dropout>,
}

impl<'a> Projections<'a> {
    pub fn new(model: &Model, layer: usize, way: Way, buffer: &'a mut Vec<f32>) -> Self {
        let projections = model.block(layer).projections();
        let shape = |place: usize| (model.layout.places[place].shape[0], model.layout.places[place].shape[1]);
        // As long for one way as for the other, so that the buffer keeps its length.
        let mut length = 0;
        for (part, place) in projections.iter().enumerate() {
            let (outputs, inputs) = shape(*place);
            length += packed_length(inputs, outputs).max(packed_length(outputs, inputs));
            if let Some((rank, ..)) = model.adapter(layer, part) {
                length += packed_length(inputs, rank).max(packed_length(outputs, rank));
                length += packed_length(rank, outputs).max(packed_length(rank, inputs));
            }
        }
        grow(buffer, length);
        let mut rest = buffer.as_mut_slice();
        let mut pack = |view: View, depth: usize, columns: usize| {
            let (panels, after) = std::mem::take(&mut rest).split_at_mut(packed_length(depth, columns));
            rest = after;
            pack_parallel(view, depth, columns, panels);
            Packed { panels: &*panels, depth }
        };
        let mut part = 0;
        let all = projections.map(|place| {
            let (outputs, inputs) = shape(place);
            let weight = model.tensor(place);
            let base = match way {
                Way::Forward => pack(View::transposed(weight, inputs), inputs, outputs),
                Way::Backward => pack(View::rows(weight, inputs), outputs, inputs),
            };
            let adapter = model.adapter(layer, part).map(|(rank, a, b)| {
                let settings = model.adapters.expect("a part with an adapter").settings;
                let (down, up) = match way {
                    Way::Forward => (
                        pack(View::transposed(a, inputs), inputs, rank),
                        pack(View::transposed(b, rank), rank, outputs),
                    ),
                    Way::Backward => {
                        (pack(View::rows(b, rank), outputs, rank), pack(View::rows(a, inputs), rank, inputs))
                    }
                };
                Adapter { rank, scale: settings.scale(), down, up, dropout: model.dropout(layer, part) }
            });
            part += 1;
            Projection { inputs, outputs, base, adapter }
        });
        Self { all }
    }

    /// `out (+)= x · Wᵀ + …` for these tokens; `x` is `[tokens, inputs]`. Keeps what an adapter makes of `x` in `low`.
    #[allow(clippy::too_many_arguments)]
    pub fn forward(
        &self,
        part: Part,
        tokens: &Range<usize>,
        x: &[f32],
        out: &mut [f32],
        stride: usize,
        accumulate: bool,
        low: &LowRows,
    ) {
        let Projection { inputs, outputs, base, adapter } = &self.all[part as usize];
        let rows = tokens.len();
        multiply(rows, *outputs, *inputs, View::rows(x, *inputs), *base, out, stride, accumulate);
        let (Some(adapter), Some(low)) = (adapter, low.of(part)) else { return };
        let rank = adapter.rank;
        // SAFETY: each task has its own chunk of tokens.
        let low = unsafe { low.part(tokens.start * rank, rows * rank) };
        adapter.low(*inputs, tokens.start, rows, x, low);
        multiply(rows, *outputs, rank, View::rows(low, rank), adapter.up, out, stride, true);
    }

    /// `dx (+)= dout · W + …`; `dlow` `[tokens, rank]` becomes the gradient of what [`Projections::forward`] kept.
    pub fn backward(
        &self,
        part: Part,
        tokens: &Range<usize>,
        dout: View,
        dx: &mut [f32],
        accumulate: bool,
        dlow: &mut [f32],
    ) {
        let Projection { inputs, outputs, base, adapter } = &self.all[part as usize];
        let rows = tokens.len();
        multiply(rows, *inputs, *outputs, dout, *base, dx, *inputs, accumulate);
        let Some(adapter) = adapter else { return };
        let rank = adapter.rank;
        multiply(rows, rank, *outputs, dout, adapter.down, dlow, rank, false);
        scale(dlow, adapter.scale);
        let view = View::rows(dlow, rank);
        let Some(dropout) = adapter.dropout else {
            multiply(rows, *inputs, rank, view, adapter.up, dx, *inputs, true);
            return;
        };
        with_scratch(rows * inputs, |part| {
            multiply(rows, *inputs, rank, view, adapter.up, part, *inputs, false);
            let rows = part.chunks_exact_mut(*inputs).zip(dx.chunks_exact_mut(*inputs));
            for (i, (part, dx)) in rows.enumerate() {
                drop_out(part, dropout.key(tokens.start + i), dropout.threshold, dropout.factor);
                add(dx, part);
            }
        });
    }
}

impl Adapter<'_> {
    /// `low = s · dropped(x) · Aᵀ`, `[rows, rank]`.
    fn low(&self, inputs: usize, first: usize, rows: usize, x: &[f32], low: &mut [f32]) {
        match self.dropout {
            None => multiply(rows, self.rank, inputs, View::rows(x, inputs), self.down, low, self.rank, false),
            Some(dropout) => with_scratch(rows * inputs, |dropped| {
                dropped.copy_from_slice(&x[..rows * inputs]);
                dropout.apply(first, inputs, dropped);
                multiply(rows, self.rank, inputs, View::rows(dropped, inputs), self.down, low, self.rank, false);
            }),
        }
        scale(low, self.scale);
    }
}

/// Where a block's adapters keep `[tokens, rank]` each.
pub(super) struct LowRows<'a> {
    parts: [Option<SharedRows<'a>>; 7],
}

impl<'a> LowRows<'a> {
    /// Shares out a buffer of [`Model::adapted_width`] elements a token.
    pub fn new(model: &Model, layer: usize, tokens: usize, buffer: &'a mut [f32]) -> Self {
        let mut rest = buffer;
        let parts = std::array::from_fn(|part| {
            let (rank, ..) = model.adapter(layer, part)?;
            let (rows, after) = std::mem::take(&mut rest).split_at_mut(tokens * rank);
            rest = after;
            Some(SharedRows::new(rows))
        });
        Self { parts }
    }

    pub fn of(&self, part: Part) -> Option<SharedRows<'a>> {
        self.parts[part as usize]
    }
}
