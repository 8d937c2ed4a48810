//! `verify`: completions and reference answers to verdicts.

use super::{Context, Made};
use crate::error::PipelineError;
use crate::source::{Kind, Source};
use crate::stage::Input;
use rayon::prelude::*;
use retort_records::{Prompt, Rollout, Row, Verdict, VerdictRow};
use retort_tables::follow;
use retort_verify::{Case, Require, Verifier, VerifierSettings, judge};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Judges rollouts against the reference answers of their prompts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// The rollouts to judge.
    pub rollouts: Source,
    /// The verifiers, each a bare name or a map of a name to its settings.
    #[schemars(length(min = 1))]
    pub verifiers: Vec<VerifierSettings>,
    /// How the verifiers' verdicts become one.
    #[serde(default)]
    pub require: Require,
}

impl Verify {
    pub(crate) fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input { pointer: "/rollouts".into(), source: &self.rollouts, accepts: &[Kind::Rollouts] }]
    }

    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let built = self.verifiers.iter().enumerate();
        built
            .filter_map(|(index, verifier)| Some((format!("/verifiers/{index}"), verifier.build().err()?.to_string())))
            .collect()
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        let verifiers: Vec<Box<dyn Verifier>> =
            self.verifiers.iter().map(VerifierSettings::build).collect::<Result<_, _>>()?;
        let input = context.input("rollouts")?;
        let rollouts = input.rows::<Rollout>()?;
        let mut prompts = follow(input.rows::<Prompt>()?, |row| &row.prompt_id);
        context.started("verify", Some(rollouts.total()), "rows");
        let mut writer = context.writer::<VerdictRow>()?;
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        let mut done = 0_u64;
        for batch in rollouts.batches() {
            let mut current: Option<Arc<Prompt>> = None;
            let mut cases = Vec::new();
            for rollout in batch? {
                let known = current.as_ref().filter(|prompt| prompt.prompt_id == rollout.prompt_id);
                let prompt = match known {
                    Some(prompt) => Arc::clone(prompt),
                    None => Arc::new(prompts.partner_of(Rollout::TABLE, &rollout.prompt_id)?.clone()),
                };
                current = Some(Arc::clone(&prompt));
                cases.push((prompt, rollout));
            }
            let judged: Vec<VerdictRow> = cases
                .into_par_iter()
                .map(|(prompt, rollout)| judge_rollout(&verifiers, self.require, &prompt, rollout))
                .collect();
            done += judged.len() as u64;
            for row in judged {
                *counts.entry(word(row.verdict)).or_default() += 1;
                writer.push(row)?;
            }
            let of = |verdict| counts.get(verdict).copied().unwrap_or_default();
            context.advanced(done, &format!("{} correct", of("correct")))?;
        }
        let of = |verdict| counts.get(verdict).copied().unwrap_or_default();
        let summary = format!(
            "{done} rollouts: {} correct, {} incorrect, {} undecided",
            of("correct"),
            of("incorrect"),
            of("undecided")
        );
        let facts = json!({ "rows_in": done, "kept": done, "verdicts": counts });
        let mut made = Made { facts, summary, ..Made::default() };
        made.add(writer)?;
        Ok(made)
    }
}

/// The verdict on one rollout.
pub(super) fn judge_rollout(
    verifiers: &[Box<dyn Verifier>],
    require: Require,
    prompt: &Prompt,
    rollout: Rollout,
) -> VerdictRow {
    let truncated = rollout.truncated();
    let case = Case {
        messages: &prompt.messages,
        completion: &rollout.completion,
        reasoning: rollout.reasoning.as_deref(),
        answer: rollout.answer.as_deref(),
        truncated,
        reference_answer: prompt.reference_answer.as_deref(),
        tests: prompt.tests.as_deref(),
        language: prompt.language.as_deref(),
    };
    let judgement = judge(verifiers, require, &case);
    // No verifier may call a truncated completion right, whatever it checks.
    let verdict = match judgement.verdict {
        Verdict::Correct if truncated => Verdict::Incorrect,
        verdict => verdict,
    };
    VerdictRow {
        rollout_id: rollout.rollout_id,
        prompt_id: rollout.prompt_id,
        sample_index: rollout.sample_index,
        teacher: rollout.teacher,
        truncated,
        verdict,
        extracted_answer: judgement.extracted_answer,
        checks: judgement.checks,
        verifier_version: retort_verify::VERSION.to_owned(),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Correct => "correct",
        Verdict::Incorrect => "incorrect",
        Verdict::Undecided => "undecided",
    }
}
