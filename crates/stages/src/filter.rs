//! `filter`: keeps the judged rollouts that meet typed conditions.

use crate::dropping::Dropping;
use crate::lengths::Lengths;
use crate::rows::lengths_of;
use retort_curate::{FilterSettings, RowView, filter};
use retort_pipeline::{
    Context, Input, OutputKind, PipelineError, RowCounts, SettingProblem, Source, StageKind, StageOutput, Surroundings,
};
use retort_records::{LengthRow, Prompt, Rollout, Row, VerdictRow};
use retort_tables::follow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Keeps the rollouts that meet every condition given; the others go to `dropped` with the first condition they failed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The judged rollouts.
    pub verdicts: Source,
    /// What a row must meet to be kept.
    pub keep: FilterSettings,
}

/// What a finished filter tells of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FilterFacts {
    /// Rows that fail a condition, by condition: a row is dropped once but may fail several.
    pub failed: BTreeMap<String, u64>,
    /// Rows that came and stayed.
    #[serde(flatten)]
    pub rows: RowCounts,
}

impl StageKind for Filter {
    const NAME: &'static str = "filter";
    const VERSION: u32 = 1;
    const EXPLAIN: &'static str = include_str!("explain/filter.md");
    type Facts = FilterFacts;

    fn output(&self) -> OutputKind {
        OutputKind::Verdicts
    }

    fn inputs<'a>(&'a self, _: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        vec![Input { pointer: "/verdicts".into(), source: &self.verdicts, accepts: &[OutputKind::Verdicts] }]
    }

    fn needs(&self) -> &'static [&'static str] {
        &[Lengths::NAME]
    }

    fn problems(&self, _: &Surroundings<'_>) -> Vec<SettingProblem> {
        self.keep.validate().err().map(|error| SettingProblem::new("/keep", error.to_string())).into_iter().collect()
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        let input = context.input("verdicts")?;
        let verdicts = input.rows::<VerdictRow>()?;
        let total = verdicts.total();
        let mut rollouts = follow(input.rows::<Rollout>()?, |row| &row.rollout_id);
        let mut prompts = follow(input.rows::<Prompt>()?, |row| &row.prompt_id);
        let mut lengths = follow(lengths_of(context, input)?.rows::<LengthRow>()?, |row| &row.rollout_id);
        context.started(Self::NAME, Some(total), "rows");
        let mut writer = context.writer::<VerdictRow>()?;
        let mut dropping = Dropping::new(context)?;
        // A row is dropped once but may fail several conditions.
        let mut failed: BTreeMap<String, u64> = BTreeMap::new();
        for (done, verdict) in verdicts.enumerate() {
            let verdict = verdict?;
            let view = RowView {
                rollout: rollouts.partner_of(VerdictRow::TABLE, &verdict.rollout_id)?,
                prompt: prompts.partner_of(VerdictRow::TABLE, &verdict.prompt_id)?,
                verdict: &verdict,
                lengths: lengths.partner_of(VerdictRow::TABLE, &verdict.rollout_id)?,
            };
            match filter::keep(&self.keep, &view) {
                Ok(()) => writer.push(verdict)?,
                Err(drop) => {
                    for reason in filter::all_reasons(&self.keep, &view) {
                        *failed.entry(reason.reason.to_owned()).or_default() += 1;
                    }
                    dropping.push(&verdict.rollout_id, &verdict.prompt_id, drop.reason, drop.detail)?;
                }
            }
            if done % 256 == 255 {
                context.advanced(done as u64 + 1, &format!("{} dropped", dropping.count()))?;
            }
        }
        let kept = writer.rows();
        let summary = format!("{kept} of {total} kept{}", dropping.in_words());
        let mut output = StageOutput::default();
        output.add(writer)?;
        let rows = dropping.finish(&mut output, total, kept)?;
        output.with_facts(&FilterFacts { failed, rows }, summary)
    }
}
