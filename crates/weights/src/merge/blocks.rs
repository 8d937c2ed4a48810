//! Tensors block by block: nothing is in memory but the blocks that are worked on.

use std::ops::Range;

use rayon::prelude::*;

use super::plan::{Input, PlannedTensor};
use crate::checkpoint::refuse_not_finite;
use crate::{CheckpointWriter, Error};

/// Elements of one block; fixed, so that no thread count changes a sum.
const BLOCK: usize = 1 << 14;
/// Blocks that are computed before they are written.
const WAVE: usize = 256;

/// The blocks of `elements` elements.
pub(super) fn blocks(elements: usize) -> Vec<Range<usize>> {
    (0..elements).step_by(BLOCK).map(|start| start..(start + BLOCK).min(elements)).collect()
}

impl Input<'_> {
    /// Elements of the tensor as f32.
    pub(super) fn read(&self, range: &Range<usize>) -> Result<Vec<f32>, Error> {
        let mut out = vec![0.0; range.len()];
        self.checkpoint.read_part(&self.tensor, range.start, &mut out)?;
        Ok(out)
    }

    /// Elements of the tensor, less those of `base` where it is given.
    fn change(&self, base: Option<&Self>, range: &Range<usize>) -> Result<Vec<f32>, Error> {
        let mut change = self.read(range)?;
        if let Some(base) = base {
            let base = base.read(range)?;
            change.iter_mut().zip(base).for_each(|(x, base)| *x -= base);
        }
        Ok(change)
    }
}

impl PlannedTensor<'_> {
    /// What the models have in `range`, less what the base model has where there is one.
    pub(super) fn changes(&self, range: &Range<usize>) -> Result<Vec<Vec<f32>>, Error> {
        self.models.iter().map(|model| model.change(self.base.as_ref(), range)).collect()
    }

    /// What one model has in `range`, less what the base model has.
    pub(super) fn change(&self, model: usize, range: &Range<usize>) -> Result<Vec<f32>, Error> {
        self.models[model].change(self.base.as_ref(), range)
    }

    /// Inner products of the models' changes with each other.
    pub(super) fn inner_products(&self) -> Result<Vec<Vec<f64>>, Error> {
        let models: Vec<&Input<'_>> = self.models.iter().collect();
        inner_products(&models, self.base.as_ref(), self.elements())
    }

    /// Refuses tensors with values that are no numbers: every sum over them would be none.
    pub(super) fn refuse_not_finite(&self) -> Result<(), Error> {
        let check = |input: &Input<'_>, range: &Range<usize>| {
            refuse_not_finite(input.checkpoint.path(), &input.tensor, &input.read(range)?)
        };
        let blocks = blocks(self.elements());
        let inputs = self.models.iter().chain(&self.base);
        inputs.into_iter().try_for_each(|input| blocks.par_iter().try_for_each(|range| check(input, range)))
    }

    /// Writes the tensor; `block` computes the elements of a range. While one wave of blocks is computed, the one before is
    /// written.
    pub(super) fn write(
        &self,
        writer: &mut CheckpointWriter,
        block: impl Fn(usize, &Range<usize>) -> Result<Vec<f32>, Error> + Sync,
    ) -> Result<(), Error> {
        let blocks: Vec<(usize, Range<usize>)> = blocks(self.elements()).into_iter().enumerate().collect();
        writer.begin(&self.name)?;
        let mut ready: Vec<Vec<f32>> = Vec::new();
        for wave in blocks.chunks(WAVE) {
            let (computed, written) = rayon::join(
                || wave.par_iter().map(|(index, range)| block(*index, range)).collect::<Result<Vec<_>, _>>(),
                || ready.iter().try_for_each(|part| writer.append(part)),
            );
            written?;
            ready = computed?;
        }
        ready.iter().try_for_each(|part| writer.append(part))
    }
}

/// Inner products of the tensors `inputs` of so many elements with each other, less `base` where it is given: an entry for
/// every pair.
pub(super) fn inner_products(
    inputs: &[&Input<'_>],
    base: Option<&Input<'_>>,
    elements: usize,
) -> Result<Vec<Vec<f64>>, Error> {
    let count = inputs.len();
    let of_block = |range: &Range<usize>| -> Result<Vec<f64>, Error> {
        let changes = inputs.iter().map(|input| input.change(base, range)).collect::<Result<Vec<_>, _>>()?;
        let pairs = (0..count).flat_map(|i| (0..=i).map(move |j| (i, j)));
        Ok(pairs.map(|(i, j)| dot(&changes[i], &changes[j])).collect())
    };
    let parts = blocks(elements).par_iter().map(of_block).collect::<Result<Vec<_>, _>>()?;
    // Block by block, so that sums do not depend on who was first.
    let mut sums = vec![0.0; count * (count + 1) / 2];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    let at = |i: usize, j: usize| sums[i.max(j) * (i.max(j) + 1) / 2 + i.min(j)];
    Ok((0..count).map(|i| (0..count).map(|j| at(i, j)).collect()).collect())
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    // Eight sums side by side, so that they can be computed together.
    let mut sums = [0.0_f64; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 =
        a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f64::from(*a) * f64::from(*b);
        }
    }
    sums.iter().sum::<f64>() + rest
}
