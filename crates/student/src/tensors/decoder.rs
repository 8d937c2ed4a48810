use burn::tensor::activation::{log_softmax, silu, softmax};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use super::download;
use super::generation::Generation;
use super::weights::{Weights, cut};
use crate::backend::{self, Shape};
use crate::batch::{Batch, Targets};

/// A decoder in plain tensor operations: a language model's equations, top to bottom.
#[derive(Clone, Debug)]
pub(crate) struct Decoder<'a> {
    pub(super) shape: Shape<'a>,
    pub(super) weights: Weights<'a>,
    pub(super) device: Device,
}

impl<'a> Decoder<'a> {
    /// Moves a decoder's parameters to a device.
    pub fn upload(shape: Shape<'a>, parameters: &[f32], device: &Device) -> Self {
        let tensors = cut(&shape.layout.places, parameters, device);
        Self::new(shape, Weights { tensors, adapters: None }, device.clone())
    }

    pub(super) fn new(shape: Shape<'a>, weights: Weights<'a>, device: Device) -> Self {
        Self { shape, weights, device }
    }

    /// The same under differentiation.
    pub(super) fn tracked(self) -> Self {
        Self { weights: self.weights.tracked(), device: self.device.autodiff(), ..self }
    }

    /// Logits `[rows, vocab_size]` after the given positions of a batch.
    fn row_logits(&self, batch: &Batch, rows: &[usize]) -> Tensor<2> {
        self.head(self.hidden(batch, rows))
    }

    /// Natural log-probs `[targets]`.
    pub(super) fn target_log_probs(&self, batch: &Batch, targets: &Targets) -> Tensor<1> {
        /// Logits that are one tensor: some devices bound the size of a buffer.
        const LOGITS: usize = 1 << 24;
        let hidden = self.hidden(batch, &targets.rows);
        let rows_at_once = (LOGITS / self.shape.config.vocab_size).max(1);
        let parts = targets.tokens.chunks(rows_at_once).enumerate().map(|(part, tokens)| {
            let count = tokens.len();
            let logits = self.head(hidden.clone().narrow(0, part * rows_at_once, count));
            let tokens: Vec<i64> = tokens.iter().map(|token| i64::from(*token)).collect();
            log_softmax(logits, 1).gather(1, self.whole_numbers(tokens).reshape([count, 1])).reshape([count])
        });
        Tensor::cat(parts.collect(), 0)
    }

    /// The stream `[rows, hidden_size]` after the last block's norm at the given positions of a batch.
    fn hidden(&self, batch: &Batch, rows: &[usize]) -> Tensor<2> {
        let padded = Padded::new(batch);
        let (sequences, length, width) = (padded.sequences, padded.length, self.shape.config.head_dim);
        let angles = self.angles(padded.positions());
        let later = Tensor::<2, Bool>::tril_mask([length, length], 0, &self.device).reshape([1, 1, length, length]);
        let mut stream = self.embed(padded.tokens(batch));
        for layer in 0..self.shape.layout.blocks.len() {
            stream = self.block(layer, stream, &angles, |heads| {
                let split = |x: Tensor<3>| {
                    let count = x.dims()[1];
                    x.reshape([sequences, length, count, width]).swap_dims(1, 2)
                };
                let [query, key, value] = heads.map(split);
                let attended = attend(query, key, value, later.clone());
                attended.swap_dims(1, 2).flatten::<3>(0, 1).flatten(1, 2)
            });
        }
        self.last_norm(stream.select(0, self.whole_numbers(padded.rows(batch, rows))))
    }

    /// Embeddings `[tokens, hidden_size]`.
    pub(super) fn embed(&self, tokens: Vec<i64>) -> Tensor<2> {
        self.matrix(self.shape.layout.embedding).select(0, self.whole_numbers(tokens))
    }

    /// The norm after the last block.
    pub(super) fn last_norm(&self, stream: Tensor<2>) -> Tensor<2> {
        self.norm(self.shape.layout.norm, stream)
    }

    /// Logits `[rows, vocab_size]` of a normed stream `[rows, hidden_size]`.
    pub(super) fn head(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.linear(self.shape.layout.head, None, hidden)
    }

    /// One block: `[tokens, hidden_size]` to the same. `attend` turns queries, keys and values `[tokens, heads, head_dim]`
    /// into `[tokens, heads * head_dim]`.
    pub(super) fn block(
        &self,
        layer: usize,
        stream: Tensor<2>,
        angles: &Angles,
        attend: impl FnOnce([Tensor<3>; 3]) -> Tensor<2>,
    ) -> Tensor<2> {
        let places = &self.shape.layout.blocks[layer];
        let project = |part: usize, bias: Option<usize>, x: Tensor<2>| {
            let product = self.linear(places.projections()[part], bias, x.clone());
            self.adapt(layer, part, x, product)
        };
        let normed = self.norm(places.input_norm, stream.clone());
        let query = self.heads(project(0, places.query_bias, normed.clone()), places.query_norm);
        let key = self.heads(project(1, places.key_bias, normed.clone()), places.key_norm);
        let value = self.heads(project(2, places.value_bias, normed), None);
        let attended = attend([angles.rotate(query), angles.rotate(key), value]);
        let stream = stream + project(3, places.output_bias, attended);
        let normed = self.norm(places.post_norm, stream.clone());
        let gate = silu(project(4, None, normed.clone()));
        let up = project(5, None, normed);
        stream + project(6, None, gate * up)
    }

    /// `[tokens, heads * head_dim]` to `[tokens, heads, head_dim]`, normed where there is a norm.
    fn heads(&self, x: Tensor<2>, norm: Option<usize>) -> Tensor<3> {
        let ([tokens, all], width) = (x.dims(), self.shape.config.head_dim);
        let x = x.reshape([tokens * all / width, width]);
        let x = if let Some(norm) = norm { self.norm(norm, x) } else { x };
        x.reshape([tokens, all / width, width])
    }

    /// RMS norm over the last dimension.
    fn norm(&self, place: usize, x: Tensor<2>) -> Tensor<2> {
        let square = x.clone().powf_scalar(2.0).mean_dim(1);
        let scaled = x / (square + self.shape.config.rms_norm_eps).sqrt();
        scaled * self.weights.tensors[place].clone().unsqueeze_dim::<2>(0)
    }

    /// `x · Wᵀ + b`, W as `[out, in]`.
    fn linear(&self, place: usize, bias: Option<usize>, x: Tensor<2>) -> Tensor<2> {
        let product = x.matmul(self.matrix(place).swap_dims(0, 1));
        match bias {
            Some(bias) => product + self.weights.tensors[bias].clone().unsqueeze_dim::<2>(0),
            None => product,
        }
    }

    /// Adds `s · (x · Aᵀ) · Bᵀ` where the projection has an adapter.
    fn adapt(&self, layer: usize, part: usize, x: Tensor<2>, product: Tensor<2>) -> Tensor<2> {
        let Some(adapters) = &self.weights.adapters else { return product };
        let Some((a, b)) = adapters.layout.blocks[layer][part] else { return product };
        let matrix = |place: usize| {
            let shape = &adapters.layout.places[place].shape;
            adapters.tensors[place].clone().reshape([shape[0], shape[1]]).swap_dims(0, 1)
        };
        product + x.matmul(matrix(a)).matmul(matrix(b)) * adapters.scale
    }

    fn matrix(&self, place: usize) -> Tensor<2> {
        let shape = &self.shape.layout.places[place].shape;
        self.weights.tensors[place].clone().reshape([shape[0], shape[1]])
    }

    /// Cosines and sines of these positions.
    pub(super) fn angles(&self, positions: impl Iterator<Item = usize> + Clone) -> Angles {
        let Shape { config, rotary, .. } = self.shape;
        let tables = rotary.up_to(config, positions.clone().max().map_or(0, |last| last + 1));
        let (mut cosines, mut sines, half) = (Vec::new(), Vec::new(), config.head_dim / 2);
        for position in positions {
            let (cosine, sine) = tables.at(position);
            cosines.extend_from_slice(cosine);
            sines.extend_from_slice(sine);
        }
        let table = |values: Vec<f32>| {
            let shape = [values.len() / half, 1, half];
            Tensor::from_data(TensorData::new(values, shape), &self.device)
        };
        Angles { cosines: table(cosines), sines: table(sines) }
    }

    /// Whole numbers on the device.
    pub(super) fn whole_numbers(&self, values: Vec<i64>) -> Tensor<1, Int> {
        let shape = [values.len()];
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}

/// Softmax attention (arXiv 1706.03762) with grouped queries (arXiv 2305.13245): queries `[batch, heads, queries, width]` over
/// keys and values `[batch, groups, keys, width]`. `unseen` `[batch or 1, 1, queries, keys]` says what no query sees.
pub(super) fn attend(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, unseen: Tensor<4, Bool>) -> Tensor<4> {
    let ([batch, heads, queries, width], [_, groups, keys, _]) = (query.dims(), key.dims());
    let together = heads / groups * queries;
    let scores = query.reshape([batch, groups, together, width]).matmul(key.swap_dims(2, 3)) / (width as f64).sqrt();
    let scores = scores.reshape([batch, heads, queries, keys]);
    let scores = scores.mask_fill(unseen.expand([batch, heads, queries, keys]), f32::NEG_INFINITY);
    let weights = softmax(scores, 3).reshape([batch, groups, together, keys]);
    weights.matmul(value).reshape([batch, heads, queries, width])
}

/// Rotary positions (arXiv 2104.09864) in Hugging Face's layout: cosines and sines `[tokens, 1, head_dim / 2]`.
pub(super) struct Angles {
    cosines: Tensor<3>,
    sines: Tensor<3>,
}

impl Angles {
    fn rotate(&self, x: Tensor<3>) -> Tensor<3> {
        let half = x.dims()[2] / 2;
        let (first, second) = (x.clone().narrow(2, 0, half), x.narrow(2, half, half));
        let a = first.clone() * self.cosines.clone() - second.clone() * self.sines.clone();
        let b = second * self.cosines.clone() + first * self.sines.clone();
        Tensor::cat(vec![a, b], 2)
    }
}

/// A batch padded at the right, where causal queries do not look, to its longest sequence.
struct Padded {
    sequences: usize,
    length: usize,
}

impl Padded {
    fn new(batch: &Batch) -> Self {
        Self { sequences: batch.starts.len() - 1, length: batch.longest() }
    }

    fn positions(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        let length = self.length;
        (0..self.sequences * length).map(move |row| row % length)
    }

    fn tokens(&self, batch: &Batch) -> Vec<i64> {
        let mut tokens = vec![0; self.sequences * self.length];
        for (row, (start, length)) in tokens.chunks_mut(self.length.max(1)).zip(batch.sequences()) {
            for (padded, token) in row.iter_mut().zip(&batch.tokens[start..start + length]) {
                *padded = i64::from(*token);
            }
        }
        tokens
    }

    /// Where positions of the unpadded batch lie in the padded one.
    fn rows(&self, batch: &Batch, rows: &[usize]) -> Vec<i64> {
        let place = |row: &usize| {
            let sequence = batch.starts.partition_point(|start| start <= row) - 1;
            (sequence * self.length + row - batch.starts[sequence]) as i64
        };
        rows.iter().map(place).collect()
    }
}

impl backend::Decoder for Decoder<'_> {
    fn logits(&self, batch: &Batch, rows: &[usize]) -> Vec<f32> {
        download(self.row_logits(batch, rows))
    }

    fn log_probs(&self, batch: &Batch, targets: &Targets) -> Vec<f32> {
        download(self.target_log_probs(batch, targets))
    }

    fn entropies(&self, batch: &Batch, rows: &[usize]) -> Vec<f32> {
        let log_probs = log_softmax(self.row_logits(batch, rows), 1);
        download((log_probs.clone().exp() * log_probs).sum_dim(1).neg())
    }

    fn generation(&self, longest: usize) -> Box<dyn backend::Generation + '_> {
        Box::new(Generation::new(self, longest))
    }
}
