//! `select`: chooses rollouts per prompt.

use crate::dropping::Dropping;
use crate::lengths::Lengths;
use crate::rows::candidate_groups;
use retort_curate::{Candidate, GroupBy, SelectRule, not_selected_reason, select};
use retort_pipeline::{
    Context, Input, OutputKind, PipelineError, RowCounts, Source, StageKind, StageOutput, Surroundings,
};
use retort_records::Selection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Chooses correct, complete rollouts by a rule, prompt by prompt.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// The judged rollouts.
    pub verdicts: Source,
    /// The rule.
    pub rule: SelectRule,
    /// Whether the rule looks at all rollouts of a prompt together, or at each teacher's apart.
    #[serde(default)]
    pub group_by: GroupBy,
}

/// What a finished selection tells of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SelectFacts {
    /// The rule.
    pub rule: String,
    /// Prompts with rollouts.
    pub prompts: u64,
    /// Prompts of which no rollout was chosen.
    pub prompts_without: u64,
    /// Rollouts that came and were chosen.
    #[serde(flatten)]
    pub rows: RowCounts,
}

impl StageKind for Select {
    const NAME: &'static str = "select";
    const VERSION: u32 = 1;
    const EXPLAIN: &'static str = include_str!("explain/select.md");
    type Facts = SelectFacts;

    fn output(&self) -> OutputKind {
        OutputKind::Selection
    }

    fn inputs<'a>(&'a self, _: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        vec![Input { pointer: "/verdicts".into(), source: &self.verdicts, accepts: &[OutputKind::Verdicts] }]
    }

    fn needs(&self) -> &'static [&'static str] {
        &[Lengths::NAME]
    }

    fn uses_seed(&self) -> bool {
        true
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        let (total, groups) = candidate_groups(context, context.input("verdicts")?)?;
        context.started(Self::NAME, Some(total), "rows");
        let mut writer = context.writer::<Selection>()?;
        let mut dropping = Dropping::new(context)?;
        let (mut done, mut prompts, mut without) = (0_u64, 0_u64, 0_u64);
        for group in groups {
            let group = group?;
            prompts += 1;
            let mut chosen_any = false;
            for indices in retort_curate::select::groups(self.group_by, &group.candidates) {
                let part: Vec<Candidate> = indices.iter().map(|index| group.candidates[*index].clone()).collect();
                let chosen = select(self.rule, &part, context.seed(&group.prompt_id, 0));
                let lengths = retort_curate::select::eligible_lengths(&part);
                chosen_any |= !chosen.is_empty();
                for (index, candidate) in part.iter().enumerate() {
                    if chosen.contains(&index) {
                        writer.push(Selection {
                            rollout_id: candidate.rollout_id.clone(),
                            prompt_id: group.prompt_id.clone(),
                            sample_index: candidate.sample_index,
                            rule: self.rule.name().to_owned(),
                            total_tokens: candidate.total_tokens,
                            correct_count: lengths.count,
                            mean_correct_tokens: lengths.mean(),
                        })?;
                    } else {
                        let (reason, detail) = not_selected_reason(self.rule, &part, index, &chosen);
                        dropping.push(&candidate.rollout_id, &group.prompt_id, reason, detail)?;
                    }
                }
            }
            without += u64::from(!chosen_any);
            done += group.candidates.len() as u64;
            context.advanced(done, "")?;
        }
        let kept = writer.rows();
        let summary = format!("{kept} of {total} rollouts chosen for {} of {prompts} prompts", prompts - without);
        let mut output = StageOutput::default();
        output.add(writer)?;
        dropping.warn_of_none_left(context, kept);
        let rows = dropping.finish(&mut output, total, kept)?;
        let rule = self.rule.name().to_owned();
        output.with_facts(&SelectFacts { rule, prompts, prompts_without: without, rows }, summary)
    }
}
