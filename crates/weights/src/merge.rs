//! Merging of checkpoints, tensor by tensor and block by block, in mergekit's words.

mod blocks;
mod combination;
mod method;
mod plan;
mod ranks;
mod same_meaning;
mod sce;
mod setting;
mod settings;
mod task_vectors;

use std::path::Path;

use serde_json::{Value, json};

pub use method::MergeMethod;
pub use setting::{Between, Condition, Setting, ValueOrGradient};
pub use settings::{MergeModel, MergeSettings, MergeSlice, Parameters, SliceSource};

use crate::{Checkpoint, CheckpointWriter, Dtype, Error, copy_companions, write_config};
use method::Kind;
use plan::{Plan, PlannedTensor, plan};
use same_meaning::{compare, same_tensors};
use task_vectors::TaskVectors;

/// Most bytes of one file, as in mergekit.
const SHARD_BYTES: usize = 5_000_000_000;

/// What a merge gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Parameters of the merged checkpoint.
    pub parameters: usize,
    /// What differs between the inputs beside their weights, in words.
    pub warnings: Vec<String>,
}

/// How far the models of one tensor are from the base model, or from zero where there is none, and from each other.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorDistances {
    /// The tensor.
    pub name: String,
    /// Elements of it.
    pub elements: usize,
    /// Length of each model's change (its Euclidean norm), in the order of the models.
    pub norms: Vec<f64>,
    /// Cosine between the changes of every two models, the first with the second, the first with the third, and so on.
    /// `None` where a change is zero.
    pub cosines: Vec<Option<f64>>,
}

/// Merges checkpoints into the folder `out`. Only some blocks of a tensor are in memory. `inputs` names every checkpoint that
/// [`MergeSettings::inputs`] lists; `seed` decides what `dare_*` drop. Equal inputs give equal bytes on any number of threads.
///
/// All tensors must have the same names and shapes and mean the same. A checkpoint whose head is its embedding (a tied one)
/// merges with one that has a head of its own: the result then has one too, and the tied one's head counts as its
/// embedding. Where all are tied the result is. Values that are no numbers are an error, in what is read and in the result.
///
/// Gives the number of parameters and what people should know.
pub fn merge(settings: &MergeSettings, inputs: &[(&str, &Checkpoint)], seed: u64, out: &Path) -> Result<Merged, Error> {
    let (first, tokens, warnings) = checked(settings, inputs)?;
    let planned = plan(settings, inputs, first)?;
    let dtype = settings.out_dtype.or(settings.dtype).unwrap_or_else(|| common_dtype(inputs));
    let shapes = planned.shapes();
    let mut writer = CheckpointWriter::create(out, &shapes, dtype, Some(SHARD_BYTES))?;
    for tensor in &planned.tensors {
        tensor.refuse_not_finite()?;
        merge_tensor(settings, tensor, seed, &mut writer)?;
    }
    writer.finish()?;
    write_config(out, &merged_config(&planned, first, tokens), dtype)?;
    copy_companions(tokens.path(), out)?;
    Ok(Merged { parameters: planned.tensors.iter().map(PlannedTensor::elements).sum(), warnings })
}

/// How far apart the models are, tensor by tensor, without merging them.
pub fn distances(settings: &MergeSettings, inputs: &[(&str, &Checkpoint)]) -> Result<Vec<TensorDistances>, Error> {
    let (first, _, _) = checked(settings, inputs)?;
    let of_tensor = |tensor: &PlannedTensor<'_>| {
        let products = tensor.inner_products()?;
        let norms: Vec<f64> = (0..products.len()).map(|i| products[i][i].sqrt()).collect();
        let pairs = (0..norms.len()).flat_map(|i| (i + 1..norms.len()).map(move |j| (i, j)));
        let cosines =
            pairs.map(|(i, j)| Some(products[i][j] / (norms[i] * norms[j])).filter(|cosine| cosine.is_finite()));
        let (name, elements) = (tensor.name.clone(), tensor.elements());
        Ok(TensorDistances { name, elements, cosines: cosines.collect(), norms })
    };
    plan(settings, inputs, first)?.tensors.iter().map(of_tensor).collect()
}

/// The checkpoint whose config is carried over, the one whose tokenizer is, and what differs between the inputs.
fn checked<'a>(
    settings: &MergeSettings,
    inputs: &[(&str, &'a Checkpoint)],
) -> Result<(&'a Checkpoint, &'a Checkpoint, Vec<String>), Error> {
    settings.check()?;
    let find = |name: &str| {
        let found = inputs.iter().find(|(given, _)| *given == name).map(|(_, checkpoint)| *checkpoint);
        found.ok_or_else(|| Error::Merge(format!("no checkpoint was given for `{name}`")))
    };
    let models = settings.models.iter().map(|model| model.model.as_str());
    let layers = settings.slices.iter().flat_map(|slice| &slice.sources).map(|source| source.model.as_str());
    let mut names: Vec<&str> = settings.base_model.as_deref().into_iter().chain(models).chain(layers).collect();
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(*name);
            true
        }
    });
    let checkpoints = names.into_iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = checkpoints.first().copied() else {
        return Err(Error::Merge("there is nothing to merge".to_owned()));
    };
    let mut warnings: Vec<String> = Vec::new();
    let tokens = settings.tokenizer_model().map_or(Ok(first), find)?;
    for checkpoint in &checkpoints {
        warnings.extend(
            checkpoint.warnings().iter().map(|warning| format!("`{}`: {warning}", checkpoint.path().display())),
        );
        if checkpoint.path() != first.path() {
            if settings.slices.is_empty() {
                same_tensors(first, checkpoint)?;
            }
            warnings.extend(compare(first, checkpoint, settings.tokenizer_source.is_some())?);
        }
    }
    warnings.dedup();
    Ok((first, tokens, warnings))
}

fn merge_tensor(
    settings: &MergeSettings,
    tensor: &PlannedTensor<'_>,
    seed: u64,
    writer: &mut CheckpointWriter,
) -> Result<(), Error> {
    let method = settings.merge_method;
    match method.traits().kind {
        Kind::Combination => combination::combine(method, tensor, writer),
        Kind::TaskVectors { sparsify, elect_sign, normalize } => {
            TaskVectors { sparsify, elect_sign, normalize, seed }.merge(tensor, writer)
        }
        Kind::Sce => sce::merge(tensor, writer),
    }
}

/// The number format of all inputs, or f32.
fn common_dtype(inputs: &[(&str, &Checkpoint)]) -> Dtype {
    let all_bf16 = inputs.iter().all(|(_, checkpoint)| checkpoint.is_bf16());
    if all_bf16 { Dtype::Bfloat16 } else { Dtype::Float32 }
}

/// The config of `first`, as the merge changes it, with the special tokens of `tokens`.
fn merged_config(planned: &Plan<'_>, first: &Checkpoint, tokens: &Checkpoint) -> Value {
    let mut config = first.config_json().clone();
    if planned.untied {
        config["tie_word_embeddings"] = false.into();
    }
    if !planned.stacked.is_empty() {
        config["num_hidden_layers"] = json!(planned.stacked.len());
        // What kind each layer is comes with the layer.
        if config.get("layer_types").is_some() {
            let of_layer =
                |(checkpoint, layer): &(&Checkpoint, usize)| checkpoint.config_json()["layer_types"][*layer].clone();
            config["layer_types"] = planned.stacked.iter().map(of_layer).collect();
        }
    }
    if tokens.path() != first.path() {
        for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
            match tokens.config_json().get(key) {
                Some(id) => config[key] = id.clone(),
                None => drop(config.as_object_mut().and_then(|config| config.remove(key))),
            }
        }
    }
    config
}
