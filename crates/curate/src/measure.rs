//! What a checkpoint's samples say of it: pass@1 over n samples, pass@k, cons@k, lengths, truncation, each with a
//! bootstrap interval over prompts, and the difference between two checkpoints on the same prompts.
//!
//! Protocol of DeepSeek-R1 (arXiv 2501.12948, §3): k samples a prompt at temperature 0.6 and top-p 0.95, pass@1 is the
//! mean of their correctness, cons@k the majority vote. A text that was cut off is never correct. All intervals are over
//! prompts, because the samples of one prompt are not independent of each other.

use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SettingsError;
use crate::statistics::TokenCounts;

mod bootstrap;
mod estimators;

pub use bootstrap::{Interval, bootstrap_mean, bootstrap_paired};
pub use estimators::{accuracy_efficiency_score, cons_at_k, pass_at_k};

/// One sample of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The verdict on it.
    pub verdict: Verdict,
    /// Whether its text was cut off.
    pub truncated: bool,
    /// Its length, in tokens of the model that wrote it.
    pub total_tokens: u32,
    /// The class of its extracted answer: equal numbers for answers that the verifier holds equal, any numbers
    /// otherwise. `None` when no answer was found; such a sample does not vote.
    pub answer_class: Option<u32>,
}

impl Outcome {
    /// Whether it counts as solved: verdict correct and not cut off.
    pub fn correct(&self) -> bool {
        self.verdict == Verdict::Correct && !self.truncated
    }
}

/// All samples of one prompt, by sample index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptOutcomes {
    /// The prompt.
    pub prompt_id: String,
    /// Its samples.
    pub samples: Vec<Outcome>,
}

impl PromptOutcomes {
    fn mean(&self, value: impl Fn(&Outcome) -> f64) -> f64 {
        self.samples.iter().map(value).sum::<f64>() / self.samples.len() as f64
    }

    fn accuracy(&self) -> f64 {
        self.mean(|sample| f64::from(u8::from(sample.correct())))
    }

    fn tokens(&self) -> f64 {
        self.mean(|sample| f64::from(sample.total_tokens))
    }
}

/// What to measure, and how surely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MeasureSettings {
    /// The `k` of each pass@k besides pass@1. Prompts with fewer samples than `k` have no pass@k and are left out of it.
    pub pass_at: Vec<u32>,
    /// Bootstrap resamples of the prompts behind each interval.
    #[schemars(range(min = 100))]
    pub resamples: u32,
    /// Probability that an interval is to cover.
    #[schemars(range(min = 0.5, max = 0.999))]
    pub confidence: f64,
}

impl Default for MeasureSettings {
    fn default() -> Self {
        Self { pass_at: Vec::new(), resamples: 10_000, confidence: 0.95 }
    }
}

impl MeasureSettings {
    /// Refuses k = 0, fewer than 100 resamples and a confidence outside [0.5, 0.999].
    pub fn validate(&self) -> Result<(), SettingsError> {
        SettingsError::check(!self.pass_at.contains(&0), "pass_at", 0, "at least 1")?;
        SettingsError::check(self.resamples >= 100, "resamples", self.resamples, "at least 100")?;
        let sure = self.confidence;
        SettingsError::check((0.5..=0.999).contains(&sure), "confidence", sure, "a number from 0.5 to 0.999")
    }
}

/// A measure that not every prompt has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AtK {
    /// The k.
    pub k: u32,
    /// Prompts that have it.
    pub prompts: u64,
    /// Its mean over those, with an interval; `None` when no prompt has it.
    pub value: Option<Interval>,
}

/// The measures of one checkpoint on one set of prompts. Rates are between 0 and 1, lengths in tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Prompts with at least one sample.
    pub prompts: u64,
    /// Samples.
    pub samples: u64,
    /// Fewest samples that a prompt has.
    pub min_samples: u32,
    /// Mean over prompts of the share of correct samples. `None`, as those below, when there are no prompts.
    pub pass_at_1: Option<Interval>,
    /// pass@k for each k that was asked for.
    pub pass_at: Vec<AtK>,
    /// Majority vote over the first `min_samples` samples of each prompt.
    pub cons: AtK,
    /// Mean over prompts of the mean length.
    pub mean_tokens: Option<Interval>,
    /// Median length over samples (nearest rank).
    pub median_tokens: Option<u32>,
    /// 90th percentile of the lengths over samples (nearest rank).
    pub p90_tokens: Option<u32>,
    /// Mean length of the correct samples.
    pub mean_correct_tokens: Option<f64>,
    /// Share of samples that were cut off.
    pub truncation_rate: Option<Interval>,
    /// Share of samples whose verdict is undecided: they count as not correct, so accuracy may be higher by this much.
    pub undecided_rate: Option<Interval>,
}

/// Measures one checkpoint. `seed` is the stage's; equal inputs give equal bits.
pub fn measure(prompts: &[PromptOutcomes], settings: &MeasureSettings, seed: u64) -> Measures {
    let sampled: Vec<&PromptOutcomes> = prompts.iter().filter(|prompt| !prompt.samples.is_empty()).collect();
    let interval = |value: &dyn Fn(&PromptOutcomes) -> f64| {
        let values: Vec<f64> = sampled.iter().map(|prompt| value(prompt)).collect();
        bootstrap_mean(&values, settings.resamples, settings.confidence, seed)
    };
    let at_k = |k: u32, value: &dyn Fn(&PromptOutcomes) -> Option<f64>| {
        let values: Vec<f64> = sampled.iter().filter_map(|prompt| value(prompt)).collect();
        let interval = bootstrap_mean(&values, settings.resamples, settings.confidence, seed);
        AtK { k, prompts: values.len() as u64, value: interval }
    };
    let (mut all, mut correct) = (TokenCounts::default(), TokenCounts::default());
    for sample in sampled.iter().flat_map(|prompt| &prompt.samples) {
        all.add(sample.total_tokens);
        if sample.correct() {
            correct.add(sample.total_tokens);
        }
    }
    let min_samples = sampled.iter().map(|prompt| prompt.samples.len() as u32).min().unwrap_or(0);
    let share =
        |holds: fn(&Outcome) -> bool| interval(&|prompt| prompt.mean(|sample| f64::from(u8::from(holds(sample)))));
    Measures {
        prompts: sampled.len() as u64,
        samples: all.rows(),
        min_samples,
        pass_at_1: interval(&PromptOutcomes::accuracy),
        pass_at: settings.pass_at.iter().map(|&k| at_k(k, &|prompt| pass_at(prompt, k))).collect(),
        cons: at_k(min_samples, &|prompt| cons_at_k(&prompt.samples, min_samples as usize)),
        mean_tokens: interval(&PromptOutcomes::tokens),
        median_tokens: all.percentile(50.0),
        p90_tokens: all.percentile(90.0),
        mean_correct_tokens: correct.mean(),
        truncation_rate: share(|sample| sample.truncated),
        undecided_rate: share(|sample| sample.verdict == Verdict::Undecided),
    }
}

fn pass_at(prompt: &PromptOutcomes, k: u32) -> Option<f64> {
    let correct = prompt.samples.iter().filter(|sample| sample.correct()).count();
    pass_at_k(prompt.samples.len() as u64, correct as u64, u64::from(k))
}

/// What changes from one checkpoint to another on the prompts that both have answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Prompts that both have samples of: all that is said below is over these.
    pub prompts: u64,
    /// pass@1 of the second minus the first.
    pub accuracy: Option<Interval>,
    /// Mean tokens of the second minus the first.
    pub tokens: Option<Interval>,
    /// Accuracy-efficiency score of the second against the first; `None` when the first solves nothing or writes nothing.
    pub aes: Option<f64>,
}

/// Compares `second` with `first`, pairing by prompt id, by a bootstrap over the shared prompts in the order of `first`.
pub fn compare(
    first: &[PromptOutcomes],
    second: &[PromptOutcomes],
    settings: &MeasureSettings,
    seed: u64,
) -> Comparison {
    let of_second: std::collections::BTreeMap<&str, &PromptOutcomes> = second
        .iter()
        .filter(|prompt| !prompt.samples.is_empty())
        .map(|prompt| (prompt.prompt_id.as_str(), prompt))
        .collect();
    let sampled = first.iter().filter(|prompt| !prompt.samples.is_empty());
    let shared: Vec<(&PromptOutcomes, &PromptOutcomes)> =
        sampled.filter_map(|prompt| Some((prompt, *of_second.get(prompt.prompt_id.as_str())?))).collect();
    let values = |value: fn(&PromptOutcomes) -> f64| -> Vec<(f64, f64)> {
        shared.iter().map(|&(one, other)| (value(one), value(other))).collect()
    };
    let (accuracy, tokens) = (values(PromptOutcomes::accuracy), values(PromptOutcomes::tokens));
    let difference = |values: &[(f64, f64)]| bootstrap_paired(values, settings.resamples, settings.confidence, seed);
    let mean = |values: &[(f64, f64)], side: fn(&(f64, f64)) -> f64| {
        values.iter().map(side).sum::<f64>() / values.len() as f64
    };
    let aes = accuracy_efficiency_score(
        (mean(&accuracy, |pair| pair.0), mean(&tokens, |pair| pair.0)),
        (mean(&accuracy, |pair| pair.1), mean(&tokens, |pair| pair.1)),
    );
    Comparison { prompts: shared.len() as u64, accuracy: difference(&accuracy), tokens: difference(&tokens), aes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(correct: bool, total_tokens: u32, class: u32) -> Outcome {
        let verdict = if correct { Verdict::Correct } else { Verdict::Incorrect };
        Outcome { verdict, truncated: false, total_tokens, answer_class: Some(class) }
    }

    fn prompt(id: &str, samples: Vec<Outcome>) -> PromptOutcomes {
        PromptOutcomes { prompt_id: id.into(), samples }
    }

    fn set() -> Vec<PromptOutcomes> {
        let mut cut = outcome(true, 1000, 1);
        cut.truncated = true;
        vec![
            prompt("a", vec![outcome(true, 100, 1), outcome(true, 200, 1), outcome(false, 300, 2), cut]),
            prompt(
                "b",
                vec![outcome(false, 10, 7), outcome(false, 20, 8), outcome(true, 30, 9), outcome(false, 40, 7)],
            ),
            prompt("c", vec![]),
        ]
    }

    #[test]
    fn measures_by_hand() {
        let settings = MeasureSettings { pass_at: vec![2, 4, 5], ..MeasureSettings::default() };
        let measures = measure(&set(), &settings, 7);
        assert_eq!((measures.prompts, measures.samples), (2, 8));
        let pass_at_1 = measures.pass_at_1.unwrap();
        assert_eq!(pass_at_1.value, 0.375, "a: 2 of 4 (one is cut off), b: 1 of 4");
        assert_eq!((pass_at_1.low, pass_at_1.high), (0.25, 0.5), "of two prompts the means are 1/4, 3/8 and 1/2");
        let values: Vec<_> =
            measures.pass_at.iter().map(|at| (at.k, at.prompts, at.value.map(|at| at.value))).collect();
        // pass@2: a: 1 - C(2,2)/C(4,2) = 5/6; b: 1 - C(3,2)/C(4,2) = 1/2.
        assert_eq!(values[1..], [(4, 2, Some(1.0)), (5, 0, None)]);
        assert!((values[0].2.unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(measures.cons.value.unwrap().value, 0.5, "a: class 1, correct; b: class 7, wrong");
        assert_eq!(measures.mean_tokens.unwrap().value, 212.5);
        assert_eq!((measures.median_tokens, measures.p90_tokens), (Some(40), Some(1000)));
        assert_eq!(measures.mean_correct_tokens, Some(110.0));
        assert_eq!(measures.truncation_rate.unwrap().value, 0.125);
        assert_eq!(measures.undecided_rate.unwrap().value, 0.0);
    }

    #[test]
    fn nothing_to_measure_is_no_number() {
        let measures = measure(&[], &MeasureSettings::default(), 7);
        assert_eq!((measures.pass_at_1, measures.cons.value, measures.median_tokens), (None, None, None));
        let comparison = compare(&[], &set(), &MeasureSettings::default(), 7);
        assert_eq!((comparison.prompts, comparison.aes), (0, None));
        assert_eq!(comparison.accuracy, None);
    }

    #[test]
    fn comparisons_pair_by_prompt() {
        let first = set();
        let second =
            vec![prompt("b", vec![outcome(true, 5, 1), outcome(false, 15, 2)]), prompt("d", vec![outcome(true, 1, 1)])];
        let comparison = compare(&first, &second, &MeasureSettings::default(), 7);
        assert_eq!(comparison.prompts, 1);
        let accuracy = comparison.accuracy.unwrap();
        assert_eq!((accuracy.value, accuracy.low, accuracy.high), (0.25, 0.25, 0.25));
        assert_eq!(comparison.tokens.unwrap().value, -15.0);
        // ΔLen = 15/25 = 0.6, ΔAcc = 0.25/0.25 = 1: 0.6 + 3.
        assert!((comparison.aes.unwrap() - 3.6).abs() < 1e-12);
    }

    #[test]
    fn settings_have_limits() {
        assert!(MeasureSettings::default().validate().is_ok());
        assert!(MeasureSettings { pass_at: vec![0], ..MeasureSettings::default() }.validate().is_err());
        assert!(MeasureSettings { resamples: 10, ..MeasureSettings::default() }.validate().is_err());
        assert!(MeasureSettings { confidence: 95.0, ..MeasureSettings::default() }.validate().is_err());
    }
}
