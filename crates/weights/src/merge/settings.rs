//! A merge, in mergekit's words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method::{BaseModel, MergeMethod};
use super::setting::Setting;
use crate::{Dtype, Error};

/// A merge, in mergekit's words: its files are read as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MergeSettings {
    /// How tensors are combined.
    pub merge_method: MergeMethod,
    /// What is combined, all layers of each. Either `models` or `slices`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<MergeModel>,
    /// Layers of the result, in order: each slice takes a range of layers of some models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<MergeSlice>,
    /// The model that changes are measured from, or that `t: 0` means. Its config and tokenizer are carried over; without it,
    /// those of the first model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// Parameters for all models.
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
    /// Number format of the result; sums are kept in f32 and f64. Without it that of the models, or f32 where they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// Number format of the result, where mergekit computes in another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_dtype: Option<Dtype>,
    /// Whose tokenizer, chat template and end of turn the result has: `base`, or one of the models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer_source: Option<String>,
}

/// One input of a merge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeModel {
    /// A stage's name or the path of a checkpoint folder.
    pub model: String,
    /// This model's own parameters.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

/// Some layers of the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeSlice {
    /// What is combined; the ranges are equally long.
    pub sources: Vec<SliceSource>,
    /// The base model of this slice, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// Parameters of this slice.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

/// Layers of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SliceSource {
    /// A stage's name or the path of a checkpoint folder.
    pub model: String,
    /// The first layer, from 0, and the one after the last.
    pub layer_range: [usize; 2],
    /// This model's own parameters.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

macro_rules! parameters {
    ($($(#[$doc:meta])* $field:ident $(as $name:literal)?: $type:ty,)*) => {
        /// Parameters of a merge method. Those of a model count before those of its slice, and those before the whole merge's.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Parameters {
            $(
                $(#[$doc])*
                $(#[serde(rename = $name)])?
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<Setting<$type>>,
            )*
        }

        impl Parameters {
            /// None of them.
            pub(super) const NONE: Self = Self { $($field: None,)* };

            /// Whether none is set.
            pub fn is_empty(&self) -> bool {
                *self == Self::default()
            }

            /// Names of those that are set.
            fn set(&self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(
                    if self.$field.is_some() {
                        names.push(parameters!(@name $field $($name)?));
                    }
                )*
                names
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
}

parameters! {
    /// How much this model counts.
    weight: f64,
    /// Share of the changes that is kept.
    density: f64,
    /// Share of the largest changes that `breadcrumbs` leaves out.
    gamma: f64,
    /// Divide by the sum of the weights.
    normalize: bool,
    /// Scale what was kept of a change to the sum of absolute values that it had.
    rescale: bool,
    /// Scales the merged change.
    lambda: f64,
    /// Place between the base model (0) and the other model (1).
    t: f64,
    /// Share of the most varied elements that `sce` keeps.
    select_topk: f64,
    /// Most steps of `karcher`.
    max_iter: f64,
    /// Change at which `karcher` stops.
    tol: f64,
    /// Divide by the sum of the weights in `multislerp`.
    normalize_weights: bool,
    /// Small number against division by zero in `multislerp`.
    eps: f64,
    /// Scales a tensor that is passed through.
    scale: f64,
    /// mergekit's saving of memory; nothing changes here.
    int8_mask: bool,
}

impl MergeSettings {
    /// A merge of whole models with equal weights.
    pub fn of(merge_method: MergeMethod, models: &[&str]) -> Self {
        let model = |name: &&str| MergeModel { model: (*name).to_owned(), parameters: Parameters::default() };
        Self { merge_method, models: models.iter().map(model).collect(), ..Self::default() }
    }

    /// Names of all checkpoints this merge reads, each once.
    pub fn inputs(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.models.iter().map(|model| model.model.as_str()).collect();
        for slice in &self.slices {
            names.extend(slice.sources.iter().map(|source| source.model.as_str()));
            names.extend(slice.base_model.as_deref());
        }
        names.extend(self.base_model.as_deref());
        names.extend(self.tokenizer_model());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The model whose tokenizer is carried over, where that is not the base model.
    pub(crate) fn tokenizer_model(&self) -> Option<&str> {
        self.tokenizer_source.as_deref().filter(|source| *source != "base")
    }

    /// Says what is wrong with the settings, if anything, without opening a checkpoint.
    pub fn check(&self) -> Result<(), Error> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(Error::Merge(problems.join("; "))) }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.models.is_empty() == self.slices.is_empty() {
            let found = if self.models.is_empty() { "neither is" } else { "both are" };
            problems.push(format!("give either `models` or `slices`: {found} given"));
        }
        if self.tokenizer_source.as_deref() == Some("union") {
            let models = "`base` or the name of a model";
            problems.push(format!("`tokenizer_source` is `union`, which would mix vocabularies: allowed are {models}"));
        }
        problems.extend(self.unread());
        problems.extend(self.out_of_bounds());
        if !self.models.is_empty() {
            let names: Vec<&str> = self.models.iter().map(|model| model.model.as_str()).collect();
            problems.extend(self.count("", &names, self.base_model.as_deref()));
            problems.extend(self.weightless());
        }
        for (index, slice) in self.slices.iter().enumerate() {
            let names: Vec<&str> = slice.sources.iter().map(|source| source.model.as_str()).collect();
            let base = slice.base_model.as_deref().or(self.base_model.as_deref());
            problems.extend(self.count(&format!("slice {index}: "), &names, base));
            let lengths = slice.sources.iter().map(|source| source.layer_range);
            let mut lengths = lengths.map(|[from, to]| to.checked_sub(from).filter(|length| *length > 0));
            let first = lengths.next().flatten();
            if first.is_none() || lengths.any(|length| length != first) {
                problems.push(format!("slice {index}: the `layer_range`s must be equally long, and not empty"));
            }
        }
        problems
    }

    /// Whether the method can do with these models.
    fn count(&self, place: &str, models: &[&str], base: Option<&str>) -> Option<String> {
        let method = self.merge_method;
        let traits = method.traits();
        let name = method.name();
        if traits.base == BaseModel::Required && base.is_none() {
            return Some(format!("{place}{name} needs `base_model`"));
        }
        let others = models.iter().filter(|model| Some(**model) != base).count();
        let counted = if traits.base == BaseModel::IsAModel { models.len() } else { others };
        let fits = traits.models.contains(&counted);
        let (least, most) = (traits.models.start(), traits.models.end());
        let allowed = match (*least, *most) {
            (least, usize::MAX) => format!("{least} or more"),
            (least, most) if least == most => format!("{least}"),
            (least, most) => format!("{least} to {most}"),
        };
        let beside = if traits.base == BaseModel::IsAModel { "" } else { " beside the base model" };
        (!fits).then(|| format!("{place}{name} takes {allowed} models{beside}, {counted} are given"))
    }

    /// All parameters, each with where it stands.
    fn all_parameters(&self) -> Vec<(String, &Parameters)> {
        let mut all = vec![("`parameters`".to_owned(), &self.parameters)];
        all.extend(self.models.iter().map(|model| (format!("model `{}`", model.model), &model.parameters)));
        for (index, slice) in self.slices.iter().enumerate() {
            all.push((format!("slice {index}"), &slice.parameters));
            let sources = slice.sources.iter();
            all.extend(sources.map(|source| (format!("slice {index}, model `{}`", source.model), &source.parameters)));
        }
        all
    }

    /// Parameters that the method does not read: whoever set them expects something of them.
    fn unread(&self) -> Vec<String> {
        let read = self.merge_method.traits().parameters;
        let name = self.merge_method.name();
        let mut problems = Vec::new();
        for (place, parameters) in self.all_parameters() {
            for parameter in parameters.set().into_iter().filter(|parameter| !read.contains(parameter)) {
                let reads = if read.is_empty() { "none".to_owned() } else { format!("`{}`", read.join("`, `")) };
                problems.push(format!("{place}: `{parameter}` is not read by {name}, which reads {reads}"));
            }
        }
        problems
    }

    fn out_of_bounds(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (place, parameters) in self.all_parameters() {
            for (name, setting) in [
                ("density", &parameters.density),
                ("gamma", &parameters.gamma),
                ("t", &parameters.t),
                ("select_topk", &parameters.select_topk),
            ] {
                let wrong = setting.iter().flat_map(Setting::values).find(|value| !(0.0..=1.0).contains(value));
                problems.extend(wrong.map(|value| format!("{place}: `{name}` is `{value}`, allowed is 0 to 1")));
            }
            let weights = parameters.weight.iter().flat_map(Setting::values);
            let wrong = weights.chain(parameters.lambda.iter().flat_map(Setting::values)).find(|x| !x.is_finite());
            problems.extend(wrong.map(|value| format!("{place}: `{value}` is no weight")));
        }
        problems
    }

    /// Weights that cannot be divided by.
    fn weightless(&self) -> Option<String> {
        let normalized = self.parameters.normalize.as_ref().is_none_or(|normalize| normalize.values() != [false]);
        if self.merge_method != MergeMethod::Linear || !normalized {
            return None;
        }
        let weight = |model: &MergeModel| match model.parameters.weight.as_ref().or(self.parameters.weight.as_ref()) {
            None => Some(1.0),
            Some(Setting::Value(weight)) => Some(*weight),
            Some(_) => None,
        };
        let sum: f64 = self.models.iter().map(weight).sum::<Option<f64>>()?;
        (sum.abs() < 1e-8).then(|| format!("the weights sum to `{sum}`"))
    }
}
