//! Where the nth largest element of a tensor stands, found without sorting it: by counting, first the upper half of the bits
//! of all elements, then the lower half of those that share the upper one. Two passes over the blocks, whatever the size.

use std::ops::Range;

use rayon::prelude::*;

use super::blocks::blocks;
use crate::Error;

/// Bits of a key that the second pass counts.
const LOWER: u32 = 15;
const UPPER_VALUES: usize = 1 << (31 - LOWER);
const LOWER_VALUES: usize = 1 << LOWER;

/// Sizes as keys: the bits of floats that are not negative order as they do.
pub(super) fn key(size: f32) -> u32 {
    size.abs().to_bits()
}

/// The keys of a range of elements.
pub(super) type Keys<'a> = dyn Fn(&Range<usize>) -> Result<Vec<u32>, Error> + Sync + 'a;

/// Splits elements, ordered by key and among equals from the last to the first, at a rank: those below it, and the others.
pub(super) struct Cut {
    /// The key at the rank; `None` where all elements are below.
    key: Option<u32>,
    /// How many elements with that key, counted from the last, are below.
    below: u64,
    /// For each block, how many elements with that key stand behind it.
    behind: Vec<u64>,
}

impl Cut {
    /// Finds the cut below which `rank` of `elements` elements are.
    pub(super) fn at(rank: usize, elements: usize, keys: &Keys<'_>) -> Result<Self, Error> {
        if rank >= elements {
            return Ok(Self { key: None, below: 0, behind: Vec::new() });
        }
        if rank == 0 {
            return Ok(Self { key: Some(0), below: 0, behind: vec![0; blocks(elements).len()] });
        }
        let counts = count(elements, UPPER_VALUES, keys, &|key| Some(key >> LOWER))?;
        let (upper, before) = find(&counts, rank as u64);
        let counts = count(elements, LOWER_VALUES, keys, &|key| {
            (key >> LOWER == upper).then_some(key & (LOWER_VALUES as u32 - 1))
        })?;
        let (lower, below) = find(&counts, rank as u64 - before);
        let below = rank as u64 - before - below;
        let found = upper << LOWER | lower;
        let equal = |range: &Range<usize>| Ok(keys(range)?.into_iter().filter(|key| *key == found).count() as u64);
        let mut behind = blocks(elements).par_iter().map(equal).collect::<Result<Vec<_>, Error>>()?;
        let mut sum = 0;
        for count in behind.iter_mut().rev() {
            sum += *count;
            *count = sum - *count;
        }
        Ok(Self { key: Some(found), below, behind })
    }

    /// Whether each element of a block is not below the cut.
    pub(super) fn above(&self, block: usize, keys: &[u32]) -> Vec<bool> {
        let Some(cut) = self.key else { return vec![false; keys.len()] };
        let mut equals = self.behind[block];
        let mut above = vec![false; keys.len()];
        for (above, key) in above.iter_mut().zip(keys).rev() {
            *above = *key > cut || *key == cut && equals >= self.below;
            equals += u64::from(*key == cut);
        }
        above
    }
}

/// How often each value of `of` occurs.
fn count(
    elements: usize,
    values: usize,
    keys: &Keys<'_>,
    of: &(dyn Fn(u32) -> Option<u32> + Sync),
) -> Result<Vec<u64>, Error> {
    let sum = |mut a: Vec<u64>, b: Vec<u64>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    // A table for every few blocks: one for each block would cost more than it counts.
    blocks(elements)
        .par_chunks(16)
        .map(|blocks| {
            let mut counts = vec![0_u64; values];
            for range in blocks {
                for value in keys(range)?.into_iter().filter_map(of) {
                    counts[value as usize] += 1;
                }
            }
            Ok(counts)
        })
        .try_reduce(|| vec![0; values], |a, b| Ok(sum(a, b)))
}

/// The value that the element of rank `rank` has, and how many elements have a smaller one.
fn find(counts: &[u64], rank: u64) -> (u32, u64) {
    let mut before = 0;
    for (value, count) in counts.iter().enumerate() {
        if before + count > rank {
            return (value as u32, before);
        }
        before += count;
    }
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By sorting, with many equal sizes over several blocks.
    #[test]
    fn cuts_are_where_sorting_puts_them() {
        let sizes: Vec<f32> = (0..200_000_u64).map(|i| ((i * 7919 + i * i) % 97) as f32 * 1e-3 - 0.02).collect();
        let keys = |range: &Range<usize>| Ok(sizes[range.clone()].iter().map(|x| key(*x)).collect());
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by(|a, b| sizes[*a].abs().total_cmp(&sizes[*b].abs()).then(b.cmp(a)));
        for rank in [0, 1, 4_000, 100_001, 199_999, 200_000] {
            let cut = Cut::at(rank, sizes.len(), &keys).unwrap();
            let mut above = Vec::new();
            for (block, range) in blocks(sizes.len()).iter().enumerate() {
                above.extend(cut.above(block, &keys(range).unwrap()));
            }
            let mut wanted = vec![false; sizes.len()];
            order[rank..].iter().for_each(|index| wanted[*index] = true);
            assert!(above == wanted, "rank {rank}");
        }
    }
}
