//! Which prompts to ask: how hard they are, which to leave out, and how often to draw each (Kimi k1.5, arXiv 2501.12599,
//! §2.1 and §2.3.4). No stage uses it yet: it waits for reinforcement learning.

use retort_records::{Verdict, derive_seed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::select::Candidate;
use crate::{DropReason, SettingsError};

/// How often a prompt was tried and solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attempts {
    /// Samples with a verdict of correct (and not cut off) or incorrect (or cut off).
    pub decided: u32,
    /// Those that are correct and were not cut off.
    pub correct: u32,
}

impl Attempts {
    /// Counts the samples of one prompt. Undecided samples that were not cut off say nothing and are left out.
    pub fn of(group: &[Candidate]) -> Self {
        let decided = group.iter().filter(|candidate| candidate.truncated || candidate.verdict != Verdict::Undecided);
        let correct = group.iter().filter(|candidate| candidate.eligible());
        Self { decided: decided.count() as u32, correct: correct.count() as u32 }
    }

    /// The share of decided samples that are correct: Kimi k1.5's proxy for difficulty, over 10 samples at a rather high
    /// temperature. `None` when none is decided.
    pub fn pass_rate(self) -> Option<f64> {
        (self.decided > 0).then(|| f64::from(self.correct) / f64::from(self.decided))
    }
}

/// Which prompts are worth asking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DifficultySettings {
    /// Drop prompts that are solved less often than this. 0 keeps prompts that were never solved.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_pass_rate: f64,
    /// Drop prompts that are solved more often than this. 1 keeps prompts that are always solved.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_pass_rate: f64,
    /// Drop prompts that were solved by this many guesses without reasoning or fewer (Kimi k1.5: 8). Needs such guesses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub guesses: Option<u32>,
}

impl Default for DifficultySettings {
    fn default() -> Self {
        Self { min_pass_rate: 0.0, max_pass_rate: 1.0, guesses: None }
    }
}

impl DifficultySettings {
    /// Refuses rates outside [0, 1] or crossed, and no guesses.
    pub fn validate(&self) -> Result<(), SettingsError> {
        for (key, rate) in [("min_pass_rate", self.min_pass_rate), ("max_pass_rate", self.max_pass_rate)] {
            SettingsError::check((0.0..=1.0).contains(&rate), key, rate, "a share from 0 to 1")?;
        }
        SettingsError::check(self.guesses != Some(0), "guesses", 0, "at least 1")?;
        if self.min_pass_rate > self.max_pass_rate {
            return Err(SettingsError::Crossed {
                low: "min_pass_rate",
                low_given: self.min_pass_rate.to_string(),
                high: "max_pass_rate",
                high_given: self.max_pass_rate.to_string(),
            });
        }
        Ok(())
    }
}

/// Whether a prompt is worth asking, by its attempts with reasoning and its guesses without, in sampling order.
///
/// Drop reasons: `no_verdicts`, `too_hard`, `too_easy`, `guessable`.
pub fn keep_prompt(settings: &DifficultySettings, attempts: Attempts, guesses: &[bool]) -> Result<(), DropReason> {
    let Some(rate) = attempts.pass_rate() else {
        return Err(DropReason::new("no_verdicts", "no sample has a verdict"));
    };
    let Attempts { decided, correct } = attempts;
    if rate < settings.min_pass_rate {
        let detail = format!("{correct} of {decided} correct, at least {}", settings.min_pass_rate);
        return Err(DropReason::new("too_hard", detail));
    }
    if rate > settings.max_pass_rate {
        let detail = format!("{correct} of {decided} correct, at most {}", settings.max_pass_rate);
        return Err(DropReason::new("too_easy", detail));
    }
    let limit = settings.guesses.unwrap_or(0) as usize;
    match guesses.iter().take(limit).position(|&right| right) {
        Some(place) => Err(DropReason::new("guessable", format!("guess {} of {limit} is right", place + 1))),
        None => Ok(()),
    }
}

/// The probability to draw each prompt under prioritised sampling: in proportion to 1 − s, where s is its success rate (0
/// for a prompt never tried), but not below `floor`. When that is 0 for all, every prompt is equally likely.
///
/// It keeps asking prompts that are unsolvable or have a wrong reference answer: look at those with many attempts.
pub fn priorities(attempts: &[Attempts], floor: f64) -> Vec<f64> {
    let weight = |attempts: &Attempts| (1.0 - attempts.pass_rate().unwrap_or(0.0)).max(floor).max(0.0);
    let weights: Vec<f64> = attempts.iter().map(weight).collect();
    let total: f64 = weights.iter().sum();
    if total > 0.0 {
        weights.iter().map(|weight| weight / total).collect()
    } else {
        vec![1.0 / attempts.len().max(1) as f64; attempts.len()]
    }
}

/// Draws `count` prompts without replacement, each in proportion to its weight (Efraimidis and Spirakis 2006), as ascending
/// indices into `prompts`, given as (prompt id, weight). Fewer when fewer have a weight above 0. `round` tells one draw from
/// the next; the order of the prompts changes nothing.
pub fn draw(prompts: &[(&str, f64)], count: usize, seed: u64, round: u32) -> Vec<usize> {
    let key = |id: &str, weight: f64| {
        // Half a unit keeps the logarithm finite.
        let uniform = (derive_seed(seed, "curriculum", id, round) as f64 + 0.5) / (1u64 << 53) as f64;
        uniform.ln() / weight
    };
    let positive = prompts.iter().enumerate().filter(|(_, prompt)| prompt.1 > 0.0);
    let mut keys: Vec<(f64, &str, usize)> =
        positive.map(|(index, &(id, weight))| (key(id, weight), id, index)).collect();
    keys.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let mut drawn: Vec<usize> = keys.into_iter().take(count).map(|(_, _, index)| index).collect();
    drawn.sort_unstable();
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(correct: u32, decided: u32) -> Attempts {
        Attempts { decided, correct }
    }

    #[test]
    fn priorities_of_the_paper() {
        let seen = [attempts(0, 10), attempts(5, 10), attempts(9, 10), attempts(10, 10)];
        for (value, expected) in priorities(&seen, 0.0).iter().zip([0.625, 0.3125, 0.0625, 0.0]) {
            assert!((value - expected).abs() < 1e-12);
        }
        assert_eq!(priorities(&[attempts(1, 1), attempts(2, 2)], 0.0), [0.5, 0.5], "all solved: uniform");
        assert_eq!(priorities(&[attempts(0, 0), attempts(0, 3)], 0.0), [0.5, 0.5], "never tried is weight 1");
        assert!(priorities(&[attempts(1, 1), attempts(0, 1)], 0.1)[0] > 0.09);
    }

    #[test]
    fn attempts_leave_out_what_is_undecided() {
        let candidate = |verdict, truncated| Candidate {
            rollout_id: String::new(),
            teacher: String::new(),
            sample_index: 0,
            verdict,
            truncated,
            total_tokens: 1,
        };
        let group = [
            candidate(Verdict::Correct, false),
            candidate(Verdict::Correct, true),
            candidate(Verdict::Incorrect, false),
            candidate(Verdict::Undecided, false),
            candidate(Verdict::Undecided, true),
        ];
        assert_eq!(Attempts::of(&group), attempts(1, 4));
        assert_eq!(Attempts::of(&[]).pass_rate(), None);
    }

    #[test]
    fn prompts_are_kept_by_difficulty() {
        let band = DifficultySettings { min_pass_rate: 0.1, max_pass_rate: 0.9, guesses: Some(2) };
        let reason = |attempts, guesses: &[bool]| keep_prompt(&band, attempts, guesses).err().map(|drop| drop.reason);
        assert_eq!(reason(attempts(0, 10), &[]), Some("too_hard"));
        assert_eq!(reason(attempts(10, 10), &[]), Some("too_easy"));
        assert_eq!(reason(attempts(0, 0), &[]), Some("no_verdicts"));
        assert_eq!(reason(attempts(5, 10), &[false, true]), Some("guessable"));
        assert_eq!(reason(attempts(5, 10), &[false, false, true]), None, "only the first two guesses count");
        assert_eq!(keep_prompt(&DifficultySettings::default(), attempts(10, 10), &[true]), Ok(()));
        assert!(DifficultySettings { min_pass_rate: 0.9, max_pass_rate: 0.1, guesses: None }.validate().is_err());
    }

    #[test]
    fn draws_follow_the_weights() {
        let prompts = [("a", 0.6), ("b", 0.3), ("c", 0.1), ("d", 0.0)];
        let mut first = [0u32; 4];
        for round in 0..4000 {
            first[draw(&prompts, 1, 7, round)[0]] += 1;
        }
        // 4000 · 0.6 ± 4 · √(4000 · 0.24) = 2400 ± 124.
        assert!(first[0].abs_diff(2400) < 124 && first[1].abs_diff(1200) < 116 && first[3] == 0, "{first:?}");
        assert_eq!(draw(&prompts, 9, 7, 0), [0, 1, 2]);
        let turned = [prompts[2], prompts[1], prompts[0]];
        for round in 0..50 {
            let ids = |drawn: Vec<usize>, of: &[(&str, f64)]| {
                let mut ids: Vec<String> = drawn.into_iter().map(|index| of[index].0.to_owned()).collect();
                ids.sort();
                ids
            };
            assert_eq!(ids(draw(&prompts, 2, 7, round), &prompts), ids(draw(&turned, 2, 7, round), &turned));
        }
    }
}
