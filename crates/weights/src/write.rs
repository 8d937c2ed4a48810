use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use half::bf16;
use serde_json::{Map, Value, json};

use crate::checkpoint::refuse_not_finite;
use crate::{Dtype, Error};

/// Name and shape (outermost dimension first) of a tensor that is going to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// Hugging Face name, such as `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
}

/// Everything beside the weights that makes a folder usable elsewhere.
const COMPANIONS: [&str; 11] = [
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
];

/// Writes safetensors one tensor at a time, in the order of names; equal tensors give equal bytes.
#[derive(Debug)]
pub struct CheckpointWriter {
    dir: PathBuf,
    dtype: Dtype,
    /// What is still to come, last first.
    shards: Vec<Shard>,
    current: Option<OpenShard>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct OpenShard {
    file: BufWriter<File>,
    path: PathBuf,
    /// What is still to come, last first.
    rest: Vec<TensorShape>,
    /// The tensor that was begun, and how many of its elements are missing.
    tensor: Option<TensorShape>,
    missing: usize,
}

#[derive(Debug)]
struct Shard {
    file: String,
    tensors: Vec<TensorShape>,
}

impl CheckpointWriter {
    /// Announces the tensors (any order; names must differ) and creates `dir` if needed. Without `max_shard_bytes`
    /// there is one `model.safetensors`; with it, shards of at most that size (a larger tensor gets its own) and an index.
    pub fn create(
        dir: &Path,
        tensors: &[TensorShape],
        dtype: Dtype,
        max_shard_bytes: Option<usize>,
    ) -> Result<Self, Error> {
        Self::named(dir, "model", tensors, dtype, max_shard_bytes)
    }

    /// [`CheckpointWriter::create`] with another stem than `model` for the names of files.
    pub(crate) fn named(
        dir: &Path,
        stem: &str,
        tensors: &[TensorShape],
        dtype: Dtype,
        max_shard_bytes: Option<usize>,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(Error::file(dir))?;
        let mut sorted = tensors.to_vec();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(Error::Unexpected { name: pair[0].name.clone(), reason: "announced twice".to_owned() });
        }
        let mut groups: Vec<Vec<TensorShape>> = vec![Vec::new()];
        let mut filled = 0;
        for tensor in sorted {
            let size = bytes(&tensor.shape, dtype);
            if max_shard_bytes.is_some_and(|most| filled > 0 && filled + size > most) {
                groups.push(Vec::new());
                filled = 0;
            }
            filled += size;
            groups.last_mut().expect("there is always a group").push(tensor);
        }
        let shards = name_shards(stem, groups);
        if shards.len() > 1 {
            write_index(dir, &shards, dtype)?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            dtype,
            shards: shards.into_iter().rev().collect(),
            current: None,
            buffer: Vec::new(),
        })
    }

    /// Writes the next tensor, row-major f32, converted to the checkpoint's dtype. Tensors come in the order of their names.
    /// Values that are no numbers are an error.
    pub fn write(&mut self, name: &str, data: &[f32]) -> Result<(), Error> {
        self.begin(name)?;
        self.append(data)?;
        self.complete()
    }

    /// Begins the next tensor, whose elements come by [`Self::append`].
    pub fn begin(&mut self, name: &str) -> Result<(), Error> {
        self.complete()?;
        if self.current.as_ref().is_none_or(|shard| shard.rest.is_empty()) {
            self.finish_shard()?;
            self.current = Some(self.next_shard(name)?);
        }
        let shard = self.current.as_mut().expect("a shard was just opened");
        let expected = shard.rest.pop().expect("a shard with nothing left is closed first");
        if expected.name != name {
            let reason = format!("`{}` comes next", expected.name);
            return Err(Error::Unexpected { name: name.to_owned(), reason });
        }
        shard.missing = expected.shape.iter().product();
        shard.tensor = Some(expected);
        Ok(())
    }

    /// Writes the next elements of the tensor that was begun.
    pub fn append(&mut self, part: &[f32]) -> Result<(), Error> {
        let Some(OpenShard { file, path, tensor: Some(tensor), missing, .. }) = &mut self.current else {
            let reason = "no tensor was begun".to_owned();
            return Err(Error::Unexpected { name: String::new(), reason });
        };
        let elements: usize = tensor.shape.iter().product();
        let written = elements - *missing;
        *missing = missing.checked_sub(part.len()).ok_or_else(|| {
            let reason = format!("it has {elements} elements, {} were given", written + part.len());
            Error::Unexpected { name: tensor.name.clone(), reason }
        })?;
        refuse_not_finite(&self.dir, &tensor.name, part)?;
        if self.dtype == Dtype::Bfloat16 {
            // The largest of f32 round to infinity.
            let too_large = |x: &f32| to_bf16(*x) & 0x7fff == bf16::INFINITY.to_bits();
            if part.iter().fold(0.0_f32, |most, x| most.max(x.abs())) > bf16::MAX.to_f32()
                && let Some(index) = part.iter().position(too_large)
            {
                let reason = format!("`{}` at element {} is too large for bfloat16", part[index], written + index);
                return Err(Error::Unexpected { name: tensor.name.clone(), reason });
            }
        }
        for part in part.chunks(1 << 16) {
            self.buffer.resize(part.len() * self.dtype.bytes(), 0);
            match self.dtype {
                Dtype::Float32 => {
                    for (bytes, x) in self.buffer.chunks_exact_mut(4).zip(part) {
                        bytes.copy_from_slice(&x.to_le_bytes());
                    }
                }
                Dtype::Bfloat16 => {
                    for (bytes, x) in self.buffer.chunks_exact_mut(2).zip(part) {
                        bytes.copy_from_slice(&to_bf16(*x).to_le_bytes());
                    }
                }
            }
            file.write_all(&self.buffer).map_err(Error::file(&*path))?;
        }
        Ok(())
    }

    /// Checks that the tensor that was begun is whole.
    fn complete(&mut self) -> Result<(), Error> {
        let Some(OpenShard { tensor, missing, .. }) = &mut self.current else { return Ok(()) };
        match tensor.take() {
            Some(tensor) if *missing > 0 => {
                let elements: usize = tensor.shape.iter().product();
                let reason = format!("it has {elements} elements, {} were given", elements - *missing);
                Err(Error::Unexpected { name: tensor.name, reason })
            }
            _ => Ok(()),
        }
    }

    /// Checks that every announced tensor was written and flushes to the disk.
    pub fn finish(mut self) -> Result<(), Error> {
        self.complete()?;
        let missing = match (&self.current, self.shards.last()) {
            (Some(OpenShard { rest, .. }), _) if !rest.is_empty() => rest.last(),
            (_, Some(shard)) => shard.tensors.first(),
            _ => None,
        };
        if let Some(tensor) = missing {
            return Err(Error::Unexpected {
                name: tensor.name.clone(),
                reason: "announced but not written".to_owned(),
            });
        }
        self.finish_shard()
    }

    fn next_shard(&mut self, name: &str) -> Result<OpenShard, Error> {
        let shard = self.shards.pop().filter(|shard| !shard.tensors.is_empty());
        let shard =
            shard.ok_or_else(|| Error::Unexpected { name: name.to_owned(), reason: "was not announced".to_owned() })?;
        let path = self.dir.join(&shard.file);
        let mut file = BufWriter::new(File::create(&path).map_err(Error::file(&path))?);
        let header = header(&shard.tensors, self.dtype);
        let written = file.write_all(&(header.len() as u64).to_le_bytes()).and_then(|()| file.write_all(&header));
        written.map_err(Error::file(&path))?;
        Ok(OpenShard { file, path, rest: shard.tensors.into_iter().rev().collect(), tensor: None, missing: 0 })
    }

    fn finish_shard(&mut self) -> Result<(), Error> {
        let Some(OpenShard { mut file, path, .. }) = self.current.take() else { return Ok(()) };
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(Error::file(&path))
    }
}

/// The bits of a number that is finite as bfloat16, rounded to nearest, of two equally near ones to the even: without asking
/// for NaN, which leaves the loop to vector instructions.
fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// Writes `config.json` and all weights of a checkpoint; `read` gives a tensor's row-major f32 data by name.
pub fn write_checkpoint<'a>(
    dir: &Path,
    config: &Value,
    tensors: &[TensorShape],
    dtype: Dtype,
    max_shard_bytes: Option<usize>,
    mut read: impl FnMut(&str) -> Result<std::borrow::Cow<'a, [f32]>, Error>,
) -> Result<(), Error> {
    let mut writer = CheckpointWriter::create(dir, tensors, dtype, max_shard_bytes)?;
    let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    for name in names {
        writer.write(name, &read(name)?)?;
    }
    writer.finish()?;
    write_config(dir, config, dtype)
}

/// Writes `config.json` with its dtype (under whichever of `dtype` and `torch_dtype` it uses) set to `dtype`.
pub fn write_config(dir: &Path, config: &Value, dtype: Dtype) -> Result<(), Error> {
    let mut config = config.clone();
    if let Some(object) = config.as_object_mut() {
        let key = if object.contains_key("dtype") { "dtype" } else { "torch_dtype" };
        object.insert(key.to_owned(), json!(dtype.name()));
    }
    let path = dir.join("config.json");
    let text = serde_json::to_string_pretty(&config).map_err(|error| Error::malformed(&path, error))?;
    std::fs::write(&path, text + "\n").map_err(Error::file(&path))
}

/// The files beside a model's weights that `folder` has: tokenizer, chat template and generation config.
pub fn companions(folder: &Path) -> Vec<PathBuf> {
    COMPANIONS.iter().map(|name| folder.join(name)).filter(|path| path.is_file()).collect()
}

/// Copies tokenizer, chat template and generation config, as far as `from` has them, and says which were copied.
pub fn copy_companions(from: &Path, to: &Path) -> Result<Vec<&'static str>, Error> {
    let mut copied = Vec::new();
    for name in COMPANIONS {
        let source = from.join(name);
        if source.is_file() {
            let bytes = std::fs::read(&source).map_err(Error::file(&source))?;
            let target = to.join(name);
            std::fs::write(&target, bytes).map_err(Error::file(&target))?;
            copied.push(name);
        }
    }
    Ok(copied)
}

fn bytes(shape: &[usize], dtype: Dtype) -> usize {
    shape.iter().product::<usize>() * dtype.bytes()
}

fn name_shards(stem: &str, groups: Vec<Vec<TensorShape>>) -> Vec<Shard> {
    let count = groups.len();
    let name = |index: usize| match count {
        1 => format!("{stem}.safetensors"),
        _ => format!("{stem}-{:05}-of-{count:05}.safetensors", index + 1),
    };
    groups.into_iter().enumerate().map(|(index, tensors)| Shard { file: name(index), tensors }).collect()
}

fn write_index(dir: &Path, shards: &[Shard], dtype: Dtype) -> Result<(), Error> {
    let mut map = Map::new();
    let mut total = 0;
    for shard in shards {
        for tensor in &shard.tensors {
            map.insert(tensor.name.clone(), json!(shard.file));
            total += bytes(&tensor.shape, dtype);
        }
    }
    let path = dir.join("model.safetensors.index.json");
    let index = json!({"metadata": {"total_size": total}, "weight_map": map});
    let text = serde_json::to_string_pretty(&index).map_err(|error| Error::malformed(&path, error))?;
    std::fs::write(&path, text + "\n").map_err(Error::file(&path))
}

/// The JSON header of a safetensors file, padded with spaces to a multiple of 8 bytes. Its only metadata is
/// `format: pt`, which transformers asks for.
fn header(tensors: &[TensorShape], dtype: Dtype) -> Vec<u8> {
    let mut map = Map::new();
    map.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + bytes(&tensor.shape, dtype);
        let entry = json!({"dtype": dtype.safetensors_name(), "shape": tensor.shape, "data_offsets": [offset, end]});
        map.insert(tensor.name.clone(), entry);
        offset = end;
    }
    let mut header = Value::Object(map).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    header
}
