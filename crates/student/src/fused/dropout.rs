use retort_training::LoraSettings;

use crate::kernels::rowwise::drop_out;
use crate::random::Random;

/// Which inputs of an adapter are zero in one training step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    seed: u64,
    /// Inputs whose random 32 bits are below this are dropped.
    pub threshold: u32,
    /// Factor on the others.
    pub factor: f32,
}

impl Dropout {
    /// The dropout of one projection of one block in one step, or none.
    pub fn new(settings: &LoraSettings, seed: u64, layer: usize, part: usize) -> Option<Self> {
        let share = settings.lora_dropout;
        (share > 0.0).then(|| Self {
            seed: Random::new(&[seed, layer as u64, part as u64]).next(),
            threshold: (share * f64::from(u32::MAX)) as u32,
            factor: (1.0 / (1.0 - share)) as f32,
        })
    }

    /// Random bits of one token's row.
    pub fn key(&self, token: usize) -> u32 {
        (Random::new(&[self.seed, token as u64]).next() >> 32) as u32
    }

    /// Applies it to rows of tokens from `first` on.
    pub fn apply(&self, first: usize, width: usize, rows: &mut [f32]) {
        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
            drop_out(row, self.key(first + i), self.threshold, self.factor);
        }
    }
}
