//! The merge methods: what each needs and reads.
//!
//! There are two kinds. A *combination* is a weighted sum of the models' tensors whose weights follow from the angles between
//! them: all it asks of the tensors is their inner products. A *task vector* method works on changes from a base model: it
//! makes each change sparse, lets the changes agree on a sign, and adds them to the base.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How tensors of several checkpoints become one; mergekit's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergeMethod {
    /// Weighted average (arXiv 2203.05482). With equal weights this is the merge of Kimi k1.5 (section 2.4).
    #[default]
    Linear,
    /// Spherical interpolation between two models.
    Slerp,
    /// Spherical interpolation between two models, or between their changes from a base model, by weights.
    Nuslerp,
    /// Barycentre of several models on a sphere, or of their changes from a base model.
    Multislerp,
    /// Mean of several models on a sphere (Karcher).
    Karcher,
    /// Between the base model and the models' average, by the angle between their changes (arXiv 2403.19522).
    ModelStock,
    /// One model's tensors as they are: for stacking layers with `slices`.
    Passthrough,
    /// `base + lambda · Σ weight · (model − base)` (arXiv 2212.04089).
    TaskArithmetic,
    /// Task arithmetic after keeping large changes only and electing a sign (arXiv 2306.01708).
    Ties,
    /// Task arithmetic after dropping changes at random (arXiv 2311.03099).
    DareLinear,
    /// TIES, with changes dropped at random.
    DareTies,
    /// Task arithmetic without the smallest and the very largest changes (arXiv 2312.06795).
    Breadcrumbs,
    /// The same, with an elected sign.
    BreadcrumbsTies,
    /// Selects elements that vary, calculates weights and erases minority signs (arXiv 2408.07990).
    Sce,
}

/// What a base model is to a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BaseModel {
    /// Changes are measured from it.
    Required,
    /// Changes are measured from it where it is given.
    Optional,
    /// One of the models; where it is not listed it only gives config and tokenizer.
    IsAModel,
}

/// Which elements of a change are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sparsify {
    /// All.
    Nothing,
    /// The largest.
    Magnitude,
    /// A random share.
    Random,
    /// The largest but for outliers.
    Outliers,
}

/// How a method is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A weighted sum by inner products.
    Combination,
    /// Sparse changes with or without an elected sign.
    TaskVectors { sparsify: Sparsify, elect_sign: bool, normalize: bool },
    /// Changes weighted by their own size.
    Sce,
}

/// What a method needs and reads.
pub(crate) struct Traits {
    pub(crate) base: BaseModel,
    /// How many models, beside the base model unless that is one of them.
    pub(crate) models: RangeInclusive<usize>,
    pub(crate) parameters: &'static [&'static str],
    pub(crate) kind: Kind,
}

const TASK: &[&str] = &["weight", "normalize", "lambda", "int8_mask"];
const SPARSE: &[&str] = &["weight", "density", "normalize", "rescale", "lambda", "int8_mask"];
const OUTLIERS: &[&str] = &["weight", "density", "gamma", "normalize", "rescale", "lambda", "int8_mask"];

impl MergeMethod {
    /// Its word in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Slerp => "slerp",
            Self::Nuslerp => "nuslerp",
            Self::Multislerp => "multislerp",
            Self::Karcher => "karcher",
            Self::ModelStock => "model_stock",
            Self::Passthrough => "passthrough",
            Self::TaskArithmetic => "task_arithmetic",
            Self::Ties => "ties",
            Self::DareLinear => "dare_linear",
            Self::DareTies => "dare_ties",
            Self::Breadcrumbs => "breadcrumbs",
            Self::BreadcrumbsTies => "breadcrumbs_ties",
            Self::Sce => "sce",
        }
    }

    /// Whether it draws random numbers.
    pub fn uses_seed(self) -> bool {
        matches!(self.traits().kind, Kind::TaskVectors { sparsify: Sparsify::Random, .. })
    }

    pub(crate) fn traits(self) -> Traits {
        use BaseModel::{IsAModel, Optional, Required};
        use Sparsify::{Magnitude, Nothing, Outliers, Random};
        const ANY: RangeInclusive<usize> = 1..=usize::MAX;
        let combination = |base, models, parameters| Traits { base, models, parameters, kind: Kind::Combination };
        let task = |sparsify, elect_sign, normalize, parameters| Traits {
            base: Required,
            models: ANY,
            parameters,
            kind: Kind::TaskVectors { sparsify, elect_sign, normalize },
        };
        match self {
            Self::Linear => combination(IsAModel, ANY, &["weight", "normalize"]),
            Self::Slerp => combination(Required, 1..=1, &["t"]),
            Self::Nuslerp => combination(Optional, 2..=2, &["weight"]),
            Self::Multislerp => combination(Optional, ANY, &["weight", "normalize_weights", "eps"]),
            Self::Karcher => combination(IsAModel, ANY, &["max_iter", "tol"]),
            Self::ModelStock => combination(Required, 2..=usize::MAX, &[]),
            Self::Passthrough => combination(IsAModel, 1..=1, &["scale"]),
            Self::TaskArithmetic => task(Nothing, false, false, TASK),
            Self::Ties => task(Magnitude, true, true, SPARSE),
            Self::DareLinear => task(Random, false, false, SPARSE),
            Self::DareTies => task(Random, true, false, SPARSE),
            Self::Breadcrumbs => task(Outliers, false, false, OUTLIERS),
            Self::BreadcrumbsTies => task(Outliers, true, false, OUTLIERS),
            Self::Sce => {
                Traits { base: Required, models: ANY, parameters: &["select_topk", "int8_mask"], kind: Kind::Sce }
            }
        }
    }
}
