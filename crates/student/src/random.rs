//! Random numbers that are the same on every machine and for every number of threads.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// SplitMix64 started from a list of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(SplitMix64);

impl Random {
    /// A stream of its own for every different list.
    pub(crate) fn new(keys: &[u64]) -> Self {
        let mut random = Self(SplitMix64::seed_from_u64(0x5265_746f_7274_2131));
        for key in keys {
            random.0 = SplitMix64::seed_from_u64(random.next() ^ key);
        }
        random
    }

    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in [0, 1) with 53 random bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Fisher and Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights, dropout and samples rest on these numbers.
    #[test]
    fn a_stream_is_splitmix64_of_its_keys() {
        let mut random = Random(SplitMix64::seed_from_u64(1_234_567));
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
        let mut random = Random::new(&[1, 2, 3]);
        assert_eq!([random.next(), random.next()], [14_988_080_683_999_615_500, 14_946_109_838_108_135_095]);
    }
}
