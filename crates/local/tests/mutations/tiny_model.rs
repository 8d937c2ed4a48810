//! Tiny random Llama checkpoints, written byte by byte, so that they can be wrong in any way.

use serde_json::{Map, Value, json};
use std::path::Path;

/// What ends a turn of [`CHATML`].
#[allow(dead_code)] // not every test that makes models looks for it
pub const IM_END: u32 = 258;

/// The ChatML template.
pub const CHATML: &str = "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const TAGS: [&str; 2] = ["<think>", "</think>"];
const HIDDEN: usize = 16;
const ROWS: usize = 264;

/// A checkpoint to be written.
#[derive(Clone)]
pub struct TinyModel {
    /// The tokenizer's end-of-sequence token, one of [`SPECIAL`].
    pub eos: &'static str,
    /// The chat template, if any.
    pub template: Option<String>,
    /// Settings beside or instead of the usual.
    pub config: Vec<(&'static str, Value)>,
    /// Whether the last norm holds a NaN.
    pub nan: bool,
    /// Whether a head of its own is stored.
    pub head: bool,
    /// Before the names of all tensors but the head.
    pub prefix: &'static str,
    /// Further tensors: name and elements.
    pub more: Vec<(&'static str, Vec<f32>)>,
    pub seed: u64,
}

impl Default for TinyModel {
    fn default() -> Self {
        let template = Some(CHATML.to_owned());
        let (config, more) = (Vec::new(), Vec::new());
        Self { eos: "<|im_end|>", template, config, nan: false, head: false, prefix: "model.", more, seed: 1 }
    }
}

impl TinyModel {
    /// Writes the folder.
    pub fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder");
        let put = |name: &str, value: &Value| std::fs::write(folder.join(name), value.to_string()).expect("a file");
        put("tokenizer.json", &tokenizer());
        let mut tokenizer_config = json!({"eos_token": self.eos, "tokenizer_class": "PreTrainedTokenizerFast"});
        if let Some(template) = &self.template {
            tokenizer_config["chat_template"] = json!(template);
        }
        put("tokenizer_config.json", &tokenizer_config);
        let eos = 256 + SPECIAL.iter().position(|token| *token == self.eos).expect("a special token");
        put("generation_config.json", &json!({"eos_token_id": eos}));
        let mut config = json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": ROWS, "hidden_size": HIDDEN,
            "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
            "head_dim": 8, "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
            "hidden_act": "silu", "tie_word_embeddings": true, "bos_token_id": null, "eos_token_id": eos,
            "torch_dtype": "float32"
        });
        for (key, value) in &self.config {
            config[*key] = value.clone();
        }
        put("config.json", &config);
        std::fs::write(folder.join("model.safetensors"), self.weights()).expect("weights");
    }

    fn weights(&self) -> Vec<u8> {
        let layer = |name: &str| format!("layers.0.{name}.weight");
        let mut shapes = vec![
            ("embed_tokens.weight".to_owned(), vec![ROWS, HIDDEN]),
            ("norm.weight".to_owned(), vec![HIDDEN]),
            (layer("input_layernorm"), vec![HIDDEN]),
            (layer("post_attention_layernorm"), vec![HIDDEN]),
            (layer("self_attn.q_proj"), vec![16, HIDDEN]),
            (layer("self_attn.k_proj"), vec![8, HIDDEN]),
            (layer("self_attn.v_proj"), vec![8, HIDDEN]),
            (layer("self_attn.o_proj"), vec![HIDDEN, 16]),
            (layer("mlp.gate_proj"), vec![24, HIDDEN]),
            (layer("mlp.up_proj"), vec![24, HIDDEN]),
            (layer("mlp.down_proj"), vec![HIDDEN, 24]),
        ];
        for (name, _) in &mut shapes {
            name.insert_str(0, self.prefix);
        }
        if self.head {
            shapes.push(("lm_head.weight".to_owned(), vec![ROWS, HIDDEN]));
        }
        let mut state = self.seed;
        let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
        for (name, shape) in shapes {
            let elements = shape.iter().product();
            let norm = shape.len() == 1;
            let mut data: Vec<f32> = (0..elements).map(|_| if norm { 1.0 } else { random(&mut state) }).collect();
            if self.nan && name.ends_with("norm.weight") && !name.contains("layers") {
                data[0] = f32::NAN;
            }
            tensors.push((name, shape, data));
        }
        tensors.extend(self.more.iter().map(|(name, data)| ((*name).to_owned(), vec![data.len()], data.clone())));
        let (mut header, mut body) = (Map::new(), Vec::new());
        for (name, shape, data) in tensors {
            let start = body.len();
            body.extend(data.iter().flat_map(|x| x.to_le_bytes()));
            header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [start, body.len()]}));
        }
        let header = Value::Object(header).to_string();
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &body].concat()
    }
}

/// A number within ±0.5 that looks random.
fn random(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*state >> 40) as f32 / (1_u32 << 24) as f32) - 0.5
}

/// A byte-level tokenizer without merges, with the special tokens and the think tags behind the bytes.
fn tokenizer() -> Value {
    let printable = |byte: u32| (33..127).contains(&byte) || (161..173).contains(&byte) || (174..256).contains(&byte);
    let mut others = 256..;
    let mut characters: Vec<char> = (0..256)
        .map(|byte| if printable(byte) { byte } else { others.next().expect("numbers do not end") })
        .filter_map(char::from_u32)
        .collect();
    characters.sort_unstable();
    let vocabulary: Map<String, Value> =
        characters.iter().enumerate().map(|(id, character)| (character.to_string(), json!(id))).collect();
    let added: Vec<Value> = SPECIAL
        .iter()
        .chain(&TAGS)
        .enumerate()
        .map(|(at, token)| {
            json!({"id": 256 + at, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": SPECIAL.contains(token)})
        })
        .collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": bytes, "post_processor": null, "decoder": bytes,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary, "merges": []}
    })
}
