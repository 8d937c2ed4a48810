//! What must hold for any group of rollouts.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use retort_curate::compose::{Quota, QuotaSettings};
use retort_curate::measure::{MeasureSettings, Outcome, PromptOutcomes, measure};
use retort_curate::statistics::TokenCounts;
use retort_curate::{Candidate, GroupBy, PairKind, PairSettings, SelectRule, kimi_pairs, not_selected_reason, select};
use retort_records::Verdict;

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![Just(Verdict::Correct), Just(Verdict::Incorrect), Just(Verdict::Undecided)]
}

/// Up to 12 samples by up to `teachers` teachers, with few different lengths, so that ties are common.
fn groups(teachers: usize) -> impl Strategy<Value = Vec<Candidate>> {
    let row = (0..teachers, verdicts(), prop::bool::weighted(0.2), prop_oneof![1u32..12, 1u32..1000]);
    prop::collection::vec(row, 0..12).prop_map(|rows| {
        let candidate = |(index, (teacher, verdict, truncated, total_tokens))| Candidate {
            rollout_id: format!("r{index}"),
            teacher: format!("t{teacher}"),
            sample_index: index as u32,
            verdict,
            truncated,
            total_tokens,
        };
        rows.into_iter().enumerate().map(candidate).collect()
    })
}

/// A group and the same group in another order.
fn shuffled(teachers: usize) -> impl Strategy<Value = (Vec<Candidate>, Vec<Candidate>)> {
    groups(teachers).prop_flat_map(|group| (Just(group.clone()), Just(group).prop_shuffle()))
}

fn ids(group: &[Candidate], indices: &[usize]) -> Vec<String> {
    let mut ids: Vec<String> = indices.iter().map(|&index| group[index].rollout_id.clone()).collect();
    ids.sort();
    ids
}

fn settings() -> impl Strategy<Value = PairSettings> {
    (prop_oneof![Just(1.0), Just(1.5), 1.0f64..3.0], any::<bool>(), 1u32..6, any::<bool>(), any::<bool>()).prop_map(
        |(length_ratio, ratio_applies_to_wrong, max_pairs_per_prompt, allow_truncated_rejected, add)| PairSettings {
            length_ratio,
            ratio_applies_to_wrong,
            max_pairs_per_prompt,
            allow_truncated_rejected,
            add_shortest_incorrect: add,
        },
    )
}

proptest! {
    #[test]
    fn order_changes_no_selection((group, other) in shuffled(3), seed: u64) {
        for rule in SelectRule::ALL {
            prop_assert_eq!(ids(&group, &select(rule, &group, seed)), ids(&other, &select(rule, &other, seed)));
        }
    }

    #[test]
    fn what_is_selected_is_correct_and_whole(group in groups(3), seed: u64) {
        let eligible = group.iter().filter(|candidate| candidate.verdict == Verdict::Correct && !candidate.truncated);
        let (count, shortest) = (eligible.clone().count(), eligible.map(|candidate| candidate.total_tokens).min());
        for rule in SelectRule::ALL {
            let chosen = select(rule, &group, seed);
            prop_assert!(chosen.iter().all(|&index| group[index].eligible()));
            prop_assert_eq!(chosen.len(), if rule == SelectRule::AllCorrect { count } else { count.min(1) });
            if rule == SelectRule::ShortestCorrect {
                prop_assert_eq!(chosen.first().map(|&index| group[index].total_tokens), shortest);
            }
            for index in 0..group.len() {
                let (reason, _) = not_selected_reason(rule, &group, index, &chosen);
                prop_assert_eq!(reason == "selected", chosen.contains(&index));
                prop_assert_ne!(reason, "not_selected", "every unchosen candidate has a reason of its own");
            }
        }
    }

    #[test]
    fn groups_hold_every_candidate_once(group in groups(3)) {
        for by in [GroupBy::Prompt, GroupBy::PromptTeacher] {
            let parts = retort_curate::select::groups(by, &group);
            let mut all: Vec<usize> = parts.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..group.len()).collect::<Vec<_>>());
            if by == GroupBy::PromptTeacher {
                prop_assert!(parts.iter().all(|part| part.iter().all(|&i| group[i].teacher == group[part[0]].teacher)));
            }
        }
    }

    #[test]
    fn pairs_obey_the_rule(group in groups(2), settings in settings(), seed: u64) {
        let pairs = kimi_pairs(&group, &settings, seed);
        prop_assert!(pairs.len() <= settings.max_pairs_per_prompt as usize);
        let shortest = group.iter().filter(|candidate| candidate.eligible()).map(|candidate| candidate.total_tokens).min();
        for (place, pair) in pairs.iter().enumerate() {
            let (chosen, rejected) = (&group[pair.chosen], &group[pair.rejected]);
            let (short, long) = (f64::from(chosen.total_tokens), f64::from(rejected.total_tokens));
            prop_assert!(chosen.eligible() && pair.chosen != pair.rejected && chosen.teacher == rejected.teacher);
            prop_assert!(!pairs[..place].contains(pair));
            prop_assert!(!rejected.truncated || settings.allow_truncated_rejected);
            match pair.kind {
                PairKind::CorrectLonger => {
                    prop_assert!(rejected.eligible() && long > short && long >= settings.length_ratio * short * 0.999_999);
                }
                PairKind::IncorrectLonger => {
                    prop_assert!((rejected.verdict == Verdict::Incorrect || rejected.truncated) && long > short);
                    prop_assert!(!settings.ratio_applies_to_wrong || long >= settings.length_ratio * short * 0.999_999);
                }
                PairKind::IncorrectShorter => {
                    prop_assert!(settings.add_shortest_incorrect && rejected.verdict == Verdict::Incorrect && long < short);
                }
            }
            if pair.kind != PairKind::IncorrectShorter {
                prop_assert_eq!(Some(chosen.total_tokens), shortest);
            }
        }
    }

    #[test]
    fn order_changes_no_pair((group, other) in shuffled(1), settings in settings(), seed: u64) {
        let pairs = |group: &[Candidate]| -> Vec<_> {
            kimi_pairs(group, &settings, seed)
                .into_iter()
                .map(|pair| (group[pair.chosen].rollout_id.clone(), group[pair.rejected].rollout_id.clone(), pair.kind))
                .collect()
        };
        prop_assert_eq!(pairs(&group), pairs(&other));
    }

    /// Quotas are met exactly, whatever the rows, also when some stand twice.
    #[test]
    fn quotas_are_met(
        rows in prop::collection::vec((0u32..40, 0u32..8), 0..60),
        count in 0u64..30,
        share in 0.01f64..1.0,
        limit in prop::option::of(1u32..5),
        seed: u64,
    ) {
        // A row's id settles its prompt and domain.
        let rows: Vec<(String, String, &str)> = rows
            .into_iter()
            .map(|(id, _)| (format!("e{id}"), format!("p{}", id % 8), ["math", "code", "other"][id as usize % 8 % 3]))
            .collect();
        let json = serde_json::json!({ "max_per_prompt": limit, "take": { "math": count, "code": share } });
        let settings: QuotaSettings = serde_json::from_value(json).unwrap();
        let mut quota = Quota::new(settings, seed);
        for (id, prompt, domain) in &rows {
            quota.feed(id, prompt, domain);
        }
        let mut composition = quota.finish();
        let shares = composition.shares().to_vec();
        let kept: Vec<_> = rows.iter().filter(|(id, prompt, domain)| composition.keep(id, prompt, domain).is_ok()).collect();
        for share in shares {
            let of_domain = kept.iter().filter(|row| row.2 == share.domain).count() as u64;
            prop_assert_eq!(of_domain, share.asked.unwrap_or(u64::MAX).min(share.under_prompt_limit));
        }
        for prompt in 0..8 {
            let of_prompt = kept.iter().filter(|row| row.1 == format!("p{prompt}")).count();
            prop_assert!(limit.is_none_or(|limit| of_prompt <= limit as usize));
        }
    }

    #[test]
    fn percentiles_agree_with_sorting(mut lengths in prop::collection::vec(0u32..5000, 1..80), percent in 0.0f64..100.0) {
        let mut counts = TokenCounts::default();
        for &length in &lengths {
            counts.add(length);
        }
        lengths.sort_unstable();
        let rank = ((percent / 100.0 * lengths.len() as f64).ceil() as usize).max(1);
        prop_assert_eq!(counts.percentile(percent), Some(lengths[rank - 1]));
    }

    #[test]
    fn measures_stay_in_range(samples in prop::collection::vec((verdicts(), any::<bool>(), 0u32..4, 1u32..100), 1..20), seed: u64) {
        let samples = samples
            .into_iter()
            .map(|(verdict, truncated, class, total_tokens)| Outcome { verdict, truncated, total_tokens, answer_class: (class > 0).then_some(class) })
            .collect();
        let prompts = [PromptOutcomes { prompt_id: "p".into(), samples }];
        let measures = measure(&prompts, &MeasureSettings { pass_at: vec![1, 2], resamples: 100, confidence: 0.9 }, seed);
        let one = measures.pass_at_1.unwrap();
        prop_assert!((0.0..=1.0).contains(&one.value) && one.low == one.value && one.high == one.value);
        prop_assert!((measures.pass_at[0].value.unwrap().value - one.value).abs() < 1e-12);
        prop_assert!(measures.pass_at[1].value.is_none_or(|two| two.value >= one.value - 1e-12));
        prop_assert!((0.0..=1.0).contains(&measures.cons.value.unwrap().value));
    }
}
