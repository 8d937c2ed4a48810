//! Preference pairs for long2short DPO, by the rule of Kimi k1.5 (arXiv 2501.12599, §2.4): the positive sample is the
//! shortest correct rollout; negative are longer rollouts, namely wrong ones that are longer and correct ones that are
//! 1.5 times as long. The pairs are the positive with each negative.
//!
//! What the paper leaves open is a setting here: whether the factor also applies to wrong ones (our reading: no), how
//! many pairs a prompt may give (ours: 4), and what a text that was cut off counts as (ours: nothing).

use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SettingsError;
use crate::select::Candidate;

/// Relative slack of the length comparison: `1.1 * 10.0` is 11.000000000000002, and 11 tokens are to be enough.
const ROUNDING: f64 = 1e-9;

/// How preference pairs are made from the rollouts of one prompt by one teacher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PairSettings {
    /// A correct rollout is rejected only when it has at least this many times the tokens of the chosen one
    /// (Kimi k1.5: 1.5). It must be longer in any case.
    #[schemars(range(min = 1.0))]
    pub length_ratio: f64,
    /// Whether `length_ratio` also applies to incorrect rollouts. By default any longer incorrect rollout may be
    /// rejected.
    pub ratio_applies_to_wrong: bool,
    /// Most pairs that one prompt and teacher may give: the longest correct, the longest incorrect, then others by lot.
    /// Without a limit, prompts with many incorrect rollouts would rule the set. The paper does not give its own.
    #[schemars(range(min = 1))]
    pub max_pairs_per_prompt: u32,
    /// Whether a rollout that was cut off may be rejected as an incorrect, longer one, whatever its verdict. It is never
    /// chosen. Off by default: its length is the limit's, not its own, and training against it teaches to avoid a text
    /// without an end.
    pub allow_truncated_rejected: bool,
    /// Whether to add one pair of the opposite kind, as Sky-T1-Flash did against under-thinking: rejected is the
    /// shortest incorrect rollout, chosen the shortest correct one that is longer. It counts towards
    /// `max_pairs_per_prompt`.
    pub add_shortest_incorrect: bool,
}

impl Default for PairSettings {
    fn default() -> Self {
        Self {
            length_ratio: 1.5,
            ratio_applies_to_wrong: false,
            max_pairs_per_prompt: 4,
            allow_truncated_rejected: false,
            add_shortest_incorrect: false,
        }
    }
}

impl PairSettings {
    /// Refuses a ratio below 1 or not finite, and a limit of no pairs.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let ratio = self.length_ratio;
        SettingsError::check(ratio.is_finite() && ratio >= 1.0, "length_ratio", ratio, "a number of at least 1.0")?;
        SettingsError::check(self.max_pairs_per_prompt >= 1, "max_pairs_per_prompt", 0, "at least 1")
    }

    /// Whether `rejected` is long enough against `chosen` for its kind.
    fn long_enough(&self, chosen: &Candidate, rejected: &Candidate, kind: PairKind) -> bool {
        let longer = rejected.total_tokens > chosen.total_tokens;
        let needed = self.length_ratio * f64::from(chosen.total_tokens) * (1.0 - ROUNDING);
        match kind {
            PairKind::IncorrectLonger if !self.ratio_applies_to_wrong => longer,
            PairKind::IncorrectLonger | PairKind::CorrectLonger => longer && f64::from(rejected.total_tokens) >= needed,
            PairKind::IncorrectShorter => !longer,
        }
    }
}

/// Why a rollout was rejected in a pair; the `pair_kind` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairKind {
    /// Incorrect and longer than the chosen one.
    IncorrectLonger,
    /// Correct, but longer than the chosen one by the ratio.
    CorrectLonger,
    /// Incorrect and shorter than the chosen one (only with `add_shortest_incorrect`).
    IncorrectShorter,
}

impl PairKind {
    /// The kind's name, as the `pair_kind` column holds it.
    pub fn name(self) -> &'static str {
        match self {
            Self::IncorrectLonger => "incorrect_longer",
            Self::CorrectLonger => "correct_longer",
            Self::IncorrectShorter => "incorrect_shorter",
        }
    }
}

/// One preference pair, as indices into the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairChoice {
    /// The rollout to prefer: correct and complete.
    pub chosen: usize,
    /// The rollout to avoid.
    pub rejected: usize,
    /// Why it is to be avoided.
    pub kind: PairKind,
}

/// The preference pairs of `group`: the candidates of one prompt by one teacher (candidates of another teacher than the
/// chosen one's are never rejected, so both sides always come from one model).
///
/// The chosen one is the shortest correct, complete candidate; without it there is no pair. Undecided candidates are
/// neither chosen nor rejected. The pairs stand in the order in which the limit fills: longest correct, longest
/// incorrect, the opposite pair if asked for, then the others by a lot from `seed` (the stage's). The order of
/// the candidates changes nothing.
pub fn kimi_pairs(group: &[Candidate], settings: &PairSettings, seed: u64) -> Vec<PairChoice> {
    let Some(chosen) = shortest(group, Candidate::eligible) else { return Vec::new() };
    let mut rejected: Vec<(usize, PairKind)> = group
        .iter()
        .enumerate()
        .filter_map(|(index, candidate)| Some((index, rejected_kind(group, settings, chosen, index, candidate)?)))
        .collect();
    rejected.sort_by_key(|&(index, _)| group[index].lot(seed, "pair"));

    // The longest of each kind go first; among equally long ones the first by the tie order of selection.
    let mut pairs = Vec::new();
    for kind in [PairKind::CorrectLonger, PairKind::IncorrectLonger] {
        let longest = rejected
            .iter()
            .filter(|&&(_, other)| other == kind)
            .map(|&(index, _)| index)
            .min_by_key(|&index| (std::cmp::Reverse(group[index].total_tokens), group[index].by_length()));
        pairs.extend(longest.map(|rejected| PairChoice { chosen, rejected, kind }));
    }
    if settings.add_shortest_incorrect {
        pairs.extend(shortest_incorrect(group, chosen));
    }
    for (index, kind) in rejected {
        let pair = PairChoice { chosen, rejected: index, kind };
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    pairs.truncate(settings.max_pairs_per_prompt as usize);
    pairs
}

/// Why `group[index]` is on no side of `pairs` (what [`kimi_pairs`] gave): a `drop_reason` and its measure.
///
/// `no_correct` (nothing to prefer), `undecided`, `truncated`, `not_longer`, `below_length_ratio`, `over_pair_limit`,
/// `other_teacher`; `paired` for a candidate that is in a pair.
pub fn not_paired_reason(
    group: &[Candidate],
    settings: &PairSettings,
    index: usize,
    pairs: &[PairChoice],
) -> (&'static str, String) {
    let candidate = &group[index];
    let tokens = candidate.total_tokens;
    if pairs.iter().any(|pair| pair.chosen == index || pair.rejected == index) {
        return ("paired", String::from("in a pair"));
    }
    let Some(chosen) = shortest(group, Candidate::eligible) else {
        return ("no_correct", String::from("no correct rollout to prefer"));
    };
    let shortest = group[chosen].total_tokens;
    if index == chosen {
        return ("no_rejected", format!("no rollout to reject against {shortest} tokens"));
    }
    if candidate.teacher != group[chosen].teacher {
        return ("other_teacher", format!("by {}, not {}", candidate.teacher, group[chosen].teacher));
    }
    if candidate.truncated && !settings.allow_truncated_rejected {
        return ("truncated", format!("cut off after {tokens} tokens"));
    }
    if candidate.verdict == Verdict::Undecided && !candidate.truncated {
        return ("undecided", format!("verdict undecided, {tokens} tokens"));
    }
    if tokens <= shortest {
        return ("not_longer", format!("{tokens} tokens, the shortest correct has {shortest}"));
    }
    if rejected_kind(group, settings, chosen, index, candidate).is_some() {
        return ("over_pair_limit", format!("more than {} pairs", settings.max_pairs_per_prompt));
    }
    let ratio = f64::from(tokens) / f64::from(shortest);
    ("below_length_ratio", format!("{ratio:.2} times the shortest correct, needed is {}", settings.length_ratio))
}

/// Index of the shortest candidate that `admit` lets through, by the tie order of selection.
fn shortest(group: &[Candidate], admit: impl Fn(&Candidate) -> bool) -> Option<usize> {
    let admitted = group.iter().enumerate().filter(|(_, candidate)| admit(candidate));
    admitted.min_by_key(|(_, candidate)| candidate.by_length()).map(|(index, _)| index)
}

/// As what `candidate` may be rejected against `group[chosen]`, if it may.
fn rejected_kind(
    group: &[Candidate],
    settings: &PairSettings,
    chosen: usize,
    index: usize,
    candidate: &Candidate,
) -> Option<PairKind> {
    let kind = match candidate.verdict {
        _ if candidate.truncated => settings.allow_truncated_rejected.then_some(PairKind::IncorrectLonger)?,
        Verdict::Correct => PairKind::CorrectLonger,
        Verdict::Incorrect => PairKind::IncorrectLonger,
        Verdict::Undecided => return None,
    };
    let fits = index != chosen
        && candidate.teacher == group[chosen].teacher
        && settings.long_enough(&group[chosen], candidate, kind);
    fits.then_some(kind)
}

/// The pair against under-thinking (Sky-T1-Flash, "SILC"): the shortest incorrect, complete candidate against the
/// shortest eligible one that is longer, both by the teacher of `group[reference]`.
fn shortest_incorrect(group: &[Candidate], reference: usize) -> Option<PairChoice> {
    let teacher = &group[reference].teacher;
    let incorrect = |candidate: &Candidate| candidate.verdict == Verdict::Incorrect && !candidate.truncated;
    let rejected = shortest(group, |candidate| incorrect(candidate) && candidate.teacher == *teacher)?;
    let above = group[rejected].total_tokens;
    let longer = |candidate: &Candidate| candidate.eligible() && candidate.total_tokens > above;
    let chosen = shortest(group, |candidate| longer(candidate) && candidate.teacher == *teacher)?;
    Some(PairChoice { chosen, rejected, kind: PairKind::IncorrectShorter })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Correct, Incorrect, Undecided};

    fn group(rows: &[(Verdict, bool, u32)]) -> Vec<Candidate> {
        rows.iter()
            .enumerate()
            .map(|(index, &(verdict, truncated, total_tokens))| Candidate {
                rollout_id: format!("r{index}"),
                teacher: "t".into(),
                sample_index: index as u32,
                verdict,
                truncated,
                total_tokens,
            })
            .collect()
    }

    fn found(group: &[Candidate], settings: &PairSettings) -> Vec<(usize, usize, &'static str)> {
        kimi_pairs(group, settings, 7).iter().map(|pair| (pair.chosen, pair.rejected, pair.kind.name())).collect()
    }

    #[test]
    fn the_rule_of_the_paper_by_hand() {
        let group = group(&[
            (Correct, false, 149),   // 0: 1.49 times, not enough
            (Correct, false, 100),   // 1: shortest correct
            (Incorrect, false, 101), // 2: longer by one is enough for an incorrect one
            (Incorrect, false, 100), // 3: not longer
            (Incorrect, false, 40),  // 4: shorter
            (Correct, false, 150),   // 5: exactly 1.5 times
            (Undecided, false, 900), // 6
            (Incorrect, true, 4096), // 7: cut off
            (Correct, true, 20),     // 8: cut off, never chosen
        ]);
        let settings = PairSettings::default();
        assert_eq!(found(&group, &settings), [(1, 5, "correct_longer"), (1, 2, "incorrect_longer")]);
        let pairs = kimi_pairs(&group, &settings, 7);
        let reasons: Vec<_> = (0..9).map(|index| not_paired_reason(&group, &settings, index, &pairs).0).collect();
        assert_eq!(
            reasons,
            [
                "below_length_ratio",
                "paired",
                "paired",
                "not_longer",
                "not_longer",
                "paired",
                "undecided",
                "truncated",
                "truncated"
            ]
        );
        let truncated = PairSettings { allow_truncated_rejected: true, ..settings.clone() };
        assert_eq!(
            found(&group, &truncated),
            [(1, 5, "correct_longer"), (1, 7, "incorrect_longer"), (1, 2, "incorrect_longer")]
        );
        let strict = PairSettings { ratio_applies_to_wrong: true, ..settings };
        assert_eq!(found(&group, &strict), [(1, 5, "correct_longer")]);
    }

    #[test]
    fn nothing_correct_gives_no_pair() {
        let group = group(&[(Incorrect, false, 10), (Undecided, false, 20), (Correct, true, 5)]);
        assert!(found(&group, &PairSettings::default()).is_empty());
        assert_eq!(not_paired_reason(&group, &PairSettings::default(), 0, &[]).0, "no_correct");
    }

    #[test]
    fn the_limit_takes_the_longest_of_each_kind_then_draws() {
        let mut rows = vec![(Correct, false, 10)];
        rows.extend((0..6).map(|step| (Incorrect, false, 20 + step)));
        rows.extend((0..6).map(|step| (Correct, false, 40 + step)));
        let group = group(&rows);
        let mut others = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let pairs = kimi_pairs(&group, &PairSettings::default(), seed);
            assert_eq!(pairs.len(), 4);
            assert_eq!((pairs[0].rejected, pairs[1].rejected), (12, 6));
            others.extend(pairs[2..].iter().map(|pair| pair.rejected));
        }
        assert_eq!(others.len(), 10, "the lot reaches all the others");
        let one = PairSettings { max_pairs_per_prompt: 1, ..PairSettings::default() };
        assert_eq!(found(&group, &one), [(0, 12, "correct_longer")]);
        let pairs = kimi_pairs(&group, &one, 7);
        assert_eq!(not_paired_reason(&group, &one, 1, &pairs).0, "over_pair_limit");
    }

    #[test]
    fn the_ratio_survives_binary_fractions() {
        let group = group(&[(Correct, false, 10), (Correct, false, 11)]);
        let settings = PairSettings { length_ratio: 1.1, ..PairSettings::default() };
        assert_eq!(found(&group, &settings), [(0, 1, "correct_longer")]);
    }

    #[test]
    fn the_opposite_pair_prefers_the_longer_right_answer() {
        let group = group(&[
            (Incorrect, false, 50),
            (Correct, false, 40), // shorter than the incorrect one: not of this pair
            (Correct, false, 60),
            (Correct, false, 55),
            (Incorrect, false, 70),
        ]);
        let settings = PairSettings { add_shortest_incorrect: true, ..PairSettings::default() };
        assert_eq!(
            found(&group, &settings),
            [
                (1, 2, "correct_longer"),
                (1, 4, "incorrect_longer"),
                (3, 0, "incorrect_shorter"),
                (1, 0, "incorrect_longer")
            ]
        );
    }

    #[test]
    fn both_sides_come_from_one_teacher() {
        let mut group = group(&[(Correct, false, 10), (Incorrect, false, 20), (Incorrect, false, 30)]);
        group[2].teacher = "other".into();
        assert_eq!(found(&group, &PairSettings::default()), [(0, 1, "incorrect_longer")]);
    }

    #[test]
    fn settings_are_read_strictly() {
        let settings: PairSettings = serde_json::from_str("{\"max_pairs_per_prompt\": 2}").unwrap();
        assert_eq!(settings, PairSettings { max_pairs_per_prompt: 2, ..PairSettings::default() });
        assert!(serde_json::from_str::<PairSettings>("{\"max_pairs\": 2}").is_err());
        let error = PairSettings { length_ratio: 0.5, ..settings.clone() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "`length_ratio` is `0.5`, allowed is a number of at least 1.0");
        assert!(PairSettings { length_ratio: f64::NAN, ..settings.clone() }.validate().is_err());
        assert!(PairSettings { max_pairs_per_prompt: 0, ..settings }.validate().is_err());
    }
}
