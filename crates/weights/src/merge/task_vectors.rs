//! Methods that work on changes from a base model: `sparsify × consensus`. Each change loses some of its elements, the changes
//! may elect a sign for every element, and what agrees is added to the base. All in f32, in the order of the models.

use std::ops::Range;

use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};
use rayon::prelude::*;

use super::blocks::blocks;
use super::method::Sparsify;
use super::plan::PlannedTensor;
use super::ranks::{Cut, key};
use crate::{CheckpointWriter, Error};

/// How changes become one.
pub(super) struct TaskVectors {
    pub(super) sparsify: Sparsify,
    pub(super) elect_sign: bool,
    /// Whether sums are divided by their weights, where the settings do not say.
    pub(super) normalize: bool,
    /// Decides what is dropped at random.
    pub(super) seed: u64,
}

impl TaskVectors {
    /// Merges one tensor.
    pub(super) fn merge(&self, tensor: &PlannedTensor<'_>, writer: &mut CheckpointWriter) -> Result<(), Error> {
        let weights: Vec<f32> =
            tensor.each(|parameters| parameters.weight.as_ref(), 1.0).into_iter().map(|weight| weight as f32).collect();
        let normalize = tensor.shared(|parameters| parameters.normalize.as_ref(), self.normalize);
        let lambda = tensor.shared(|parameters| parameters.lambda.as_ref(), 1.0) as f32;
        let kept = self.kept(tensor)?;
        let total: f32 = weights.iter().sum();
        let total = if normalize && total.abs() > 1e-8 { total } else { 1.0 };
        let base = tensor.base.as_ref().ok_or_else(|| Error::Merge("there is no base model".to_owned()))?;
        tensor.write(writer, |block, range| {
            let mut changes = tensor.changes(range)?;
            for (change, kept) in changes.iter_mut().zip(&kept) {
                kept.apply(block, change);
            }
            let merged = |i: usize| {
                if self.elect_sign {
                    agreed(&changes, &weights, i, normalize)
                } else {
                    changes.iter().zip(&weights).map(|(change, weight)| weight * change[i]).sum::<f32>() / total
                }
            };
            Ok(base.read(range)?.into_iter().enumerate().map(|(i, base)| base + lambda * merged(i)).collect())
        })
    }

    /// What each model's change keeps.
    fn kept(&self, tensor: &PlannedTensor<'_>) -> Result<Vec<Kept>, Error> {
        let densities = tensor.each(|parameters| parameters.density.as_ref(), 1.0);
        let outliers = tensor.each(|parameters| parameters.gamma.as_ref(), 0.01);
        let by_default = self.sparsify == Sparsify::Random;
        let rescale = tensor.shared(|parameters| parameters.rescale.as_ref(), by_default);
        let models = densities.into_iter().zip(outliers).enumerate();
        models
            .map(|(model, (density, gamma))| {
                let mut kept = Kept { rule: self.rule(tensor, model, density, gamma)?, scale: 1.0 };
                if rescale && !matches!(kept.rule, Rule::All | Rule::Nothing) {
                    kept.scale = kept.scale_of(tensor, model)?;
                }
                Ok(kept)
            })
            .collect()
    }

    fn rule(&self, tensor: &PlannedTensor<'_>, model: usize, density: f64, gamma: f64) -> Result<Rule, Error> {
        let elements = tensor.elements();
        if self.sparsify == Sparsify::Nothing || density >= 1.0 || elements == 0 {
            return Ok(Rule::All);
        }
        let keys = |range: &Range<usize>| Ok(tensor.change(model, range)?.into_iter().map(key).collect());
        let wanted = (density * elements as f64) as usize;
        Ok(match self.sparsify {
            Sparsify::Nothing => Rule::All,
            Sparsify::Random => Rule::Random { seed: seed_of(self.seed, &tensor.name, model), density },
            Sparsify::Magnitude if density <= 0.0 => Rule::Nothing,
            Sparsify::Magnitude => Rule::Ranks(Cut::at(elements - wanted.max(1), elements, &keys)?, None),
            Sparsify::Outliers => {
                let largest = (gamma * elements as f64) as usize;
                let smallest = elements.saturating_sub(wanted + largest);
                let end = Cut::at(smallest + wanted, elements, &keys)?;
                Rule::Ranks(Cut::at(smallest, elements, &keys)?, Some(end))
            }
        })
    }
}

/// The weighted sum of the elements that have the sign of the weighted sum of all, as in TIES. An exact zero agrees with
/// nobody, as in mergekit, where its sign is 0.
fn agreed(changes: &[Vec<f32>], weights: &[f32], i: usize, normalize: bool) -> f32 {
    let elected = changes.iter().zip(weights).map(|(change, weight)| weight * change[i]).sum::<f32>() >= 0.0;
    let (mut sum, mut total) = (0.0, 0.0);
    for (change, weight) in changes.iter().zip(weights) {
        let weighted = weight * change[i];
        if weighted != 0.0 && (weighted > 0.0) == elected {
            sum += weighted;
            total += weight;
        }
    }
    if normalize && total.abs() >= 1e-8 { sum / total } else { sum }
}

/// What is left of a change.
struct Kept {
    rule: Rule,
    /// What is left is multiplied with this.
    scale: f32,
}

enum Rule {
    All,
    Nothing,
    /// From the first cut up to the second.
    Ranks(Cut, Option<Cut>),
    Random {
        seed: u64,
        density: f64,
    },
}

impl Kept {
    /// Sets to zero what is not kept of the change in a block.
    fn apply(&self, block: usize, change: &mut [f32]) {
        match &self.rule {
            Rule::All => {}
            Rule::Nothing => change.fill(0.0),
            Rule::Ranks(from, to) => {
                let keys: Vec<u32> = change.iter().map(|x| key(*x)).collect();
                let from = from.above(block, &keys);
                let to = to.as_ref().map_or_else(|| vec![false; keys.len()], |to| to.above(block, &keys));
                for (x, (from, to)) in change.iter_mut().zip(from.into_iter().zip(to)) {
                    if !from || to {
                        *x = 0.0;
                    }
                }
            }
            Rule::Random { seed, density } => {
                let mut random = Xoshiro256PlusPlus::seed_from_u64(SplitMix64::seed_from_u64(seed ^ block as u64).next_u64());
                for x in change.iter_mut() {
                    // 53 bits, as many as a double holds.
                    let drawn = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                    if drawn >= *density {
                        *x = 0.0;
                    }
                }
            }
        }
        if self.scale != 1.0 {
            change.iter_mut().for_each(|x| *x *= self.scale);
        }
    }

    /// The sum of absolute values of the whole change over that of what is left.
    fn scale_of(&self, tensor: &PlannedTensor<'_>, model: usize) -> Result<f32, Error> {
        let size = |change: &[f32]| change.iter().map(|x| f64::from(x.abs())).sum::<f64>();
        let blocks: Vec<(usize, Range<usize>)> = blocks(tensor.elements()).into_iter().enumerate().collect();
        let of_block = |(block, range): &(usize, Range<usize>)| {
            let mut change = tensor.change(model, range)?;
            let before = size(&change);
            self.apply(*block, &mut change);
            Ok((before, size(&change)))
        };
        let sizes = blocks.par_iter().map(of_block).collect::<Result<Vec<_>, Error>>()?;
        let (before, after) = sizes.iter().fold((0.0, 0.0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
        Ok(if before < 1e-7 || after < 1e-7 { 1.0 } else { (before / after) as f32 })
    }
}

/// A seed for each tensor of each model.
fn seed_of(seed: u64, tensor: &str, model: usize) -> u64 {
    let next = |state: u64| SplitMix64::seed_from_u64(state).next_u64();
    tensor.bytes().fold(next(seed ^ next(model as u64)), |state, byte| next(state ^ u64::from(byte)))
}
