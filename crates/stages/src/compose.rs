//! `compose`: several sets of examples to one corpus, with quotas.

use crate::dropping::Dropping;
use crate::lengths::Lengths;
use crate::rows::{ExampleKey, example_keys, examples};
use retort_curate::compose::{DomainShare, Quota, QuotaSettings};
use retort_curate::statistics::CorpusTable;
use retort_pipeline::{
    Context, Finished, Input, OutputKind, PipelineError, RowCounts, SettingProblem, Source, StageKind, StageOutput,
    Surroundings,
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
        for key in self.each(context, example_keys)? {
            let ExampleKey { example_id, prompt_id, domain } = key?;
            if !seen.contains(&example_id) {
                quota.feed(&example_id, &prompt_id, &domain);
                seen.insert(example_id);
            }
        }
        let mut selection = quota.finish();
        for share in selection.shares().iter().filter(|share| share.falls_short()) {
            let DomainShare { domain, rows, under_prompt_limit: found, asked } = share;
            let limited = if found < rows { format!(" of {rows} under `max_per_prompt`") } else { String::new() };
            let wanted = asked.unwrap_or_default();
            context.warn(&format!(
                "`quota.take.{domain}` cannot be filled: {wanted} examples wanted, {found} found{limited}"
            ));
        }
        let mut writer = context.writer::<SftExample>()?;
        let mut dropping = Dropping::new(context)?;
        let mut corpus = CorpusTable::default();
        let mut total = 0_u64;
        for row in self.each(context, examples)? {
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
    /// What `read` reads of all sets, one after the other.
    fn each<T, I: Iterator<Item = Result<T, PipelineError>>>(
        &self,
        context: &Context<'_>,
        read: fn(&Finished) -> Result<I, PipelineError>,
    ) -> Result<impl Iterator<Item = Result<T, PipelineError>> + use<T, I>, PipelineError> {
        let sets = (0..self.data.len()).map(|index| read(context.input(&format!("data/{index}"))?));
        Ok(sets.collect::<Result<Vec<_>, _>>()?.into_iter().flatten())
    }
}
