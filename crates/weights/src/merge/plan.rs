//! Which tensors of the inputs each tensor of the result is made of, and with which parameters.

use super::method::BaseModel;
use super::same_meaning::source_of;
use super::setting::{Between, Setting};
use super::settings::{MergeSettings, Parameters};
use crate::checkpoint::{EMBEDDING, HEAD};
use crate::{Checkpoint, Error, TensorShape};

/// A tensor of the result.
pub(super) struct PlannedTensor<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// The models' tensors, the base model's left out unless it is one of the models.
    pub(super) models: Vec<Input<'a>>,
    /// The base model's tensor, where the method measures changes from one.
    pub(super) base: Option<Input<'a>>,
    /// How far through its slice's layers it stands, 0 to 1.
    share: f64,
    /// Parameters that hold for all models, the narrowest first.
    parameters: [&'a Parameters; 2],
}

/// A tensor of one model.
pub(super) struct Input<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) tensor: String,
    parameters: &'a Parameters,
}

impl<'a> PlannedTensor<'a> {
    /// A parameter that holds for all models.
    pub(super) fn shared<T: Between>(&self, of: impl Fn(&Parameters) -> Option<&Setting<T>>, otherwise: T) -> T {
        let mut settings = self.parameters.iter().filter_map(|parameters| of(parameters));
        settings.find_map(|setting| setting.at(&self.name, self.share)).unwrap_or(otherwise)
    }

    /// A parameter of each model.
    pub(super) fn each<T: Between>(&self, of: impl Fn(&Parameters) -> Option<&Setting<T>>, otherwise: T) -> Vec<T> {
        let value = |input: &Input<'a>| {
            let settings = std::iter::once(input.parameters).chain(self.parameters);
            let mut values = settings.filter_map(|parameters| of(parameters)?.at(&input.tensor, self.share));
            values.next().unwrap_or(otherwise)
        };
        self.models.iter().map(value).collect()
    }

    /// Number of elements.
    pub(super) fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The result as a whole.
pub(super) struct Plan<'a> {
    /// In the order of their names.
    pub(super) tensors: Vec<PlannedTensor<'a>>,
    /// For each layer of the result, the model and layer that its settings come from; empty where whole models are merged.
    pub(super) stacked: Vec<(&'a Checkpoint, usize)>,
    /// Whether the result has a head beside its embedding though `first` has none.
    pub(super) untied: bool,
}

/// Layers of the result that are made alike.
struct Slice<'a> {
    sources: Vec<Source<'a>>,
    layers: usize,
    base: Option<&'a str>,
    parameters: &'a Parameters,
}

struct Source<'a> {
    model: &'a str,
    checkpoint: &'a Checkpoint,
    from: usize,
    parameters: &'a Parameters,
}

/// Plans the merge of `inputs`; `first` is the checkpoint whose settings are carried over.
pub(super) fn plan<'a>(
    settings: &'a MergeSettings,
    inputs: &[(&'a str, &'a Checkpoint)],
    first: &'a Checkpoint,
) -> Result<Plan<'a>, Error> {
    let slices = slices(settings, inputs)?;
    let all = slices.iter().flat_map(|slice| &slice.sources);
    let untied = all.clone().any(|source| source.checkpoint.shape(HEAD).is_some()) && first.shape(HEAD).is_none();
    let (Some(first_slice), Some(last_slice)) = (slices.first(), slices.last()) else {
        return Err(Error::Merge("there is nothing to merge".to_owned()));
    };
    let mut tensors = Vec::new();
    let outside = first.names().filter(|name| layer_of(name).is_none());
    for name in outside.chain(untied.then_some(HEAD)) {
        let slice = if name == EMBEDDING { first_slice } else { last_slice };
        tensors.push(planned(settings, slice, name.to_owned(), |_| name.to_owned(), 0.0)?);
    }
    let mut stacked = Vec::new();
    for slice in &slices {
        let [leader, ..] = slice.sources.as_slice() else { continue };
        for offset in 0..slice.layers {
            let share = if slice.layers > 1 { offset as f64 / (slice.layers - 1) as f64 } else { 1.0 };
            let found = leader.from + offset;
            let before = tensors.len();
            for name in leader.checkpoint.names() {
                let Some((start, index, end)) = layer_of(name).filter(|(_, index, _)| *index == found) else {
                    continue;
                };
                debug_assert_eq!(index, found);
                let at = |layer: usize| format!("{start}{layer}{end}");
                tensors.push(planned(settings, slice, at(stacked.len()), |source| at(source.from + offset), share)?);
            }
            if tensors.len() == before {
                let path = leader.checkpoint.path().display();
                return Err(Error::Merge(format!("there is no layer {found} in `{path}`")));
            }
            stacked.push((leader.checkpoint, found));
        }
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    if settings.slices.is_empty() {
        stacked.clear();
    }
    Ok(Plan { tensors, stacked, untied: untied && first.shape(EMBEDDING).is_some() })
}

impl Plan<'_> {
    pub(super) fn shapes(&self) -> Vec<TensorShape> {
        self.tensors
            .iter()
            .map(|tensor| TensorShape { name: tensor.name.clone(), shape: tensor.shape.clone() })
            .collect()
    }
}

fn slices<'a>(settings: &'a MergeSettings, inputs: &[(&'a str, &'a Checkpoint)]) -> Result<Vec<Slice<'a>>, Error> {
    static NONE: Parameters = Parameters::NONE;
    let find = |name: &'a str| {
        let found = inputs.iter().find(|(given, _)| *given == name).map(|(_, checkpoint)| *checkpoint);
        found.ok_or_else(|| Error::Merge(format!("no checkpoint was given for `{name}`")))
    };
    let is_a_model = settings.merge_method.traits().base == BaseModel::IsAModel;
    if settings.slices.is_empty() {
        let whole = |model: &'a str, parameters| Ok(Source { model, checkpoint: find(model)?, from: 0, parameters });
        let models = settings.models.iter().map(|model| whole(&model.model, &model.parameters));
        let mut sources = models.collect::<Result<Vec<_>, Error>>()?;
        if let Some(base) = settings.base_model.as_deref().filter(|_| !is_a_model)
            && sources.iter().all(|source| source.model != base)
        {
            sources.push(whole(base, &NONE)?);
        }
        let names = sources.first().map(|source| source.checkpoint.names());
        let layers = names.into_iter().flatten().filter_map(|name| Some(layer_of(name)?.1 + 1)).max().unwrap_or(0);
        let base = settings.base_model.as_deref();
        return Ok(vec![Slice { sources, layers, base, parameters: &NONE }]);
    }
    let mut slices = Vec::new();
    for (index, slice) in settings.slices.iter().enumerate() {
        let base = slice.base_model.as_deref().or(settings.base_model.as_deref());
        let sources = slice.sources.iter().map(|source| {
            let (model, parameters) = (source.model.as_str(), &source.parameters);
            Ok(Source { model, checkpoint: find(model)?, from: source.layer_range[0], parameters })
        });
        let sources = sources.collect::<Result<Vec<_>, Error>>()?;
        if let Some(base) = base.filter(|_| !is_a_model)
            && sources.iter().all(|source| source.model != base)
        {
            let reason = "a slice must name the layers of its base model among its sources";
            return Err(Error::Merge(format!("slice {index}: {reason}: `{base}` is not there")));
        }
        let layers = slice.sources.first().map_or(0, |source| source.layer_range[1] - source.layer_range[0]);
        slices.push(Slice { sources, layers, base, parameters: &slice.parameters });
    }
    Ok(slices)
}

/// One tensor of the result, `from` telling its name in each source.
fn planned<'a>(
    settings: &'a MergeSettings,
    slice: &Slice<'a>,
    name: String,
    from: impl Fn(&Source<'a>) -> String,
    share: f64,
) -> Result<PlannedTensor<'a>, Error> {
    let is_a_model = settings.merge_method.traits().base == BaseModel::IsAModel;
    let mut tensor = PlannedTensor {
        name,
        shape: Vec::new(),
        models: Vec::new(),
        base: None,
        share,
        parameters: [slice.parameters, &settings.parameters],
    };
    let shown = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
    for (index, source) in slice.sources.iter().enumerate() {
        let asked = from(source);
        let found = source_of(source.checkpoint, &asked).to_owned();
        let shape = source.checkpoint.shape(&found).ok_or_else(|| source.checkpoint.no_tensor(&asked))?;
        if index == 0 {
            tensor.shape = shape.to_vec();
        } else if tensor.shape != shape {
            let (first, other) = (slice.sources[0].checkpoint.path().display(), source.checkpoint.path().display());
            return Err(Error::Merge(format!(
                "`{}` is {} in `{first}` and {} in `{other}`",
                tensor.name,
                shown(&tensor.shape),
                shown(shape)
            )));
        }
        let input = Input { checkpoint: source.checkpoint, tensor: found, parameters: source.parameters };
        if !is_a_model && Some(source.model) == slice.base {
            tensor.base = Some(input);
        } else {
            tensor.models.push(input);
        }
    }
    Ok(tensor)
}

/// The layer that a tensor belongs to, with the name before and behind its number.
pub(super) fn layer_of(name: &str) -> Option<(&str, usize, &str)> {
    const LAYERS: &str = "layers.";
    let start = name.find(LAYERS).filter(|at| *at == 0 || name[..*at].ends_with('.'))? + LAYERS.len();
    let end = start + name[start..].find('.')?;
    Some((&name[..start], name[start..end].parse().ok()?, &name[end..]))
}
