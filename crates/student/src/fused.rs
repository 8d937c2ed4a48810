//! The decoder as whole-block kernels on the CPU, forward and backward. Sequences of a batch lie one after the other
//! without padding; attention never crosses from one to the next, and positions start at 0 in each.

#![allow(unsafe_code)]

mod adapter_gradient;
mod backward;
mod cache;
mod decode;
mod decoder;
mod dropout;
mod forward;
mod head;
mod learner;
mod pass;
mod projection;

pub(crate) use decoder::Decoder;
pub use forward::PARTS;
pub use head::LOGITS;
pub(crate) use learner::Learner;
pub use pass::chunk_of;

use crate::adapter::layout::AdapterLayout;
use crate::backend::{Frozen, Shape};
use crate::kernels::rowwise::{add, rms_norm, rotate};
use crate::layout::{BlockPlaces, ParameterLayout};
use crate::rotary::Rotary;
use dropout::Dropout;
use retort_training::LoraSettings;
use retort_weights::ModelConfig;

/// Everything a kernel needs to know of the model: sizes, where tensors lie, the parameters and the rotary tables.
#[derive(Clone, Copy, Debug)]
struct Model<'a> {
    config: &'a ModelConfig,
    layout: &'a ParameterLayout,
    /// All parameters, f32.
    parameters: &'a [f32],
    /// Tables for at least as many positions as the longest sequence has.
    rotary: &'a Rotary,
    /// Adapters beside the projections; with them nothing else is trained.
    adapters: Option<Adapters<'a>>,
}

/// Adapters beside a frozen model.
#[derive(Clone, Copy, Debug)]
struct Adapters<'a> {
    settings: &'a LoraSettings,
    /// Where matrices lie in `values`.
    layout: &'a AdapterLayout,
    /// All adapters, f32.
    values: &'a [f32],
    /// Decides which inputs drop out; none do without it.
    noise: Option<u64>,
}

impl<'a> Model<'a> {
    /// A decoder whose parameters are `trained`, or which is frozen with `trained` as the adapters beside it.
    fn new(
        shape: Shape<'a>,
        frozen: Option<Frozen<'a>>,
        trained: &'a [f32],
        noise: Option<u64>,
        rotary: &'a Rotary,
    ) -> Self {
        let Shape { config, layout, .. } = shape;
        let adapters =
            frozen.map(|Frozen { settings, layout, .. }| Adapters { settings, layout, values: trained, noise });
        let parameters = frozen.map_or(trained, |frozen| frozen.parameters);
        Self { config, layout, parameters, rotary, adapters }
    }

    fn tensor(&self, place: usize) -> &'a [f32] {
        self.layout.slice(self.parameters, place)
    }

    fn optional(&self, place: Option<usize>) -> Option<&'a [f32]> {
        place.map(|place| self.tensor(place))
    }

    fn block(&self, layer: usize) -> &'a BlockPlaces {
        &self.layout.blocks[layer]
    }

    /// Rank, A and B of a projection's adapter.
    fn adapter(&self, layer: usize, part: usize) -> Option<(usize, &'a [f32], &'a [f32])> {
        let adapters = self.adapters?;
        let (a, b) = adapters.layout.blocks[layer][part]?;
        let matrix = |place: usize| &adapters.values[adapters.layout.places[place].range()];
        Some((adapters.settings.r, matrix(a), matrix(b)))
    }

    /// Ranks of all adapters of a block together.
    fn adapted_width(&self) -> usize {
        self.adapters.map_or(0, |adapters| self.rank() * adapters.layout.blocks[0].iter().flatten().count())
    }

    /// Rank of adapters; 0 without them.
    fn rank(&self) -> usize {
        self.adapters.map_or(0, |adapters| adapters.settings.r)
    }

    fn dropout(&self, layer: usize, part: usize) -> Option<Dropout> {
        let adapters = self.adapters?;
        Dropout::new(adapters.settings, adapters.noise?, layer, part)
    }

    /// Width of all query heads together.
    fn query_width(&self) -> usize {
        self.config.num_attention_heads * self.config.head_dim
    }

    /// Width of all key heads together.
    fn key_width(&self) -> usize {
        self.config.num_key_value_heads * self.config.head_dim
    }

    /// Width of queries, keys and values side by side.
    fn projected_width(&self) -> usize {
        self.query_width() + 2 * self.key_width()
    }

    fn epsilon(&self) -> f32 {
        self.config.rms_norm_eps as f32
    }

    /// Norm of rows as wide as the weight at `place`.
    fn norm_rows(&self, place: usize, x: &[f32], out: &mut [f32]) {
        let weight = self.tensor(place);
        for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
            rms_norm(x, weight, self.epsilon(), out);
        }
    }

    /// Biases, norms and rotation of one token's queries, keys and values, side by side in `row`. `before` receives queries
    /// and keys before their norms, where there are norms.
    fn place_heads(&self, layer: usize, position: usize, row: &mut [f32], before: &mut [f32]) {
        let (places, width) = (self.block(layer), self.config.head_dim);
        let (queries, rotated) = (self.query_width(), self.query_width() + self.key_width());
        let biases = [places.query_bias, places.key_bias, places.value_bias].map(|bias| self.optional(bias));
        if let [Some(query), Some(key), Some(value)] = biases {
            add(&mut row[..queries], query);
            add(&mut row[queries..rotated], key);
            add(&mut row[rotated..], value);
        }
        if let (Some(query), Some(key)) = (self.optional(places.query_norm), self.optional(places.key_norm)) {
            before.copy_from_slice(&row[..rotated]);
            for (head, (from, to)) in before.chunks_exact(width).zip(row.chunks_exact_mut(width)).enumerate() {
                let norm = if head < self.config.num_attention_heads { query } else { key };
                rms_norm(from, norm, self.epsilon(), to);
            }
        }
        let (cosine, sine) = self.rotary.at(position);
        row[..rotated].chunks_exact_mut(width).for_each(|head| rotate(head, cosine, sine));
    }

    /// Elements of a token's queries and keys that are kept from before their norms.
    fn before_width(&self) -> usize {
        if self.config.qk_norm { self.query_width() + self.key_width() } else { 0 }
    }
}
