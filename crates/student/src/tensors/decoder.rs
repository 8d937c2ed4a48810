//! The decoder in plain tensor operations, for devices without kernels of ours, and the measure of those kernels.

use burn::tensor::activation::{log_softmax, silu, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};
use retort_weights::ModelConfig;

use crate::adapter::layout::AdapterLayout;
use crate::fused::Batch;
use crate::layout::{BlockPlaces, ParameterLayout, TensorPlace};
use crate::rotary::Rotary;

/// The parameters as separate tensors, in the layout's order; each flat.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    pub tensors: Vec<Tensor<1>>,
    /// Adapters beside the projections.
    pub adapters: Option<AdapterTables>,
}

/// Adapters as separate tensors, in their layout's order; each flat.
#[derive(Clone, Debug)]
pub(crate) struct AdapterTables {
    pub tensors: Vec<Tensor<1>>,
    pub layout: AdapterLayout,
    pub scale: f32,
}

impl Tables {
    /// Cuts the vector of all parameters into its tensors.
    pub fn cut(layout: &ParameterLayout, parameters: &Tensor<1>) -> Self {
        Self { tensors: cut(&layout.places, parameters), adapters: None }
    }

    /// The same tensors with adapters beside them, cut from the vector of all of theirs.
    pub fn adapted(self, layout: &AdapterLayout, scale: f32, adapters: &Tensor<1>) -> Self {
        let tensors = cut(&layout.places, adapters);
        Self { adapters: Some(AdapterTables { tensors, layout: layout.clone(), scale }), ..self }
    }

    /// The same tensors under differentiation: leaves are the adapters where there are some, else all.
    pub fn tracked(self) -> Self {
        let Some(adapters) = self.adapters else {
            return Self { tensors: tracked(self.tensors), adapters: None };
        };
        Self {
            tensors: self.tensors.into_iter().map(Tensor::autodiff).collect(),
            adapters: Some(AdapterTables { tensors: tracked(adapters.tensors), ..adapters }),
        }
    }

    /// The tensors that gradients are wanted of.
    pub fn leaves(&self) -> &[Tensor<1>] {
        self.adapters.as_ref().map_or(&self.tensors, |adapters| &adapters.tensors)
    }
}

fn cut(places: &[TensorPlace], vector: &Tensor<1>) -> Vec<Tensor<1>> {
    places.iter().map(|place| vector.clone().slice([place.range()])).collect()
}

fn tracked(tensors: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    tensors.into_iter().map(|tensor| tensor.autodiff().require_grad()).collect()
}

/// A batch padded at the right to its longest sequence, on a device.
struct Padded {
    sequences: usize,
    length: usize,
    tokens: Tensor<1, Int>,
    cosines: Tensor<4>,
    sines: Tensor<4>,
}

impl Padded {
    fn new(config: &ModelConfig, rotary: &Rotary, batch: &Batch, device: &Device) -> Self {
        let (sequences, length) = (batch.starts.len() - 1, batch.longest());
        let mut tokens = vec![0_i64; sequences * length];
        for (row, pair) in tokens.chunks_mut(length.max(1)).zip(batch.starts.windows(2)) {
            for (padded, token) in row.iter_mut().zip(&batch.tokens[pair[0]..pair[1]]) {
                *padded = i64::from(*token);
            }
        }
        let half = config.head_dim / 2;
        let (mut cosines, mut sines) = (Vec::with_capacity(length * half), Vec::with_capacity(length * half));
        for position in 0..length {
            let (cosine, sine) = rotary.at(position);
            cosines.extend_from_slice(cosine);
            sines.extend_from_slice(sine);
        }
        let table = |values| Tensor::from_data(TensorData::new(values, [1, 1, length, half]), device);
        Self {
            sequences,
            length,
            tokens: Tensor::from_data(TensorData::new(tokens, [sequences * length]), device),
            cosines: table(cosines),
            sines: table(sines),
        }
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

/// A decoder's forward pass, top to bottom.
struct Decoder<'a> {
    config: &'a ModelConfig,
    layout: &'a ParameterLayout,
    tables: &'a Tables,
}

impl Decoder<'_> {
    /// The stream `[rows, hidden_size]` after the last block's norm at the given positions of a batch.
    fn hidden(&self, rotary: &Rotary, batch: &Batch, rows: &[usize], device: &Device) -> Tensor<2> {
        let padded = Padded::new(self.config, rotary, batch, device);
        let mut stream = self.matrix(self.layout.embedding).select(0, padded.tokens.clone());
        for (layer, places) in self.layout.blocks.iter().enumerate() {
            stream = self.block(layer, places, stream, &padded, device);
        }
        let wanted = padded.rows(batch, rows);
        let wanted = Tensor::<1, Int>::from_data(TensorData::new(wanted, [rows.len()]), device);
        self.norm(self.layout.norm, stream.select(0, wanted))
    }

    /// Logits `[rows, vocab_size]` of a normed stream `[rows, hidden_size]`.
    fn head(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.linear(self.layout.head, None, hidden)
    }

    /// One block: `[sequences * length, hidden_size]` to the same.
    fn block(
        &self,
        layer: usize,
        places: &BlockPlaces,
        stream: Tensor<2>,
        padded: &Padded,
        device: &Device,
    ) -> Tensor<2> {
        let normed = self.norm(places.input_norm, stream.clone());
        let project = |part: usize, bias: Option<usize>, x: Tensor<2>| {
            let product = self.linear(places.projections()[part], bias, x.clone());
            self.adapt(layer, part, x, product)
        };
        let query = project(0, places.query_bias, normed.clone());
        let key = project(1, places.key_bias, normed.clone());
        let value = project(2, places.value_bias, normed);
        let heads = self.config.num_attention_heads;
        let query = self.rotate(self.heads(query, heads, places.query_norm, padded), padded);
        let groups = self.config.num_key_value_heads;
        let key = self.rotate(self.heads(key, groups, places.key_norm, padded), padded);
        let value = self.heads(value, groups, None, padded);
        let attended = self.attend(query, key, value, padded, device);
        let stream = stream + project(3, places.output_bias, attended);
        let normed = self.norm(places.post_norm, stream.clone());
        let gate = silu(project(4, None, normed.clone()));
        let up = project(5, None, normed);
        stream + project(6, None, gate * up)
    }

    /// `[sequences * length, heads * head_dim]` to `[sequences, heads, length, head_dim]`, normed where there is a norm.
    fn heads(&self, x: Tensor<2>, heads: usize, norm: Option<usize>, padded: &Padded) -> Tensor<4> {
        let width = self.config.head_dim;
        let x = match norm {
            Some(norm) => self.norm(norm, x.reshape([padded.sequences * padded.length * heads, width])),
            None => x.reshape([padded.sequences * padded.length * heads, width]),
        };
        x.reshape([padded.sequences, padded.length, heads, width]).swap_dims(1, 2)
    }

    /// Rotary positions in Hugging Face's layout.
    fn rotate(&self, x: Tensor<4>, padded: &Padded) -> Tensor<4> {
        let half = self.config.head_dim / 2;
        let (first, second) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
        let (cosine, sine) = (padded.cosines.clone(), padded.sines.clone());
        let a = first.clone() * cosine.clone() - second.clone() * sine.clone();
        let b = second * cosine + first * sine;
        Tensor::cat(vec![a, b], 3)
    }

    /// Causal attention. Key heads are repeated for their query heads: Burn 0.22.1 gives wrong values for fewer key heads
    /// under differentiation. Padding is at the right, where causal queries do not look.
    fn attend(
        &self,
        query: Tensor<4>,
        key: Tensor<4>,
        value: Tensor<4>,
        padded: &Padded,
        device: &Device,
    ) -> Tensor<2> {
        let (heads, groups) = (self.config.num_attention_heads, self.config.num_key_value_heads);
        let (sequences, length, width) = (padded.sequences, padded.length, self.config.head_dim);
        let repeat = |x: Tensor<4>| {
            let spread = x.reshape([sequences, groups, 1, length, width]).repeat_dim(2, heads / groups);
            spread.reshape([sequences, heads, length, width])
        };
        let scores = query.matmul(repeat(key).swap_dims(2, 3)) / (width as f64).sqrt();
        let hidden = Tensor::<2, burn::tensor::Bool>::tril_mask([length, length], 0, device);
        let hidden = hidden.reshape([1, 1, length, length]).expand([sequences, heads, length, length]);
        let weights = softmax(scores.mask_fill(hidden, f32::NEG_INFINITY), 3);
        weights.matmul(repeat(value)).swap_dims(1, 2).reshape([sequences * length, heads * width])
    }

    /// RMS norm over the last dimension.
    fn norm(&self, place: usize, x: Tensor<2>) -> Tensor<2> {
        let square = x.clone().powf_scalar(2.0).mean_dim(1);
        let scaled = x / (square + self.config.rms_norm_eps).sqrt();
        scaled * self.tables.tensors[place].clone().unsqueeze_dim::<2>(0)
    }

    /// `x · Wᵀ + b`, W as `[out, in]`.
    fn linear(&self, place: usize, bias: Option<usize>, x: Tensor<2>) -> Tensor<2> {
        let product = x.matmul(self.matrix(place).swap_dims(0, 1));
        match bias {
            Some(bias) => product + self.tables.tensors[bias].clone().unsqueeze_dim::<2>(0),
            None => product,
        }
    }

    /// Adds `s · (x · Aᵀ) · Bᵀ` where the projection has an adapter.
    fn adapt(&self, layer: usize, part: usize, x: Tensor<2>, product: Tensor<2>) -> Tensor<2> {
        let Some(adapters) = &self.tables.adapters else { return product };
        let Some((a, b)) = adapters.layout.blocks[layer][part] else { return product };
        let matrix = |place: usize| {
            let shape = &adapters.layout.places[place].shape;
            adapters.tensors[place].clone().reshape([shape[0], shape[1]]).swap_dims(0, 1)
        };
        product + x.matmul(matrix(a)).matmul(matrix(b)) * adapters.scale
    }

    fn matrix(&self, place: usize) -> Tensor<2> {
        let shape = &self.layout.places[place].shape;
        self.tables.tensors[place].clone().reshape([shape[0], shape[1]])
    }
}

/// Logits `[rows, vocab_size]` after the given positions of a batch.
pub(crate) fn device_logits(
    config: &ModelConfig,
    layout: &ParameterLayout,
    rotary: &Rotary,
    tables: &Tables,
    batch: &Batch,
    rows: &[usize],
    device: &Device,
) -> Tensor<2> {
    let decoder = Decoder { config, layout, tables };
    decoder.head(decoder.hidden(rotary, batch, rows, device))
}

/// Log-probs `[targets]`: of `targets[i]` after position `rows[i]`.
#[allow(clippy::too_many_arguments)]
pub(crate) fn device_log_probs(
    config: &ModelConfig,
    layout: &ParameterLayout,
    rotary: &Rotary,
    tables: &Tables,
    batch: &Batch,
    rows: &[usize],
    targets: &[u32],
    device: &Device,
) -> Tensor<1> {
    /// Logits that are one tensor: some devices bound the size of a buffer.
    const LOGITS: usize = 1 << 24;
    let decoder = Decoder { config, layout, tables };
    let hidden = decoder.hidden(rotary, batch, rows, device);
    let rows_at_once = (LOGITS / config.vocab_size).max(1);
    let parts = targets.chunks(rows_at_once).enumerate().map(|(part, targets)| {
        let count = targets.len();
        let logits = decoder.head(hidden.clone().narrow(0, part * rows_at_once, count));
        let targets: Vec<i64> = targets.iter().map(|target| i64::from(*target)).collect();
        let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [count, 1]), device);
        log_softmax(logits, 1).gather(1, targets).reshape([count])
    });
    Tensor::cat(parts.collect(), 0)
}
