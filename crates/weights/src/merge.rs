use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{EMBEDDING, HEAD, refuse_not_finite};
use crate::merge_check::{compare, source_of};
use crate::merge_math::{linear, slerp, task_arithmetic, ties};
use crate::{Checkpoint, CheckpointWriter, Dtype, Error, TensorShape, copy_companions, write_config};

/// How tensors of several checkpoints become one; mergekit's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergeMethod {
    /// Weighted average. With equal weights this is the merge of Kimi k1.5 (section 2.4).
    #[default]
    Linear,
    /// Spherical interpolation between two models.
    Slerp,
    /// `base + lambda · Σ weight · (model − base)` (arXiv 2212.04089).
    TaskArithmetic,
    /// Task arithmetic after trimming small changes and electing a sign (arXiv 2306.01708).
    Ties,
}

/// One input of a merge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeModel {
    /// A stage's name or the path of a checkpoint folder.
    pub model: String,
    /// This model's own numbers.
    #[serde(default)]
    pub parameters: ModelParameters,
}

/// Numbers of one merged model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelParameters {
    /// How much this model counts.
    #[serde(default = "one")]
    pub weight: f64,
    /// Share of the changes that `ties` keeps, largest first.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub density: f64,
}

impl Default for ModelParameters {
    fn default() -> Self {
        Self { weight: 1.0, density: 1.0 }
    }
}

/// Numbers of the whole merge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeParameters {
    /// Divide by the sum of the weights; on by default for `linear` and `ties`, off for `task_arithmetic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// Scales the merged change of `task_arithmetic` and `ties`.
    #[serde(default = "one")]
    pub lambda: f64,
    /// Place between the base model (0) and the other model (1) for `slerp`.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub t: f64,
}

impl Default for MergeParameters {
    fn default() -> Self {
        Self { normalize: None, lambda: 1.0, t: 0.5 }
    }
}

/// A merge, in mergekit's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeSettings {
    /// How tensors are combined.
    #[serde(default)]
    pub merge_method: MergeMethod,
    /// What is combined; the first one's config, tokenizer and template are carried over unless there is a base model.
    pub models: Vec<MergeModel>,
    /// The model that changes are measured from (`task_arithmetic`, `ties`) or that `t: 0` means (`slerp`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// Numbers of the whole merge.
    #[serde(default)]
    pub parameters: MergeParameters,
    /// Number format of the result; sums are kept in f32.
    #[serde(default)]
    pub dtype: Dtype,
}

fn one() -> f64 {
    1.0
}

fn half() -> f64 {
    0.5
}

impl MergeSettings {
    /// Names of all checkpoints this merge reads, each once.
    pub fn inputs(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.models.iter().map(|model| model.model.as_str()).collect();
        names.extend(self.base_model.as_deref());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Says what is wrong with the settings, if anything, without opening a checkpoint.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |reason: String| Err(Error::Merge(reason));
        if self.models.is_empty() {
            return refuse("`models` is empty".to_owned());
        }
        let normalize = self.parameters.normalize.unwrap_or(true);
        let sum: f64 = self.models.iter().map(|model| model.parameters.weight).sum();
        match self.merge_method {
            MergeMethod::Linear if normalize && sum.abs() < 1e-8 => refuse(format!("the weights sum to `{sum}`")),
            MergeMethod::Slerp => {
                let Some(base) = &self.base_model else { return refuse("slerp needs `base_model`".to_owned()) };
                let others = self.models.iter().filter(|model| model.model != *base).count();
                if others == 1 && self.models.len() <= 2 {
                    return Ok(());
                }
                refuse(format!("slerp takes the base model and one other, `models` has {others} others"))
            }
            MergeMethod::TaskArithmetic | MergeMethod::Ties if self.base_model.is_none() => {
                refuse("task_arithmetic and ties need `base_model`".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Merges checkpoints into the folder `out`, tensor by tensor: no more than one tensor of each input is in memory.
/// `inputs` names every checkpoint that [`MergeSettings::inputs`] lists. Equal inputs give equal bytes on any number of
/// threads.
///
/// All tensors must have the same names and shapes and mean the same. A checkpoint whose head is its embedding (a tied one)
/// merges with one that has a head of its own: the result then has one too, and the tied one's head counts as its
/// embedding. Where all are tied the result is. Values that are no numbers are an error, in what is read and in the result.
///
/// Gives the number of parameters and what people should know.
pub fn merge(settings: &MergeSettings, inputs: &[(&str, &Checkpoint)], out: &Path) -> Result<Merged, Error> {
    settings.check()?;
    let find = |name: &str| {
        let found = inputs.iter().find(|(given, _)| *given == name).map(|(_, checkpoint)| *checkpoint);
        found.ok_or_else(|| Error::Merge(format!("no checkpoint was given for `{name}`")))
    };
    let models: Vec<&Checkpoint> = settings.models.iter().map(|model| find(&model.model)).collect::<Result<_, _>>()?;
    let base = settings.base_model.as_deref().map(find).transpose()?;
    let first = base.unwrap_or(models[0]);
    let mut warnings: Vec<String> = Vec::new();
    for model in base.iter().chain(&models) {
        warnings.extend(model.warnings().iter().map(|warning| format!("`{}`: {warning}", model.path().display())));
        if model.path() != first.path() {
            warnings.extend(compare(first, model)?);
        }
    }
    warnings.dedup();
    let untied = models.iter().chain(&base).any(|model| model.shape(HEAD).is_some());
    let mut names: Vec<&str> = first.names().collect();
    if untied && first.shape(HEAD).is_none() {
        names.push(HEAD);
        names.sort_unstable();
    }
    let tensors: Vec<TensorShape> = names
        .into_iter()
        .map(|name| {
            let shape = first.shape(source_of(first, name)).unwrap_or_default().to_vec();
            TensorShape { name: name.to_owned(), shape }
        })
        .collect();
    let mut writer = CheckpointWriter::create(out, &tensors, settings.dtype, None)?;
    for tensor in &tensors {
        writer.write(&tensor.name, &merge_tensor(settings, &tensor.name, &models, base)?)?;
    }
    writer.finish()?;
    let mut config = first.config_json().clone();
    if untied && first.shape(EMBEDDING).is_some() {
        config["tie_word_embeddings"] = false.into();
    }
    write_config(out, &config, settings.dtype)?;
    copy_companions(first.path(), out)?;
    let parameters = tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
    Ok(Merged { parameters, warnings })
}

/// What a merge gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Parameters of the merged checkpoint.
    pub parameters: usize,
    /// What differs between the inputs beside their weights, in words.
    pub warnings: Vec<String>,
}

fn merge_tensor(
    settings: &MergeSettings,
    name: &str,
    models: &[&Checkpoint],
    base: Option<&Checkpoint>,
) -> Result<Vec<f32>, Error> {
    let read = |checkpoint: &Checkpoint| -> Result<Vec<f32>, Error> {
        let (_, data) = checkpoint.tensor_f32(source_of(checkpoint, name))?;
        refuse_not_finite(checkpoint.path(), name, &data)?;
        Ok(data)
    };
    let parameters = &settings.parameters;
    let base = base.map(read).transpose()?;
    let weights: Vec<f32> = settings.models.iter().map(|model| model.parameters.weight as f32).collect();
    let mut tensors: Vec<Vec<f32>> = models.iter().map(|model| read(model)).collect::<Result<_, _>>()?;
    Ok(match (settings.merge_method, base) {
        (MergeMethod::Slerp, Some(base)) => {
            let other = settings.models.iter().position(|model| Some(&model.model) != settings.base_model.as_ref());
            slerp(&base, &tensors.swap_remove(other.unwrap_or(0)), parameters.t)
        }
        (MergeMethod::TaskArithmetic, Some(base)) => {
            let normalize = parameters.normalize.unwrap_or(false);
            task_arithmetic(&base, tensors, &weights, normalize, parameters.lambda as f32)
        }
        (MergeMethod::Ties, Some(base)) => {
            let densities: Vec<f64> = settings.models.iter().map(|model| model.parameters.density).collect();
            ties(&base, tensors, &weights, &densities, parameters.normalize.unwrap_or(true), parameters.lambda as f32)
        }
        _ => linear(&tensors, &weights, parameters.normalize.unwrap_or(true)),
    })
}
