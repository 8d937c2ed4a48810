//! `filter`: keeps the judged rollouts that meet typed conditions.

use crate::dropping::Dropping;
use crate::lengths::Lengths;
use crate::narrow::Question;
use crate::rows::lengths_of;
use retort_curate::{DropReason, FilterSettings, PromptView, RowView, SettingsError, TextView, filter};
use retort_pipeline::{
    Context, Finished, Input, OutputKind, PipelineError, RowCounts, SettingProblem, Source, StageKind, StageOutput,
    Surroundings,
};
use retort_records::{FinishReason, LengthRow, Prompt, Rollout, Row, VerdictRow};
use retort_tables::{Columns, Follow, RowFunction, apply_rows, follow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

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
        let mut partners = Partners::of(&self.keep, context, input)?;
        context.started(Self::NAME, Some(total), "rows");
        let function = FailedConditions::build(&self.keep).map_err(|error| context.fail(error.to_string()))?;
        let mut writer = context.writer::<VerdictRow>()?;
        let mut dropping = Dropping::new(context)?;
        // A row is dropped once but may fail several conditions.
        let mut failed: BTreeMap<String, u64> = BTreeMap::new();
        let batches =
            verdicts.batches().map(|batch| batch?.into_iter().map(|verdict| partners.join(verdict)).collect());
        apply_rows(&function, batches, |measured| {
            for (row, reasons) in measured {
                for reason in &reasons {
                    *failed.entry(reason.reason.to_owned()).or_default() += 1;
                }
                let verdict = row.verdict;
                match reasons.into_iter().next() {
                    None => writer.push(verdict)?,
                    Some(DropReason { reason, detail }) => {
                        dropping.push(&verdict.rollout_id, &verdict.prompt_id, reason, detail)?;
                    }
                }
            }
            context.advanced(writer.rows() + dropping.count(), &format!("{} dropped", dropping.count()))
        })?;
        let kept = writer.rows();
        let summary = format!("{kept} of {total} kept{}", dropping.in_words());
        let mut output = StageOutput::default();
        output.add(writer)?;
        dropping.warn_of_none_left(context, kept);
        let rows = dropping.finish(&mut output, total, kept)?;
        output.with_facts(&FilterFacts { failed, rows }, summary)
    }
}

/// How a rollout ended.
#[derive(Deserialize)]
struct Ended {
    rollout_id: String,
    finish_reason: FinishReason,
}

impl Columns for Ended {
    type Table = Rollout;
}

/// How a rollout ended, and its text.
#[derive(Deserialize)]
struct Text {
    rollout_id: String,
    finish_reason: FinishReason,
    completion: String,
}

impl Columns for Text {
    type Table = Rollout;
}

/// Where a prompt comes from.
#[derive(Deserialize)]
struct Origin {
    prompt_id: String,
    domain: String,
    language: Option<String>,
    source: String,
}

impl Columns for Origin {
    type Table = Prompt;
}

/// How long a rollout and its reasoning are.
#[derive(Deserialize)]
struct Tokens {
    rollout_id: String,
    total_tokens: u32,
    reasoning_tokens: Option<u32>,
}

impl Columns for Tokens {
    type Table = LengthRow;
}

/// The tables that verdicts are joined with.
struct Partners {
    rollouts: Rollouts,
    prompts: Follow<Origin>,
    lengths: Follow<Tokens>,
}

/// Texts are read where a condition looks at them.
enum Rollouts {
    WithText(Box<(Follow<Text>, Follow<Question>)>),
    WithoutText(Box<Follow<Ended>>),
}

/// A verdict with its partners.
struct Joined {
    verdict: VerdictRow,
    finish_reason: FinishReason,
    texts: Option<(Arc<Text>, Arc<Question>)>,
    prompt: Arc<Origin>,
    lengths: Arc<Tokens>,
}

impl Partners {
    fn of(keep: &FilterSettings, context: &Context<'_>, input: &Finished) -> Result<Self, PipelineError> {
        let rollouts = if keep.reads_text() {
            let texts = follow(input.rows::<Text>()?, |row| &row.rollout_id);
            Rollouts::WithText(Box::new((texts, follow(input.rows::<Question>()?, |row| &row.prompt_id))))
        } else {
            Rollouts::WithoutText(Box::new(follow(input.rows()?, |row| &row.rollout_id)))
        };
        Ok(Self {
            rollouts,
            prompts: follow(input.rows()?, |row| &row.prompt_id),
            lengths: follow(lengths_of(context, input)?.rows()?, |row| &row.rollout_id),
        })
    }

    fn join(&mut self, verdict: VerdictRow) -> Result<Joined, PipelineError> {
        let (rollout, prompt) = (&verdict.rollout_id, &verdict.prompt_id);
        let table = VerdictRow::TABLE;
        let (finish_reason, texts) = match &mut self.rollouts {
            Rollouts::WithText(partners) => {
                let (texts, questions) = partners.as_mut();
                let text = texts.share(table, rollout)?;
                (text.finish_reason, Some((text, questions.share(table, prompt)?)))
            }
            Rollouts::WithoutText(ends) => (ends.partner_of(table, rollout)?.finish_reason, None),
        };
        Ok(Joined {
            finish_reason,
            texts,
            prompt: self.prompts.share(table, prompt)?,
            lengths: self.lengths.share(table, rollout)?,
            verdict,
        })
    }
}

/// The conditions that a rollout fails, in the order of the settings: none keeps it, and the first is what it is dropped for.
struct FailedConditions {
    keep: FilterSettings,
}

impl RowFunction for FailedConditions {
    const NAME: &'static str = "failed_conditions";
    type Settings = FilterSettings;
    type Error = SettingsError;
    type In = Joined;
    type Out = Vec<DropReason>;

    fn build(keep: &FilterSettings) -> Result<Self, SettingsError> {
        keep.validate()?;
        Ok(Self { keep: keep.clone() })
    }

    fn apply(&self, row: &Joined) -> Vec<DropReason> {
        let texts = row.texts.as_ref();
        let view = RowView {
            verdict: &row.verdict,
            finish_reason: row.finish_reason,
            total_tokens: row.lengths.total_tokens,
            reasoning_tokens: row.lengths.reasoning_tokens,
            text: texts.map(|(rollout, _)| TextView::of(&rollout.completion)),
            prompt: PromptView {
                domain: &row.prompt.domain,
                language: row.prompt.language.as_deref(),
                source: &row.prompt.source,
                messages: texts.map_or(&[], |(_, question)| &question.messages),
                reference_answer: texts.and_then(|(_, question)| question.reference_answer.as_deref()),
            },
        };
        filter::failed(&self.keep, &view)
    }
}
