//! Rows that a stage removes, written down with their reasons and counted.

use retort_pipeline::{Context, PipelineError, RowCounts, StageOutput};
use retort_records::Dropped;
use retort_tables::TableWriter;
use std::collections::BTreeMap;

/// Collects removed rows.
pub struct Dropping {
    writer: TableWriter<Dropped>,
    reasons: BTreeMap<String, u64>,
    /// The first removed row in words.
    first: Option<String>,
}

impl Dropping {
    pub fn new(context: &Context<'_>) -> Result<Self, PipelineError> {
        Ok(Self { writer: context.writer()?, reasons: BTreeMap::new(), first: None })
    }

    pub fn push(
        &mut self,
        row_id: &str,
        prompt_id: &str,
        drop_reason: &str,
        detail: impl Into<String>,
    ) -> Result<(), PipelineError> {
        *self.reasons.entry(drop_reason.to_owned()).or_default() += 1;
        let detail = detail.into();
        self.first.get_or_insert_with(|| format!("row `{row_id}`: {drop_reason}: {detail}"));
        Ok(self.writer.push(Dropped {
            row_id: row_id.to_owned(),
            prompt_id: prompt_id.to_owned(),
            drop_reason: drop_reason.to_owned(),
            detail,
        })?)
    }

    pub fn count(&self) -> u64 {
        self.reasons.values().sum()
    }

    /// The first removed row with its reason, for an error that needs an example; nothing when there is none.
    pub fn example(&self) -> String {
        self.first.as_ref().map(|first| format!(", first {first}")).unwrap_or_default()
    }

    /// `3 dropped (2 not_json, 1 no_prompt)`, or nothing.
    pub fn in_words(&self) -> String {
        if self.reasons.is_empty() {
            return String::new();
        }
        let parts: Vec<String> = self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        format!(", {} dropped ({})", self.count(), parts.join(", "))
    }

    /// Finishes the table and gives the counts: `rows_in` rows came, `kept` stayed.
    pub fn finish(self, output: &mut StageOutput, rows_in: u64, kept: u64) -> Result<RowCounts, PipelineError> {
        output.add(self.writer)?;
        Ok(RowCounts { rows_in, kept, dropped: self.reasons })
    }
}
