//! What a report says about training and about measures.

use super::passages::{EXAMPLE_CHARACTERS, EXAMPLES, cut, grouped, section};
use crate::evaluate::Evaluate;
use crate::narrow::Question;
use crate::train::states::STEPS;
use crate::train::{EvalLossFacts, Train};
use retort_pipeline::{Finished, PipelineError, StageKind};
use retort_records::{MeasureRow, Rollout, Row, Verdict, VerdictRow};
use retort_report::plot::{
    Curves, Estimate, Histogram, Scale, Scatter, ScatterPoint, Series, curves, histogram, scatter,
};
use retort_report::{Element, Figure, Section, Table, TableColumn};
use retort_tables::{Columns, follow};
use retort_training::Method;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The loss over the steps of one training; nothing for a checkpoint that was merged.
pub fn training(stage: &Finished) -> Option<Section> {
    let text = std::fs::read_to_string(stage.folder.join(STEPS)).ok()?;
    let steps: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let curve = |name: &str, key: &str| Series {
        name: name.to_owned(),
        values: steps.iter().filter_map(|step| Some((step["step"].as_f64()?, step[key].as_f64()?))).collect(),
    };
    let facts = Train::facts_of(stage)?;
    let method = serde_json::to_value(facts.method).unwrap_or_default();
    let mut rows = vec![
        ("method".to_owned(), method.as_str().unwrap_or_default().to_owned()),
        ("parameters".to_owned(), grouped(facts.parameters as u64)),
        ("steps".to_owned(), grouped(facts.steps as u64)),
        ("tokens through the model".to_owned(), grouped(facts.tokens as u64)),
        ("learning rate".to_owned(), Value::from(facts.training.learning_rate).to_string()),
        ("batch size".to_owned(), facts.training.batch_size.to_string()),
        ("gradient accumulation".to_owned(), facts.training.gradient_accumulation.to_string()),
    ];
    let dpo = facts.method == Method::Dpo;
    let unit = if dpo { "loss (per pair)" } else { "loss (nats per token)" };
    let loss = |caption: &str, what: &str, series| {
        Element::Figure(Figure {
            alt: format!("{what} of `{}` over {} steps", stage.name, steps.len()),
            caption: caption.into(),
            svg: curves(&Curves { x_name: "step".into(), y_name: unit.into(), y_scale: Scale::Linear, series }),
        })
    };
    let held_out = curve("evaluation", "eval_loss");
    let figure = if held_out.values.is_empty() {
        loss("The loss of each step, before its update.", "loss", vec![curve(&stage.name, "loss")])
    } else {
        if let Some(EvalLossFacts { best, best_step, rows: held_out, .. }) = facts.eval_loss {
            rows.push(("evaluation rows".to_owned(), grouped(held_out as u64)));
            let lowest = format!("{best:.4}, step {}", grouped(best_step as u64));
            rows.push(("lowest evaluation loss".to_owned(), lowest));
        }
        loss(
            "The loss of each step, before its update, and the loss of the rows that are held out, after it.",
            "training and evaluation loss",
            vec![curve("training", "loss"), held_out],
        )
    };
    let mut elements = vec![Element::KeyValues(rows), figure];
    if dpo {
        elements.push(Element::Figure(Figure {
            alt: format!("share of pairs that `{}` prefers rightly, over {} steps", stage.name, steps.len()),
            caption: "Share of each step's pairs whose chosen completion became more probable than the rejected one."
                .into(),
            svg: curves(&Curves {
                x_name: "step".into(),
                y_name: "pairs preferred rightly (share)".into(),
                y_scale: Scale::Linear,
                series: vec![curve(&stage.name, "preferred")],
            }),
        }));
    }
    Some(section("Training", stage, elements))
}

/// Accuracy against tokens, all measures with intervals, differences from the first checkpoint, lengths, and completions.
pub fn measures(stage: &Finished) -> Result<Section, PipelineError> {
    let rows: Vec<MeasureRow> = stage.rows::<MeasureRow>()?.collect::<Result<_, _>>()?;
    let points = rows.iter().map(|row| ScatterPoint {
        label: row.checkpoint.clone(),
        x: Estimate { value: row.mean_tokens, low: row.mean_tokens_low, high: row.mean_tokens_high },
        y: Estimate { value: 100.0 * row.accuracy, low: 100.0 * row.accuracy_low, high: 100.0 * row.accuracy_high },
    });
    let confidence = Evaluate::facts_of(stage).map_or(0.95, |facts| facts.confidence) * 100.0;
    let mut elements = vec![
        Element::Figure(Figure {
            alt: format!(
                "accuracy against mean completion length: {}",
                rows.iter()
                    .map(|row| format!(
                        "{} {:.1} % in {:.0} tokens",
                        row.checkpoint,
                        100.0 * row.accuracy,
                        row.mean_tokens
                    ))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            caption: format!(
                "Accuracy against length; whiskers are {confidence:.0} % bootstrap intervals over prompts."
            ),
            svg: scatter(&Scatter {
                x_name: "mean completion length (tokens)".into(),
                y_name: "accuracy, pass@1 (%)".into(),
                x_scale: Scale::Linear,
                points: points.collect(),
            }),
        }),
        measure_table(&rows),
    ];
    elements.extend(difference_table(&rows));
    elements.push(lengths(stage, &rows)?);
    elements.push(completions(stage)?);
    Ok(section("Evaluation", stage, elements))
}

fn percent(value: f64, low: f64, high: f64) -> String {
    format!("{:.1} [{:.1}, {:.1}]", 100.0 * value, 100.0 * low, 100.0 * high)
}

fn measure_table(rows: &[MeasureRow]) -> Element {
    let n = rows.first().map_or(0, |row| row.n);
    let mut table = Table::new(
        format!("Measures over {} prompts, {n} samples each", rows.first().map_or(0, |row| row.prompts)),
        [
            TableColumn::left("checkpoint"),
            TableColumn::right("accuracy (%)"),
            TableColumn::right(format!("cons@{n} (%)")),
            TableColumn::right("mean tokens"),
            TableColumn::right("median"),
            TableColumn::right("p90"),
            TableColumn::right("mean tokens, correct"),
            TableColumn::right("cut off (%)"),
        ],
    );
    for row in rows {
        table.rows.push(vec![
            row.checkpoint.clone(),
            percent(row.accuracy, row.accuracy_low, row.accuracy_high),
            percent(row.cons, row.cons_low, row.cons_high),
            format!("{:.1} [{:.1}, {:.1}]", row.mean_tokens, row.mean_tokens_low, row.mean_tokens_high),
            grouped(row.median_tokens.into()),
            grouped(row.p90_tokens.into()),
            row.mean_correct_tokens.map_or("–".into(), |tokens| format!("{tokens:.1}")),
            format!("{:.1}", 100.0 * row.truncation_rate),
        ]);
    }
    Element::Table(table)
}

fn difference_table(rows: &[MeasureRow]) -> Option<Element> {
    let first = rows.first()?;
    let mut table = Table::new(
        format!("Differences from `{}` on the same prompts, paired bootstrap", first.checkpoint),
        ["checkpoint", "accuracy (points)", "mean tokens", "tokens, ratio", "accuracy-efficiency score"]
            .map(TableColumn::right),
    );
    table.columns[0] = TableColumn::left("checkpoint");
    for row in &rows[1..] {
        let (Some(accuracy), Some(tokens)) = (row.accuracy_difference, row.tokens_difference) else { continue };
        let end = |value: Option<f64>| value.unwrap_or(f64::NAN);
        table.rows.push(vec![
            row.checkpoint.clone(),
            percent(accuracy, end(row.accuracy_difference_low), end(row.accuracy_difference_high)),
            format!("{tokens:.1} [{:.1}, {:.1}]", end(row.tokens_difference_low), end(row.tokens_difference_high)),
            row.tokens_ratio.map_or("–".into(), |ratio| format!("{ratio:.3}")),
            row.aes.map_or("–".into(), |aes| format!("{aes:.3}")),
        ]);
    }
    (!table.rows.is_empty()).then_some(Element::Table(table))
}

/// A completion's length and whose it is.
#[derive(Deserialize)]
struct TokensOf {
    teacher: String,
    completion_tokens: Option<u32>,
}

impl Columns for TokensOf {
    type Table = Rollout;
}

/// A completion to read.
#[derive(Deserialize)]
struct Sampled {
    rollout_id: String,
    prompt_id: String,
    sample_index: u32,
    teacher: String,
    completion: String,
    completion_tokens: Option<u32>,
}

impl Columns for Sampled {
    type Table = Rollout;
}

/// The verdict on it.
#[derive(Deserialize)]
struct Decided {
    rollout_id: String,
    verdict: Verdict,
}

impl Columns for Decided {
    type Table = VerdictRow;
}

/// In the order of the measures, so that a checkpoint has one colour in all figures.
fn lengths(stage: &Finished, rows: &[MeasureRow]) -> Result<Element, PipelineError> {
    let mut tokens: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for rollout in stage.rows::<TokensOf>()? {
        let rollout = rollout?;
        tokens.entry(rollout.teacher).or_default().push(f64::from(rollout.completion_tokens.unwrap_or_default()));
    }
    let names: Vec<&str> = rows.iter().map(|row| row.checkpoint.as_str()).collect();
    let alt = format!("histogram of completion lengths in tokens of {}", names.join(" and "));
    let series =
        names.iter().map(|name| Series { name: (*name).to_owned(), values: tokens.remove(*name).unwrap_or_default() });
    Ok(Element::Figure(Figure {
        alt,
        caption: "How long the completions of each checkpoint are.".into(),
        svg: histogram(&Histogram {
            x_name: "completion length (tokens)".into(),
            scale: Scale::Linear,
            series: series.collect(),
        }),
    }))
}

/// The first sample of each checkpoint for the first prompts, side by side to read.
fn completions(stage: &Finished) -> Result<Element, PipelineError> {
    let mut prompts = follow(stage.rows::<Question>()?, |row| &row.prompt_id);
    let mut verdicts = follow(stage.rows::<Decided>()?, |row| &row.rollout_id);
    let mut shown: Vec<(String, String, Vec<Element>)> = Vec::new();
    for rollout in stage.rows::<Sampled>()? {
        let rollout = rollout?;
        if rollout.sample_index > 0 {
            continue;
        }
        if shown.last().is_none_or(|(prompt_id, _, _)| *prompt_id != rollout.prompt_id) {
            if shown.len() == EXAMPLES {
                break;
            }
            let prompt = prompts.partner_of(Rollout::TABLE, &rollout.prompt_id)?;
            shown.push((rollout.prompt_id.clone(), prompt.last().to_owned(), Vec::new()));
        }
        let verdict = verdicts.partner_of(Rollout::TABLE, &rollout.rollout_id)?;
        if let Some((_, _, elements)) = shown.last_mut() {
            let tokens = rollout.completion_tokens.unwrap_or_default();
            let verdict = verdict.verdict.word();
            elements.push(Element::Paragraph(format!("`{}`: {verdict}, {tokens} tokens", rollout.teacher)));
            elements.push(Element::Text(cut(&rollout.completion, EXAMPLE_CHARACTERS)));
        }
    }
    let elements = shown
        .into_iter()
        .map(|(_, asked, elements)| Element::Details { summary: cut(&asked, 110), elements })
        .collect();
    Ok(Element::Details { summary: "Completions to read".into(), elements })
}
