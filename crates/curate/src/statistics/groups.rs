//! What the samples of a prompt, and the pairs made of them, look like.

use std::collections::BTreeMap;

use retort_records::Verdict;
use serde::{Deserialize, Serialize};

use super::TokenCounts;
use crate::pair::PairKind;
use crate::select::{Candidate, eligible_lengths};

/// The unit in which ratios are summed: whole billionths, so that sums do not depend on their order.
const UNITS: f64 = 1e9;

/// A mean of ratios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RatioSum {
    billionths: u128,
    count: u64,
}

impl RatioSum {
    /// Adds one ratio, rounded to a billionth.
    pub fn add(&mut self, ratio: f64) {
        self.billionths += (ratio * UNITS).round() as u128;
        self.count += 1;
    }

    /// Adds the ratios of another part.
    pub fn merge(&mut self, other: &Self) {
        self.billionths += other.billionths;
        self.count += other.count;
    }

    /// How many ratios were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their mean.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.billionths as f64 / UNITS / self.count as f64)
    }
}

/// Solved and unsolved prompts, and how much shorter the shortest correct rollout is than the mean correct one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupStatistics {
    /// Prompts (or prompts and teachers, as grouped).
    pub groups: u64,
    /// Rollouts in them.
    pub rollouts: u64,
    /// Groups with no correct, complete rollout.
    pub none_correct: u64,
    /// Groups in which every rollout is correct and complete.
    pub all_correct: u64,
    /// Shortest over mean length of the correct, complete rollouts, over groups with at least two of them (with one
    /// the ratio is 1 and says nothing).
    pub shortest_over_mean: RatioSum,
    /// Lengths of the shortest correct, complete rollouts.
    pub shortest: TokenCounts,
    /// Lengths of all correct, complete rollouts.
    pub correct: TokenCounts,
    /// Lengths of all complete rollouts with verdict incorrect.
    pub incorrect: TokenCounts,
}

impl GroupStatistics {
    /// Counts the rollouts that compete with one another.
    pub fn add(&mut self, group: &[Candidate]) {
        let lengths = eligible_lengths(group);
        self.groups += 1;
        self.rollouts += group.len() as u64;
        self.none_correct += u64::from(lengths.count == 0);
        self.all_correct += u64::from(lengths.count > 0 && lengths.count as usize == group.len());
        if lengths.count > 0 {
            self.shortest.add(lengths.shortest);
        }
        if lengths.count > 1 && lengths.total_tokens > 0 {
            self.shortest_over_mean.add(f64::from(lengths.shortest) / lengths.mean());
        }
        for candidate in group.iter().filter(|candidate| !candidate.truncated) {
            match candidate.verdict {
                Verdict::Correct => self.correct.add(candidate.total_tokens),
                Verdict::Incorrect => self.incorrect.add(candidate.total_tokens),
                Verdict::Undecided => {}
            }
        }
    }

    /// Adds the counts of another part.
    pub fn merge(&mut self, other: &Self) {
        self.groups += other.groups;
        self.rollouts += other.rollouts;
        self.none_correct += other.none_correct;
        self.all_correct += other.all_correct;
        self.shortest_over_mean.merge(&other.shortest_over_mean);
        self.shortest.merge(&other.shortest);
        self.correct.merge(&other.correct);
        self.incorrect.merge(&other.incorrect);
    }
}

/// How far the two sides of preference pairs are apart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PairStatistics {
    /// Pairs by kind.
    pub kinds: BTreeMap<PairKind, u64>,
    /// Lengths of the chosen sides.
    pub chosen: TokenCounts,
    /// Lengths of the rejected sides.
    pub rejected: TokenCounts,
    /// Tokens by which the longer side exceeds the shorter.
    pub gap: TokenCounts,
    /// Rejected over chosen length.
    pub ratio: RatioSum,
    /// Pairs whose sides differ by less than a tenth of the chosen side: the preference then says little of length.
    pub near_ties: u64,
}

impl PairStatistics {
    /// Counts one pair by its kind and the lengths of its sides in tokens.
    pub fn add(&mut self, kind: PairKind, chosen_tokens: u32, rejected_tokens: u32) {
        let gap = chosen_tokens.abs_diff(rejected_tokens);
        *self.kinds.entry(kind).or_insert(0) += 1;
        self.chosen.add(chosen_tokens);
        self.rejected.add(rejected_tokens);
        self.gap.add(gap);
        self.ratio.add(f64::from(rejected_tokens) / f64::from(chosen_tokens.max(1)));
        self.near_ties += u64::from(u64::from(gap) * 10 < u64::from(chosen_tokens));
    }

    /// Adds the counts of another part.
    pub fn merge(&mut self, other: &Self) {
        for (&kind, pairs) in &other.kinds {
            *self.kinds.entry(kind).or_insert(0) += pairs;
        }
        self.chosen.merge(&other.chosen);
        self.rejected.merge(&other.rejected);
        self.gap.merge(&other.gap);
        self.ratio.merge(&other.ratio);
        self.near_ties += other.near_ties;
    }

    /// Pairs counted.
    pub fn pairs(&self) -> u64 {
        self.chosen.rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(rows: &[(Verdict, bool, u32)]) -> Vec<Candidate> {
        let candidate = |(index, &(verdict, truncated, total_tokens)): (usize, &(Verdict, bool, u32))| Candidate {
            rollout_id: format!("r{index}"),
            teacher: "t".into(),
            sample_index: index as u32,
            verdict,
            truncated,
            total_tokens,
        };
        rows.iter().enumerate().map(candidate).collect()
    }

    #[test]
    fn groups_by_hand() {
        use Verdict::{Correct, Incorrect, Undecided};
        let groups = [
            group(&[(Correct, false, 100), (Correct, false, 300), (Correct, true, 10), (Incorrect, false, 50)]),
            group(&[(Correct, false, 70)]),
            group(&[(Undecided, false, 10), (Incorrect, true, 9000)]),
        ];
        let mut all = GroupStatistics::default();
        let mut parts = GroupStatistics::default();
        for group in &groups {
            all.add(group);
            let mut part = GroupStatistics::default();
            part.add(group);
            parts.merge(&part);
        }
        assert_eq!(all, parts);
        assert_eq!((all.groups, all.rollouts, all.none_correct, all.all_correct), (3, 7, 1, 1));
        assert_eq!(all.shortest_over_mean.mean(), Some(0.5), "100 of a mean of 200; one correct alone does not count");
        assert_eq!(all.shortest_over_mean.count(), 1);
        assert_eq!((all.shortest.mean(), all.correct.rows(), all.incorrect.rows()), (Some(85.0), 3, 1));
    }

    #[test]
    fn pairs_by_hand() {
        let mut all = PairStatistics::default();
        all.add(PairKind::CorrectLonger, 100, 150);
        all.add(PairKind::IncorrectLonger, 100, 109);
        let mut other = PairStatistics::default();
        other.add(PairKind::IncorrectLonger, 100, 110);
        all.merge(&other);
        assert_eq!(all.kinds[&PairKind::IncorrectLonger], 2);
        assert_eq!((all.pairs(), all.near_ties), (3, 1), "a tenth more is no tie");
        assert_eq!(all.gap.mean(), Some(23.0));
        assert_eq!(all.ratio.mean(), Some(1.23));
    }
}
