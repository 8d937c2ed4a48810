use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

use crate::{Checkpoint, CheckpointWriter, Dtype, Error, TensorShape};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";

/// A PEFT adapter folder: `adapter_config.json` and `adapter_model.safetensors`.
#[derive(Debug)]
pub struct Adapter(Checkpoint);

impl Adapter {
    /// Opens the folder; tensors are read when asked for.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Checkpoint::open_files(path, CONFIG, TENSORS).map(Self)
    }

    /// `adapter_config.json` as it stands.
    pub fn config_json(&self) -> &Value {
        self.0.config_json()
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names()
    }

    /// Shape of a tensor, outermost dimension first.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.0.shape(name)
    }

    /// Reads one tensor as f32 into `out`, which must have as many elements as the tensor. Values that are no numbers are an
    /// error.
    pub fn read_finite(&self, name: &str, out: &mut [f32]) -> Result<(), Error> {
        self.0.read_finite(name, out)
    }

    /// Writes both files into `dir`; `read` gives a tensor's row-major f32 data by name.
    pub fn write<'a>(
        dir: &Path,
        config: &Value,
        tensors: &[TensorShape],
        dtype: Dtype,
        read: impl Fn(&str) -> Cow<'a, [f32]>,
    ) -> Result<(), Error> {
        let mut writer = CheckpointWriter::named(dir, "adapter_model", tensors, dtype, None)?;
        let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        names.sort_unstable();
        names.into_iter().try_for_each(|name| writer.write(name, &read(name)))?;
        writer.finish()?;
        let path = dir.join(CONFIG);
        let text = serde_json::to_string_pretty(config).map_err(|error| Error::malformed(&path, error))?;
        std::fs::write(&path, text + "\n").map_err(Error::file(&path))
    }
}
