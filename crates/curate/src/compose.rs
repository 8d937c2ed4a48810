//! Mixes a corpus: at most so many rows a prompt, so many rows (or such a share) of each subject area.
//!
//! Every row draws a lot, a number that depends on the seed and its id only. "Take N of a domain" keeps the N rows with
//! the smallest lots, so the choice is random, the same on every machine, and the same in whatever order or number of
//! pieces the rows come. It works in two passes over narrow rows: [`Quota::feed`] each row, [`Quota::finish`], then ask
//! [`Composition::keep`] for each row again, in table order.
//!
//! Memory is 8 bytes for each row that a count asks for, 8 bytes for every row of a domain that gives a fraction, and,
//! with a limit per prompt, about 16 bytes for each row under the limit and 50 for each prompt. Text is never held.

use std::collections::{BTreeMap, BinaryHeap};

use retort_records::{derive_seed, id_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DropReason, SettingsError};

/// How much of a domain to take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Take {
    /// So many rows; all of them when there are fewer. Written as a whole number.
    Count(u64),
    /// This share of the domain's rows, above 0 and at most 1, rounded to whole rows. Written with a decimal point.
    Fraction(f64),
}

/// What to do with domains that `take` does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OtherDomains {
    /// Keep all their rows.
    #[default]
    Keep,
    /// Drop all their rows.
    Drop,
}

/// How rows are mixed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaSettings {
    /// Most rows that one prompt may give, drawn by lot; applied before `take`. No limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_per_prompt: Option<u32>,
    /// How much to take of each domain: a count (`math: 4000`) or a share of its rows (`general: 0.25`).
    pub take: BTreeMap<String, Take>,
    /// What to do with domains that `take` does not name.
    pub other_domains: OtherDomains,
}

impl QuotaSettings {
    /// Refuses a limit of no rows and a fraction outside (0, 1].
    pub fn validate(&self) -> Result<(), SettingsError> {
        if let Some(limit) = self.max_per_prompt {
            SettingsError::check(limit >= 1, "max_per_prompt", limit, "at least 1")?;
        }
        for (domain, take) in &self.take {
            if let Take::Fraction(share) = *take {
                let key = format!("take.{domain}");
                SettingsError::check(share > 0.0 && share <= 1.0, key, share, "a share above 0 and at most 1")?;
            }
        }
        Ok(())
    }
}

/// The lots of one domain, no more of them than its quota needs.
#[derive(Debug)]
enum Lots {
    /// Every row is kept or every row is dropped: only the count matters.
    Unneeded,
    /// The `limit` smallest so far; the largest of them is on top.
    Smallest { limit: u64, heap: BinaryHeap<u64> },
    /// All: the limit is a share of a number that is known at the end.
    Every { share: f64, lots: Vec<u64> },
}

/// The first pass: counts rows and collects lots.
#[derive(Debug)]
pub struct Quota {
    settings: QuotaSettings,
    seed: u64,
    domains: Vec<DomainLots>,
    /// Where a domain stands in `domains`.
    places: BTreeMap<String, u32>,
    /// For each prompt, the smallest lots with the places of their domains, ascending, no more than the limit.
    prompts: BTreeMap<u128, Vec<(u64, u32)>>,
}

#[derive(Debug)]
struct DomainLots {
    rows: u64,
    under_prompt_limit: u64,
    lots: Lots,
}

impl DomainLots {
    fn new(settings: &QuotaSettings, domain: &str) -> Self {
        let lots = match settings.take.get(domain) {
            None => Lots::Unneeded,
            Some(&Take::Count(limit)) => Lots::Smallest { limit, heap: BinaryHeap::new() },
            Some(&Take::Fraction(share)) => Lots::Every { share, lots: Vec::new() },
        };
        Self { rows: 0, under_prompt_limit: 0, lots }
    }

    fn push(&mut self, lot: u64) {
        self.under_prompt_limit += 1;
        match &mut self.lots {
            Lots::Unneeded => {}
            Lots::Smallest { limit, heap } => {
                heap.push(lot);
                if heap.len() as u64 > *limit {
                    heap.pop();
                }
            }
            Lots::Every { lots, .. } => lots.push(lot),
        }
    }

    /// The rows to keep, as a threshold; `None` keeps all.
    fn admission(self) -> Option<Admission> {
        let (limit, mut lots) = match self.lots {
            Lots::Unneeded => return None,
            Lots::Smallest { limit, heap } => (limit, heap.into_vec()),
            Lots::Every { share, lots } => ((share * lots.len() as f64).round() as u64, lots),
        };
        lots.sort_unstable();
        lots.truncate(limit as usize);
        Some(Admission::of_smallest(&lots))
    }
}

/// Lets through the lots up to a threshold, and of those that equal it only so many: equal lots come from rows that
/// stand twice in the input, and even then no quota is exceeded.
#[derive(Debug, Clone, Copy)]
struct Admission {
    threshold: u64,
    left_at_threshold: u64,
    nothing: bool,
}

impl Admission {
    fn of_smallest(ascending: &[u64]) -> Self {
        let threshold = ascending.last().copied().unwrap_or(0);
        let left_at_threshold = ascending.iter().rev().take_while(|&&lot| lot == threshold).count() as u64;
        Self { threshold, left_at_threshold, nothing: ascending.is_empty() }
    }

    fn admit(&mut self, lot: u64) -> bool {
        if self.nothing || lot > self.threshold {
            return false;
        }
        if lot == self.threshold {
            let admitted = self.left_at_threshold > 0;
            self.left_at_threshold = self.left_at_threshold.saturating_sub(1);
            return admitted;
        }
        true
    }
}

impl Quota {
    /// An empty first pass; `seed` is the stage's.
    pub fn new(settings: QuotaSettings, seed: u64) -> Self {
        Self { settings, seed, domains: Vec::new(), places: BTreeMap::new(), prompts: BTreeMap::new() }
    }

    /// Counts one row.
    pub fn feed(&mut self, example_id: &str, prompt_id: &str, domain: &str) {
        let lot = lot(self.seed, example_id);
        let place = self.places.get(domain).copied().unwrap_or_else(|| {
            let place = self.domains.len() as u32;
            self.places.insert(domain.to_owned(), place);
            self.domains.push(DomainLots::new(&self.settings, domain));
            place
        });
        let entry = &mut self.domains[place as usize];
        entry.rows += 1;
        let Some(limit) = self.settings.max_per_prompt else {
            entry.push(lot);
            return;
        };
        let kept = self.prompts.entry(prompt_key(prompt_id)).or_default();
        let rank = kept.partition_point(|&(other, _)| other <= lot);
        if rank < limit as usize {
            kept.insert(rank, (lot, place));
            kept.truncate(limit as usize);
        }
    }

    /// Ends the first pass: settles which rows stay.
    pub fn finish(mut self) -> Composition {
        let mut prompts = BTreeMap::new();
        for (prompt, kept) in self.prompts {
            let lots: Vec<u64> = kept.iter().map(|&(lot, _)| lot).collect();
            prompts.insert(prompt, Admission::of_smallest(&lots));
            for (lot, place) in kept {
                self.domains[place as usize].push(lot);
            }
        }
        let mut shares = Vec::new();
        let mut domains = BTreeMap::new();
        let mut entries: Vec<Option<DomainLots>> = self.domains.into_iter().map(Some).collect();
        for (domain, take) in &self.settings.take {
            if !self.places.contains_key(domain) {
                let asked = Some(if let Take::Count(count) = *take { count } else { 0 });
                shares.push(DomainShare { domain: domain.clone(), rows: 0, under_prompt_limit: 0, asked });
            }
        }
        for (domain, place) in self.places {
            let entry = entries[place as usize].take().expect("every place belongs to one domain");
            let taken = self.settings.take.get(&domain).copied();
            shares.push(DomainShare {
                domain: domain.clone(),
                rows: entry.rows,
                under_prompt_limit: entry.under_prompt_limit,
                asked: match taken {
                    Some(Take::Count(count)) => Some(count),
                    Some(Take::Fraction(share)) => Some((share * entry.under_prompt_limit as f64).round() as u64),
                    None if self.settings.other_domains == OtherDomains::Drop => Some(0),
                    None => None,
                },
            });
            if taken.is_some() {
                domains.extend(entry.admission().map(|admission| (domain, admission)));
            }
        }
        shares.sort_by(|one, other| one.domain.cmp(&other.domain));
        Composition { settings: self.settings, seed: self.seed, prompts, domains, shares }
    }
}

/// What a domain had and what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomainShare {
    /// The domain.
    pub domain: String,
    /// Rows that were fed.
    pub rows: u64,
    /// Rows left by the limit per prompt.
    pub under_prompt_limit: u64,
    /// Rows asked for; `None` when all are kept. Above `under_prompt_limit`, the domain cannot fill its quota.
    pub asked: Option<u64>,
}

impl DomainShare {
    /// Whether the domain has fewer rows than are asked for.
    pub fn falls_short(&self) -> bool {
        self.asked.is_some_and(|asked| asked > self.under_prompt_limit)
    }
}

/// The second pass: says of each row whether it stays.
#[derive(Debug)]
pub struct Composition {
    settings: QuotaSettings,
    seed: u64,
    prompts: BTreeMap<u128, Admission>,
    domains: BTreeMap<String, Admission>,
    shares: Vec<DomainShare>,
}

impl Composition {
    /// What each domain had and what was asked of it, by domain name; domains that are asked for and have no row too.
    pub fn shares(&self) -> &[DomainShare] {
        &self.shares
    }

    /// Whether the row stays; ask once for each row that was fed, in table order.
    ///
    /// Drop reasons: `over_prompt_limit`, `over_domain_quota`, `domain_not_taken`.
    pub fn keep(&mut self, example_id: &str, prompt_id: &str, domain: &str) -> Result<(), DropReason> {
        if self.settings.other_domains == OtherDomains::Drop && !self.settings.take.contains_key(domain) {
            return Err(DropReason::new("domain_not_taken", domain));
        }
        let lot = lot(self.seed, example_id);
        if let Some(limit) = self.settings.max_per_prompt
            && let Some(admission) = self.prompts.get_mut(&prompt_key(prompt_id))
            && !admission.admit(lot)
        {
            return Err(DropReason::new("over_prompt_limit", format!("at most {limit} rows a prompt")));
        }
        if let Some(admission) = self.domains.get_mut(domain)
            && !admission.admit(lot)
        {
            let asked = self.shares.iter().find(|share| share.domain == domain).and_then(|share| share.asked);
            let detail = asked.map_or_else(String::new, |rows| format!("{rows} rows of {domain} are taken"));
            return Err(DropReason::new("over_domain_quota", detail));
        }
        Ok(())
    }
}

fn lot(seed: u64, example_id: &str) -> u64 {
    derive_seed(seed, "compose", example_id, 0)
}

/// 128 bits of a prompt's id: what the limit per prompt remembers in place of the text.
fn prompt_key(prompt_id: &str) -> u128 {
    let id = id_of("compose", &[prompt_id.as_bytes()]);
    u128::from_str_radix(&id, 16).expect("an id is 32 hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 6 prompts with 5 rows each; prompts 0 to 3 are math, 4 and 5 code.
    fn rows() -> Vec<(String, String, &'static str)> {
        (0..30)
            .map(|row| (format!("e{row}"), format!("p{}", row / 5), if row < 20 { "math" } else { "code" }))
            .collect()
    }

    fn compose(rows: &[(String, String, &'static str)], json: &str, seed: u64) -> (Vec<String>, Vec<&'static str>) {
        let settings: QuotaSettings = serde_json::from_str(json).unwrap();
        settings.validate().unwrap();
        let mut quota = Quota::new(settings, seed);
        for (example, prompt, domain) in rows {
            quota.feed(example, prompt, domain);
        }
        let mut composition = quota.finish();
        let (mut kept, mut dropped) = (Vec::new(), Vec::new());
        for (example, prompt, domain) in rows {
            match composition.keep(example, prompt, domain) {
                Ok(()) => kept.push(example.clone()),
                Err(reason) => dropped.push(reason.reason),
            }
        }
        (kept, dropped)
    }

    fn of_domain(kept: &[String], domain: &str) -> usize {
        rows().iter().filter(|(example, _, of)| *of == domain && kept.contains(example)).count()
    }

    #[test]
    fn nothing_set_keeps_everything() {
        assert_eq!(compose(&rows(), "{}", 1).0.len(), 30);
    }

    #[test]
    fn counts_and_fractions_are_exact() {
        let (kept, dropped) = compose(&rows(), r#"{"take": {"math": 7, "code": 0.25}}"#, 1);
        assert_eq!((of_domain(&kept, "math"), of_domain(&kept, "code")), (7, 3), "a quarter of 10 is rounded up");
        assert!(dropped.iter().all(|&reason| reason == "over_domain_quota"));
        let (kept, dropped) = compose(&rows(), r#"{"take": {"math": 100}, "other_domains": "drop"}"#, 1);
        assert_eq!((kept.len(), dropped), (20, vec!["domain_not_taken"; 10]));
        assert_eq!(of_domain(&compose(&rows(), r#"{"take": {"math": 0}}"#, 1).0, "math"), 0);
    }

    #[test]
    fn a_quota_that_cannot_be_filled_is_known() {
        let json = r#"{"max_per_prompt": 2, "take": {"math": 9, "code": 4, "stem": 3, "logic": 0.5}}"#;
        let mut quota = Quota::new(serde_json::from_str(json).unwrap(), 1);
        for (example, prompt, domain) in rows() {
            quota.feed(&example, &prompt, domain);
        }
        let composition = quota.finish();
        let shares = composition.shares().iter();
        let shares: Vec<_> =
            shares.map(|share| (share.domain.as_str(), share.under_prompt_limit, share.falls_short())).collect();
        assert_eq!(shares, [("code", 4, false), ("logic", 0, false), ("math", 8, true), ("stem", 0, true)]);
    }

    #[test]
    fn the_prompt_limit_goes_first() {
        let (kept, dropped) = compose(&rows(), r#"{"max_per_prompt": 2, "take": {"math": 5}}"#, 1);
        assert_eq!((of_domain(&kept, "math"), of_domain(&kept, "code")), (5, 4));
        assert_eq!(dropped.iter().filter(|&&reason| reason == "over_prompt_limit").count(), 18);
        assert_eq!(dropped.iter().filter(|&&reason| reason == "over_domain_quota").count(), 3);
    }

    #[test]
    fn the_seed_changes_the_choice_and_order_does_not() {
        let json = r#"{"max_per_prompt": 3, "take": {"math": 6}}"#;
        let (kept, _) = compose(&rows(), json, 1);
        assert_ne!(kept, compose(&rows(), json, 2).0);
        let mut turned = rows();
        turned.reverse();
        let mut again = compose(&turned, json, 1).0;
        again.reverse();
        assert_eq!(kept, again);
    }

    #[test]
    fn a_row_that_stands_twice_does_not_exceed_a_quota() {
        let mut rows = rows();
        rows.extend(rows.clone());
        for take in 0..=40 {
            let (kept, _) = compose(&rows, &format!(r#"{{"take": {{"math": {take}}}, "other_domains": "drop"}}"#), 3);
            assert_eq!(kept.len(), take);
        }
        assert_eq!(compose(&rows, r#"{"max_per_prompt": 3}"#, 3).0.len(), 18);
    }

    #[test]
    fn a_fraction_outside_its_range_is_refused() {
        for (share, ok) in [("0.5", true), ("1.0", true), ("1.5", false), ("-0.5", false), ("0.0", false)] {
            let settings: QuotaSettings = serde_json::from_str(&format!(r#"{{"take": {{"math": {share}}}}}"#)).unwrap();
            assert_eq!(settings.validate().is_ok(), ok, "{share}");
        }
        let settings: QuotaSettings = serde_json::from_str(r#"{"take": {"math": 1.5}}"#).unwrap();
        let error = settings.validate().unwrap_err().to_string();
        assert_eq!(error, "`take.math` is `1.5`, allowed is a share above 0 and at most 1");
    }
}
