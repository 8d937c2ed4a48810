//! Rewards that speak of length and repetition, as plain numbers from verdicts and token counts. No stage uses them yet:
//! they wait for reinforcement learning.
//!
//! Two mistakes of public code are avoided throughout: lengths are tokens, never characters, and what is relative to other
//! samples is relative to samples of the *same prompt*. A sample whose verdict is undecided has no reward: leave it out
//! before calling (open-r1 counts an answer that it cannot parse as correct).

use std::collections::BTreeSet;
use std::f64::consts::PI;

/// The length reward of Kimi k1.5 (arXiv 2501.12599, §2.3.3) for each of a prompt's samples, given as (tokens of reasoning
/// and answer together, correct):
///
/// λ = 0.5 − (len − min_len) / (max_len − min_len); the reward is λ for a correct sample and min(0, λ) for an incorrect one;
/// 0 for all when all are equally long. min_len and max_len are over all samples, right and wrong.
///
/// It is added to the 0/1 reward with a weight that the paper does not give; below 2, any correct sample beats any
/// incorrect one. A group without a correct sample still prefers short wrong answers.
pub fn kimi_length_rewards(samples: &[(u32, bool)]) -> Vec<f64> {
    let lengths = samples.iter().map(|&(tokens, _)| tokens);
    let (min, max) = (lengths.clone().min().unwrap_or(0), lengths.max().unwrap_or(0));
    let reward = |&(tokens, correct): &(u32, bool)| {
        if max == min {
            return 0.0;
        }
        let lambda = 0.5 - f64::from(tokens - min) / f64::from(max - min);
        if correct { lambda } else { lambda.min(0.0) }
    };
    samples.iter().map(reward).collect()
}

/// The ends of the cosine reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineEnds {
    /// A correct completion of no length.
    pub correct_short: f64,
    /// A correct completion of the maximum length or more.
    pub correct_long: f64,
    /// An incorrect completion of no length.
    pub wrong_short: f64,
    /// An incorrect completion of the maximum length or more.
    pub wrong_long: f64,
}

impl Default for CosineEnds {
    /// open-r1's: 1.0 to 0.5 for correct ones, −1.0 to −0.5 for incorrect ones.
    fn default() -> Self {
        Self { correct_short: 1.0, correct_long: 0.5, wrong_short: -1.0, wrong_long: -0.5 }
    }
}

/// The cosine-scaled reward of "Demystifying Long Chain-of-Thought Reasoning" (arXiv 2502.03373): from the short end to the
/// long end along half a cosine, so that correct completions gain by being short and incorrect ones by thinking on.
///
/// `tokens / max_tokens` is clamped at 1 (open-r1 lets the cosine rise again beyond the maximum).
pub fn cosine_reward(tokens: u32, max_tokens: u32, correct: bool, ends: CosineEnds) -> f64 {
    let (short, long) =
        if correct { (ends.correct_short, ends.correct_long) } else { (ends.wrong_short, ends.wrong_long) };
    let progress = (f64::from(tokens) / f64::from(max_tokens.max(1))).min(1.0);
    long + 0.5 * (short - long) * (1.0 + (progress * PI).cos())
}

/// L1-Exact (arXiv 2503.04697, eq. 1): 1\[correct\] − α · |asked − tokens|, where the prompt asks for a number of tokens;
/// the paper's α is 0.0003.
pub fn l1_exact(tokens: u32, asked: u32, correct: bool, alpha: f64) -> f64 {
    f64::from(u8::from(correct)) - alpha * f64::from(asked.abs_diff(tokens))
}

/// L1-Max (arXiv 2503.04697, eq. 2): 1\[correct\] · clip(α · (asked − tokens) + δ, 0, 1), where the prompt asks for a number
/// of tokens at most; the paper's α is 0.0003 and δ 0.5.
pub fn l1_max(tokens: u32, asked: u32, correct: bool, alpha: f64, delta: f64) -> f64 {
    if !correct {
        return 0.0;
    }
    (alpha * (f64::from(asked) - f64::from(tokens)) + delta).clamp(0.0, 1.0)
}

/// The length-harmonizing reward of O1-Pruner (arXiv 2501.12570): L̄_ref / L − 1 + λ · (A − Ā_ref), with the mean
/// length and accuracy of the reference model's samples of the same prompt; the paper's λ is 2. `None` for a completion of
/// no tokens.
pub fn length_harmonizing(
    tokens: u32,
    correct: bool,
    reference_tokens: f64,
    reference_accuracy: f64,
    lambda: f64,
) -> Option<f64> {
    (tokens > 0).then(|| {
        let accuracy = f64::from(u8::from(correct));
        reference_tokens / f64::from(tokens) - 1.0 + lambda * (accuracy - reference_accuracy)
    })
}

/// The repetition penalty of "Demystifying Long Chain-of-Thought Reasoning": (1 − unique / all) · `max_penalty` over the
/// `n`-grams of `items` (token ids or words); 0 when there are fewer than `n` items. `max_penalty` is at most 0, in the
/// paper −1 with n = 3 on token ids.
pub fn repetition_penalty<T: Ord>(items: &[T], n: usize, max_penalty: f64) -> f64 {
    let n = n.max(1);
    if items.len() < n {
        return 0.0;
    }
    let unique: BTreeSet<&[T]> = items.windows(n).collect();
    (1.0 - unique.len() as f64 / (items.len() - n + 1) as f64) * max_penalty
}

/// The soft overlong punishment of DAPO (arXiv 2503.14476): 0 up to `max_tokens − cache_tokens`, falling to −1 at
/// `max_tokens` and staying there. The paper's numbers are 20,480 and 4,096.
pub fn soft_overlong_punishment(tokens: u32, max_tokens: u32, cache_tokens: u32) -> f64 {
    let free = max_tokens.saturating_sub(cache_tokens);
    if tokens <= free {
        0.0
    } else if tokens <= max_tokens {
        -f64::from(tokens - free) / f64::from(cache_tokens)
    } else {
        -1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
    }

    #[test]
    fn kimi_by_hand() {
        let rewards = |correct: [bool; 4]| {
            kimi_length_rewards(&[100, 200, 300, 500].into_iter().zip(correct).collect::<Vec<_>>())
        };
        assert_eq!(rewards([true, true, false, false]), [0.5, 0.25, 0.0, -0.5]);
        assert_eq!(rewards([false, false, true, true]), [0.0, 0.0, 0.0, -0.5]);
        assert_eq!(kimi_length_rewards(&[(7, true), (7, false)]), [0.0, 0.0]);
        assert!(kimi_length_rewards(&[]).is_empty());
    }

    #[test]
    fn cosine_by_hand() {
        let reward = |tokens, correct| cosine_reward(tokens, 1000, correct, CosineEnds::default());
        for (tokens, right, wrong) in [(0, 1.0, -1.0), (500, 0.75, -0.75), (1000, 0.5, -0.5), (1500, 0.5, -0.5)] {
            near(reward(tokens, true), right);
            near(reward(tokens, false), wrong);
        }
    }

    #[test]
    fn l1_and_o1_pruner_by_hand() {
        near(l1_exact(1500, 1000, true, 0.0003), 0.85);
        near(l1_exact(1500, 1000, false, 0.0003), -0.15);
        near(l1_max(1500, 1000, true, 0.0003, 0.5), 0.35);
        near(l1_max(1000, 3000, true, 0.0003, 0.5), 1.0);
        near(l1_max(9000, 1000, true, 0.0003, 0.5), 0.0);
        near(l1_max(10, 1000, false, 0.0003, 0.5), 0.0);
        near(length_harmonizing(800, true, 1000.0, 0.75, 2.0).unwrap(), 0.75);
        assert_eq!(length_harmonizing(0, true, 1000.0, 0.75, 2.0), None);
    }

    #[test]
    fn overlong_by_hand() {
        for (tokens, expected) in [(80, 0.0), (81, -0.05), (90, -0.5), (100, -1.0), (110, -1.0)] {
            near(soft_overlong_punishment(tokens, 100, 20), expected);
        }
        near(soft_overlong_punishment(100, 100, 0), 0.0);
        near(soft_overlong_punishment(101, 100, 0), -1.0);
    }

    #[test]
    fn repetition_by_hand() {
        near(repetition_penalty(&[1, 2, 1, 2], 2, -1.0), -1.0 / 3.0);
        near(repetition_penalty(&[1], 2, -1.0), 0.0);
        near(repetition_penalty::<u32>(&[], 0, -1.0), 0.0);
    }
}
