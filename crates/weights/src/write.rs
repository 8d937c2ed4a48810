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
    current: Option<(BufWriter<File>, PathBuf, Vec<TensorShape>)>,
    buffer: Vec<u8>,
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
        if self.current.as_ref().is_none_or(|(_, _, rest)| rest.is_empty()) {
            self.finish_shard()?;
            self.current = Some(self.next_shard(name)?);
        }
        let (file, path, rest) = self.current.as_mut().expect("a shard was just opened");
        let expected = rest.pop().expect("a shard with nothing left is closed first");
        let elements: usize = expected.shape.iter().product();
        if expected.name != name || elements != data.len() {
            let reason =
                format!("`{}` with {elements} elements comes next, {} elements were given", expected.name, data.len());
            return Err(Error::Unexpected { name: name.to_owned(), reason });
        }
        refuse_not_finite(&self.dir, name, data)?;
        if self.dtype == Dtype::Bfloat16 {
            // The largest of f32 round to infinity.
            let largest = bf16::MAX.to_f32();
            let over = data.iter().position(|x| x.abs() > largest && !bf16::from_f32(*x).is_finite());
            if let Some(index) = over {
                let reason = format!("`{}` at element {index} is too large for bfloat16", data[index]);
                return Err(Error::Unexpected { name: name.to_owned(), reason });
            }
        }
        for part in data.chunks(1 << 16) {
            self.buffer.clear();
            match self.dtype {
                Dtype::Float32 => self.buffer.extend(part.iter().flat_map(|x| x.to_le_bytes())),
                Dtype::Bfloat16 => self.buffer.extend(part.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes())),
            }
            file.write_all(&self.buffer).map_err(Error::file(&*path))?;
        }
        Ok(())
    }

    /// Checks that every announced tensor was written and flushes to the disk.
    pub fn finish(mut self) -> Result<(), Error> {
        let missing = match (&self.current, self.shards.last()) {
            (Some((_, _, rest)), _) if !rest.is_empty() => rest.last(),
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

    fn next_shard(&mut self, name: &str) -> Result<(BufWriter<File>, PathBuf, Vec<TensorShape>), Error> {
        let shard = self.shards.pop().filter(|shard| !shard.tensors.is_empty());
        let shard =
            shard.ok_or_else(|| Error::Unexpected { name: name.to_owned(), reason: "was not announced".to_owned() })?;
        let path = self.dir.join(&shard.file);
        let mut file = BufWriter::new(File::create(&path).map_err(Error::file(&path))?);
        let header = header(&shard.tensors, self.dtype);
        let written = file.write_all(&(header.len() as u64).to_le_bytes()).and_then(|()| file.write_all(&header));
        written.map_err(Error::file(&path))?;
        Ok((file, path, shard.tensors.into_iter().rev().collect()))
    }

    fn finish_shard(&mut self) -> Result<(), Error> {
        let Some((mut file, path, _)) = self.current.take() else { return Ok(()) };
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(Error::file(&path))
    }
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
