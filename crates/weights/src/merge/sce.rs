//! SCE (arXiv 2408.07990): selects the elements that differ most between the models, calculates each model's weight from the
//! size of what is left of its change, and erases elements against the majority's sign.

use std::ops::Range;

use rayon::prelude::*;

use super::blocks::blocks;
use super::plan::PlannedTensor;
use super::ranks::Cut;
use crate::{CheckpointWriter, Error};

/// Merges one tensor.
pub(super) fn merge(tensor: &PlannedTensor<'_>, writer: &mut CheckpointWriter) -> Result<(), Error> {
    let share = tensor.shared(|parameters| parameters.select_topk.as_ref(), 1.0);
    let selected = Selected::of(tensor, share)?;
    let weights = weights(tensor, &selected)?;
    let base = tensor.base.as_ref().ok_or_else(|| Error::Merge("there is no base model".to_owned()))?;
    tensor.write(writer, |block, range| {
        let changes = selected.changes(tensor, block, range)?;
        let merged = |i: usize| {
            let elected = changes.iter().map(|change| change[i]).sum::<f32>() >= 0.0;
            let (mut sum, mut total) = (0.0, 0.0);
            for (change, weight) in changes.iter().zip(&weights) {
                if change[i] != 0.0 && (change[i] > 0.0) == elected {
                    sum += weight * change[i];
                    total += weight;
                }
            }
            sum / total.max(1e-6)
        };
        Ok(base.read(range)?.into_iter().enumerate().map(|(i, base)| base + merged(i)).collect())
    })
}

/// Which elements are looked at.
struct Selected(Option<Cut>);

impl Selected {
    /// The share of elements, of those that differ at all, that differ most.
    fn of(tensor: &PlannedTensor<'_>, share: f64) -> Result<Self, Error> {
        if share >= 1.0 {
            return Ok(Self(None));
        }
        let elements = tensor.elements();
        let read = |range: &Range<usize>| Ok(variances(&tensor.changes(range)?));
        let differing = |range: &Range<usize>| -> Result<usize, Error> {
            Ok(variances(&tensor.changes(range)?).into_iter().filter(|variance| *variance != 0.0).count())
        };
        let differing: usize = blocks(elements).par_iter().map(differing).sum::<Result<usize, Error>>()?;
        let wanted = (differing as f64 * share) as usize;
        Ok(Self(Some(Cut::at(elements - wanted, elements, read)?)))
    }

    /// The changes in a block, without what is not selected.
    fn changes(&self, tensor: &PlannedTensor<'_>, block: usize, range: &Range<usize>) -> Result<Vec<Vec<f32>>, Error> {
        let mut changes = tensor.changes(range)?;
        if let Self(Some(cut)) = self {
            let selected = cut.above(block, &variances(&changes));
            for change in &mut changes {
                change.iter_mut().zip(&selected).filter(|(_, selected)| !**selected).for_each(|(x, _)| *x = 0.0);
            }
        }
        Ok(changes)
    }
}

/// How much each element differs between the models.
fn variances(changes: &[Vec<f32>]) -> Vec<f32> {
    let count = changes.len() as f64;
    let variance = |i: usize| {
        let mean = changes.iter().map(|change| f64::from(change[i])).sum::<f64>() / count;
        (changes.iter().map(|change| (f64::from(change[i]) - mean).powi(2)).sum::<f64>() / count) as f32
    };
    (0..changes.first().map_or(0, Vec::len)).map(variance).collect()
}

/// The share of each model in the mean squares of all changes; equal where there is next to no change.
fn weights(tensor: &PlannedTensor<'_>, selected: &Selected) -> Result<Vec<f32>, Error> {
    let blocks: Vec<(usize, Range<usize>)> = blocks(tensor.elements()).into_iter().enumerate().collect();
    let squares = |(block, range): &(usize, Range<usize>)| -> Result<Vec<f64>, Error> {
        let square = |change: &Vec<f32>| change.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        Ok(selected.changes(tensor, *block, range)?.iter().map(square).collect())
    };
    let parts = blocks.par_iter().map(squares).collect::<Result<Vec<_>, _>>()?;
    let mean = |model: usize| parts.iter().map(|part| part[model]).sum::<f64>() / tensor.elements() as f64;
    let means: Vec<f64> = (0..tensor.models.len()).map(mean).collect();
    let total: f64 = means.iter().sum();
    if total < 1e-6 {
        return Ok(vec![1.0 / means.len() as f32; means.len()]);
    }
    Ok(means.into_iter().map(|mean| (mean / total) as f32).collect())
}
