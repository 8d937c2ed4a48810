//! The decoder as whole-block kernels on the CPU, forward and backward. Sequences of a batch lie one after the other
//! without padding; attention never crosses from one to the next, and positions start at 0 in each.

#![allow(unsafe_code)]

mod backward;
mod cache;
mod decode;
mod forward;
mod head;
mod pass;

pub use cache::Cache;
pub use decode::{Buffers, Decoder, Segment};
pub use head::LOGITS;
pub use pass::{Batch, Pass, Saving};

use crate::layout::{BlockPlaces, Layout};
use crate::rotary::Rotary;
use retort_weights::ModelConfig;

/// Everything a kernel needs to know of the model: sizes, where tensors lie, the parameters and the rotary tables.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// Sizes and switches.
    pub config: &'a ModelConfig,
    /// Where tensors lie in `parameters`.
    pub layout: &'a Layout,
    /// All parameters, f32.
    pub parameters: &'a [f32],
    /// Tables for at least as many positions as the longest sequence has.
    pub rotary: &'a Rotary,
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
