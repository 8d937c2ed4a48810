//! What each stage let through, and what the verifiers said.

use std::collections::BTreeMap;

use retort_records::{Verdict, VerdictRow};
use serde::{Deserialize, Serialize};

use super::layout;

/// Rows that entered each stage and the reasons for which it dropped some.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Funnel {
    stages: Vec<StageCounts>,
}

/// The counts of one stage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StageCounts {
    /// The stage's name.
    pub stage: String,
    /// Rows that entered it.
    pub entered: u64,
    /// Rows that it dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl StageCounts {
    /// Rows that it kept.
    pub fn kept(&self) -> u64 {
        self.entered.saturating_sub(self.dropped.values().sum())
    }
}

impl Funnel {
    /// Counts rows that enter `stage`. Stages stand in the order in which they are first named.
    pub fn enter(&mut self, stage: &str, rows: u64) {
        self.stage(stage).entered += rows;
    }

    /// Counts a row that `stage` dropped for `reason`.
    pub fn drop_row(&mut self, stage: &str, reason: &str) {
        *self.stage(stage).dropped.entry(reason.to_owned()).or_insert(0) += 1;
    }

    /// Adds the counts of another part.
    pub fn merge(&mut self, other: &Self) {
        for theirs in &other.stages {
            let ours = self.stage(&theirs.stage);
            ours.entered += theirs.entered;
            for (reason, rows) in &theirs.dropped {
                *ours.dropped.entry(reason.clone()).or_insert(0) += rows;
            }
        }
    }

    /// The stages in order.
    pub fn stages(&self) -> &[StageCounts] {
        &self.stages
    }

    /// The funnel as text: a line for each stage and one for each of its reasons, most frequent first.
    pub fn to_text(&self) -> String {
        let mut lines = vec![["Stage", "In", "Kept", "Dropped"].map(String::from).to_vec()];
        for stage in &self.stages {
            let dropped: u64 = stage.dropped.values().sum();
            lines.push(vec![
                stage.stage.clone(),
                stage.entered.to_string(),
                stage.kept().to_string(),
                dropped.to_string(),
            ]);
            let mut reasons: Vec<_> = stage.dropped.iter().collect();
            reasons.sort_by_key(|&(_, &rows)| std::cmp::Reverse(rows));
            let reason = |(reason, rows): (&String, &u64)| {
                vec![format!("  {reason}"), String::new(), String::new(), rows.to_string()]
            };
            lines.extend(reasons.into_iter().map(reason));
        }
        layout(&lines)
    }

    fn stage(&mut self, stage: &str) -> &mut StageCounts {
        let place = self.stages.iter().position(|counts| counts.stage == stage).unwrap_or_else(|| {
            self.stages.push(StageCounts { stage: stage.to_owned(), ..StageCounts::default() });
            self.stages.len() - 1
        });
        &mut self.stages[place]
    }
}

/// Verdicts, together and by the verifier and method that gave them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VerdictCounts {
    /// Joint verdicts of rollouts.
    pub joint: BTreeMap<Verdict, u64>,
    /// Rollouts that were cut off, whatever their verdict.
    pub truncated: u64,
    /// Verdicts by verifier, then method.
    pub by_method: BTreeMap<String, BTreeMap<String, BTreeMap<Verdict, u64>>>,
}

impl VerdictCounts {
    /// Counts one rollout's verdict and checks.
    pub fn add(&mut self, row: &VerdictRow) {
        *self.joint.entry(row.verdict).or_insert(0) += 1;
        self.truncated += u64::from(row.truncated);
        for check in &row.checks {
            let methods = self.by_method.entry(check.verifier.clone()).or_default();
            *methods.entry(check.method.clone()).or_default().entry(check.verdict).or_insert(0) += 1;
        }
    }

    /// Adds the counts of another part.
    pub fn merge(&mut self, other: &Self) {
        let add = |ours: &mut BTreeMap<Verdict, u64>, theirs: &BTreeMap<Verdict, u64>| {
            for (&verdict, rows) in theirs {
                *ours.entry(verdict).or_insert(0) += rows;
            }
        };
        add(&mut self.joint, &other.joint);
        self.truncated += other.truncated;
        for (verifier, methods) in &other.by_method {
            let ours = self.by_method.entry(verifier.clone()).or_default();
            for (method, verdicts) in methods {
                add(ours.entry(method.clone()).or_default(), verdicts);
            }
        }
    }

    /// Rollouts with this joint verdict.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.joint.get(&verdict).copied().unwrap_or(0)
    }

    /// The counts as text: the joint verdicts first, then each verifier's method.
    pub fn to_text(&self) -> String {
        let mut lines = vec![["Verifier", "Method", "Correct", "Incorrect", "Undecided"].map(String::from).to_vec()];
        let mut line = |verifier: &str, method: &str, counts: &BTreeMap<Verdict, u64>| {
            let count = |verdict| counts.get(&verdict).copied().unwrap_or(0).to_string();
            let numbers = [Verdict::Correct, Verdict::Incorrect, Verdict::Undecided].map(count);
            lines.push([verifier.to_owned(), method.to_owned()].into_iter().chain(numbers).collect());
        };
        line("all", "joint", &self.joint);
        for (verifier, methods) in &self.by_method {
            for (method, counts) in methods {
                line(verifier, method, counts);
            }
        }
        layout(&lines)
    }
}

#[cfg(test)]
mod tests {
    use retort_records::Check;

    use super::*;

    #[test]
    fn the_funnel_by_hand() {
        let mut funnel = Funnel::default();
        funnel.enter("verify", 10);
        funnel.drop_row("verify", "undecided");
        let mut other = Funnel::default();
        other.enter("select", 9);
        (0..5).for_each(|_| other.drop_row("select", "longer_than_shortest"));
        other.drop_row("select", "incorrect");
        funnel.merge(&other);
        assert_eq!(funnel.stages().iter().map(StageCounts::kept).collect::<Vec<_>>(), [9, 3]);
        assert_eq!(
            funnel.to_text(),
            "Stage                  | In | Kept | Dropped\n\
             -----------------------|----|------|--------\n\
             verify                 | 10 |    9 |       1\n  \
               undecided            |    |      |       1\n\
             select                 |  9 |    3 |       6\n  \
               longer_than_shortest |    |      |       5\n  \
               incorrect            |    |      |       1\n"
        );
    }

    #[test]
    fn verdicts_by_method() {
        let row = |verdict, method: &str| VerdictRow {
            rollout_id: "r".into(),
            prompt_id: "p".into(),
            sample_index: 0,
            teacher: "t".into(),
            truncated: verdict == Verdict::Undecided,
            verdict,
            extracted_answer: None,
            checks: vec![Check { verifier: "math".into(), verdict, method: method.into(), reason: String::new() }],
            verifier_version: "1".into(),
        };
        let mut counts = VerdictCounts::default();
        counts.add(&row(Verdict::Correct, "boxed"));
        counts.add(&row(Verdict::Incorrect, "boxed"));
        let mut other = VerdictCounts::default();
        other.add(&row(Verdict::Undecided, "none"));
        other.add(&row(Verdict::Correct, "boxed"));
        counts.merge(&other);
        assert_eq!((counts.count(Verdict::Correct), counts.truncated), (2, 1));
        assert_eq!(
            counts.to_text(),
            "Verifier | Method | Correct | Incorrect | Undecided\n\
             ---------|--------|---------|-----------|----------\n\
             all      |  joint |       2 |         1 |         1\n\
             math     |  boxed |       2 |         1 |         0\n\
             math     |   none |       0 |         0 |         1\n"
        );
    }
}
