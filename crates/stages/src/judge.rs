//! `judge`: a model judges what the rules leave undecided, and a sample of what they decided, to see how far both agree.

use super::asking::{self, Asker, Entry, Outcome};
use super::{Context, Made};
use crate::error::PipelineError;
use crate::inputs::Finished;
use crate::source::{Kind, Source};
use crate::stage::Input;
use retort_records::{
    Check, FinishReason, JudgementRow, Prompt, Rollout, Row, Telemetry, Verdict, VerdictRow, completion, derive_seed,
    id_of,
};
use retort_tables::follow;
use retort_teacher::{Request, Sampling, TeacherSettings};
use retort_verify::judge::{Agreement, Opinion, Order, Shown, VERSION, combine, messages, read};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt::Write;

/// Disagreements whose texts the record keeps.
const EXAMPLES: usize = 10;

/// Asks a model whether a prediction means the same as its reference answer, where the rules could not tell.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// The verdicts of the rules.
    pub verdicts: Source,
    /// Whom to ask: a server (`endpoint`, `model`) or recorded replies (`replay`, `model`; a line's `prompt_id` is the
    /// rollout's id, its `sample_index` 0 for reference first and 1 for prediction first).
    pub teacher: TeacherSettings,
    /// How to sample. `n` is 1: each order is asked once.
    #[serde(default = "greedy")]
    pub sampling: Sampling,
    /// Which rows to ask about.
    #[serde(default)]
    pub rows: Rows,
    /// In which order reference answer and prediction are shown. When two orders disagree, the row stays undecided.
    #[serde(default)]
    pub orders: Orders,
}

/// Which rows the judge is asked about. A verdict of the rules is never overruled: on rows that they decided the judge's
/// word only counts towards the agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// Those that the rules leave undecided.
    #[default]
    Undecided,
    /// All.
    All,
    /// Those that the rules leave undecided, and so many drawn from the others.
    Sample(u32),
}

/// What the judge reads first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Orders {
    /// Ask twice, once in each order.
    #[default]
    Both,
    /// The reference answer.
    ReferenceFirst,
    /// The prediction.
    PredictionFirst,
}

impl Orders {
    fn list(self) -> &'static [Order] {
        match self {
            Self::Both => &Order::ALL,
            Self::ReferenceFirst => &[Order::ReferenceFirst],
            Self::PredictionFirst => &[Order::PredictionFirst],
        }
    }
}

fn greedy() -> Sampling {
    Sampling { n: 1, temperature: 0.0, top_p: 1.0, top_k: None, min_p: None, max_tokens: 4096, stop: Vec::new() }
}

/// What is to be done about a row.
enum Todo {
    /// The judge is asked.
    Ask,
    /// It would be asked if there were something to compare.
    Cannot(&'static str),
    /// Nothing.
    Leave,
}

impl Judge {
    pub(crate) fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input { pointer: "/verdicts".into(), source: &self.verdicts, accepts: &[Kind::Verdicts] }]
    }

    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = asking::problems(&self.teacher, &self.sampling);
        if let TeacherSettings::Checkpoint(name) = &self.teacher {
            let message =
                format!("`{name}`: a checkpoint cannot judge; give `endpoint` and `model`, or `replay` and `model`");
            problems.push(("/teacher".into(), message));
        }
        if self.sampling.n != 1 {
            let message = format!("`n` is `{}`; allowed: 1, each order is asked once", self.sampling.n);
            problems.push(("/sampling/n".into(), message));
        }
        problems
    }

    pub(crate) fn files(&self) -> Vec<(String, String)> {
        asking::files(&self.teacher)
    }

    pub(crate) fn key_settings(&self) -> Value {
        json!({
            "teacher": asking::identity(&self.teacher),
            "sampling": self.sampling,
            "rows": self.rows,
            "orders": self.orders,
            "wording": VERSION,
        })
    }

    /// What the stage would ask for, for `plan`.
    pub(crate) fn forecast(&self, verdicts: Option<&Finished>) -> String {
        let orders = self.orders.list().len() as u64;
        let Some(verdicts) = verdicts else { return format!("{orders} requests per row asked about") };
        let facts = &verdicts.manifest.facts;
        let all = verdicts.manifest.tables.get(VerdictRow::TABLE).map_or(0, |table| table.rows);
        let undecided = facts["verdicts"]["undecided"].as_u64().unwrap_or_default();
        let rows = match self.rows {
            Rows::Undecided => undecided,
            Rows::All => all,
            Rows::Sample(count) => undecided + u64::from(count).min(all - undecided.min(all)),
        };
        let price = asking::max_cost(&self.teacher, rows * orders, &self.sampling);
        let price = price.map(|price| format!(", at most {price:.2} for completions")).unwrap_or_default();
        format!("at most {} requests{price}", rows * orders)
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        let mut asker = Asker::open(context, &self.teacher)?;
        let drawn = self.draw(context)?;
        let mut total = 0;
        self.walk(context, &drawn, |_, _, _, todo| {
            total += if matches!(todo, Todo::Ask) { self.orders.list().len() as u64 } else { 0 };
            Ok(())
        })?;
        context.started("judge", Some(total), "requests");
        let (judge, sampling) = (asker.name(), asking::sampling_text(&self.sampling));
        let requests = self.requests(context, &drawn, &judge, &sampling)?;
        asker.ask(context, &self.sampling, requests, total)?;
        self.collect(context, asker, &drawn, &sampling)
    }

    /// Ids of the decided rows that are drawn to measure the agreement: those with the smallest seeds.
    fn draw(&self, context: &Context<'_>) -> Result<BTreeSet<String>, PipelineError> {
        let Rows::Sample(count) = self.rows else { return Ok(BTreeSet::new()) };
        let mut smallest: BinaryHeap<(u64, String)> = BinaryHeap::new();
        for row in context.input("verdicts")?.rows::<VerdictRow>()? {
            let row = row?;
            if row.verdict != Verdict::Undecided && !row.truncated {
                smallest.push((derive_seed(context.run_seed, context.stage, &row.rollout_id, 0), row.rollout_id));
                if smallest.len() > count as usize {
                    smallest.pop();
                }
            }
        }
        Ok(smallest.into_iter().map(|(_, id)| id).collect())
    }

    fn todo(&self, drawn: &BTreeSet<String>, row: &VerdictRow, rollout: &Rollout, prompt: &Prompt) -> Todo {
        let wanted = match self.rows {
            Rows::All => true,
            Rows::Undecided => row.verdict == Verdict::Undecided,
            Rows::Sample(_) => row.verdict == Verdict::Undecided || drawn.contains(&row.rollout_id),
        };
        if !wanted {
            Todo::Leave
        } else if row.truncated {
            Todo::Cannot("the completion was cut off")
        } else if prompt.reference_answer.as_ref().is_none_or(|text| text.trim().is_empty()) {
            Todo::Cannot("the prompt has no reference answer")
        } else if prediction(rollout).is_none() {
            Todo::Cannot("the completion has no answer")
        } else {
            Todo::Ask
        }
    }

    /// Every row with its rollout, its prompt and what is to be done, in order.
    fn walk(
        &self,
        context: &Context<'_>,
        drawn: &BTreeSet<String>,
        mut each: impl FnMut(VerdictRow, &Rollout, &Prompt, Todo) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        let input = context.input("verdicts")?;
        let mut rollouts = follow(input.rows::<Rollout>()?, |row| &row.rollout_id);
        let mut prompts = follow(input.rows::<Prompt>()?, |row| &row.prompt_id);
        for row in input.rows::<VerdictRow>()? {
            let row = row?;
            let rollout = rollouts.partner_of(VerdictRow::TABLE, &row.rollout_id)?;
            let prompt = prompts.partner_of(VerdictRow::TABLE, &row.prompt_id)?;
            let todo = self.todo(drawn, &row, rollout, prompt);
            each(row, rollout, prompt, todo)?;
        }
        Ok(())
    }

    fn requests<'a>(
        &'a self,
        context: &'a Context<'_>,
        drawn: &'a BTreeSet<String>,
        judge: &'a str,
        sampling: &'a str,
    ) -> Result<impl Iterator<Item = Result<Request, PipelineError>> + 'a, PipelineError> {
        let input = context.input("verdicts")?;
        let mut rollouts = follow(input.rows::<Rollout>()?, |row| &row.rollout_id);
        let mut prompts = follow(input.rows::<Prompt>()?, |row| &row.prompt_id);
        Ok(input.rows::<VerdictRow>()?.flat_map(move |row| {
            let make = || -> Result<Vec<Request>, PipelineError> {
                let row = row?;
                let rollout = rollouts.partner_of(VerdictRow::TABLE, &row.rollout_id)?;
                let prompt = prompts.partner_of(VerdictRow::TABLE, &row.prompt_id)?;
                if !matches!(self.todo(drawn, &row, rollout, prompt), Todo::Ask) {
                    return Ok(Vec::new());
                }
                let asked = prompt.messages.iter().rev().find(|message| message.role == "user");
                let shown = Shown {
                    prompt: asked.map(|message| message.content.as_str()).unwrap_or_default(),
                    reference_answer: prompt.reference_answer.as_deref().unwrap_or_default(),
                    prediction: prediction(rollout).unwrap_or_default(),
                };
                let request = |order: &Order| Request {
                    rollout_id: judgement_id(&row.rollout_id, judge, sampling, *order),
                    // A recording finds its replies by the rollout that they are about.
                    prompt_id: row.rollout_id.clone(),
                    sample_index: *order as u32,
                    messages: messages(&shown, *order),
                    seed: context.seed(&row.rollout_id, *order as u32),
                };
                Ok(self.orders.list().iter().map(request).collect())
            };
            match make() {
                Ok(requests) => requests.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            }
        }))
    }

    /// The journal's replies as verdicts, in the order of the rows.
    fn collect(
        &self,
        context: &Context<'_>,
        asker: Asker,
        drawn: &BTreeSet<String>,
        sampling: &str,
    ) -> Result<Made, PipelineError> {
        let (judge, mut journal) = (asker.name(), asker.journal);
        let mut verdicts = context.writer::<VerdictRow>()?;
        let mut judgements = context.writer::<JudgementRow>()?;
        let mut telemetry = context.writer::<Telemetry>()?;
        let mut tally = Tally::default();
        self.walk(context, drawn, |mut row, _, _, todo| {
            let check = match todo {
                Todo::Leave => None,
                Todo::Cannot(reason) => Some((Verdict::Undecided, "not_asked", reason.to_owned())),
                Todo::Ask => {
                    let mut opinions = Vec::new();
                    for order in self.orders.list() {
                        let entry = journal.read(&judgement_id(&row.rollout_id, &judge, sampling, *order))?;
                        let (judgement, opinion) = judgement(entry, &row, *order, &judge, &mut telemetry)?;
                        judgements.push(judgement)?;
                        opinions.push(opinion);
                    }
                    let joint = combine(&opinions);
                    tally.count(&row, &joint);
                    Some(joint)
                }
            };
            if let Some((verdict, method, reason)) = check {
                if row.verdict == Verdict::Undecided && !row.truncated {
                    row.verdict = verdict;
                }
                row.checks.push(Check { verifier: "judge".into(), verdict, method: method.into(), reason });
            }
            *tally.verdicts.entry(word(row.verdict)).or_default() += 1;
            Ok(verdicts.push(row)?)
        })?;
        if tally.asked > 0 && tally.methods.get("unreadable") == Some(&tally.asked) {
            context.warn("no reply of the judge could be read; `show --table judgements` shows what it wrote");
        }
        let rows = verdicts.rows();
        let mut made = Made { facts: tally.facts(rows, &judge), summary: tally.in_words(&judge), ..Made::default() };
        made.add(verdicts)?;
        made.add(judgements)?;
        made.add(telemetry)?;
        Ok(made)
    }
}

/// The answer that is judged, without its reasoning.
fn prediction(rollout: &Rollout) -> Option<&str> {
    let answer = rollout.answer.as_deref().or_else(|| completion::split(&rollout.completion).answer);
    answer.filter(|text| !text.trim().is_empty())
}

fn judgement_id(rollout_id: &str, judge: &str, sampling: &str, order: Order) -> String {
    let parts = [rollout_id, judge, sampling, order.name(), VERSION];
    id_of("judgement", &parts.map(str::as_bytes))
}

/// One reply as a row, and what was read from it.
fn judgement(
    entry: Entry,
    row: &VerdictRow,
    order: Order,
    judge: &str,
    telemetry: &mut retort_tables::TableWriter<Telemetry>,
) -> Result<(JudgementRow, Result<Opinion, String>), PipelineError> {
    telemetry.push(Telemetry { prompt_id: row.prompt_id.clone(), ..entry.telemetry })?;
    let (completion, finish_reason, opinion) = match entry.outcome {
        Outcome::Dropped { drop_reason, message } => {
            (String::new(), FinishReason::Unknown, Err(format!("no reply, {drop_reason}: {message}")))
        }
        Outcome::Rollout(reply) => {
            let cut = matches!(reply.finish_reason, FinishReason::Length | FinishReason::Abort);
            let opinion = if cut { Err("it was cut off".to_owned()) } else { read(&reply.completion) };
            (reply.completion, reply.finish_reason, opinion)
        }
    };
    let judgement = JudgementRow {
        judgement_id: entry.rollout_id,
        rollout_id: row.rollout_id.clone(),
        prompt_id: row.prompt_id.clone(),
        order: order.name().into(),
        judge: judge.to_owned(),
        verdict: opinion.as_ref().map_or(Verdict::Undecided, |opinion| opinion.verdict),
        analysis: opinion.as_ref().ok().map(|opinion| opinion.analysis.clone()),
        problem: opinion.as_ref().err().cloned(),
        completion,
        finish_reason,
    };
    Ok((judgement, opinion))
}

/// Counts for the record and the report.
#[derive(Default)]
struct Tally {
    asked: u64,
    settled: u64,
    undecided: u64,
    verdicts: BTreeMap<&'static str, u64>,
    methods: BTreeMap<&'static str, u64>,
    agreement: Agreement,
    disagreements: Vec<Value>,
}

impl Tally {
    fn count(&mut self, row: &VerdictRow, (verdict, method, reason): &(Verdict, &'static str, String)) {
        self.asked += 1;
        *self.methods.entry(method).or_default() += 1;
        self.agreement.add(row.verdict, *verdict);
        if row.verdict == Verdict::Undecided {
            self.undecided += 1;
            self.settled += u64::from(*verdict != Verdict::Undecided);
        } else if *verdict != Verdict::Undecided && *verdict != row.verdict && self.disagreements.len() < EXAMPLES {
            let rules: Vec<String> =
                row.checks.iter().map(|check| format!("{}: {}", check.verifier, check.reason)).collect();
            self.disagreements.push(json!({
                "rollout_id": row.rollout_id,
                "rules": row.verdict,
                "judge": verdict,
                "extracted_answer": row.extracted_answer,
                "rules_say": rules.join("; "),
                "judge_says": reason,
            }));
        }
    }

    fn facts(&self, rows: u64, judge: &str) -> Value {
        let all = [Verdict::Correct, Verdict::Incorrect, Verdict::Undecided];
        let counts: BTreeMap<&str, BTreeMap<&str, u64>> = all
            .into_iter()
            .map(|rules| (word(rules), all.map(|said| (word(said), self.agreement.count(rules, said))).into()))
            .collect();
        json!({
            "rows_in": rows,
            "kept": rows,
            "verdicts": self.verdicts,
            "judge": judge,
            "asked": self.asked,
            "undecided_asked": self.undecided,
            "settled": self.settled,
            "methods": self.methods,
            "agreement": {
                "counts": counts,
                "compared": self.agreement.compared(),
                "share": self.agreement.share(),
                "kappa": self.agreement.kappa(),
            },
            "disagreements": self.disagreements,
        })
    }

    fn in_words(&self, judge: &str) -> String {
        let mut text =
            format!("{} rows asked of {judge}, {} of {} undecided settled", self.asked, self.settled, self.undecided);
        if let Some(share) = self.agreement.share() {
            let kappa = self.agreement.kappa().map_or("–".to_owned(), |kappa| format!("{kappa:.2}"));
            let _ = write!(
                text,
                ", agrees with the rules on {:.1}% of {} (kappa {kappa})",
                100.0 * share,
                self.agreement.compared()
            );
        }
        text
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Correct => "correct",
        Verdict::Incorrect => "incorrect",
        Verdict::Undecided => "undecided",
    }
}
