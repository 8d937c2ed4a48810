//! `repetition`: repeated word sequences, and a text that ends in a loop.

use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Case, Outcome, Verifier, VerifyError, length::Part};

/// Settings of `repetition`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RepetitionSettings {
    /// Words of a sequence; each Han or kana character counts as a word.
    #[schemars(range(min = 1))]
    pub ngram_size: usize,
    /// Largest share of sequences that occurred before, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_ratio: f64,
    /// Largest number of times that the text may end with the same words one after another.
    #[schemars(range(min = 1))]
    pub max_loops: usize,
    /// Which part of the completion is read.
    pub part: Part,
}

impl Default for RepetitionSettings {
    fn default() -> Self {
        Self { ngram_size: 20, max_ratio: 0.2, max_loops: 4, part: Part::Completion }
    }
}

impl RepetitionSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        let wrong = |setting, given: String, allowed: &str| {
            Err(VerifyError::Setting { verifier: "repetition", setting, given, allowed: allowed.into() })
        };
        if self.ngram_size == 0 {
            return wrong("ngram_size", "0".into(), "from 1");
        }
        if self.max_loops == 0 {
            return wrong("max_loops", "0".into(), "from 1");
        }
        if !(0.0..=1.0).contains(&self.max_ratio) {
            return wrong("max_ratio", self.max_ratio.to_string(), "a number from 0 to 1");
        }
        Ok(Box::new(Repetition { settings: self.clone() }))
    }
}

/// Hashes of the text's words in lower case (FNV-1a, the same on every machine).
fn words(text: &str) -> Vec<u64> {
    const START: u64 = 0xcbf2_9ce4_8422_2325;
    let mut words = Vec::with_capacity(text.len() / 5);
    let mut hash = START;
    for c in text.chars() {
        let wide = matches!(u32::from(c), 0x3040..=0x30FF | 0x3400..=0x9FFF | 0x20000..=0x2FFFF);
        if (c.is_whitespace() || wide) && hash != START {
            words.push(hash);
            hash = START;
        }
        if !c.is_whitespace() {
            for lower in c.to_lowercase() {
                hash = (hash ^ u64::from(u32::from(lower))).wrapping_mul(0x0100_0000_01b3);
            }
        }
        if wide {
            words.push(hash);
            hash = START;
        }
    }
    if hash != START {
        words.push(hash);
    }
    words
}

/// The share of `n`-word sequences that are not the first of their kind: `1 - unique / all`, 0 for shorter texts.
pub fn repetition_ratio(text: &str, n: usize) -> f64 {
    ratio(&words(text), n)
}

fn ratio(words: &[u64], n: usize) -> f64 {
    let all = (words.len() + 1).saturating_sub(n.max(1));
    if all == 0 {
        return 0.0;
    }
    let mut sequences = sequence_hashes(words, n.max(1));
    sequences.sort_unstable();
    sequences.dedup();
    1.0 - sequences.len() as f64 / all as f64
}

/// A hash of each `n`-word sequence: the words as digits of a number modulo the prime 2^61 - 1 (Karp and Rabin 1987), so
/// that one sequence's follows from the last one's.
fn sequence_hashes(words: &[u64], n: usize) -> Vec<u64> {
    const PRIME: u64 = (1 << 61) - 1;
    const BASE: u64 = 0x0b7e_1516_28ae_d2a6;
    let times = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(PRIME)) as u64;
    let first = (1..n).fold(1, |power, _| times(power, BASE));
    let mut hash = 0;
    let mut hashes = Vec::with_capacity((words.len() + 1).saturating_sub(n));
    for (at, word) in words.iter().enumerate() {
        if let Some(gone) = at.checked_sub(n) {
            hash = (hash + PRIME - times(words[gone] % PRIME, first)) % PRIME;
        }
        hash = (times(hash, BASE) + word % PRIME) % PRIME;
        if at + 1 >= n {
            hashes.push(hash);
        }
    }
    hashes
}

/// How often the words at the end stand there one after another (1 for a text without a loop), and how many they are.
/// Loops of up to a third of the text's words are found, at most 2,000 words long.
fn loops(words: &[u64]) -> (usize, usize) {
    let mut best = (1, 0);
    let Some(last) = words.last() else { return best };
    for period in 1..=(words.len() / 2).min(2000) {
        if words.len() / period <= best.0 {
            // No longer period can stand there as often.
            break;
        }
        if words[words.len() - 1 - period] != *last {
            continue;
        }
        let same = (period..words.len()).take_while(|back| {
            let at = words.len() - 1 - back;
            words[at] == words[at + period]
        });
        let repeats = 1 + same.count() / period;
        if repeats > best.0 {
            best = (repeats, period);
        }
    }
    best
}

struct Repetition {
    settings: RepetitionSettings,
}

impl Verifier for Repetition {
    fn name(&self) -> &'static str {
        "repetition"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        let words = words(self.settings.part.of(case).unwrap_or_default());
        let (repeats, period) = loops(&words);
        // One short word may well stand twice or thrice; a loop says at least a sentence.
        if repeats > self.settings.max_loops && repeats * period >= self.settings.ngram_size {
            let reason = format!("ends with the same {period} words {repeats} times");
            return Outcome::new(Verdict::Incorrect, "loop", reason);
        }
        let ratio = ratio(&words, self.settings.ngram_size);
        let verdict = if ratio <= self.settings.max_ratio { Verdict::Correct } else { Verdict::Incorrect };
        let reason = format!("{ratio:.3} of the {}-word sequences occurred before", self.settings.ngram_size);
        Outcome::new(verdict, "ratio", reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_open_r1() {
        // Penalties of huggingface/open-r1 `get_repetition_penalty_reward` (Apache-2.0), divided by their maximum.
        for (text, n, expected) in [
            ("this is a this is a test", 3, 0.2),
            ("this is a this is a test", 2, 1.0 / 3.0),
            ("A B C A B", 3, 0.0),
            ("one two one two", 3, 0.0),
            ("this this this this this", 2, 0.75),
            ("A B C A B C E F G A B C A B C", 3, 5.0 / 13.0),
            ("this IS a test", 2, 0.0),
            ("test test test test", 3, 0.5),
            ("word", 3, 0.0),
            ("", 2, 0.0),
        ] {
            assert!((repetition_ratio(text, n) - expected).abs() < 1e-12, "{text}");
        }
    }

    #[test]
    fn sequences_are_counted_as_they_are() {
        let mut words = Vec::new();
        let mut state = 1u64;
        for _ in 0..3000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            words.push(state >> 62);
        }
        for n in 1..8 {
            let unique = words.windows(n).collect::<std::collections::HashSet<_>>().len();
            let expected = 1.0 - unique as f64 / (words.len() + 1 - n) as f64;
            assert!((ratio(&words, n) - expected).abs() < 1e-12, "{n}");
        }
    }

    #[test]
    fn loops_at_the_end_are_found() {
        let verifier = RepetitionSettings::default().build().unwrap();
        let method = |completion: &str| verifier.verify(&Case { completion, ..Case::default() }).method.into_owned();
        let looping = format!("So we add. {}", "wait let me check that again ".repeat(5));
        assert_eq!(method(&looping), "loop");
        assert_eq!(method("no no no no no, it is five"), "ratio");
        assert_eq!(loops(&words("a b c a b c a b c")), (3, 3));
        assert_eq!(loops(&words("a b c")), (1, 0));
        assert_eq!(loops(&words("x a a a a b b")), (2, 1));
        assert_eq!(loops(&words(&"a ".repeat(5000))), (5000, 1));
        assert_eq!(loops(&[]), (1, 0));
    }
}
