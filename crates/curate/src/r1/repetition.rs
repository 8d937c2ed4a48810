//! Loops: the same words over and over, as a model writes that has lost its way. Kimi k1.5 detects repeats while sampling
//! and stops early (arXiv 2501.12599, §2.6.2) without saying how; this detector is ours.
//!
//! A loop is a period of at most `max_period` words that stands at least `min_repeats` times in a row and covers at least
//! `min_covered` words. Words are what stands between white space; Chinese, Japanese and Korean characters each count as
//! one. Counting lines ("step 1, step 2, …") are no loop, because no two turns are equal.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::excerpt::{counts_alone, excerpt};
use crate::SettingsError;

/// When a text counts as running in a loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RepetitionSettings {
    /// Longest turn of a loop, in words.
    #[schemars(range(min = 1))]
    pub max_period: u32,
    /// Fewest turns.
    #[schemars(range(min = 2))]
    pub min_repeats: u32,
    /// Fewest words that all turns cover together.
    #[schemars(range(min = 2))]
    pub min_covered: u32,
}

impl Default for RepetitionSettings {
    fn default() -> Self {
        Self { max_period: 1024, min_repeats: 4, min_covered: 256 }
    }
}

impl RepetitionSettings {
    /// Refuses loops without turns or words.
    pub fn validate(&self) -> Result<(), SettingsError> {
        SettingsError::check(self.max_period >= 1, "r1.repetition.max_period", self.max_period, "at least 1")?;
        SettingsError::check(self.min_repeats >= 2, "r1.repetition.min_repeats", self.min_repeats, "at least 2")?;
        SettingsError::check(self.min_covered >= 2, "r1.repetition.min_covered", self.min_covered, "at least 2")
    }
}

/// A loop in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loop {
    /// Words of one turn.
    pub period: u32,
    /// Whole turns.
    pub repeats: u32,
    /// Words before it.
    pub start: u32,
    /// Words that it covers.
    pub covered: u32,
    turn: String,
}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} words {} times from word {}: `{}`", self.period, self.repeats, self.start, self.turn)
    }
}

/// The first loop of `text`, with its shortest period.
pub fn find(text: &str, settings: &RepetitionSettings) -> Option<Loop> {
    let words = words(text);
    let hashes: Vec<u64> = words.iter().map(|&(hash, _)| hash).collect();
    let (start, end, period) = find_period(&hashes, settings)?;
    let turn = &text[words[start].1..words.get(start + period).map_or(text.len(), |&(_, at)| at)];
    Some(Loop {
        period: period as u32,
        repeats: ((end - start) / period) as u32,
        start: start as u32,
        covered: (end - start) as u32,
        turn: excerpt(turn.trim_end(), 60),
    })
}

/// Hash and byte position of each word.
fn words(text: &str) -> Vec<(u64, usize)> {
    const START: u64 = 0xcbf2_9ce4_8422_2325;
    let mut words = Vec::with_capacity(text.len() / 5);
    let mut open: Option<(u64, usize)> = None;
    for (at, c) in text.char_indices() {
        let alone = counts_alone(c);
        let space = if c.is_ascii() { c <= ' ' } else { c.is_whitespace() };
        if space || alone {
            words.extend(open.take());
        }
        if space {
            continue;
        }
        let (hash, start) = open.unwrap_or((START, at));
        // FNV-1a over characters: the same on every machine.
        let hash = (hash ^ u64::from(u32::from(c))).wrapping_mul(0x0100_0000_01b3);
        if alone {
            words.push((hash, start));
        } else {
            open = Some((hash, start));
        }
    }
    words.extend(open);
    words
}

/// First word, end and period of the first loop.
///
/// In a loop of period p, every word but those of the first turn equals the word p before it: a *match*. A loop has at
/// least `matches` of them in a row, whatever its period, so it holds a whole window of half that many words that begins
/// at a multiple of the window's length. It is enough to compare those windows with the ones up to `max_period` words
/// before, which rolling hashes make one comparison each, and to follow every equal one to its ends.
fn find_period(words: &[u64], settings: &RepetitionSettings) -> Option<(usize, usize, usize)> {
    let repeats = settings.min_repeats.max(2) as usize;
    let covered = settings.min_covered.max(2) as usize;
    let longest = (settings.max_period.max(1) as usize).min(words.len() / 2);
    let matches = (1..=longest).map(|period| ((repeats - 1) * period).max(covered.saturating_sub(period))).min()?;
    let window = matches.max(1).div_ceil(2);
    let hashes = window_hashes(words, window);
    for at in (0..hashes.len()).step_by(window) {
        let earliest = at.saturating_sub(longest);
        let (wanted, mut searched) = (hashes[at], at);
        while let Some(place) = hashes[earliest..searched].iter().rposition(|&hash| hash == wanted) {
            let before = earliest + place;
            searched = before;
            let period = at - before;
            let matching = |index: usize| words[index] == words[index - period];
            if !(at..at + window).all(matching) {
                continue;
            }
            let first = (period..at).rev().take_while(|&index| matching(index)).last().unwrap_or(at);
            let end =
                (at + window..words.len()).take_while(|&index| matching(index)).last().map_or(at + window, |i| i + 1);
            let start = first - period;
            if end - start >= covered && (end - start) / period >= repeats {
                return Some((start, end, period));
            }
        }
    }
    None
}

/// The hash of the `window` words at each place where so many follow.
fn window_hashes(words: &[u64], window: usize) -> Vec<u64> {
    const BASE: u64 = 0x9E37_79B9_7F4A_7C15;
    if words.len() < window {
        return Vec::new();
    }
    let leaving = (1..window).fold(1u64, |power, _| power.wrapping_mul(BASE));
    let mut hash = words[..window].iter().fold(0u64, |hash, &word| hash.wrapping_mul(BASE).wrapping_add(word));
    let mut hashes = vec![hash];
    for next in window..words.len() {
        let old = words[next - window].wrapping_mul(leaving);
        hash = hash.wrapping_sub(old).wrapping_mul(BASE).wrapping_add(words[next]);
        hashes.push(hash);
    }
    hashes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(max_period: u32, min_repeats: u32, min_covered: u32) -> RepetitionSettings {
        RepetitionSettings { max_period, min_repeats, min_covered }
    }

    #[test]
    fn loops_by_hand() {
        let text = format!("So we add. {}and stop", "wait let me see ".repeat(5));
        let found = find(&text, &settings(10, 4, 16)).unwrap();
        assert_eq!((found.period, found.repeats, found.start, found.covered), (4, 5, 3, 20));
        assert_eq!(found.to_string(), "4 words 5 times from word 3: `wait let me see`");
        assert_eq!(find(&text, &settings(10, 6, 16)), None, "only five turns");
        assert_eq!(find(&text, &settings(3, 4, 16)), None, "a turn has four words");
        assert_eq!(find(&text, &settings(10, 4, 21)), None, "only twenty words");
        let found = find("好的好的好的好的", &settings(4, 4, 8)).unwrap();
        assert_eq!((found.period, found.repeats, found.turn.as_str()), (2, 4, "好的"));
        for text in ["", "a", "a a", "step 1 step 2 step 3 step 4 step 5"] {
            assert_eq!(find(text, &settings(10, 4, 4)), None, "{text}");
        }
    }

    #[test]
    fn the_default_lets_short_echoes_pass() {
        let text = "no, wait. ".repeat(100);
        assert_eq!(find(&text, &RepetitionSettings::default()), None, "200 words are fewer than 256");
        assert!(find(&"no, wait. ".repeat(128), &RepetitionSettings::default()).is_some());
    }

    /// The definition, word for word.
    fn by_definition(words: &[u64], settings: &RepetitionSettings) -> bool {
        (1..=settings.max_period as usize).any(|period| {
            let (mut run, mut found) = (0, false);
            for index in period..words.len() {
                run = if words[index] == words[index - period] { run + 1 } else { 0 };
                let covered = run + period;
                found |= run > 0
                    && covered >= settings.min_covered as usize
                    && covered / period >= settings.min_repeats as usize;
            }
            found
        })
    }

    proptest! {
        /// Sampled windows find a loop exactly when there is one.
        #[test]
        fn windows_find_what_the_definition_finds(
            head in prop::collection::vec(0u64..3, 0..40),
            turn in prop::collection::vec(0u64..3, 1..12),
            turns in 0usize..8,
            tail in prop::collection::vec(0u64..3, 0..40),
            max_period in 1u32..14,
            min_repeats in 2u32..6,
            min_covered in 2u32..50,
        ) {
            let mut words = head;
            (0..turns).for_each(|_| words.extend(&turn));
            words.extend(tail);
            let settings = settings(max_period, min_repeats, min_covered);
            let found = find_period(&words, &settings);
            prop_assert_eq!(found.is_some(), by_definition(&words, &settings));
            if let Some((start, end, period)) = found {
                prop_assert!((start + period..end).all(|index| words[index] == words[index - period]));
                prop_assert!(end - start >= min_covered as usize && (end - start) / period >= min_repeats as usize);
            }
        }
    }
}
