//! What a filter dropped: counts by reason, and rows to read with the measure that dropped each.

use super::passages::{cut, grouped};
use crate::filter::FilterFacts;
use crate::narrow::{Completion, Question};
use retort_pipeline::{Finished, PipelineError};
use retort_records::{Dropped, Row};
use retort_report::{Element, Section, Table, TableColumn};
use retort_tables::follow;
use std::collections::{BTreeMap, BTreeSet};

/// Rows shown of each reason, spread evenly over the table.
const EXAMPLES: u64 = 10;
/// Characters shown of a text.
const CHARACTERS: usize = 3000;

/// Counts and examples of the rows that `stage` dropped; `None` when it dropped none.
pub fn section(stage: &Finished, facts: &FilterFacts) -> Result<Option<Section>, PipelineError> {
    let (counts, failed) = (&facts.rows.dropped, &facts.failed);
    let rows_in = facts.rows.rows_in;
    if counts.is_empty() || rows_in == 0 {
        return Ok(None);
    }
    let mut table = Table::new(
        "Dropped rows by the first condition they failed; a row may fail several",
        [
            TableColumn::left("reason"),
            TableColumn::right("dropped for it"),
            TableColumn::right("of all rows"),
            TableColumn::right("fail it at all"),
        ],
    );
    let reasons: BTreeSet<&String> = counts.keys().chain(failed.keys()).collect();
    for reason in reasons {
        let (first, any) = (counts.get(reason).copied().unwrap_or(0), failed.get(reason).copied().unwrap_or(0));
        let share = 100.0 * first as f64 / rows_in as f64;
        table.rows.push(vec![format!("`{reason}`"), grouped(first), format!("{share:.2}%"), grouped(any)]);
    }
    let mut prompts = follow(stage.rows::<Question>()?, |row| &row.prompt_id);
    let mut rollouts = follow(stage.rows::<Completion>()?, |row| &row.rollout_id);
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut shown: BTreeMap<String, Vec<Element>> = BTreeMap::new();
    for row in stage.rows::<Dropped>()? {
        let row = row?;
        let number = seen.entry(row.drop_reason.clone()).or_default();
        let step = counts.get(&row.drop_reason).map_or(1, |count| count.div_ceil(EXAMPLES).max(1));
        let wanted = number.is_multiple_of(step);
        *number += 1;
        if !wanted {
            continue;
        }
        let prompt = prompts.partner_of(Dropped::TABLE, &row.prompt_id)?;
        let rollout = rollouts.partner_of(Dropped::TABLE, &row.row_id)?;
        let asked = prompt.last();
        shown.entry(row.drop_reason).or_default().push(Element::Details {
            summary: cut(&row.detail, 160),
            elements: vec![
                Element::KeyValues(vec![
                    ("rollout".into(), row.row_id),
                    ("teacher".into(), rollout.teacher.clone()),
                    ("measure".into(), row.detail),
                ]),
                Element::Text(cut(asked, CHARACTERS)),
                Element::Text(cut(&rollout.completion, CHARACTERS)),
            ],
        });
    }
    let mut elements = vec![Element::Paragraph(stage.manifest.summary.clone()), Element::Table(table)];
    for (reason, examples) in shown {
        let summary = format!("`{reason}`: {} of {} rows to read", examples.len(), grouped(counts[&reason]));
        elements.push(Element::Details { summary, elements: examples });
    }
    let anchor = format!("{}-dropped", stage.name);
    Ok(Some(Section { title: format!("Dropped: {}", stage.name), anchor, elements }))
}
