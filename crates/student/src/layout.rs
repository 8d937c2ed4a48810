//! Which tensors a decoder has, in what order, and where each lies in one flat buffer.

use retort_weights::ModelConfig;

/// A tensor's place in the flat buffer of parameters, and in those of gradients and moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorPlace {
    /// Hugging Face name.
    pub name: String,
    /// Sizes, outermost first; matrices are `[out, in]`.
    pub shape: Vec<usize>,
    /// First element.
    pub start: usize,
}

impl TensorPlace {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The elements of this tensor within a flat buffer.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.elements()
    }

    /// Whether weight decay applies by custom: to matrices, not to norms and biases.
    pub fn is_matrix(&self) -> bool {
        self.shape.len() > 1
    }
}

/// Places of one block's tensors; indices into [`ParameterLayout::places`].
#[derive(Clone, Copy, Debug)]
pub struct BlockPlaces {
    pub input_norm: usize,
    pub query: usize,
    pub key: usize,
    pub value: usize,
    pub query_bias: Option<usize>,
    pub key_bias: Option<usize>,
    pub value_bias: Option<usize>,
    pub query_norm: Option<usize>,
    pub key_norm: Option<usize>,
    pub output: usize,
    pub output_bias: Option<usize>,
    pub post_norm: usize,
    pub gate: usize,
    pub up: usize,
    pub down: usize,
}

impl BlockPlaces {
    /// Places of the seven matrices, in the order of computation.
    pub fn projections(&self) -> [usize; 7] {
        [self.query, self.key, self.value, self.output, self.gate, self.up, self.down]
    }
}

/// All tensors of a decoder.
#[derive(Clone, Debug)]
pub struct ParameterLayout {
    /// Every tensor, in order of use.
    pub places: Vec<TensorPlace>,
    /// The blocks, first to last.
    pub blocks: Vec<BlockPlaces>,
    /// The embedding, `[vocab_size, hidden_size]`.
    pub embedding: usize,
    /// The last norm, `[hidden_size]`.
    pub norm: usize,
    /// The head, `[vocab_size, hidden_size]`; the embedding when tied.
    pub head: usize,
    /// Elements of the flat buffer.
    pub total: usize,
}

impl ParameterLayout {
    /// The tensors that a checkpoint with this config has.
    pub fn of(config: &ModelConfig) -> Self {
        let mut builder = Builder { places: Vec::new(), total: 0 };
        let (hidden, inner, width) = (config.hidden_size, config.intermediate_size, config.head_dim);
        let (queries, keys) = (config.num_attention_heads * width, config.num_key_value_heads * width);
        let embedding = builder.add("model.embed_tokens.weight".to_owned(), &[config.vocab_size, hidden]);
        let blocks = (0..config.num_hidden_layers)
            .map(|layer| {
                let mut add = |name: &str, shape: &[usize]| builder.add(format!("model.layers.{layer}.{name}"), shape);
                BlockPlaces {
                    input_norm: add("input_layernorm.weight", &[hidden]),
                    query: add("self_attn.q_proj.weight", &[queries, hidden]),
                    key: add("self_attn.k_proj.weight", &[keys, hidden]),
                    value: add("self_attn.v_proj.weight", &[keys, hidden]),
                    query_bias: config.qkv_bias.then(|| add("self_attn.q_proj.bias", &[queries])),
                    key_bias: config.qkv_bias.then(|| add("self_attn.k_proj.bias", &[keys])),
                    value_bias: config.qkv_bias.then(|| add("self_attn.v_proj.bias", &[keys])),
                    query_norm: config.qk_norm.then(|| add("self_attn.q_norm.weight", &[width])),
                    key_norm: config.qk_norm.then(|| add("self_attn.k_norm.weight", &[width])),
                    output: add("self_attn.o_proj.weight", &[hidden, queries]),
                    output_bias: config.output_bias.then(|| add("self_attn.o_proj.bias", &[hidden])),
                    post_norm: add("post_attention_layernorm.weight", &[hidden]),
                    gate: add("mlp.gate_proj.weight", &[inner, hidden]),
                    up: add("mlp.up_proj.weight", &[inner, hidden]),
                    down: add("mlp.down_proj.weight", &[hidden, inner]),
                }
            })
            .collect();
        let norm = builder.add("model.norm.weight".to_owned(), &[hidden]);
        let head = if config.tie_word_embeddings {
            embedding
        } else {
            builder.add("lm_head.weight".to_owned(), &[config.vocab_size, hidden])
        };
        Self { places: builder.places, blocks, embedding, norm, head, total: builder.total }
    }

    /// The elements of tensor `index` within a flat buffer.
    pub fn slice<'a>(&self, buffer: &'a [f32], index: usize) -> &'a [f32] {
        &buffer[self.places[index].range()]
    }

    /// The elements of tensor `index` within a flat buffer, to be changed.
    pub fn slice_mut<'a>(&self, buffer: &'a mut [f32], index: usize) -> &'a mut [f32] {
        &mut buffer[self.places[index].range()]
    }
}

struct Builder {
    places: Vec<TensorPlace>,
    total: usize,
}

impl Builder {
    fn add(&mut self, name: String, shape: &[usize]) -> usize {
        let place = TensorPlace { name, shape: shape.to_vec(), start: self.total };
        self.total += place.elements();
        self.places.push(place);
        self.places.len() - 1
    }
}
