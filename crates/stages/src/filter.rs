//! `filter`: keeps the judged rollouts that meet typed conditions.

use super::dropping::Dropping;
use super::rows::lengths_of;
use super::{Context, Made};
use crate::error::PipelineError;
use crate::source::{Kind, Source};
use crate::stage::Input;
use retort_curate::{FilterSettings, RowView, filter};
use retort_records::{LengthRow, Prompt, Rollout, Row, VerdictRow};
use retort_tables::follow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
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

impl Filter {
    pub(crate) fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input { pointer: "/verdicts".into(), source: &self.verdicts, accepts: &[Kind::Verdicts] }]
    }

    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        self.keep.validate().err().map(|error| ("/keep".to_owned(), error.to_string())).into_iter().collect()
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        let input = context.input("verdicts")?;
        let verdicts = input.rows::<VerdictRow>()?;
        let total = verdicts.total();
        let mut rollouts = follow(input.rows::<Rollout>()?, |row| &row.rollout_id);
        let mut prompts = follow(input.rows::<Prompt>()?, |row| &row.prompt_id);
        let mut lengths = follow(lengths_of(context, input)?.rows::<LengthRow>()?, |row| &row.rollout_id);
        context.started("filter", Some(total), "rows");
        let mut writer = context.writer::<VerdictRow>()?;
        let mut dropping = Dropping::new(context)?;
        // A row is dropped once but may fail several conditions.
        let mut failed: BTreeMap<&str, u64> = BTreeMap::new();
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
                        *failed.entry(reason.reason).or_default() += 1;
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
        let mut made = Made { summary, facts: json!({ "failed": failed }), ..Made::default() };
        made.add(writer)?;
        dropping.finish(&mut made, total, kept)?;
        Ok(made)
    }
}
