//! What the verifiers said.

use std::collections::BTreeMap;

use retort_records::Verdict;

/// Verdicts, together and by the verifier and method that gave them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerdictCounts {
    /// Joint verdicts of rollouts.
    pub joint: BTreeMap<Verdict, u64>,
    /// Rollouts that were cut off, whatever their verdict.
    pub truncated: u64,
    /// Verdicts by verifier, then method.
    pub by_method: BTreeMap<String, BTreeMap<String, BTreeMap<Verdict, u64>>>,
}

impl VerdictCounts {
    /// Counts one rollout by its joint verdict.
    pub fn add(&mut self, verdict: Verdict, truncated: bool) {
        *self.joint.entry(verdict).or_insert(0) += 1;
        self.truncated += u64::from(truncated);
    }

    /// Counts what one verifier said of a rollout.
    pub fn add_check(&mut self, verifier: &str, method: &str, verdict: Verdict) {
        let methods = match self.by_method.get_mut(verifier) {
            Some(methods) => methods,
            None => self.by_method.entry(verifier.to_owned()).or_default(),
        };
        let verdicts = match methods.get_mut(method) {
            Some(verdicts) => verdicts,
            None => methods.entry(method.to_owned()).or_default(),
        };
        *verdicts.entry(verdict).or_insert(0) += 1;
    }

    /// Rollouts with this joint verdict.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.joint.get(&verdict).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_by_method() {
        let mut counts = VerdictCounts::default();
        for (verdict, method) in [
            (Verdict::Correct, "boxed"),
            (Verdict::Incorrect, "boxed"),
            (Verdict::Undecided, "none"),
            (Verdict::Correct, "boxed"),
        ] {
            counts.add(verdict, verdict == Verdict::Undecided);
            counts.add_check("math", method, verdict);
        }
        assert_eq!(Verdict::ALL.map(|verdict| counts.count(verdict)), [2, 1, 1]);
        assert_eq!(counts.truncated, 1);
        let boxed = BTreeMap::from([(Verdict::Correct, 2), (Verdict::Incorrect, 1)]);
        let none = BTreeMap::from([(Verdict::Undecided, 1)]);
        let methods = BTreeMap::from([("boxed".to_owned(), boxed), ("none".to_owned(), none)]);
        assert_eq!(counts.by_method, BTreeMap::from([("math".to_owned(), methods)]));
    }
}
