//! Estimates from the samples of one prompt, and the score that joins accuracy and length.

use std::collections::BTreeMap;

use super::Outcome;

/// The probability that at least one of `k` samples is correct, estimated without bias from `n` samples of which `c`
/// are: 1 − C(n−c, k) / C(n, k) (Chen et al. 2021, arXiv 2107.03374, eq. 1), as a product so that nothing overflows.
///
/// `None` when `k` is 0 or above `n`, or `c` above `n`: there is no estimate.
pub fn pass_at_k(n: u64, c: u64, k: u64) -> Option<f64> {
    if k == 0 || k > n || c > n {
        return None;
    }
    if n - c < k {
        return Some(1.0);
    }
    // C(n−c, k) / C(n, k) = Π_{i=n−c+1..n} (1 − k/i).
    let all_wrong: f64 = (n - c + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product();
    Some(1.0 - all_wrong)
}

/// Whether the majority of the first `k` samples answers right: 1 or 0, or the expected value when classes tie for the
/// most votes and one is drawn (the share of the tied classes that are right). Samples without an answer do not vote; with
/// no vote at all it is 0. A class is right when one of its members is correct and not cut off.
///
/// `None` when there are fewer than `k` samples, or `k` is 0.
pub fn cons_at_k(samples: &[Outcome], k: usize) -> Option<f64> {
    if k == 0 || samples.len() < k {
        return None;
    }
    let mut classes: BTreeMap<u32, (u32, bool)> = BTreeMap::new();
    for sample in &samples[..k] {
        if let Some(class) = sample.answer_class {
            let (votes, right) = classes.entry(class).or_default();
            *votes += 1;
            *right |= sample.correct();
        }
    }
    let most = classes.values().map(|&(votes, _)| votes).max().unwrap_or(0);
    let tied: Vec<bool> = classes.values().filter(|&&(votes, _)| votes == most).map(|&(_, right)| right).collect();
    if tied.is_empty() {
        return Some(0.0);
    }
    Some(tied.iter().filter(|&&right| right).count() as f64 / tied.len() as f64)
}

/// The accuracy-efficiency score of O1-Pruner (arXiv 2501.12570): ΔLen + 3|ΔAcc| when accuracy did not fall, else
/// ΔLen − 5|ΔAcc|, with ΔLen = (L_base − L) / L_base and ΔAcc = (Acc − Acc_base) / Acc_base.
///
/// Arguments are (accuracy, mean tokens) of the base and of the shortened model; accuracies in any one unit. `None` when a
/// base value is not above 0.
pub fn accuracy_efficiency_score(base: (f64, f64), other: (f64, f64)) -> Option<f64> {
    let ((base_accuracy, base_tokens), (accuracy, tokens)) = (base, other);
    if !(base_accuracy > 0.0 && base_tokens > 0.0) {
        return None;
    }
    let shorter = (base_tokens - tokens) / base_tokens;
    let better = (accuracy - base_accuracy) / base_accuracy;
    Some(if better >= 0.0 { shorter + 3.0 * better } else { shorter + 5.0 * better })
}

#[cfg(test)]
mod tests {
    use retort_records::Verdict;

    use super::*;

    fn near(value: Option<f64>, expected: f64, tolerance: f64) {
        let value = value.expect("a value");
        assert!((value - expected).abs() <= tolerance, "{value} is not {expected}");
    }

    #[test]
    fn pass_at_k_has_the_known_values() {
        near(pass_at_k(64, 16, 1), 0.25, 1e-12);
        near(pass_at_k(64, 16, 8), 0.914_745_8, 5e-8);
        near(pass_at_k(10, 3, 5), 0.916_666_7, 5e-8);
        near(pass_at_k(8, 0, 8), 0.0, 0.0);
        near(pass_at_k(8, 1, 8), 1.0, 0.0);
        for (n, c, k) in [(8, 1, 9), (8, 1, 0), (8, 9, 1)] {
            assert_eq!(pass_at_k(n, c, k), None);
        }
    }

    #[test]
    fn pass_at_k_counts_subsets() {
        // Against counting every subset of up to 9 samples.
        for n in 1..=9u64 {
            for c in 0..=n {
                for k in 1..=n {
                    let subsets = (0..1u64 << n).filter(|subset| u64::from(subset.count_ones()) == k);
                    let (all, right) = subsets.fold((0, 0), |(all, right), subset| {
                        (all + 1, right + u32::from(subset & ((1 << c) - 1) != 0))
                    });
                    near(pass_at_k(n, c, k), f64::from(right) / f64::from(all), 1e-12);
                }
            }
        }
    }

    #[test]
    fn ties_give_the_expected_value() {
        let sample = |class: Option<u32>, correct: bool| Outcome {
            verdict: if correct { Verdict::Correct } else { Verdict::Incorrect },
            truncated: false,
            total_tokens: 1,
            answer_class: class,
        };
        let (right, wrong, other, none) =
            (sample(Some(1), true), sample(Some(2), false), sample(Some(3), false), sample(None, false));
        let cons =
            |samples: &[&Outcome], k| cons_at_k(&samples.iter().map(|&sample| sample.clone()).collect::<Vec<_>>(), k);
        assert_eq!(cons(&[&right, &right, &wrong], 3), Some(1.0));
        assert_eq!(cons(&[&right, &wrong, &wrong], 3), Some(0.0));
        assert_eq!(cons(&[&right, &wrong], 2), Some(0.5));
        near(cons(&[&right, &wrong, &other], 3), 1.0 / 3.0, 1e-12);
        assert_eq!(cons(&[&right, &none, &none], 3), Some(1.0), "no answer, no vote");
        assert_eq!(cons(&[&none], 1), Some(0.0));
        assert_eq!(cons(&[&right, &wrong, &wrong], 1), Some(1.0), "only the first k vote");
        assert_eq!(cons(&[&right], 2), None);
    }

    #[test]
    fn the_score_of_the_paper() {
        // The paper prints 0.55 and 0.38 from unrounded inputs.
        near(accuracy_efficiency_score((73.4, 932.0), (76.8, 554.0)), 0.5445, 5e-5);
        near(accuracy_efficiency_score((88.2, 1717.0), (89.3, 1121.0)), 0.3845, 5e-5);
        near(accuracy_efficiency_score((0.5, 100.0), (0.4, 50.0)), 0.5 - 5.0 * 0.2, 1e-12);
        assert_eq!(accuracy_efficiency_score((0.0, 100.0), (0.4, 50.0)), None);
        assert_eq!(accuracy_efficiency_score((f64::NAN, 100.0), (0.4, 50.0)), None);
    }
}
