//! Methods that work on changes from a base model: `sparsify × consensus`. Each change loses some of its elements, the changes
//! may elect a sign for every element, and what agrees is added to the base. All in f32, in the order of the models.

use std::ops::Range;

use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};
use rayon::prelude::*;

use super::blocks::blocks;
use super::method::Sparsify;
use super::plan::PlannedTensor;
use super::ranks::Cut;
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
            let merged =
                if self.elect_sign { agreed(&changes, &weights, normalize) } else { sum(&changes, &weights, total) };
            let base = base.read(range)?;
            Ok(base.into_iter().zip(merged).map(|(base, merged)| base + lambda * merged).collect())
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
        let read = |range: &Range<usize>| tensor.change(model, range);
        let wanted = (density * elements as f64) as usize;
        Ok(match self.sparsify {
            Sparsify::Nothing => Rule::All,
            Sparsify::Random => Rule::Random { seed: seed_of(self.seed, &tensor.name, model), density },
            Sparsify::Magnitude if density <= 0.0 => Rule::Nothing,
            Sparsify::Magnitude => Rule::Ranks(Cut::at(elements - wanted.max(1), elements, read)?, None),
            Sparsify::Outliers => {
                let largest = (gamma * elements as f64) as usize;
                let smallest = elements.saturating_sub(wanted + largest);
                let end = Cut::at(smallest + wanted, elements, read)?;
                Rule::Ranks(Cut::at(smallest, elements, read)?, Some(end))
            }
        })
    }
}

/// The weighted sum of changes, divided by `total`.
fn sum(changes: &[Vec<f32>], weights: &[f32], total: f32) -> Vec<f32> {
    let mut sums = vec![0.0; changes.first().map_or(0, Vec::len)];
    for (change, weight) in changes.iter().zip(weights) {
        sums.iter_mut().zip(change).for_each(|(sum, x)| *sum += weight * x);
    }
    for sum in &mut sums {
        *sum /= total;
    }
    sums
}

/// The weighted sum of the elements that have the sign of the weighted sum of all, as in TIES, divided by their weights when
/// normalising. An exact zero agrees with nobody, as in mergekit, where its sign is 0.
///
/// Model by model and without branches: signs come as if drawn by lot, and no processor guesses them.
fn agreed(changes: &[Vec<f32>], weights: &[f32], normalize: bool) -> Vec<f32> {
    let elected = sum(changes, weights, 1.0);
    let (mut sums, mut totals) = (vec![0.0_f32; elected.len()], vec![0.0_f32; elected.len()]);
    for (change, weight) in changes.iter().zip(weights) {
        for ((sum, total), (x, elected)) in sums.iter_mut().zip(&mut totals).zip(change.iter().zip(&elected)) {
            let weighted = weight * x;
            let towards = if *elected >= 0.0 { weighted } else { -weighted };
            let agrees = towards > 0.0;
            *sum += if agrees { weighted } else { 0.0 };
            *total += if agrees { *weight } else { 0.0 };
        }
    }
    if normalize {
        for (sum, total) in sums.iter_mut().zip(totals) {
            *sum /= if total.abs() >= 1e-8 { total } else { 1.0 };
        }
    }
    sums
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
                let mut kept = from.above(block, change);
                if let Some(to) = to {
                    kept.iter_mut().zip(to.above(block, change)).for_each(|(kept, above)| *kept &= !above);
                }
                change.iter_mut().zip(kept).for_each(|(x, kept)| *x = if kept { *x } else { 0.0 });
            }
            Rule::Random { seed, density } => {
                let mut random =
                    Xoshiro256PlusPlus::seed_from_u64(SplitMix64::seed_from_u64(seed ^ block as u64).next_u64());
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
            for x in change.iter_mut() {
                *x *= self.scale;
            }
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
