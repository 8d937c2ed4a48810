use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Model;
use super::cache::Cache;
use super::decode::{Buffers, PackedDecoder};
use super::pass::{Pass, Saving};
use crate::backend::{self, Frozen, Segment, Shape};
use crate::batch::{Batch, Targets};
use crate::rotary::Rotary;

/// Parameters up to this many fit into caches beside the sequences, so that each thread had best generate on its own.
const SMALL: usize = 4 << 20;

/// Weights on this machine that answer by kernels.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    shape: Shape<'a>,
    frozen: Option<Frozen<'a>>,
    /// All parameters, or the adapters beside what is frozen.
    trained: &'a [f32],
    /// Memory of the last forward pass.
    pass: Mutex<Pass>,
    packed: OnceLock<PackedDecoder>,
}

impl<'a> Decoder<'a> {
    /// A decoder whose parameters are `trained`, or which is frozen with `trained` as the adapters beside it.
    pub fn new(shape: Shape<'a>, trained: &'a [f32], frozen: Option<Frozen<'a>>) -> Self {
        let pass = Mutex::new(Pass::new(Saving::Nothing));
        Self { shape, frozen, trained, pass, packed: OnceLock::new() }
    }

    fn model<'b>(&'b self, rotary: &'b Rotary) -> Model<'b> {
        Model::new(self.shape, self.frozen, self.trained, None, rotary)
    }

    /// Runs `read` on a batch's forward pass.
    fn pass<R>(&self, batch: &Batch, read: impl FnOnce(&mut Pass, &Model) -> R) -> R {
        let rotary = self.shape.rotary.up_to(self.shape.config, batch.longest());
        let model = self.model(&rotary);
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        pass.forward(&model, batch);
        read(&mut pass, &model)
    }

    fn large(&self) -> bool {
        self.shape.layout.total > SMALL
    }

    fn packed(&self) -> &PackedDecoder {
        self.packed.get_or_init(|| PackedDecoder::new(&self.model(&Rotary::default()), self.large()))
    }
}

impl backend::Decoder for Decoder<'_> {
    fn logits(&self, batch: &Batch, rows: &[usize]) -> Vec<f32> {
        self.pass(batch, |pass, model| pass.logits(model, rows))
    }

    fn log_probs(&self, batch: &Batch, targets: &Targets) -> Vec<f32> {
        self.pass(batch, |pass, model| pass.log_probs(model, targets))
    }

    fn entropies(&self, batch: &Batch, rows: &[usize]) -> Vec<f32> {
        self.pass(batch, |pass, model| pass.entropies(model, rows))
    }

    fn pack(&self) {
        self.packed();
    }

    fn generations(&self) -> usize {
        if self.large() { 1 } else { rayon::current_num_threads() }
    }

    fn generation(&self, longest: usize) -> Box<dyn backend::Generation + '_> {
        let rotary = self.shape.rotary.up_to(self.shape.config, longest);
        Box::new(Generation {
            decoder: self,
            rotary,
            caches: Vec::new(),
            free: Vec::new(),
            buffers: Buffers::default(),
        })
    }
}

/// Sequences with a cache of keys and values each.
struct Generation<'a> {
    decoder: &'a Decoder<'a>,
    rotary: Arc<Rotary>,
    caches: Vec<Cache>,
    /// Places that nobody has.
    free: Vec<usize>,
    buffers: Buffers,
}

impl backend::Generation for Generation<'_> {
    fn open(&mut self, capacity: usize) -> usize {
        if let Some(at) = self.free.iter().position(|place| self.caches[*place].capacity() >= capacity) {
            let place = self.free.swap_remove(at);
            self.caches[place].clear();
            return place;
        }
        self.caches.push(Cache::new(&self.decoder.model(&self.rotary), capacity));
        self.caches.len() - 1
    }

    fn close(&mut self, place: usize) {
        self.free.push(place);
    }

    fn step(&mut self, segments: &[Segment]) -> &[f32] {
        let model = self.decoder.model(&self.rotary);
        self.decoder.packed().step(&model, segments, &mut self.caches, &mut self.buffers)
    }
}
