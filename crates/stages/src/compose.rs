//! `compose`: several sets of examples to one corpus, with quotas.

use super::dropping::Dropping;
use super::rows::examples;
use super::{Context, Made};
use crate::error::PipelineError;
use crate::source::{Kind, Source};
use crate::stage::Input;
use retort_curate::compose::{Quota, QuotaSettings};
use retort_curate::statistics::CorpusTable;
use retort_records::SftExample;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
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

impl Compose {
    pub(crate) fn inputs(&self) -> Vec<Input<'_>> {
        let sources = self.data.iter().enumerate();
        sources
            .map(|(index, source)| Input {
                pointer: format!("/data/{index}"),
                source,
                accepts: &[Kind::Selection, Kind::Sft],
            })
            .collect()
    }

    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        self.quota.validate().err().map(|error| ("/quota".to_owned(), error.to_string())).into_iter().collect()
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        context.started("compose", None, "rows");
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
        let mut made = Made {
            facts: json!({ "corpus": corpus.to_text() }),
            summary: format!("{kept} of {total} examples{}", dropping.in_words()),
            ..Made::default()
        };
        made.add(writer)?;
        dropping.finish(&mut made, total, kept)?;
        Ok(made)
    }

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
