//! What a report says about each kind of stage.

use super::passages::{EXAMPLE_CHARACTERS, EXAMPLES, cut, grouped, section};
use crate::narrow::{Completion, Question, Role, TotalTokens, rounds};
use crate::rows::{candidate_groups, lengths_of};
use retort_curate::PairKind;
use retort_curate::statistics::{CorpusTable, GroupStatistics, PairStatistics, TokenCounts, VerdictCounts};
use retort_pipeline::{Context, Finished, PipelineError};
use retort_records::{
    FinishReason, Pair, Prompt, Rollout, Row, Selection, SftExample, Verdict, VerdictRow, completion,
};
use retort_report::plot::{Histogram, Scale, Series, Waterfall, histogram, waterfall};
use retort_report::{Element, Figure, Section, Table, TableColumn};
use retort_tables::{Columns, follow};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// All stages in one table, and where rows were dropped.
pub fn overview(stages: &[&Finished]) -> Section {
    let mut table = Table::new(
        "Stages",
        [
            TableColumn::left("stage"),
            TableColumn::left("kind"),
            TableColumn::right("rows in"),
            TableColumn::right("kept"),
            TableColumn::left("result"),
        ],
    );
    let mut drops = Table::new(
        "Dropped rows by stage and reason",
        [TableColumn::left("stage"), TableColumn::left("reason"), TableColumn::right("rows")],
    );
    let mut figures = Vec::new();
    for stage in stages {
        let manifest = &stage.manifest;
        let rows = manifest.row_counts();
        let shown = |count: Option<u64>| count.map(grouped).unwrap_or_default();
        let (rows_in, kept) = (rows.as_ref().map(|rows| rows.rows_in), rows.as_ref().map(|rows| rows.kept));
        table.rows.push(vec![
            stage.name.clone(),
            manifest.key.kind.clone(),
            shown(rows_in),
            shown(kept),
            manifest.summary.clone(),
        ]);
        let reasons: Vec<(String, u64)> = rows.map(|rows| rows.dropped.into_iter().collect()).unwrap_or_default();
        for (reason, count) in &reasons {
            drops.rows.push(vec![stage.name.clone(), reason.clone(), grouped(*count)]);
        }
        if let (false, Some(rows_in)) = (reasons.is_empty(), rows_in) {
            let names: Vec<&str> = reasons.iter().map(|(reason, _)| reason.as_str()).collect();
            figures.push(Element::Figure(Figure {
                alt: format!("{} of {rows_in} rows are left after dropping {}", shown(kept), names.join(", ")),
                caption: format!("`{}`: from the rows that came to the rows that stayed.", stage.name),
                svg: waterfall(&Waterfall {
                    unit: "rows".into(),
                    start: ("in".into(), rows_in),
                    drops: reasons,
                    end: "kept".into(),
                }),
            }));
        }
    }
    let mut elements = vec![Element::Table(table)];
    if !drops.rows.is_empty() {
        elements.push(Element::Table(drops));
        elements.push(Element::Details { summary: "Drop funnels, stage by stage".into(), elements: figures });
    }
    Section { title: "Overview".into(), anchor: "overview".into(), elements }
}

/// A prompt, where nobody looks at what is said.
#[derive(Deserialize)]
struct Spoken {
    prompt_id: String,
    domain: String,
    messages: Vec<Role>,
}

impl Columns for Spoken {
    type Table = Prompt;
}

/// A rollout without its text.
#[derive(Deserialize)]
struct Sampled {
    prompt_id: String,
    teacher: String,
    finish_reason: FinishReason,
}

impl Columns for Sampled {
    type Table = Rollout;
}

/// Rollouts by domain in the form of R1's table, their ends and their lengths.
pub fn rollouts(context: &Context<'_>, stage: &Finished) -> Result<Section, PipelineError> {
    let mut prompts = follow(stage.rows::<Spoken>()?, |row| &row.prompt_id);
    let mut lengths = lengths_of(context, stage)?.rows::<TotalTokens>()?;
    let mut corpus = CorpusTable::default();
    let mut finished: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut unstated = false;
    let mut by_teacher: BTreeMap<String, (TokenCounts, Vec<f64>)> = BTreeMap::new();
    for rollout in stage.rows::<Sampled>()? {
        let rollout = rollout?;
        let prompt = prompts.partner_of(Rollout::TABLE, &rollout.prompt_id)?;
        let Some(length) = lengths.next().transpose()? else { break };
        corpus.add(&prompt.domain, rounds(&prompt.messages), Some(length.total_tokens));
        match finish_word(rollout.finish_reason) {
            Some(word) => *finished.entry(word).or_default() += 1,
            None => unstated = true,
        }
        let (counts, values) = by_teacher.entry(rollout.teacher).or_default();
        counts.add(length.total_tokens);
        values.push(f64::from(length.total_tokens));
    }
    if unstated {
        unstated_ends(stage, &mut finished)?;
    }
    let mut teachers = Table::new(
        "Completion tokens by teacher",
        ["teacher", "rollouts", "mean", "median", "p90", "longest"].map(TableColumn::right),
    );
    teachers.columns[0] = TableColumn::left("teacher");
    for (teacher, (counts, _)) in &by_teacher {
        let mut row = vec![teacher.clone(), grouped(counts.rows())];
        row.extend(length_cells(counts));
        teachers.rows.push(row);
    }
    let ends = finished.into_iter().map(|(word, count)| (word.to_owned(), grouped(count))).collect();
    let series = by_teacher.into_iter().map(|(name, (_, values))| Series { name, values }).collect();
    let elements = vec![
        corpus_table("Rollouts by domain, in the form of DeepSeek-R1's Table 5", &corpus),
        Element::KeyValues(ends),
        Element::Table(teachers),
        length_figure("completion length (tokens)", series, "How long the completions of each teacher are."),
    ];
    Ok(section("Rollouts", stage, elements))
}

/// A verdict and how it was reached, without the words.
#[derive(Deserialize)]
struct Decided {
    truncated: bool,
    verdict: Verdict,
    checks: Vec<Method>,
}

impl Columns for Decided {
    type Table = VerdictRow;
}

#[derive(Deserialize)]
struct Method {
    verifier: String,
    verdict: Verdict,
    method: String,
}

/// Verdicts by verifier and method, lengths of right and wrong rollouts, and examples of each verdict.
pub fn verdicts(context: &Context<'_>, stage: &Finished) -> Result<Section, PipelineError> {
    let mut counts = VerdictCounts::default();
    for row in stage.rows::<Decided>()? {
        let row = row?;
        counts.add(row.verdict, row.truncated);
        for check in &row.checks {
            counts.add_check(&check.verifier, &check.method, check.verdict);
        }
    }
    let mut groups = GroupStatistics::default();
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for group in candidate_groups(context, stage)?.1 {
        let group = group?;
        for candidate in group.candidates.iter().filter(|candidate| !candidate.truncated) {
            match candidate.verdict {
                Verdict::Correct => right.push(f64::from(candidate.total_tokens)),
                Verdict::Incorrect => wrong.push(f64::from(candidate.total_tokens)),
                Verdict::Undecided => {}
            }
        }
        groups.add(&group.candidates);
    }
    let ratio = groups.shortest_over_mean.mean().map_or("–".to_owned(), |ratio| format!("{ratio:.3}"));
    let facts = [
        ("prompts", grouped(groups.groups)),
        ("rollouts", grouped(groups.rollouts)),
        ("correct", grouped(counts.count(Verdict::Correct))),
        ("incorrect", grouped(counts.count(Verdict::Incorrect))),
        ("undecided", grouped(counts.count(Verdict::Undecided))),
        ("truncated (never correct)", grouped(counts.truncated)),
        ("prompts without a correct rollout", grouped(groups.none_correct)),
        ("prompts with only correct rollouts", grouped(groups.all_correct)),
        ("shortest over mean correct length, mean over prompts with several correct", ratio),
    ];
    let series =
        vec![Series { name: "correct".into(), values: right }, Series { name: "incorrect".into(), values: wrong }];
    let elements = vec![
        Element::KeyValues(facts.map(|(name, value)| (name.to_owned(), value)).into()),
        verdict_table(&counts),
        length_figure(
            "completion length (tokens)",
            series,
            "How long right and wrong completions are; truncated ones are left out.",
        ),
        verdict_examples(stage, &counts)?,
    ];
    Ok(section("Verdicts", stage, elements))
}

fn verdict_table(counts: &VerdictCounts) -> Element {
    let mut table = Table::new(
        "Verdicts by verifier and method",
        ["verifier", "method", "correct", "incorrect", "undecided"].map(TableColumn::right),
    );
    table.columns[0] = TableColumn::left("verifier");
    table.columns[1] = TableColumn::left("method");
    for (verifier, methods) in &counts.by_method {
        for (method, verdicts) in methods {
            let of = |verdict| grouped(verdicts.get(&verdict).copied().unwrap_or_default());
            table.rows.push(vec![
                verifier.clone(),
                method.clone(),
                of(Verdict::Correct),
                of(Verdict::Incorrect),
                of(Verdict::Undecided),
            ]);
        }
    }
    Element::Table(table)
}

/// The first rollouts of each verdict, to read.
fn verdict_examples(stage: &Finished, counts: &VerdictCounts) -> Result<Element, PipelineError> {
    let mut prompts = follow(stage.rows::<Question>()?, |row| &row.prompt_id);
    let mut rollouts = follow(stage.rows::<Completion>()?, |row| &row.rollout_id);
    let mut shown: BTreeMap<Verdict, Vec<Element>> = BTreeMap::new();
    let mut wanted: u64 = counts.joint.values().map(|rows| (*rows).min(EXAMPLES as u64)).sum();
    for row in stage.rows::<VerdictRow>()? {
        if wanted == 0 {
            break;
        }
        let row = row?;
        let elements = shown.entry(row.verdict).or_default();
        if elements.len() >= EXAMPLES {
            continue;
        }
        wanted -= 1;
        let prompt = prompts.partner_of(VerdictRow::TABLE, &row.prompt_id)?;
        let rollout = rollouts.partner_of(VerdictRow::TABLE, &row.rollout_id)?;
        let asked = prompt.last();
        let facts = vec![
            ("teacher".to_owned(), row.teacher.clone()),
            ("reference answer".to_owned(), prompt.reference_answer.clone().unwrap_or_default()),
            ("extracted answer".to_owned(), row.extracted_answer.clone().unwrap_or_default()),
            (
                "why".to_owned(),
                row.checks
                    .iter()
                    .map(|check| format!("{}: {}", check.method, check.reason))
                    .collect::<Vec<_>>()
                    .join("; "),
            ),
        ];
        elements.push(Element::Details {
            summary: cut(asked, 110),
            elements: vec![
                Element::KeyValues(facts),
                Element::Text(cut(asked, EXAMPLE_CHARACTERS)),
                Element::Text(cut(&rollout.completion, EXAMPLE_CHARACTERS)),
            ],
        });
    }
    let elements = shown
        .into_iter()
        .map(|(verdict, elements)| Element::Details {
            summary: format!("{} examples", capital(verdict.word())),
            elements,
        })
        .collect();
    Ok(Element::Details { summary: "Rollouts to read".into(), elements })
}

/// A chosen rollout's length among those of its prompt.
#[derive(Deserialize)]
struct Chosen {
    rule: String,
    total_tokens: u32,
    correct_count: u32,
    mean_correct_tokens: f64,
}

impl Columns for Chosen {
    type Table = Selection;
}

/// What a rule chose, and how its lengths compare with all correct rollouts.
pub fn selection(stage: &Finished) -> Result<Section, PipelineError> {
    let (mut chosen, mut means, mut ratios) = (TokenCounts::default(), 0.0, (0.0, 0_u64));
    let mut rule = String::new();
    for row in stage.rows::<Chosen>()? {
        let row = row?;
        chosen.add(row.total_tokens);
        means += row.mean_correct_tokens;
        if row.correct_count > 1 {
            ratios = (ratios.0 + f64::from(row.total_tokens) / row.mean_correct_tokens, ratios.1 + 1);
        }
        rule = row.rule;
    }
    let rows = chosen.rows();
    let mean = |sum: f64, count: u64| if count == 0 { "–".to_owned() } else { format!("{:.3}", sum / count as f64) };
    let mut facts = vec![("rule".to_owned(), rule), ("chosen rollouts".to_owned(), grouped(rows))];
    let names = ["mean tokens", "median tokens", "p90 tokens", "longest (tokens)"];
    facts.extend(names.map(str::to_owned).into_iter().zip(length_cells(&chosen)));
    facts.push(("mean tokens of all correct rollouts of the same prompts".into(), mean(means, rows)));
    facts.push(("chosen over mean correct length, where several are correct".into(), mean(ratios.0, ratios.1)));
    Ok(section("Selection", stage, vec![Element::KeyValues(facts)]))
}

/// A training example without what is said.
#[derive(Deserialize)]
struct Example {
    domain: String,
    messages: Vec<Role>,
    completion_tokens: Option<u32>,
}

impl Columns for Example {
    type Table = SftExample;
}

/// A corpus in the form of R1's table.
pub fn examples(stage: &Finished) -> Result<Section, PipelineError> {
    let mut corpus = CorpusTable::default();
    for row in stage.rows::<Example>()? {
        let row = row?;
        corpus.add(&row.domain, rounds(&row.messages), row.completion_tokens);
    }
    let table = corpus_table("Training examples by domain, in the form of DeepSeek-R1's Table 5", &corpus);
    Ok(section("Training examples", stage, vec![table]))
}

/// A pair without its texts.
#[derive(Deserialize)]
struct Sides {
    pair_kind: String,
    chosen_tokens: u32,
    rejected_tokens: u32,
}

impl Columns for Sides {
    type Table = Pair;
}

/// How far the sides of the pairs are apart, and pairs to read.
pub fn pairs(stage: &Finished) -> Result<Section, PipelineError> {
    let mut statistics = PairStatistics::default();
    let (mut chosen, mut rejected) = (Vec::new(), Vec::new());
    for pair in stage.rows::<Sides>()? {
        let pair = pair?;
        let kind = serde_json::from_value::<PairKind>(Value::String(pair.pair_kind.clone()));
        if let (Ok(kind), true) = (kind, pair.chosen_tokens > 0) {
            statistics.add(kind, pair.chosen_tokens, pair.rejected_tokens);
            chosen.push(f64::from(pair.chosen_tokens));
            rejected.push(f64::from(pair.rejected_tokens));
        }
    }
    let mut shown = Vec::new();
    for pair in stage.rows::<Pair>()?.take(EXAMPLES) {
        let pair = pair?;
        let asked = pair.prompt.last().map(|message| message.content.as_str()).unwrap_or_default();
        shown.push(Element::Details {
            summary: format!("{} ({} against {} tokens)", cut(asked, 90), pair.chosen_tokens, pair.rejected_tokens),
            elements: vec![
                Element::Paragraph("Chosen".into()),
                Element::Text(cut(&pair.chosen, EXAMPLE_CHARACTERS)),
                Element::Paragraph(format!("Rejected (`{}`)", pair.pair_kind)),
                Element::Text(cut(&pair.rejected, EXAMPLE_CHARACTERS)),
            ],
        });
    }
    let number =
        |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |value| format!("{value:.digits$}"));
    let mut facts = vec![("pairs".to_owned(), grouped(statistics.pairs()))];
    facts.extend(statistics.kinds.iter().map(|(kind, count)| (kind.name().to_owned(), grouped(*count))));
    facts.extend([
        ("mean tokens, chosen".to_owned(), number(statistics.chosen.mean(), 1)),
        ("mean tokens, rejected".to_owned(), number(statistics.rejected.mean(), 1)),
        ("rejected over chosen length, mean".to_owned(), number(statistics.ratio.mean(), 2)),
        ("near ties (under a tenth apart)".to_owned(), grouped(statistics.near_ties)),
    ]);
    let series =
        vec![Series { name: "chosen".into(), values: chosen }, Series { name: "rejected".into(), values: rejected }];
    let elements = vec![
        Element::KeyValues(facts),
        length_figure("completion length (tokens)", series, "How long the two sides of the pairs are."),
        Element::Details { summary: "Pairs to read".into(), elements: shown },
    ];
    Ok(section("Preference pairs", stage, elements))
}

fn corpus_table(caption: &str, corpus: &CorpusTable) -> Element {
    let mut table = Table::new(caption, ["Domain", "Num Samples", "Avg Rounds", "Avg Tokens"].map(TableColumn::right));
    table.columns[0] = TableColumn::left("Domain");
    for row in corpus.rows() {
        let tokens = row.avg_tokens.map_or("–".to_owned(), |tokens| format!("{tokens:.1}"));
        table.rows.push(vec![row.domain, row.num_samples.to_string(), format!("{:.1}", row.avg_rounds), tokens]);
    }
    Element::Table(table)
}

fn length_cells(counts: &TokenCounts) -> [String; 4] {
    let number = |value: Option<u32>| value.map_or("–".to_owned(), |value| grouped(value.into()));
    [
        counts.mean().map_or("–".to_owned(), |mean| format!("{mean:.1}")),
        number(counts.percentile(50.0)),
        number(counts.percentile(90.0)),
        number(counts.max()),
    ]
}

fn length_figure(x_name: &str, series: Vec<Series<f64>>, caption: &str) -> Element {
    let values = || series.iter().flat_map(|series| series.values.iter().copied());
    let (low, high) = values().fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    // Lengths of reasoning spread over orders of magnitude; short ones read better on an even scale.
    let scale = if low >= 1.0 && high > low * 20.0 { Scale::Log } else { Scale::Linear };
    let names: Vec<&str> = series.iter().map(|series| series.name.as_str()).collect();
    Element::Figure(Figure {
        alt: format!("histogram of lengths in tokens of {}", names.join(" and ")),
        caption: caption.to_owned(),
        svg: histogram(&Histogram { x_name: x_name.to_owned(), scale, series }),
    })
}

/// What a rollout did at its end; nothing where its source does not say.
fn finish_word(finish_reason: FinishReason) -> Option<&'static str> {
    match finish_reason {
        FinishReason::Stop => Some("ended by themselves"),
        FinishReason::Length => Some("cut off by the token limit"),
        FinishReason::ContentFilter => Some("withheld by the server"),
        FinishReason::Abort => Some("given up"),
        FinishReason::Unknown => None,
    }
}

/// A rollout's text and its end.
#[derive(Deserialize)]
struct Ended {
    completion: String,
    finish_reason: FinishReason,
}

impl Columns for Ended {
    type Table = Rollout;
}

/// Counts the rollouts whose end is not stated: only their texts tell whether they finished their reasoning.
fn unstated_ends(stage: &Finished, finished: &mut BTreeMap<&'static str, u64>) -> Result<(), PipelineError> {
    for rollout in stage.rows::<Ended>()? {
        let Ended { completion, finish_reason } = rollout?;
        if finish_reason == FinishReason::Unknown {
            let cut_off = finish_reason.truncates_with(completion::split(&completion).form);
            let word = if cut_off { "never finished their reasoning" } else { "end not stated by the source" };
            *finished.entry(word).or_default() += 1;
        }
    }
    Ok(())
}

/// The word with a capital letter.
fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
