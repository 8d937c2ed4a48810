//! `verify`: completions and reference answers to verdicts.

use crate::error::StageError;
use retort_pipeline::{
    Context, Input, OutputKind, PipelineError, RowCounts, SettingProblem, Source, StageKind, StageOutput, Surroundings,
};
use retort_records::{FinishReason, Message, Prompt, Rollout, Row, Verdict, VerdictRow, completion};
use retort_tables::{Columns, RowFunction, apply_rows, follow};
use retort_verify::{Case, Judgement, Require, Verifier, VerifierSettings, VerifyError, judge};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
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
        let function = self.function(context)?;
        let input = context.input("rollouts")?;
        let rollouts = input.rows::<SampledText>()?;
        let mut prompts = follow(input.rows::<Task>()?, |row| &row.prompt_id);
        context.started(Self::NAME, Some(rollouts.total()), "rows");
        let mut writer = context.writer::<VerdictRow>()?;
        let mut verdicts: BTreeMap<Verdict, u64> = BTreeMap::new();
        let batches = rollouts.batches().map(|batch| {
            let joined = batch?.into_iter().map(|rollout| {
                let prompt = prompts.share(Rollout::TABLE, &rollout.prompt_id)?;
                Ok((rollout, prompt))
            });
            joined.collect::<Result<Vec<_>, PipelineError>>()
        });
        apply_rows(&function, batches, |judged| {
            for (_, row) in judged {
                *verdicts.entry(row.verdict).or_default() += 1;
                writer.push(row)?;
            }
            let correct = verdicts.get(&Verdict::Correct).copied().unwrap_or_default();
            context.advanced(writer.rows(), &format!("{correct} correct"))
        })?;
        let done = writer.rows();
        let counts = Verdict::ALL
            .map(|verdict| format!("{} {}", verdicts.get(&verdict).copied().unwrap_or_default(), verdict.word()));
        let mut output = StageOutput::default();
        output.add(writer)?;
        let summary = format!("{done} rollouts: {}", counts.join(", "));
        output.with_facts(&VerifyFacts { rows: RowCounts::all_kept(done), verdicts }, summary)
    }
}

impl Verify {
    fn function(&self, context: &Context<'_>) -> Result<VerifyRollout, StageError> {
        let (verifiers, require) = (self.verifiers.clone(), self.require);
        Ok(VerifyRollout::build(&VerifySettings { verifiers, require, private_paths: private_paths(context) })?)
    }
}

/// Where programs under test might find what they are tested with: the workspace, and the stores with the prompts.
pub(super) fn private_paths(context: &Context<'_>) -> Vec<PathBuf> {
    let stores = context.inputs.values().flat_map(|input| {
        let tables = input.table_folders(Prompt::TABLE);
        tables.into_iter().chain([input.folder.clone()])
    });
    let mut paths = vec![context.around.resolver.workspace().to_owned(), context.out.path().to_owned()];
    paths.extend(stores.filter_map(|folder| Some(folder.parent()?.to_owned())));
    paths.sort();
    paths.dedup();
    paths
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

/// The text of a rollout, and what its verdict repeats of it.
#[derive(Deserialize)]
pub(super) struct SampledText {
    rollout_id: String,
    prompt_id: String,
    sample_index: u32,
    teacher: String,
    completion: String,
    finish_reason: FinishReason,
}

impl Columns for SampledText {
    type Table = Rollout;
}

impl SampledText {
    /// That of a whole row.
    pub(super) fn of(rollout: &Rollout) -> Self {
        Self {
            rollout_id: rollout.rollout_id.clone(),
            prompt_id: rollout.prompt_id.clone(),
            sample_index: rollout.sample_index,
            teacher: rollout.teacher.clone(),
            completion: rollout.completion.clone(),
            finish_reason: rollout.finish_reason,
        }
    }
}

/// What verifiers look at of a prompt.
#[derive(Deserialize)]
pub(super) struct Task {
    pub(super) prompt_id: String,
    messages: Vec<Message>,
    reference_answer: Option<String>,
    tests: Option<String>,
    language: Option<String>,
}

impl Columns for Task {
    type Table = Prompt;
}

/// The verdict on one rollout, as a row function.
pub(super) struct VerifyRollout {
    verifiers: Vec<Box<dyn Verifier>>,
    require: Require,
}

/// What decides verdicts.
#[derive(Serialize, Deserialize)]
pub(super) struct VerifySettings {
    pub(super) verifiers: Vec<VerifierSettings>,
    pub(super) require: Require,
    /// Folders that programs under test must not see.
    #[serde(default)]
    pub(super) private_paths: Vec<PathBuf>,
}

impl RowFunction for VerifyRollout {
    const NAME: &'static str = "verify_rollout";
    type Settings = VerifySettings;
    type Error = VerifyError;
    type In = (SampledText, Arc<Task>);
    type Out = VerdictRow;

    fn build(settings: &VerifySettings) -> Result<Self, VerifyError> {
        let build = |verifier: &VerifierSettings| verifier.build_beside(&settings.private_paths);
        let verifiers = settings.verifiers.iter().map(build).collect::<Result<_, _>>()?;
        Ok(Self { verifiers, require: settings.require })
    }

    fn apply(&self, (rollout, task): &(SampledText, Arc<Task>)) -> VerdictRow {
        let parts = completion::split(&rollout.completion);
        let truncated = rollout.finish_reason.truncates_with(parts.form);
        let case = Case {
            messages: &task.messages,
            completion: &rollout.completion,
            reasoning: parts.reasoning,
            answer: parts.answer,
            truncated,
            reference_answer: task.reference_answer.as_deref(),
            tests: task.tests.as_deref(),
            language: task.language.as_deref(),
        };
        let judgement = judge_alternatives(&self.verifiers, self.require, &case);
        let verdict = if truncated { judgement.verdict.of_truncated() } else { judgement.verdict };
        VerdictRow {
            rollout_id: rollout.rollout_id.clone(),
            prompt_id: rollout.prompt_id.clone(),
            sample_index: rollout.sample_index,
            teacher: rollout.teacher.clone(),
            truncated,
            verdict,
            extracted_answer: judgement.extracted_answer,
            checks: judgement.checks,
            verifier_version: retort_verify::VERSION.to_owned(),
        }
    }
}
