//! What the samples of a prompt, and the pairs made of them, look like.

use std::collections::BTreeMap;

use super::TokenCounts;
use crate::pair::PairKind;
use crate::select::{Candidate, eligible_lengths};

/// The unit in which ratios are summed: whole billionths, so that sums do not depend on their order.
const UNITS: f64 = 1e9;

/// A mean of ratios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

    /// Their mean.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.billionths as f64 / UNITS / self.count as f64)
    }
}

/// Solved and unsolved prompts, and how much shorter the shortest correct rollout is than the mean correct one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
}

impl GroupStatistics {
    /// Counts the rollouts that compete with one another.
    pub fn add(&mut self, group: &[Candidate]) {
        let lengths = eligible_lengths(group);
        self.groups += 1;
        self.rollouts += group.len() as u64;
        self.none_correct += u64::from(lengths.count == 0);
        self.all_correct += u64::from(lengths.count > 0 && lengths.count as usize == group.len());
        if lengths.count > 1 && lengths.total_tokens > 0 {
            self.shortest_over_mean.add(f64::from(lengths.shortest) / lengths.mean());
        }
    }
}

/// How far the two sides of preference pairs are apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PairStatistics {
    /// Pairs by kind.
    pub kinds: BTreeMap<PairKind, u64>,
    /// Lengths of the chosen sides.
    pub chosen: TokenCounts,
    /// Lengths of the rejected sides.
    pub rejected: TokenCounts,
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
        self.ratio.add(f64::from(rejected_tokens) / f64::from(chosen_tokens.max(1)));
        self.near_ties += u64::from(u64::from(gap) * 10 < u64::from(chosen_tokens));
    }

    /// Pairs counted.
    pub fn pairs(&self) -> u64 {
        self.chosen.rows()
    }
}

#[cfg(test)]
mod tests {
    use retort_records::Verdict;

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
        for group in &groups {
            all.add(group);
        }
        assert_eq!((all.groups, all.rollouts, all.none_correct, all.all_correct), (3, 7, 1, 1));
        assert_eq!(all.shortest_over_mean.mean(), Some(0.5), "100 of a mean of 200; one correct alone does not count");
    }

    #[test]
    fn pairs_by_hand() {
        let mut all = PairStatistics::default();
        all.add(PairKind::CorrectLonger, 100, 150);
        all.add(PairKind::IncorrectLonger, 100, 109);
        all.add(PairKind::IncorrectLonger, 100, 110);
        assert_eq!(all.kinds[&PairKind::IncorrectLonger], 2);
        assert_eq!((all.pairs(), all.near_ties), (3, 1), "a tenth more is no tie");
        assert_eq!(all.ratio.mean(), Some(1.23));
    }
}
