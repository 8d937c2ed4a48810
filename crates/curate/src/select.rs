//! Chooses rollouts among the samples of one prompt: the rejection sampling of DeepSeek-R1 (arXiv 2501.12948, §2.3.3)
//! and the shortest rejection sampling of Kimi k1.5 (arXiv 2501.12599, §2.4).
//!
//! A candidate can be chosen only when it is *eligible*: its verdict is `correct` and its text was not cut off. No rule
//! depends on the order in which candidates are given: where two are equal by the rule, the teacher's name, the
//! sample index and the rollout id decide, in that order.

use retort_records::{Verdict, derive_seed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the choice among rollouts of one prompt looks at: a narrow row, joined from verdict and lengths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The rollout.
    pub rollout_id: String,
    /// The model that wrote it.
    pub teacher: String,
    /// Which of the prompt's samples from this teacher it is.
    pub sample_index: u32,
    /// The verdict on it.
    pub verdict: Verdict,
    /// Whether its text was cut off.
    pub truncated: bool,
    /// Its length, in tokens of the model to be trained.
    pub total_tokens: u32,
}

impl Candidate {
    /// Whether a rule may choose it: correct and not cut off.
    pub fn eligible(&self) -> bool {
        self.verdict == Verdict::Correct && !self.truncated
    }

    /// Orders candidates by length and, among equals, by teacher, sample and id.
    pub(crate) fn by_length(&self) -> (u32, &str, u32, &str) {
        (self.total_tokens, &self.teacher, self.sample_index, &self.rollout_id)
    }

    /// Orders candidates by their place in the table: sample first, so that no teacher goes first for its name.
    fn by_position(&self) -> (u32, &str, &str) {
        (self.sample_index, &self.teacher, &self.rollout_id)
    }

    /// A number that is random over candidates and the same on every machine. The rollout's id is part of it, so that
    /// one stage seed serves all prompts.
    pub(crate) fn lot(&self, seed: u64, purpose: &str) -> (u64, &str) {
        (derive_seed(seed, purpose, &self.rollout_id, self.sample_index), &self.rollout_id)
    }
}

/// Which of a prompt's correct rollouts to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SelectRule {
    /// The correct rollout with the fewest tokens (Kimi k1.5's shortest rejection sampling).
    ShortestCorrect,
    /// The correct rollout with the lowest sample index: plain rejection sampling, one a prompt.
    FirstCorrect,
    /// One correct rollout drawn by the stage's seed: the baseline to compare any other rule with.
    RandomCorrect,
    /// Every correct rollout (the rejection sampling of DeepSeek-R1).
    AllCorrect,
}

impl SelectRule {
    /// All rules, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::ShortestCorrect, Self::FirstCorrect, Self::RandomCorrect, Self::AllCorrect];

    /// The rule's name, as the pipeline file spells it and the `rule` column of the selection table holds it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortestCorrect => "shortest-correct",
            Self::FirstCorrect => "first-correct",
            Self::RandomCorrect => "random-correct",
            Self::AllCorrect => "all-correct",
        }
    }
}

/// Which rollouts compete with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GroupBy {
    /// All rollouts of a prompt, whichever teacher wrote them.
    #[default]
    Prompt,
    /// The rollouts of a prompt by one teacher: each teacher keeps its own.
    #[serde(rename = "prompt+teacher")]
    PromptTeacher,
}

/// Splits the candidates of one prompt into the groups that compete, each as ascending indices into `prompt_group`;
/// the groups stand in the order in which they first appear.
pub fn groups(group_by: GroupBy, prompt_group: &[Candidate]) -> Vec<Vec<usize>> {
    match group_by {
        GroupBy::Prompt if prompt_group.is_empty() => Vec::new(),
        GroupBy::Prompt => vec![(0..prompt_group.len()).collect()],
        GroupBy::PromptTeacher => {
            let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
            for (index, candidate) in prompt_group.iter().enumerate() {
                // A prompt has a handful of teachers: a list is quicker than a map and keeps the order.
                match groups.iter_mut().find(|(teacher, _)| *teacher == candidate.teacher) {
                    Some((_, members)) => members.push(index),
                    None => groups.push((&candidate.teacher, vec![index])),
                }
            }
            groups.into_iter().map(|(_, members)| members).collect()
        }
    }
}

/// The indices that `rule` chooses from `group` (candidates that compete, see [`groups`]), ascending.
///
/// At most one index, except for [`SelectRule::AllCorrect`]; none when no candidate is eligible. `seed` is the stage's
/// seed and matters only to [`SelectRule::RandomCorrect`]. Among equally short candidates the order is teacher name,
/// sample index, rollout id.
pub fn select(rule: SelectRule, group: &[Candidate], seed: u64) -> Vec<usize> {
    let eligible = group.iter().enumerate().filter(|(_, candidate)| candidate.eligible());
    let one = match rule {
        SelectRule::AllCorrect => return eligible.map(|(index, _)| index).collect(),
        SelectRule::ShortestCorrect => eligible.min_by_key(|(_, candidate)| candidate.by_length()),
        SelectRule::FirstCorrect => eligible.min_by_key(|(_, candidate)| candidate.by_position()),
        SelectRule::RandomCorrect => eligible.min_by_key(|(_, candidate)| candidate.lot(seed, "select")),
    };
    one.map(|(index, _)| index).into_iter().collect()
}

/// Why `rule` did not choose `group[index]`, given that it chose the indices `chosen`: a `drop_reason` and its measure.
///
/// The reasons are `truncated`, `incorrect`, `undecided`, and for a correct, complete candidate the rule's own:
/// `longer_than_shortest`, `tied_with_shortest` (equally long, later by the tie order), `later_than_first` or
/// `not_drawn`. An index that was chosen gives `selected`, so that nothing a caller counts goes without a word.
pub fn not_selected_reason(
    rule: SelectRule,
    group: &[Candidate],
    index: usize,
    chosen: &[usize],
) -> (&'static str, String) {
    let candidate = &group[index];
    let tokens = candidate.total_tokens;
    if chosen.contains(&index) {
        return ("selected", format!("by {}", rule.name()));
    }
    if candidate.truncated {
        return ("truncated", format!("cut off after {tokens} tokens"));
    }
    match candidate.verdict {
        Verdict::Incorrect => return ("incorrect", format!("verdict incorrect, {tokens} tokens")),
        Verdict::Undecided => return ("undecided", format!("verdict undecided, {tokens} tokens")),
        Verdict::Correct => {}
    }
    let kept = chosen.first().map(|&first| &group[first]);
    match (rule, kept) {
        (SelectRule::ShortestCorrect, Some(kept)) if kept.total_tokens < tokens => {
            ("longer_than_shortest", format!("{tokens} tokens, the shortest correct has {}", kept.total_tokens))
        }
        (SelectRule::ShortestCorrect, Some(kept)) => {
            ("tied_with_shortest", format!("{tokens} tokens, as has sample {} of {}", kept.sample_index, kept.teacher))
        }
        (SelectRule::FirstCorrect, Some(kept)) => {
            let at = candidate.sample_index;
            ("later_than_first", format!("sample {at}, the first correct is {} of {}", kept.sample_index, kept.teacher))
        }
        (SelectRule::RandomCorrect, Some(kept)) => {
            ("not_drawn", format!("the lot fell on sample {} of {}", kept.sample_index, kept.teacher))
        }
        // Only a `chosen` that is not this group's gets here.
        (SelectRule::AllCorrect, _) | (_, None) => ("not_selected", format!("{} chose others", rule.name())),
    }
}

/// How many candidates a rule could choose from, and how long they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EligibleLengths {
    /// Correct candidates that were not cut off.
    pub count: u32,
    /// Their tokens, together.
    pub total_tokens: u64,
    /// Tokens of the shortest; 0 when there is none.
    pub shortest: u32,
    /// Tokens of the longest; 0 when there is none.
    pub longest: u32,
}

impl EligibleLengths {
    /// Their mean length in tokens; 0 when there is none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.total_tokens as f64 / f64::from(self.count) }
    }
}

/// Counts and measures the eligible candidates of `group`: the `correct_count` and `mean_correct_tokens` of a selection.
pub fn eligible_lengths(group: &[Candidate]) -> EligibleLengths {
    let lengths = || group.iter().filter(|candidate| candidate.eligible()).map(|candidate| candidate.total_tokens);
    EligibleLengths {
        count: lengths().count() as u32,
        total_tokens: lengths().map(u64::from).sum(),
        shortest: lengths().min().unwrap_or(0),
        longest: lengths().max().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(teacher: &str, sample_index: u32, verdict: Verdict, truncated: bool, total_tokens: u32) -> Candidate {
        let rollout_id = format!("{teacher}-{sample_index}");
        Candidate { rollout_id, teacher: teacher.into(), sample_index, verdict, truncated, total_tokens }
    }

    /// Eight samples of two teachers, with every state in it.
    fn group() -> Vec<Candidate> {
        use Verdict::{Correct, Incorrect, Undecided};
        vec![
            candidate("b", 0, Correct, false, 300),   // 0
            candidate("a", 0, Incorrect, false, 50),  // 1
            candidate("b", 1, Correct, true, 10),     // 2: cut off
            candidate("a", 1, Correct, false, 120),   // 3
            candidate("b", 2, Correct, false, 120),   // 4
            candidate("a", 2, Undecided, false, 20),  // 5
            candidate("b", 3, Incorrect, false, 999), // 6
            candidate("a", 3, Correct, false, 500),   // 7
        ]
    }

    #[test]
    fn each_rule_by_hand() {
        let group = group();
        assert_eq!(select(SelectRule::ShortestCorrect, &group, 1), [3], "120 tokens twice: teacher `a` goes first");
        assert_eq!(select(SelectRule::FirstCorrect, &group, 1), [0]);
        assert_eq!(select(SelectRule::AllCorrect, &group, 1), [0, 3, 4, 7]);
        let drawn: std::collections::BTreeSet<usize> =
            (0..200).flat_map(|seed| select(SelectRule::RandomCorrect, &group, seed)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 3, 4, 7], "every eligible one is drawn by some seed");
        assert_eq!(select(SelectRule::ShortestCorrect, &group[1..3], 1), [0; 0]);
    }

    #[test]
    fn the_lot_is_fair() {
        // 2,000 draws among 4: each 500 ± 4.5 standard deviations (√(2000·¼·¾) = 19.4).
        let group = group();
        let mut counts = [0u32; 8];
        for seed in 0..2000 {
            counts[select(SelectRule::RandomCorrect, &group, seed)[0]] += 1;
        }
        for index in [0, 3, 4, 7] {
            assert!((413..=587).contains(&counts[index]), "{counts:?}");
        }
    }

    #[test]
    fn every_unchosen_candidate_has_a_reason() {
        let group = group();
        let reasons = |rule| {
            let chosen = select(rule, &group, 1);
            (0..group.len()).map(|index| not_selected_reason(rule, &group, index, &chosen).0).collect::<Vec<_>>()
        };
        assert_eq!(
            reasons(SelectRule::ShortestCorrect),
            [
                "longer_than_shortest",
                "incorrect",
                "truncated",
                "selected",
                "tied_with_shortest",
                "undecided",
                "incorrect",
                "longer_than_shortest"
            ]
        );
        assert_eq!(reasons(SelectRule::FirstCorrect)[7], "later_than_first");
        assert_eq!(reasons(SelectRule::RandomCorrect).iter().filter(|&&reason| reason == "not_drawn").count(), 3);
        let (_, detail) = not_selected_reason(SelectRule::ShortestCorrect, &group, 7, &[3]);
        assert_eq!(detail, "500 tokens, the shortest correct has 120");
    }

    #[test]
    fn groups_by_teacher_keep_their_order() {
        let group = group();
        assert_eq!(groups(GroupBy::Prompt, &group), [[0, 1, 2, 3, 4, 5, 6, 7]]);
        assert_eq!(groups(GroupBy::PromptTeacher, &group), [[0, 2, 4, 6], [1, 3, 5, 7]]);
        assert!(groups(GroupBy::Prompt, &[]).is_empty());
    }

    #[test]
    fn eligible_lengths_by_hand() {
        let lengths = eligible_lengths(&group());
        assert_eq!(lengths, EligibleLengths { count: 4, total_tokens: 1040, shortest: 120, longest: 500 });
        assert_eq!(lengths.mean(), 260.0);
        assert_eq!(eligible_lengths(&[]).mean(), 0.0);
    }

    #[test]
    fn names_are_those_of_the_pipeline_file() {
        for rule in SelectRule::ALL {
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
        }
        assert_eq!(serde_json::to_value(GroupBy::PromptTeacher).unwrap(), "prompt+teacher");
        assert_eq!(serde_json::to_value(GroupBy::Prompt).unwrap(), "prompt");
    }
}
