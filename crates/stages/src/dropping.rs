//! Rows that a stage removes, written down with their reasons and counted.

use retort_pipeline::{Context, PipelineError, RowCounts, StageOutput};
use retort_records::Dropped;
use retort_tables::TableWriter;
use std::collections::BTreeMap;

/// Removed rows that an error names.
const EXAMPLES: usize = 3;

/// Collects removed rows.
pub struct Dropping {
    writer: TableWriter<Dropped>,
    reasons: BTreeMap<String, u64>,
    /// The first removed rows in words.
    examples: Vec<String>,
}

impl Dropping {
    pub fn new(context: &Context<'_>) -> Result<Self, PipelineError> {
        Ok(Self { writer: context.writer()?, reasons: BTreeMap::new(), examples: Vec::new() })
    }

    pub fn push(
        &mut self,
        row_id: &str,
        prompt_id: &str,
        drop_reason: &str,
        detail: impl Into<String>,
    ) -> Result<(), PipelineError> {
        let detail = detail.into();
        *self.reasons.entry(drop_reason.to_owned()).or_default() += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(format!("row `{row_id}`: {drop_reason}: {detail}"));
        }
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

    /// The first removed rows with their reasons, for an error that needs examples; nothing when there are none.
    pub fn example(&self) -> String {
        match self.examples.as_slice() {
            [] => String::new(),
            examples => format!(", first {}", examples.join("; ")),
        }
    }

    /// `3 dropped (2 not_json, 1 no_prompt)`, or nothing.
    pub fn in_words(&self) -> String {
        if self.reasons.is_empty() {
            return String::new();
        }
        let parts: Vec<String> = self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        format!(", {} dropped ({})", self.count(), parts.join(", "))
    }

    /// Says why nothing is left, where that is so: counts by reason and the first removed rows.
    pub fn warn_of_none_left(&self, context: &Context<'_>, kept: u64) {
        if kept == 0 && self.count() > 0 {
            context.warn(&format!("no row is left{}{}", self.in_words(), self.example()));
        }
    }

    /// Finishes the table and gives the counts: `rows_in` rows came, `kept` stayed.
    pub fn finish(self, output: &mut StageOutput, rows_in: u64, kept: u64) -> Result<RowCounts, PipelineError> {
        output.add(self.writer)?;
        Ok(RowCounts { rows_in, kept, dropped: self.reasons })
    }
}
