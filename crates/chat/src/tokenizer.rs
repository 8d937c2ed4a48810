//! A Hugging Face tokenizer (`tokenizer.json`) and the special tokens that stand in the files beside it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use retort_records::completion::{THINK_CLOSE, THINK_OPEN};
use retort_records::hex_id;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokenizers::tokenizer::{Model, PreTokenizer};
use tokenizers::{
    AddedToken, ModelWrapper, NormalizedString, OffsetReferential, OffsetType, PreTokenizedString, Token,
    Tokenizer as Inner,
};

use crate::ChatError;

/// A token with a part to play, such as the end of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialToken {
    /// Its text, such as `<|im_end|>`.
    pub text: String,
    /// Its id.
    pub id: u32,
}

/// Text to token ids and back. Cheap to share between threads behind a reference.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Inner,
    id: String,
    /// Added tokens that steer a model, by id; the rest of the added tokens (runs of spaces, say) are mere vocabulary.
    control: BTreeMap<u32, Control>,
    bos: Option<SpecialToken>,
    eos: Option<SpecialToken>,
    writes_bos: bool,
    vocab_size: usize,
}

/// Where a control token may be recognised inside a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    /// Only in the template's own text: `<|im_end|>`, `</s>`.
    Template,
    /// Also in what an assistant says: `<think>`, `</tool_call>`.
    Assistant,
}

/// Who wrote a stretch of text, which decides the control tokens that are recognised in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    /// A user, a system prompt or a tool: no control token at all.
    Other,
    /// The assistant: tags such as `<think>` only.
    Assistant,
}

/// A token and the bytes of the text that it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub id: u32,
    pub bytes: Range<usize>,
}

impl Tokenizer {
    /// Loads `tokenizer.json` from a model folder, or the given file itself.
    ///
    /// `tokenizer_config.json`, `special_tokens_map.json` and `config.json` beside it say which tokens begin and end a
    /// sequence. A folder without `tokenizer.json` whose `tokenizer_config.json` lists `char_ords` gets a
    /// character tokenizer: `<sep>`-like control tokens `S E P U` as ids 0–3, then one token a character.
    /// Truncation, padding and BPE dropout that the file asks for are switched off.
    pub fn load(folder_or_file: &Path) -> Result<Self, ChatError> {
        let (folder, file) = if folder_or_file.is_dir() {
            (folder_or_file.to_path_buf(), folder_or_file.join("tokenizer.json"))
        } else {
            (folder_or_file.parent().unwrap_or(Path::new("")).to_path_buf(), folder_or_file.to_path_buf())
        };
        let config = read_object(&folder.join("tokenizer_config.json"))?;
        let bytes = match (config.get("char_ords").and_then(Value::as_array), file.exists()) {
            (Some(ords), false) => character_tokenizer(ords).to_string().into_bytes(),
            _ => std::fs::read(&file).map_err(|source| ChatError::Read { path: file.clone(), source })?,
        };
        let mut files = vec![config];
        for name in ["special_tokens_map.json", "generation_config.json", "config.json"] {
            files.push(read_object(&folder.join(name))?);
        }
        // The library that reads tokenizers panics on some that are damaged.
        let built = catch_unwind(|| Self::build(&bytes, &files))
            .unwrap_or_else(|_| Err("the library that reads tokenizers fails on it".to_owned()));
        built.map_err(|reason| ChatError::Malformed { path: file, reason })
    }

    /// Builds a tokenizer of the bytes of a `tokenizer.json`; `files` are the objects that may name special tokens, the
    /// most trusted first.
    fn build(bytes: &[u8], files: &[Value]) -> Result<Self, String> {
        let id = hex_id(&Sha256::digest(bytes));
        let mut inner = Inner::from_bytes(bytes).map_err(|error| error.to_string())?;
        inner.with_truncation(None).map_err(|error| error.to_string())?;
        inner.with_padding(None);
        if let ModelWrapper::BPE(model) = inner.get_model()
            && model.dropout.is_some()
        {
            let mut model = model.clone();
            model.dropout = None;
            inner.with_model(model);
        }
        let special = |inner: &Inner, key: &str| -> Option<SpecialToken> {
            files.iter().find_map(|file| {
                let text = special_text(file.get(key)?)?;
                inner.token_to_id(&text).map(|id| SpecialToken { text, id })
            })
        };
        let by_id = |inner: &Inner, key: &str| -> Option<SpecialToken> {
            files.iter().find_map(|file| {
                let value = file.get(key)?;
                let id = value.as_array().map_or(Some(value), |ids| ids.first())?.as_u64()? as u32;
                inner.id_to_token(id).map(|text| SpecialToken { text, id })
            })
        };
        let default = |inner: &Inner, text: &str| -> Option<SpecialToken> {
            inner.token_to_id(text).map(|id| SpecialToken { text: text.to_owned(), id })
        };
        let character = files.iter().any(|file| file.get("char_ords").is_some());
        let bos = special(&inner, "bos_token").or_else(|| by_id(&inner, "bos_token_id"));
        let eos = special(&inner, "eos_token")
            .or_else(|| by_id(&inner, "eos_token_id"))
            .or_else(|| default(&inner, if character { "E" } else { "</s>" }));

        // Special tokens that stand only in the vocabulary would be spelt out, so they are added.
        let named: Vec<_> = [&bos, &eos]
            .into_iter()
            .flatten()
            .filter(|token| !inner.get_added_vocabulary().is_special_token(&token.text))
            .map(|token| AddedToken::from(token.text.clone(), true))
            .collect();
        if !named.is_empty() {
            inner.add_special_tokens(named).map_err(|error| error.to_string())?;
        }

        let asked = files.iter().find_map(|file| file.get("add_bos_token")?.as_bool());
        let first = inner.encode("", true).map_err(|error| error.to_string())?.get_ids().first().copied();
        let writes_bos = bos.as_ref().is_some_and(|bos| asked.unwrap_or(first == Some(bos.id)));
        if inner.encode("\u{f8e2}", false).is_err() {
            return Err(
                "it has no unknown token, so that some texts have no tokens: set `unk_token` of its model".to_owned()
            );
        }
        // Special tokens are written by the template or by us, and its trimming of offsets would move our spans.
        inner.with_post_processor(None::<tokenizers::PostProcessorWrapper>);

        let control = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter_map(|(id, token)| Some((id, control_kind(&token)?)))
            .collect();
        let vocab_size = inner.get_vocab_size(true);
        Ok(Self { inner, id, control, bos, eos, writes_bos, vocab_size })
    }

    /// Hexadecimal SHA-256 prefix (32 characters) of the bytes of `tokenizer.json`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Number of tokens in the vocabulary, added tokens included. A model's embedding may have more rows.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The token that begins a sequence, if the model has one.
    pub fn bos(&self) -> Option<&SpecialToken> {
        self.bos.as_ref()
    }

    /// The token that ends a sequence, if the model has one.
    pub fn eos(&self) -> Option<&SpecialToken> {
        self.eos.as_ref()
    }

    /// The id of a token, given its text as it stands in the vocabulary.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Number of tokens of `text`, added tokens recognised, no token put before or after it.
    pub fn count(&self, text: &str) -> usize {
        self.encode(text).len()
    }

    /// Token ids of `text`, added tokens such as `<think>` and `<|im_end|>` recognised, no token put before or after it.
    /// A text that the tokenizer cannot express gives what the model's unknown token makes of it.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.inner.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }

    /// Token ids of `text` with control tokens not recognised: for text that nobody vouches for.
    ///
    /// Control tokens are the special ones, and added tokens that look like markup (`<think>`, `[INST]`).
    pub fn encode_ordinary(&self, text: &str) -> Vec<u32> {
        let placed = self.place(text, &[(0..text.len(), Author::Other)]);
        placed.map(|tokens| tokens.into_iter().map(|token| token.id).collect()).unwrap_or_default()
    }

    /// Token ids of `text` as by [`Tokenizer::encode`], each with the bytes of `text` that it covers.
    /// Tokens that share one character (bytes of an emoji) all cover that whole character.
    pub fn encode_with_offsets(&self, text: &str) -> Vec<(u32, Range<usize>)> {
        let placed = self.place(text, &[]).unwrap_or_default();
        placed.into_iter().map(|token| (token.id, token.bytes)).collect()
    }

    /// The text of `ids`; `skip_special` leaves special tokens out (but not `<think>`, which is no special token in
    /// most models). Ids outside the vocabulary give no text; bytes that are not UTF-8 give `U+FFFD`.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        self.inner.decode(ids, skip_special).unwrap_or_default()
    }

    /// Whether text without a chat template starts with the token that begins a sequence.
    pub fn writes_bos(&self) -> bool {
        self.writes_bos
    }

    /// Whether `id` steers the model rather than being text.
    pub(crate) fn is_control(&self, id: u32) -> bool {
        self.control.contains_key(&id)
    }

    /// Tokenises `text`; inside `spans` (sorted, disjoint byte ranges), control tokens that their author may not write
    /// are tokenised as ordinary text.
    pub(crate) fn place(&self, text: &str, spans: &[(Range<usize>, Author)]) -> Result<Vec<Placed>, ChatError> {
        self.place_inner(text, spans).map_err(|error| ChatError::Tokenise { reason: error.to_string() })
    }

    fn place_inner(&self, text: &str, spans: &[(Range<usize>, Author)]) -> tokenizers::Result<Vec<Placed>> {
        let added = self.inner.get_added_vocabulary();
        let mut pieces = added.extract_and_normalize(self.inner.get_normalizer(), text);
        if !spans.is_empty() {
            let recognised: Vec<Placed> = pieces
                .get_splits(OffsetReferential::Original, OffsetType::Byte)
                .into_iter()
                .filter_map(|(_, (start, end), tokens)| {
                    Some(Placed { id: tokens.as_ref()?.first()?.id, bytes: start..end })
                })
                .collect();
            let allowed: Vec<Placed> =
                recognised.iter().filter(|token| self.allowed(text, token, spans)).cloned().collect();
            if allowed.len() < recognised.len() {
                pieces = self.with_tokens(text, &allowed)?;
            }
        }
        if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        self.inner.get_model().tokenize_in_pretokenized(&mut pieces, None)?;
        let encoding = pieces.into_encoding(None, 0, OffsetType::Byte)?;
        let offsets = encoding.get_offsets().iter();
        Ok(encoding
            .get_ids()
            .iter()
            .zip(offsets)
            .map(|(&id, &(start, end))| Placed { id, bytes: start..end })
            .collect())
    }

    /// Whether a recognised added token may stand where it does.
    fn allowed(&self, text: &str, token: &Placed, spans: &[(Range<usize>, Author)]) -> bool {
        let Some(control) = self.control.get(&token.id) else { return true };
        // Tokens that swallow neighbouring white space are judged without it.
        let covered = &text[token.bytes.clone()];
        let start = token.bytes.start + (covered.len() - covered.trim_start().len());
        let end = start + covered.trim().len();
        let first = spans.partition_point(|(range, _)| range.end <= start);
        spans[first..]
            .iter()
            .take_while(|(range, _)| range.start < end)
            .all(|(_, author)| (*control, *author) == (Control::Assistant, Author::Assistant))
    }

    /// `text` split so that exactly `tokens` are recognised in it, the rest normalised.
    fn with_tokens(&self, text: &str, tokens: &[Placed]) -> tokenizers::Result<PreTokenizedString> {
        let mut pieces = PreTokenizedString::from(text);
        pieces.split(|_, whole: NormalizedString| {
            let piece = |range: Range<usize>| {
                whole.slice(tokenizers::normalizer::Range::Original(range)).ok_or("a token splits a character")
            };
            let mut parts: Vec<(NormalizedString, Option<Vec<Token>>)> = Vec::with_capacity(2 * tokens.len() + 1);
            let mut done = 0;
            for token in tokens {
                parts.push((piece(done..token.bytes.start)?, None));
                let covered = text[token.bytes.clone()].to_owned();
                let inside = (0, covered.len());
                parts.push((piece(token.bytes.clone())?, Some(vec![Token::new(token.id, covered, inside)])));
                done = token.bytes.end;
            }
            parts.push((piece(done..text.len())?, None));
            Ok(parts)
        })?;
        if let Some(normalizer) = self.inner.get_normalizer() {
            pieces.normalize(|part| tokenizers::Normalizer::normalize(normalizer, part))?;
        }
        Ok(pieces)
    }
}

/// The part that an added token plays, or `None` for one that is mere vocabulary.
fn control_kind(token: &AddedToken) -> Option<Control> {
    let text = token.content.as_str();
    if [THINK_OPEN, THINK_CLOSE].contains(&text) {
        return Some(Control::Assistant);
    }
    let inside = |open, close| text.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
    let tag = inside('<', '>');
    if token.special {
        Some(Control::Template)
    } else if let Some(name) = tag {
        let name = name.strip_prefix('/').unwrap_or(name);
        let plain = name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
        Some(if plain { Control::Assistant } else { Control::Template })
    } else {
        inside('[', ']').map(|_| Control::Template)
    }
}

/// A special token's text: a string, or an object with `content`.
pub(crate) fn special_text(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(ToOwned::to_owned)
}

/// Reads a JSON object; a missing file is an empty one.
pub(crate) fn read_object(path: &Path) -> Result<Value, ChatError> {
    let malformed = |reason: String| ChatError::Malformed { path: PathBuf::from(path), reason };
    match std::fs::read(path) {
        Ok(bytes) => {
            let value: Value = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
            if value.is_object() { Ok(value) } else { Err(malformed("expected a JSON object".to_owned())) }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Value::Object(serde_json::Map::new())),
        Err(source) => Err(ChatError::Read { path: path.to_path_buf(), source }),
    }
}

/// The `tokenizer.json` of a tokenizer with one token a character, given code points.
fn character_tokenizer(ords: &[Value]) -> Value {
    const CONTROL: [&str; 4] = ["S", "E", "P", "U"];
    let characters = ords.iter().filter_map(|ord| char::from_u32(ord.as_u64()? as u32)).map(String::from);
    let tokens = CONTROL.iter().map(|&token| token.to_owned()).chain(characters);
    let vocabulary: serde_json::Map<String, Value> =
        tokens.enumerate().map(|(id, token)| (token, Value::from(id))).collect();
    let added: Vec<Value> = CONTROL
        .iter()
        .enumerate()
        .map(|(id, content)| {
            serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false},
        "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "U"},
    })
}
