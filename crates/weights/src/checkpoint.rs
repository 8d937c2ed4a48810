use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype as FileDtype;

use crate::folder::{check, read_json, refuse_pointer};
use crate::{Error, ModelConfig};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Elements converted by one rayon task.
const CHUNK: usize = 1 << 16;

/// The head, where it is not the embedding.
pub(crate) const HEAD: &str = "lm_head.weight";
/// The embedding.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";

/// Where one tensor lies.
#[derive(Clone, Debug)]
struct Place {
    shard: usize,
    dtype: FileDtype,
    shape: Vec<usize>,
    start: usize,
    end: usize,
}

/// A Hugging Face checkpoint folder, its weights mapped into memory and read one tensor at a time.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    config: serde_json::Value,
    shards: Vec<Mmap>,
    places: BTreeMap<String, Place>,
    warnings: Vec<String>,
}

impl Checkpoint {
    /// Opens a folder with `config.json` and either `model.safetensors` or `model.safetensors.index.json` and its shards.
    /// Pickled weights (`.bin`, `.pt`, `.pth`, `.pkl`) are refused: loading one can run code.
    ///
    /// Tensors are known by the names of the whole model (`model.layers.0…`), also where the file leaves `model.` out, as
    /// models saved without their head do. Rotary tables are left out: they follow from the config. A head that is stored
    /// although the config ties it is left out where it is a copy of the embedding; where it differs it is used, and the
    /// config says so (transformers does the same). No other tensor is read yet.
    pub fn open(path: &Path) -> Result<Self, Error> {
        check(path)?;
        let config = read_json(&path.join("config.json"))?;
        let mut opened = Self::map(path, config, shard_files(path)?)?;
        opened.places.retain(|name, _| !name.split('.').any(|part| part == "rotary_emb"));
        opened.name_as_a_whole()?;
        opened.decide_about_the_head()?;
        Ok(opened)
    }

    /// Puts `model.` before the names of a decoder that was saved without its head.
    fn name_as_a_whole(&mut self) -> Result<(), Error> {
        const BARE: &str = "embed_tokens.weight";
        if !self.places.contains_key(BARE) {
            return Ok(());
        }
        let places = std::mem::take(&mut self.places);
        for (name, place) in places {
            let whole = if name.starts_with("lm_head.") { name } else { format!("model.{name}") };
            if self.places.insert(whole.clone(), place).is_some() {
                let reason = format!("tensor `{whole}` is there with and without `model.`");
                return Err(Error::malformed(&self.path, reason));
            }
        }
        Ok(())
    }

    /// Leaves out a stored head that is the embedding, and takes a tied config back where it is another.
    fn decide_about_the_head(&mut self) -> Result<(), Error> {
        let tied = self.config.get("tie_word_embeddings").and_then(serde_json::Value::as_bool) == Some(true);
        if !tied || !self.places.contains_key(HEAD) || !self.places.contains_key(EMBEDDING) {
            return Ok(());
        }
        if self.same(HEAD, EMBEDDING)? {
            self.places.remove(HEAD);
            return Ok(());
        }
        self.config["tie_word_embeddings"] = false.into();
        self.warnings.push(format!(
            "`tie_word_embeddings` is true in config.json, but `{HEAD}` is stored and is not the embedding: the stored head \
             is used, and what is written from it is not tied"
        ));
        Ok(())
    }

    /// Whether two tensors have the same shape and the same values.
    fn same(&self, one: &str, other: &str) -> Result<bool, Error> {
        let (a, b) = (self.place(one)?, self.place(other)?);
        if a.shape != b.shape {
            return Ok(false);
        }
        if a.dtype == b.dtype {
            return Ok(self.shards[a.shard][a.start..a.end] == self.shards[b.shard][b.start..b.end]);
        }
        Ok(self.tensor_f32(one)?.1 == self.tensor_f32(other)?.1)
    }

    /// What was decided in reading that people should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn map(path: &Path, config: serde_json::Value, files: Vec<String>) -> Result<Self, Error> {
        let (mut shards, mut places) = (Vec::new(), BTreeMap::new());
        for name in files {
            let file_path = path.join(&name);
            refuse_pointer(&file_path)?;
            let file = File::open(&file_path).map_err(Error::file(&file_path))?;
            #[allow(unsafe_code)]
            // SAFETY: the map is read-only and private to this value. Nothing in this program truncates a finished
            // checkpoint: writers make a new folder and rename it into place.
            let map = unsafe { Mmap::map(&file) }.map_err(Error::file(&file_path))?;
            let (header, metadata) =
                SafeTensors::read_metadata(&map).map_err(|error| Error::malformed(&file_path, error))?;
            let data = header + 8;
            let tensors: BTreeMap<_, _> = metadata.tensors().into_iter().collect();
            for (name, info) in tensors {
                let place = Place {
                    shard: shards.len(),
                    dtype: info.dtype,
                    shape: info.shape.clone(),
                    start: data + info.data_offsets.0,
                    end: data + info.data_offsets.1,
                };
                if places.insert(name.clone(), place).is_some() {
                    return Err(Error::malformed(&file_path, format!("tensor `{name}` is in two shards")));
                }
            }
            shards.push(map);
        }
        Ok(Self { path: path.to_owned(), config, shards, places, warnings: Vec::new() })
    }

    /// Opens a folder's JSON file and one safetensors file by their names.
    pub(crate) fn open_files(path: &Path, config: &str, tensors: &str) -> Result<Self, Error> {
        let config = read_json(&path.join(config))?;
        Self::map(path, config, vec![tensors.to_owned()])
    }

    /// The folder this was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Shape of a tensor, outermost dimension first, or nothing when the checkpoint does not have it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.places.get(name).map(|place| place.shape.as_slice())
    }

    /// Number of elements over all tensors.
    pub fn parameters(&self) -> usize {
        self.places.values().map(|place| place.shape.iter().product::<usize>()).sum()
    }

    /// Bytes of all tensors on disk.
    pub fn bytes(&self) -> usize {
        self.places.values().map(|place| place.end - place.start).sum()
    }

    /// Reads one tensor as f32, row-major: its shape and `shape.product()` elements.
    pub fn tensor_f32(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), Error> {
        let place = self.place(name)?;
        let mut out = vec![0.0; place.shape.iter().product()];
        self.read_into(name, &mut out)?;
        Ok((place.shape.clone(), out))
    }

    /// Reads one tensor as [`Checkpoint::read_into`] does, and refuses values that are no numbers.
    pub fn read_finite(&self, name: &str, out: &mut [f32]) -> Result<(), Error> {
        self.read_into(name, out)?;
        refuse_not_finite(&self.path, name, out)
    }

    /// Reads one tensor as f32 into `out`, which must have as many elements as the tensor.
    pub fn read_into(&self, name: &str, out: &mut [f32]) -> Result<(), Error> {
        let place = self.place(name)?;
        let bytes = &self.shards[place.shard][place.start..place.end];
        let width = match place.dtype {
            FileDtype::F32 => 4,
            FileDtype::F16 | FileDtype::BF16 => 2,
            other => return Err(Error::TensorDtype { name: name.to_owned(), dtype: format!("{other:?}") }),
        };
        if bytes.len() != out.len() * width {
            let reason = format!("{} elements are in the file, {} were asked for", bytes.len() / width, out.len());
            return Err(Error::Unexpected { name: name.to_owned(), reason });
        }
        out.par_chunks_mut(CHUNK).zip(bytes.par_chunks(CHUNK * width)).for_each(|(out, bytes)| match place.dtype {
            FileDtype::F32 => {
                for (out, bytes) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                    *out = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                }
            }
            FileDtype::F16 => widen::<half::f16>(bytes, out),
            _ => widen::<half::bf16>(bytes, out),
        });
        Ok(())
    }

    /// The model's settings, read from either dialect of `config.json`.
    pub fn config(&self) -> Result<ModelConfig, Error> {
        ModelConfig::from_json(&self.config)
    }

    /// `config.json` as it stands.
    pub fn config_json(&self) -> &serde_json::Value {
        &self.config
    }

    /// The error about a tensor that is not there.
    pub fn no_tensor(&self, name: &str) -> Error {
        // Wrappers (`module.`, `_orig_mod.`, `base_model.model.`) stand before the name.
        let wrapped = self.places.keys().find(|found| found.ends_with(&format!(".{name}"))).cloned();
        Error::NoTensor { name: name.to_owned(), path: self.path.clone(), wrapped }
    }

    fn place(&self, name: &str) -> Result<&Place, Error> {
        self.places.get(name).ok_or_else(|| self.no_tensor(name))
    }
}

fn widen<T: HalfBits>(bytes: &[u8], out: &mut [f32])
where
    [T]: HalfFloatSliceExt,
{
    let mut halves = [T::from_le([0; 2]); 256];
    for (out, bytes) in out.chunks_mut(halves.len()).zip(bytes.chunks(halves.len() * 2)) {
        for (half, bytes) in halves.iter_mut().zip(bytes.chunks_exact(2)) {
            *half = T::from_le([bytes[0], bytes[1]]);
        }
        halves[..out.len()].convert_to_f32_slice(out);
    }
}

trait HalfBits: Copy {
    fn from_le(bytes: [u8; 2]) -> Self;
}

impl HalfBits for half::f16 {
    fn from_le(bytes: [u8; 2]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

impl HalfBits for half::bf16 {
    fn from_le(bytes: [u8; 2]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

/// The safetensors files of a folder, in the order of their names.
fn shard_files(path: &Path) -> Result<Vec<String>, Error> {
    if path.join(SINGLE).is_file() {
        return Ok(vec![SINGLE.to_owned()]);
    }
    let index_path = path.join(INDEX);
    if index_path.is_file() {
        let index = read_json(&index_path)?;
        let map = index.get("weight_map").and_then(serde_json::Value::as_object);
        let map = map.ok_or_else(|| Error::malformed(&index_path, "no object `weight_map`"))?;
        let mut files = Vec::new();
        for file in map.values() {
            let file = file.as_str().filter(|file| !file.contains(['/', '\\']) && file.ends_with(".safetensors"));
            let file = file.ok_or_else(|| {
                Error::malformed(&index_path, "a shard is not the name of a safetensors file beside the index")
            })?;
            files.push(file.to_owned());
        }
        files.sort();
        files.dedup();
        return Ok(files);
    }
    let entries = std::fs::read_dir(path).map_err(Error::file(path))?;
    let mut pickled: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| [".bin", ".pt", ".pth", ".pkl"].iter().any(|end| name.ends_with(end)))
        .collect();
    pickled.sort();
    let reason = match pickled.first() {
        Some(name) => format!("`{name}` is pickled, which can run code when loaded; convert it to safetensors"),
        None => format!("expected `{SINGLE}` or `{INDEX}`"),
    };
    Err(Error::NoWeights { path: path.to_owned(), reason })
}

/// Refuses a tensor with values that are no numbers; `path` is the folder that it is read from or written to.
pub(crate) fn refuse_not_finite(path: &Path, name: &str, data: &[f32]) -> Result<(), Error> {
    let broken = |chunk: &[f32]| chunk.iter().filter(|x| !x.is_finite()).count();
    let count: usize = data.par_chunks(CHUNK).map(broken).sum();
    if count == 0 {
        return Ok(());
    }
    let index = data.iter().position(|x| !x.is_finite()).unwrap_or(0);
    let value = data.get(index).copied().unwrap_or(f32::NAN);
    Err(Error::NotFinite { name: name.to_owned(), path: path.to_owned(), count, value, index })
}
