//! `verify`: completions and reference answers to verdicts.

use crate::error::StageError;
use rayon::prelude::*;
use retort_pipeline::{
    Context, Input, OutputKind, PipelineError, RowCounts, SettingProblem, Source, StageKind, StageOutput, Surroundings,
};
use retort_records::{Prompt, Rollout, Row, Verdict, VerdictRow};
use retort_tables::follow;
use retort_verify::{Case, Judgement, Require, Verifier, VerifierSettings, judge};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
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

/// What finished verdicts tell of themselves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerifyFacts {
    /// Rollouts judged.
    #[serde(flatten)]
    pub rows: RowCounts,
    /// Rollouts by verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
}

impl StageKind for Verify {
    const NAME: &'static str = "verify";
    const VERSION: u32 = 2;
    const EXPLAIN: &'static str = include_str!("explain/verify.md");
    type Facts = VerifyFacts;

    fn output(&self) -> OutputKind {
        OutputKind::Verdicts
    }

    fn inputs<'a>(&'a self, _: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        vec![Input { pointer: "/rollouts".into(), source: &self.rollouts, accepts: &[OutputKind::Rollouts] }]
    }

    fn versions(&self, _: &Surroundings<'_>) -> Result<BTreeMap<String, String>, PipelineError> {
        Ok(verifiers_version())
    }

    fn problems(&self, _: &Surroundings<'_>) -> Vec<SettingProblem> {
        verifier_problems(&self.verifiers)
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        let verifiers = build_verifiers(&self.verifiers)?;
        let input = context.input("rollouts")?;
        let rollouts = input.rows::<Rollout>()?;
        let mut prompts = follow(input.rows::<Prompt>()?, |row| &row.prompt_id);
        context.started(Self::NAME, Some(rollouts.total()), "rows");
        let mut writer = context.writer::<VerdictRow>()?;
        let mut verdicts: BTreeMap<Verdict, u64> = BTreeMap::new();
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
                *verdicts.entry(row.verdict).or_default() += 1;
                writer.push(row)?;
            }
            let correct = verdicts.get(&Verdict::Correct).copied().unwrap_or_default();
            context.advanced(done, &format!("{correct} correct"))?;
        }
        let counts = Verdict::ALL
            .map(|verdict| format!("{} {}", verdicts.get(&verdict).copied().unwrap_or_default(), verdict.word()));
        let mut output = StageOutput::default();
        output.add(writer)?;
        let summary = format!("{done} rollouts: {}", counts.join(", "));
        output.with_facts(&VerifyFacts { rows: RowCounts::all_kept(done), verdicts }, summary)
    }
}

/// Settings with which a verifier cannot be built.
pub(super) fn verifier_problems(verifiers: &[VerifierSettings]) -> Vec<SettingProblem> {
    let built = verifiers.iter().enumerate();
    built
        .filter_map(|(index, verifier)| {
            Some(SettingProblem::new(format!("/verifiers/{index}"), verifier.build().err()?.to_string()))
        })
        .collect()
}

/// The verifiers ready to judge.
pub(super) fn build_verifiers(verifiers: &[VerifierSettings]) -> Result<Vec<Box<dyn Verifier>>, StageError> {
    Ok(verifiers.iter().map(VerifierSettings::build).collect::<Result<_, _>>()?)
}

/// The version of the verifiers' rules, as part of a key.
pub(super) fn verifiers_version() -> BTreeMap<String, String> {
    [("verifiers".to_owned(), retort_verify::VERSION.to_owned())].into()
}

/// The verdict by the reference answer as it is written; where that is a JSON list of several texts, the best verdict by any
/// of them.
fn judge_alternatives(verifiers: &[Box<dyn Verifier>], require: Require, case: &Case<'_>) -> Judgement {
    let whole = judge(verifiers, require, case);
    let listed = case.reference_answer.filter(|text| text.starts_with("[\""));
    let alternatives: Vec<String> = listed.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    if alternatives.len() < 2 || whole.verdict == Verdict::Correct {
        return whole;
    }
    let rank = |verdict| match verdict {
        Verdict::Correct => 0,
        Verdict::Undecided => 1,
        Verdict::Incorrect => 2,
    };
    let by_each = alternatives
        .iter()
        .map(|reference| judge(verifiers, require, &Case { reference_answer: Some(reference), ..*case }));
    by_each.min_by_key(|judgement| rank(judgement.verdict)).unwrap_or(whole)
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
    let judgement = judge_alternatives(verifiers, require, &case);
    let verdict = if truncated { judgement.verdict.of_truncated() } else { judgement.verdict };
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
