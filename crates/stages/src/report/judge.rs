//! How far a judge agrees with the rules.

use super::passages::{cut, grouped};
use crate::judge::Judge;
use retort_pipeline::{Finished, StageKind};
use retort_records::Verdict;
use retort_report::{Element, Section, Table, TableColumn};

/// What the judge of `stage` settled, the table of its words against the rules', and where both differ; nothing for a stage
/// that did not judge.
pub fn section(stage: &Finished) -> Option<Section> {
    let facts = Judge::facts_of(stage)?;
    let agreement = &facts.agreement;
    let share = agreement.share.map_or("–".to_owned(), |share| format!("{:.1}%", 100.0 * share));
    let kappa = agreement.kappa.map_or("–".to_owned(), |kappa| format!("{kappa:.3}"));
    let mut numbers = vec![
        ("judge".to_owned(), facts.judge.clone()),
        ("rows asked about".to_owned(), grouped(facts.asked)),
        ("of them undecided by the rules".to_owned(), grouped(facts.undecided_asked)),
        ("settled by the judge".to_owned(), grouped(facts.settled)),
        ("decided by both".to_owned(), grouped(agreement.compared)),
        ("agreement on those".to_owned(), share),
        ("Cohen's kappa".to_owned(), kappa),
    ];
    for (method, rows) in &facts.methods {
        numbers.push((format!("replies: {}", method.replace('_', " ")), grouped(*rows)));
    }
    let mut table = Table::new(
        "Rows by what the rules say (down) and what the judge says (across)",
        ["rules", "judge: correct", "judge: incorrect", "judge: undecided"].map(TableColumn::right),
    );
    table.columns[0] = TableColumn::left("rules");
    for rules in Verdict::ALL {
        let count = |said| agreement.counts.get(&rules).and_then(|row| row.get(&said)).copied().map(grouped);
        let cells = Verdict::ALL.map(|said| count(said).unwrap_or_default());
        table.rows.push(std::iter::once(rules.word().to_owned()).chain(cells).collect());
    }
    let examples: Vec<Element> = facts
        .disagreements
        .iter()
        .map(|example| Element::Details {
            summary: format!("{}, judge says {}", example.rules.word(), example.judge.word()),
            elements: vec![Element::KeyValues(vec![
                ("rollout".into(), example.rollout_id.clone()),
                ("extracted answer".into(), example.extracted_answer.clone().unwrap_or_default()),
                ("rules".into(), cut(&example.rules_say, 2000)),
                ("judge".into(), cut(&example.judge_says, 2000)),
            ])],
        })
        .collect();
    let mut elements =
        vec![Element::Paragraph(stage.manifest.summary.clone()), Element::KeyValues(numbers), Element::Table(table)];
    if !examples.is_empty() {
        elements.push(Element::Details { summary: "Disagreements to read".into(), elements: examples });
    }
    Some(Section { title: format!("Judge: {}", stage.name), anchor: format!("{}-judge", stage.name), elements })
}
