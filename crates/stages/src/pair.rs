//! `pair`: preference pairs by the rule of Kimi k1.5.

use crate::dropping::Dropping;
use crate::lengths::Lengths;
use crate::narrow::Completion;
use crate::rows::candidate_groups;
use retort_curate::{Candidate, GroupBy, PairChoice, PairSettings, kimi_pairs, pair};
use retort_pipeline::{
    Context, Input, OutputKind, PipelineError, RowCounts, SettingProblem, Source, StageKind, StageOutput, Surroundings,
};
use retort_records::{Message, Pair as PairRow, Prompt, Row, VerdictRow, id_of};
use retort_tables::{Columns, follow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Pairs the shortest correct rollout of a prompt with longer ones of the same teacher (Kimi k1.5, section 2.4).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The judged rollouts.
    pub verdicts: Source,
    /// The rule's numbers.
    #[serde(default)]
    pub rule: PairSettings,
}

/// What finished pairs tell of themselves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PairFacts {
    /// Pairs.
    pub pairs: u64,
    /// Pairs by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Rollouts that came and stand in a pair.
    #[serde(flatten)]
    pub rows: RowCounts,
}

impl StageKind for Pair {
    const NAME: &'static str = "pair";
    const VERSION: u32 = 1;
    const EXPLAIN: &'static str = include_str!("explain/pair.md");
    type Facts = PairFacts;

    fn output(&self) -> OutputKind {
        OutputKind::Pairs
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

    fn problems(&self, _: &Surroundings<'_>) -> Vec<SettingProblem> {
        self.rule.validate().err().map(|error| SettingProblem::new("/rule", error.to_string())).into_iter().collect()
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        let input = context.input("verdicts")?;
        let (total, groups) = candidate_groups(context, input)?;
        let mut rollouts = follow(input.rows::<Completion>()?, |row| &row.rollout_id);
        let mut prompts = follow(input.rows::<PairPrompt>()?, |row| &row.prompt_id);
        context.started(Self::NAME, Some(total), "rows");
        let mut writer = context.writer::<PairRow>()?;
        let mut dropping = Dropping::new(context)?;
        let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
        let (mut done, mut paired_rollouts) = (0_u64, 0_u64);
        for group in groups {
            let group = group?;
            for indices in retort_curate::select::groups(GroupBy::PromptTeacher, &group.candidates) {
                let part: Vec<Candidate> = indices.iter().map(|index| group.candidates[*index].clone()).collect();
                let pairs = kimi_pairs(&part, &self.rule, context.seed(&group.prompt_id, 0));
                for index in 0..part.len() {
                    if pairs.iter().any(|pair| pair.chosen == index || pair.rejected == index) {
                        paired_rollouts += 1;
                    } else {
                        let (reason, detail) = pair::not_paired_reason(&part, &self.rule, index, &pairs);
                        dropping.push(&part[index].rollout_id, &group.prompt_id, reason, detail)?;
                    }
                }
                if pairs.is_empty() {
                    continue;
                }
                let prompt = prompts.partner_of(VerdictRow::TABLE, &group.prompt_id)?;
                let mut texts = BTreeMap::new();
                for (index, candidate) in part.iter().enumerate() {
                    if pairs.iter().any(|pair| pair.chosen == index || pair.rejected == index) {
                        let rollout = rollouts.partner_of(VerdictRow::TABLE, &candidate.rollout_id)?;
                        texts.insert(index, rollout.completion.clone());
                    }
                }
                for pair in &pairs {
                    *kinds.entry(pair.kind.name().to_owned()).or_default() += 1;
                    writer.push(row(prompt, &part, pair, &texts))?;
                }
            }
            done += group.candidates.len() as u64;
            context.advanced(done, "")?;
        }
        let kept = writer.rows();
        let words: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let summary = format!("{kept} pairs ({}) of {total} rollouts", words.join(", "));
        let mut output = StageOutput::default();
        output.add(writer)?;
        dropping.warn_of_none_left(context, kept);
        let rows = dropping.finish(&mut output, total, paired_rollouts)?;
        output.with_facts(&PairFacts { pairs: kept, kinds, rows }, summary)
    }
}

/// What a pair repeats of its prompt.
#[derive(Deserialize)]
struct PairPrompt {
    prompt_id: String,
    messages: Vec<Message>,
    domain: String,
    beyond_text: Option<String>,
}

impl Columns for PairPrompt {
    type Table = Prompt;
}

fn row(prompt: &PairPrompt, part: &[Candidate], pair: &PairChoice, texts: &BTreeMap<usize, String>) -> PairRow {
    let (chosen, rejected) = (&part[pair.chosen], &part[pair.rejected]);
    let text = |index: usize| texts.get(&index).cloned().unwrap_or_default();
    PairRow {
        pair_id: id_of("pair", &[chosen.rollout_id.as_bytes(), rejected.rollout_id.as_bytes()]),
        prompt_id: prompt.prompt_id.clone(),
        chosen_rollout_id: chosen.rollout_id.clone(),
        rejected_rollout_id: rejected.rollout_id.clone(),
        pair_kind: pair.kind.name().to_owned(),
        domain: prompt.domain.clone(),
        prompt: prompt.messages.clone(),
        chosen: text(pair.chosen),
        rejected: text(pair.rejected),
        chosen_tokens: chosen.total_tokens,
        rejected_tokens: rejected.total_tokens,
        beyond_text: prompt.beyond_text.clone(),
    }
}
