//! Lengths: exact counts by length in tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How often each length occurs. Lengths are whole and bounded by the context of a model, so exact counts are small
/// (at most one entry for each length that occurs) and every percentile is exact.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TokenCounts {
    counts: BTreeMap<u32, u64>,
    rows: u64,
    tokens: u64,
}

/// One bar of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBin {
    /// Shortest length in it, in tokens.
    pub from: u32,
    /// First length above it, in tokens.
    pub to: u32,
    /// Rows in it.
    pub rows: u64,
}

impl TokenCounts {
    /// Counts one length.
    pub fn add(&mut self, tokens: u32) {
        *self.counts.entry(tokens).or_insert(0) += 1;
        self.rows += 1;
        self.tokens += u64::from(tokens);
    }

    /// Adds the counts of another part of the table.
    pub fn merge(&mut self, other: &Self) {
        for (&length, &rows) in &other.counts {
            *self.counts.entry(length).or_insert(0) += rows;
        }
        self.rows += other.rows;
        self.tokens += other.tokens;
    }

    /// Rows counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Tokens of all rows together.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The shortest length.
    pub fn min(&self) -> Option<u32> {
        self.counts.keys().next().copied()
    }

    /// The longest length.
    pub fn max(&self) -> Option<u32> {
        self.counts.keys().next_back().copied()
    }

    /// The mean length.
    pub fn mean(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.tokens as f64 / self.rows as f64)
    }

    /// The length that `percent` of the rows do not exceed: the smallest length at or below which lie at least that
    /// many (nearest rank, so always a length that occurs). `percent` is taken between 0 and 100.
    pub fn percentile(&self, percent: f64) -> Option<u32> {
        let rank = ((percent.clamp(0.0, 100.0) / 100.0 * self.rows as f64).ceil() as u64).max(1);
        let mut seen = 0;
        self.counts.iter().find_map(|(&length, &rows)| {
            seen += rows;
            (seen >= rank).then_some(length)
        })
    }

    /// The histogram, two bars to each doubling (edges 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, …), from the first bar that
    /// holds a row to the last.
    pub fn bins(&self) -> Vec<TokenBin> {
        let (Some(min), Some(max)) = (self.min(), self.max()) else { return Vec::new() };
        let mut bins: Vec<TokenBin> = edges()
            .zip(edges().skip(1))
            .skip_while(|&(_, to)| to <= min)
            .take_while(|&(from, _)| from <= max)
            .map(|(from, to)| TokenBin { from, to, rows: 0 })
            .collect();
        for (&length, &rows) in &self.counts {
            let place = bins.partition_point(|bin| bin.to <= length);
            if let Some(bin) = bins.get_mut(place) {
                bin.rows += rows;
            }
        }
        bins
    }
}

/// 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, …: powers of two and one and a half times each, up to the largest length.
fn edges() -> impl Iterator<Item = u32> {
    let halves = (1..32).flat_map(|power| [1u32 << power, (1u32 << power) + (1u32 << (power - 1))]);
    [0, 1].into_iter().chain(halves).chain([u32::MAX])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(lengths: &[u32]) -> TokenCounts {
        let mut counts = TokenCounts::default();
        for &length in lengths {
            counts.add(length);
        }
        counts
    }

    #[test]
    fn numbers_by_hand() {
        let counts = counts(&[10, 20, 20, 30, 40, 50, 60, 70, 80, 1000]);
        assert_eq!((counts.rows(), counts.min(), counts.max()), (10, Some(10), Some(1000)));
        assert_eq!(counts.mean(), Some(138.0));
        assert_eq!(counts.percentile(50.0), Some(40), "the fifth of ten");
        assert_eq!(counts.percentile(90.0), Some(80));
        assert_eq!(counts.percentile(91.0), Some(1000));
        assert_eq!((counts.percentile(0.0), counts.percentile(100.0)), (Some(10), Some(1000)));
        assert_eq!(TokenCounts::default().percentile(50.0), None);
        assert_eq!(TokenCounts::default().mean(), None);
    }

    #[test]
    fn bins_cover_every_row_once() {
        let counts = counts(&[5, 6, 7, 8, 11, 12, 23, 24, 24]);
        let bins: Vec<_> = counts.bins().iter().map(|bin| (bin.from, bin.to, bin.rows)).collect();
        assert_eq!(bins, [(4, 6, 1), (6, 8, 2), (8, 12, 2), (12, 16, 1), (16, 24, 1), (24, 32, 2)]);
        assert!(TokenCounts::default().bins().is_empty());
        let all: Vec<u32> = edges().collect();
        assert_eq!(all[..10], [0, 1, 2, 3, 4, 6, 8, 12, 16, 24]);
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn merging_is_counting_together() {
        let mut merged = counts(&[1, 5, 5]);
        merged.merge(&counts(&[5, 9]));
        assert_eq!(merged, counts(&[9, 5, 5, 1, 5]));
    }
}
