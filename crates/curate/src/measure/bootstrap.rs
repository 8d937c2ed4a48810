//! Percentile intervals by resampling prompts (Efron 1979): draw as many prompts as there are, with replacement, many
//! times, and see how the mean varies.

use serde::{Deserialize, Serialize};

/// A mean with the interval that resampling gives it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean itself.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The mean of `values`, one a prompt, with its percentile interval over `resamples` (at least 1) resamples; `None`
/// without values. `confidence` is the probability to cover, such as 0.95.
pub fn bootstrap_mean(values: &[f64], resamples: u32, confidence: f64, seed: u64) -> Option<Interval> {
    let (value, means) = resample(values, resamples, seed)?;
    let (low, high) = percentiles(&means, confidence);
    Some(Interval { value, low, high })
}

/// The mean of second minus first over prompts that both checkpoints answered; resampling keeps the two values of a prompt
/// together, which is what makes small differences visible. `None` without values.
pub fn bootstrap_paired(values: &[(f64, f64)], resamples: u32, confidence: f64, seed: u64) -> Option<Interval> {
    let differences: Vec<f64> = values.iter().map(|&(first, second)| second - first).collect();
    bootstrap_mean(&differences, resamples, confidence, seed)
}

/// The mean, and the sorted means of the resamples.
fn resample(values: &[f64], resamples: u32, seed: u64) -> Option<(f64, Vec<f64>)> {
    if values.is_empty() {
        return None;
    }
    let count = values.len();
    let value = values.iter().sum::<f64>() / count as f64;
    let mut random = SplitMix { state: seed };
    let mut means: Vec<f64> = (0..resamples.max(1))
        .map(|_| (0..count).map(|_| values[random.below(count)]).sum::<f64>() / count as f64)
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    Some((value, means))
}

/// The ends of the central interval of sorted `means`, by nearest rank.
fn percentiles(means: &[f64], confidence: f64) -> (f64, f64) {
    let tail = (1.0 - confidence.clamp(0.0, 1.0)) / 2.0;
    let last = means.len() - 1;
    let below = ((tail * means.len() as f64).floor() as usize).min(last / 2);
    (means[below], means[last - below])
}

/// SplitMix64 (Steele, Lea and Flood 2014): small, fast, and the same on every machine.
struct SplitMix {
    state: u64,
}

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number below `bound`, by the high half of a product: its bias is below `bound` in 2^64.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        let mut random = SplitMix { state: 1_234_567 };
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn the_interval_has_the_width_of_the_standard_error() {
        // 400 prompts, half solved: standard error √(¼/400) = 0.025, interval 0.5 ± 1.96 · 0.025.
        let values: Vec<f64> = (0..400).map(|index| f64::from(index % 2)).collect();
        let interval = bootstrap_mean(&values, 10_000, 0.95, 3).unwrap();
        assert_eq!(interval.value, 0.5);
        assert!((interval.low - 0.451).abs() < 0.003 && (interval.high - 0.549).abs() < 0.003, "{interval:?}");
        assert_eq!(bootstrap_mean(&values, 10_000, 0.95, 3), Some(interval), "the same seed, the same bits");
        assert_ne!(bootstrap_mean(&values, 10_000, 0.95, 4), Some(interval));
    }

    #[test]
    fn the_interval_covers_as_often_as_it_says() {
        // 300 sets of 60 draws with mean 0.3: a 90% interval misses 30 ± 3.5 · 5.2 times.
        let mut random = SplitMix { state: 11 };
        let misses = (0..300)
            .filter(|&set| {
                let values: Vec<f64> = (0..60).map(|_| f64::from(u8::from(random.below(10) < 3))).collect();
                let interval = bootstrap_mean(&values, 1000, 0.9, set).unwrap();
                !(interval.low..=interval.high).contains(&0.3)
            })
            .count();
        assert!((12..=48).contains(&misses), "{misses}");
    }

    #[test]
    fn pairing_sees_what_two_intervals_hide() {
        // Every prompt gets a little better; prompts differ far more among each other.
        let values: Vec<(f64, f64)> = (0..100).map(|index| (f64::from(index), f64::from(index) + 0.5)).collect();
        let difference = bootstrap_paired(&values, 1000, 0.95, 5).unwrap();
        assert_eq!((difference.value, difference.low, difference.high), (0.5, 0.5, 0.5));
        assert_eq!(bootstrap_paired(&[], 1000, 0.95, 5), None);
        assert_eq!(bootstrap_mean(&[], 1000, 0.95, 5), None);
    }
}
