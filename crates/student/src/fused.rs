//! The decoder as whole-block kernels on the CPU, forward and backward. Sequences of a batch lie one after the other
//! without padding; attention never crosses from one to the next, and positions start at 0 in each.

#![allow(unsafe_code)]

mod adapter_gradient;
mod backward;
mod cache;
mod decode;
mod dropout;
mod forward;
mod head;
mod pass;
mod projection;

pub use cache::Cache;
pub use decode::{Buffers, Decoder, Segment};
pub use forward::PARTS;
pub use head::LOGITS;
pub use pass::{Batch, Pass, Saving, chunk_of};

use crate::adapter::layout::AdapterLayout;
use crate::layout::{BlockPlaces, ParameterLayout};
use crate::rotary::Rotary;
use dropout::Dropout;
use retort_training::LoraSettings;
use retort_weights::ModelConfig;

/// Everything a kernel needs to know of the model: sizes, where tensors lie, the parameters and the rotary tables.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// Sizes and switches.
    pub config: &'a ModelConfig,
    /// Where tensors lie in `parameters`.
    pub layout: &'a ParameterLayout,
    /// All parameters, f32.
    pub parameters: &'a [f32],
    /// Tables for at least as many positions as the longest sequence has.
    pub rotary: &'a Rotary,
    /// Adapters beside the projections; with them nothing else is trained.
    pub adapters: Option<Adapters<'a>>,
}

/// Adapters while they are trained.
#[derive(Clone, Copy, Debug)]
pub struct Adapters<'a> {
    /// Rank, scale, dropout.
    pub settings: &'a LoraSettings,
    /// Where matrices lie in `values`.
    pub layout: &'a AdapterLayout,
    /// All adapters, f32.
    pub values: &'a [f32],
    /// Decides which inputs drop out.
    pub seed: u64,
}

impl<'a> Model<'a> {
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
        self.adapters.and_then(|adapters| Dropout::new(adapters.settings, adapters.seed, layer, part))
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
}
