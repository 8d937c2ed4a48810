//! `compose`: several sets of examples to one corpus, with quotas.

use crate::dropping::Dropping;
use crate::lengths::Lengths;
use crate::rows::examples;
use retort_curate::compose::{Quota, QuotaSettings};
use retort_curate::statistics::CorpusTable;
use retort_pipeline::{
    Context, Input, OutputKind, PipelineError, RowCounts, SettingProblem, Source, StageKind, StageOutput, Surroundings,
};
use retort_records::SftExample;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Concatenates sets of examples in the order given, then applies quotas per prompt and domain.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compose {
    /// Selections and sets of training examples.
    #[schemars(length(min = 1))]
    pub data: Vec<Source>,
    /// How much to take. By default everything.
    #[serde(default)]
    pub quota: QuotaSettings,
}

/// What a finished corpus tells of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ComposeFacts {
    /// The corpus by domain, in the form of DeepSeek-R1's Table 5.
    pub corpus: String,
    /// Examples that came and were taken.
    #[serde(flatten)]
    pub rows: RowCounts,
}

impl StageKind for Compose {
    const NAME: &'static str = "compose";
    const VERSION: u32 = 1;
    const EXPLAIN: &'static str = include_str!("explain/compose.md");
    type Facts = ComposeFacts;

    fn output(&self) -> OutputKind {
        OutputKind::Sft
    }

    fn inputs<'a>(&'a self, _: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        let sources = self.data.iter().enumerate();
        sources
            .map(|(index, source)| Input {
                pointer: format!("/data/{index}"),
                source,
                accepts: &[OutputKind::Selection, OutputKind::Sft],
            })
            .collect()
    }

    fn needs(&self) -> &'static [&'static str] {
        &[Lengths::NAME]
    }

    fn uses_seed(&self) -> bool {
        true
    }

    fn problems(&self, _: &Surroundings<'_>) -> Vec<SettingProblem> {
        self.quota.validate().err().map(|error| SettingProblem::new("/quota", error.to_string())).into_iter().collect()
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        context.started(Self::NAME, None, "rows");
        let mut quota = Quota::new(self.quota.clone(), context.seed("", 0));
        let mut seen = BTreeSet::new();
        for row in self.rows(context)? {
            let row = row?;
            if seen.insert(row.example_id.clone()) {
                quota.feed(&row.example_id, &row.prompt_id, &row.domain);
            }
        }
        let mut selection = quota.finish();
        let mut writer = context.writer::<SftExample>()?;
        let mut dropping = Dropping::new(context)?;
        let mut corpus = CorpusTable::default();
        let mut total = 0_u64;
        for row in self.rows(context)? {
            let row = row?;
            total += 1;
            if !seen.remove(&row.example_id) {
                dropping.push(&row.example_id, &row.prompt_id, "duplicate_example", "given by an earlier set")?;
                continue;
            }
            match selection.keep(&row.example_id, &row.prompt_id, &row.domain) {
                Ok(()) => {
                    corpus.add_example(&row);
                    writer.push(row)?;
                }
                Err(drop) => dropping.push(&row.example_id, &row.prompt_id, drop.reason, drop.detail)?,
            }
            if total.is_multiple_of(256) {
                context.advanced(total, "")?;
            }
        }
        let kept = writer.rows();
        let summary = format!("{kept} of {total} examples{}", dropping.in_words());
        let mut output = StageOutput::default();
        output.add(writer)?;
        let rows = dropping.finish(&mut output, total, kept)?;
        output.with_facts(&ComposeFacts { corpus: corpus.to_text(), rows }, summary)
    }
}

impl Compose {
    /// The rows of all sets, one after the other.

    fn rows(
        &self,
        context: &Context<'_>,
    ) -> Result<impl Iterator<Item = Result<SftExample, PipelineError>> + use<>, PipelineError> {
        let sets = (0..self.data.len())
            .map(|index| examples(context.input(&format!("data/{index}"))?))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(sets.into_iter().flatten())
    }
}
