//! Lengths: exact counts by length in tokens.

use std::collections::BTreeMap;

/// How often each length occurs. Lengths are whole and bounded by the context of a model, so exact counts are small
/// (at most one entry for each length that occurs) and every percentile is exact.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenCounts {
    counts: BTreeMap<u32, u64>,
    rows: u64,
    tokens: u64,
}

impl TokenCounts {
    /// Counts one length.
    pub fn add(&mut self, tokens: u32) {
        *self.counts.entry(tokens).or_insert(0) += 1;
        self.rows += 1;
        self.tokens += u64::from(tokens);
    }

    /// Rows counted.
    pub fn rows(&self) -> u64 {
        self.rows
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
        assert_eq!((counts.rows(), counts.max()), (10, Some(1000)));
        assert_eq!(counts.mean(), Some(138.0));
        assert_eq!(counts.percentile(50.0), Some(40), "the fifth of ten");
        assert_eq!(counts.percentile(90.0), Some(80));
        assert_eq!(counts.percentile(91.0), Some(1000));
        assert_eq!((counts.percentile(0.0), counts.percentile(100.0)), (Some(10), Some(1000)));
        assert_eq!(TokenCounts::default().percentile(50.0), None);
        assert_eq!(TokenCounts::default().mean(), None);
    }
}
