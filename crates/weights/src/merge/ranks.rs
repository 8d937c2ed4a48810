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

/// A size as a key: the bits of floats that are not negative order as they do.
fn key(x: f32) -> u32 {
    x.abs().to_bits()
}

/// Splits elements, ordered by key and among equals from the last to the first, at a rank: those below it, and the others.
pub(super) struct Cut {
    /// The key at the rank; `None` where all elements are below.
    key: Option<u32>,
    /// How many elements with that key, counted from the last, are below.
    below: u64,
    /// For each block, and past the last, how many elements with that key stand in it and behind it.
    from: Vec<u64>,
}

impl Cut {
    /// Finds the cut below which `rank` of `elements` elements are, ordered by their absolute values; `read` gives a range.
    pub(super) fn at<F>(rank: usize, elements: usize, read: F) -> Result<Self, Error>
    where
        F: Fn(&Range<usize>) -> Result<Vec<f32>, Error> + Sync,
    {
        if rank >= elements {
            return Ok(Self { key: None, below: 0, from: Vec::new() });
        }
        if rank == 0 {
            return Ok(Self { key: Some(0), below: 0, from: Vec::new() });
        }
        let counts = count(elements, UPPER_VALUES, &read, |counts, x| counts[(key(x) >> LOWER) as usize] += 1)?;
        let (upper, before) = find(&counts, rank as u64);
        let counts = count(elements, LOWER_VALUES, &read, |counts, x| {
            let key = key(x);
            if key >> LOWER == upper {
                counts[key as usize % LOWER_VALUES] += 1;
            }
        })?;
        let (lower, smaller) = find(&counts, rank as u64 - before);
        let below = rank as u64 - before - smaller;
        let found = upper << LOWER | lower;
        let equal = |range: &Range<usize>| Ok(read(range)?.into_iter().filter(|x| key(*x) == found).count() as u64);
        let mut from = blocks(elements).par_iter().map(equal).collect::<Result<Vec<_>, Error>>()?;
        from.push(0);
        for block in (0..from.len() - 1).rev() {
            from[block] += from[block + 1];
        }
        Ok(Self { key: Some(found), below, from })
    }

    /// Whether each element of a block is not below the cut.
    pub(super) fn above(&self, block: usize, sizes: &[f32]) -> Vec<bool> {
        let Some(cut) = self.key else { return vec![false; sizes.len()] };
        let equals = |block: usize| self.from.get(block).copied().unwrap_or_default();
        // In nearly all blocks, elements at the cut are all on one side of it.
        let least = match (equals(block), equals(block + 1)) {
            (_, behind) if behind >= self.below => cut,
            (with_it, _) if with_it <= self.below => cut + 1,
            (_, mut behind) => {
                let mut above = vec![false; sizes.len()];
                for (above, x) in above.iter_mut().zip(sizes).rev() {
                    *above = key(*x) > cut || key(*x) == cut && behind >= self.below;
                    behind += u64::from(key(*x) == cut);
                }
                return above;
            }
        };
        sizes.iter().map(|x| key(*x) >= least).collect()
    }
}

/// Counts all elements into tables of so many values.
fn count<F>(elements: usize, values: usize, read: &F, add: impl Fn(&mut [u64], f32) + Sync) -> Result<Vec<u64>, Error>
where
    F: Fn(&Range<usize>) -> Result<Vec<f32>, Error> + Sync,
{
    // A table for many blocks: one for each block would cost more than it counts.
    blocks(elements)
        .par_chunks(64)
        .map(|blocks| {
            let mut counts = vec![0_u64; values];
            for range in blocks {
                read(range)?.into_iter().for_each(|x| add(&mut counts, x));
            }
            Ok(counts)
        })
        .try_reduce(
            || vec![0; values],
            |mut a, b| {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                Ok(a)
            },
        )
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
        let read = |range: &Range<usize>| Ok(sizes[range.clone()].to_vec());
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by(|a, b| sizes[*a].abs().total_cmp(&sizes[*b].abs()).then(b.cmp(a)));
        for rank in [0, 1, 4_000, 100_001, 199_999, 200_000] {
            let cut = Cut::at(rank, sizes.len(), read).unwrap();
            let mut above = Vec::new();
            for (block, range) in blocks(sizes.len()).iter().enumerate() {
                above.extend(cut.above(block, &sizes[range.clone()]));
            }
            let mut wanted = vec![false; sizes.len()];
            order[rank..].iter().for_each(|index| wanted[*index] = true);
            assert!(above == wanted, "rank {rank}");
        }
    }
}
