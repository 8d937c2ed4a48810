//! How far a judge agrees with the rules.

use super::sections::{cut, grouped};
use crate::inputs::Finished;
use retort_report::{Element, Section, Table, TableColumn};
use serde_json::Value;

const WORDS: [&str; 3] = ["correct", "incorrect", "undecided"];

/// What the judge of `stage` settled, the table of its words against the rules', and where both differ.
pub fn section(stage: &Finished) -> Section {
    let facts = &stage.manifest.facts;
    let count = |value: &Value| value.as_u64().map(grouped).unwrap_or_default();
    let agreement = &facts["agreement"];
    let share = agreement["share"].as_f64().map_or("–".to_owned(), |share| format!("{:.1}%", 100.0 * share));
    let kappa = agreement["kappa"].as_f64().map_or("–".to_owned(), |kappa| format!("{kappa:.3}"));
    let mut numbers = vec![
        ("judge".to_owned(), facts["judge"].as_str().unwrap_or_default().to_owned()),
        ("rows asked about".to_owned(), count(&facts["asked"])),
        ("of them undecided by the rules".to_owned(), count(&facts["undecided_asked"])),
        ("settled by the judge".to_owned(), count(&facts["settled"])),
        ("decided by both".to_owned(), count(&agreement["compared"])),
        ("agreement on those".to_owned(), share),
        ("Cohen's kappa".to_owned(), kappa),
    ];
    for (method, rows) in facts["methods"].as_object().into_iter().flatten() {
        numbers.push((format!("replies: {}", method.replace('_', " ")), count(rows)));
    }
    let mut table = Table::new(
        "Rows by what the rules say (down) and what the judge says (across)",
        ["rules", "judge: correct", "judge: incorrect", "judge: undecided"].map(TableColumn::right),
    );
    table.columns[0] = TableColumn::left("rules");
    for rules in WORDS {
        let cells = WORDS.map(|said| count(&agreement["counts"][rules][said]));
        table.rows.push(std::iter::once(rules.to_owned()).chain(cells).collect());
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let examples: Vec<Element> = facts["disagreements"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|example| Element::Details {
            summary: format!("{}, judge says {}", text(&example["rules"]), text(&example["judge"])),
            elements: vec![Element::KeyValues(vec![
                ("rollout".into(), text(&example["rollout_id"])),
                ("extracted answer".into(), text(&example["extracted_answer"])),
                ("rules".into(), cut(&text(&example["rules_say"]), 2000)),
                ("judge".into(), cut(&text(&example["judge_says"]), 2000)),
            ])],
        })
        .collect();
    let mut elements =
        vec![Element::Paragraph(stage.manifest.summary.clone()), Element::KeyValues(numbers), Element::Table(table)];
    if !examples.is_empty() {
        elements.push(Element::Details { summary: "Disagreements to read".into(), elements: examples });
    }
    Section { title: format!("Judge: {}", stage.name), anchor: format!("{}-judge", stage.name), elements }
}
