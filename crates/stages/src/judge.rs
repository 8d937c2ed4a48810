//! `judge`: a model judges what the rules leave undecided, and a sample of what they decided, to see how far both agree.

use crate::asking::{self, Asker, Entry, SampleOutcome};
use crate::error::StageError;
use crate::narrow::Question;
use crate::verify::Verify;
use retort_pipeline::{
    Context, Finished, Input, OutputKind, OutsideFile, PipelineError, PlannedInputs, RowCounts, SettingProblem, Source,
    StageKind, StageOutput, Surroundings,
};
use retort_records::{
    Check, FinishReason, JudgementRow, Prompt, Rollout, Row, Telemetry, Verdict, VerdictRow, derive_seed, id_of,
};
use retort_tables::{Columns, follow};
use retort_teacher::{Request, Sampling, TeacherSettings};
use retort_verify::judge::{Agreement, Opinion, Order, Shown, VERSION, combine, messages, read};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt::Write;
use std::sync::Arc;

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
    pub rows: JudgedRows,
    /// In which order reference answer and prediction are shown. When two orders disagree, the row stays undecided.
    #[serde(default)]
    pub orders: Orders,
}

/// Which rows the judge is asked about. A verdict of the rules is never overruled: on rows that they decided the judge's
/// word only counts towards the agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JudgedRows {
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
    Sampling {
        n: 1,
        temperature: 0.0,
        top_p: 1.0,
        top_k: None,
        min_p: None,
        max_tokens: 4096,
        stop: Vec::new(),
        chat_template_kwargs: serde_json::Map::new(),
    }
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

/// What finished judgements tell of themselves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JudgeFacts {
    /// Rows that came.
    #[serde(flatten)]
    pub rows: RowCounts,
    /// Rows by verdict, after the judge.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// The judge's name.
    pub judge: String,
    /// Rows asked about.
    pub asked: u64,
    /// Of them those that the rules left undecided.
    pub undecided_asked: u64,
    /// Of those the ones that the judge decided.
    pub settled: u64,
    /// Replies by how they were read.
    pub methods: BTreeMap<String, u64>,
    /// How far judge and rules agree.
    pub agreement: AgreementFacts,
    /// Rows on which they differ, the first of them.
    pub disagreements: Vec<Disagreement>,
}

/// How far judge and rules agree.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgreementFacts {
    /// Rows by what the rules say, then by what the judge says.
    pub counts: BTreeMap<Verdict, BTreeMap<Verdict, u64>>,
    /// Rows that both decided.
    pub compared: u64,
    /// Share of those on which both say the same.
    pub share: Option<f64>,
    /// Cohen's kappa on those.
    pub kappa: Option<f64>,
}

/// A row on which judge and rules differ.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Disagreement {
    /// The rollout.
    pub rollout_id: String,
    /// What the rules say.
    pub rules: Verdict,
    /// What the judge says.
    pub judge: Verdict,
    /// The answer that the rules found.
    pub extracted_answer: Option<String>,
    /// Why the rules say so.
    pub rules_say: String,
    /// Why the judge says so.
    pub judge_says: String,
}

impl StageKind for Judge {
    const NAME: &'static str = "judge";
    const VERSION: u32 = 1;
    const EXPLAIN: &'static str = include_str!("explain/judge.md");
    type Facts = JudgeFacts;

    fn output(&self) -> OutputKind {
        OutputKind::Verdicts
    }

    fn inputs<'a>(&'a self, _: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        vec![Input { pointer: "/verdicts".into(), source: &self.verdicts, accepts: &[OutputKind::Verdicts] }]
    }

    fn uses_seed(&self) -> bool {
        true
    }

    fn problems(&self, _: &Surroundings<'_>) -> Vec<SettingProblem> {
        let mut problems = asking::problems(&self.teacher, &self.sampling);
        if let TeacherSettings::Checkpoint(name) = &self.teacher {
            let message =
                format!("`{name}`: a checkpoint cannot judge; give `endpoint` and `model`, or `replay` and `model`");
            problems.push(SettingProblem::new("/teacher", message));
        }
        if self.sampling.n != 1 {
            let message = format!("`n` is `{}`; allowed: 1, each order is asked once", self.sampling.n);
            problems.push(SettingProblem::new("/sampling/n", message));
        }
        problems
    }

    fn unmet(&self, around: &Surroundings<'_>) -> Vec<SettingProblem> {
        asking::unmet(&self.teacher, around)
    }

    fn files(&self, _: &Surroundings<'_>) -> Vec<OutsideFile> {
        asking::files(&self.teacher)
    }

    fn key_settings(&self, _: &Surroundings<'_>) -> Result<Value, serde_json::Error> {
        Ok(json!({
            "teacher": asking::identity(&self.teacher),
            "sampling": self.sampling,
            "rows": self.rows,
            "orders": self.orders,
            "wording": VERSION,
        }))
    }

    fn forecast(&self, inputs: &PlannedInputs<'_>) -> Result<String, PipelineError> {
        let orders = self.orders.list().len() as u64;
        let Some(verdicts) = inputs.input("verdicts") else {
            return Ok(format!("{orders} requests per row asked about"));
        };
        let all = inputs.rows_of("verdicts", VerdictRow::TABLE).unwrap_or_default();
        let undecided = undecided_rows(verdicts)?;
        let rows = match self.rows {
            JudgedRows::Undecided => undecided,
            JudgedRows::All => all,
            JudgedRows::Sample(count) => undecided + u64::from(count).min(all - undecided.min(all)),
        };
        let price = asking::max_cost(&self.teacher, rows * orders, &self.sampling);
        let price = price.map(|price| format!(", at most {price:.2} for completions")).unwrap_or_default();
        Ok(format!("at most {} requests{price}", rows * orders))
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        Ok(self.judge(context)?)
    }
}

/// Rows that the rules leave undecided: as the stage counted them, or counted now where a filter came between.
fn undecided_rows(verdicts: &Finished) -> Result<u64, PipelineError> {
    let counted = Verify::facts_of(verdicts).map(|facts| facts.verdicts);
    if let Some(counts) = counted.or_else(|| Judge::facts_of(verdicts).map(|facts| facts.verdicts)) {
        return Ok(counts.get(&Verdict::Undecided).copied().unwrap_or_default());
    }
    let mut undecided = 0;
    for row in verdicts.rows::<Decision>()? {
        undecided += u64::from(row?.verdict == Verdict::Undecided);
    }
    Ok(undecided)
}

/// What the rules decided.
#[derive(Deserialize)]
struct Decision {
    rollout_id: String,
    prompt_id: String,
    truncated: bool,
    verdict: Verdict,
}

impl Columns for Decision {
    type Table = VerdictRow;
}

/// The answer of a rollout, without its reasoning.
#[derive(Deserialize)]
struct Answer {
    rollout_id: String,
    answer: Option<String>,
}

impl Columns for Answer {
    type Table = Rollout;
}

impl Answer {
    /// What is judged; nothing where there is no text.
    fn prediction(&self) -> Option<&str> {
        self.answer.as_deref().filter(|text| !text.trim().is_empty())
    }
}

/// The known right answer to a prompt.
#[derive(Deserialize)]
struct Reference {
    prompt_id: String,
    reference_answer: Option<String>,
}

impl Columns for Reference {
    type Table = Prompt;
}

/// A row with its answer and what is to be done.
type JudgedRow = (Decision, Arc<Answer>, Todo);

impl Judge {
    fn judge(&self, context: &Context<'_>) -> Result<StageOutput, StageError> {
        let mut asker = Asker::open(context, &self.teacher)?;
        let drawn = self.draw(context)?;
        let mut total = 0;
        for row in self.walk(context, &drawn)? {
            total += if matches!(row?.2, Todo::Ask) { self.orders.list().len() as u64 } else { 0 };
        }
        context.started(Self::NAME, Some(total), "requests");
        let (judge, sampling) = (asker.name(), asking::sampling_text(&self.sampling)?);
        let requests = self.requests(context, &drawn, &judge, &sampling)?;
        asker.ask(context, &self.sampling, requests, total)?;
        self.collect(context, asker, &drawn, &sampling)
    }

    /// Ids of the decided rows that are drawn to measure the agreement: those with the smallest seeds.
    fn draw(&self, context: &Context<'_>) -> Result<BTreeSet<String>, PipelineError> {
        let JudgedRows::Sample(count) = self.rows else { return Ok(BTreeSet::new()) };
        let mut smallest: BinaryHeap<(u64, String)> = BinaryHeap::new();
        for row in context.input("verdicts")?.rows::<Decision>()? {
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

    fn todo(&self, drawn: &BTreeSet<String>, row: &Decision, answer: &Answer, prompt: &Reference) -> Todo {
        let wanted = match self.rows {
            JudgedRows::All => true,
            JudgedRows::Undecided => row.verdict == Verdict::Undecided,
            JudgedRows::Sample(_) => row.verdict == Verdict::Undecided || drawn.contains(&row.rollout_id),
        };
        if !wanted {
            Todo::Leave
        } else if row.truncated {
            Todo::Cannot("the completion was cut off")
        } else if prompt.reference_answer.as_ref().is_none_or(|text| text.trim().is_empty()) {
            Todo::Cannot("the prompt has no reference answer")
        } else if answer.prediction().is_none() {
            Todo::Cannot("the completion has no answer")
        } else {
            Todo::Ask
        }
    }

    /// Every row with its answer and what is to be done, in order.
    fn walk<'a>(
        &'a self,
        context: &'a Context<'_>,
        drawn: &'a BTreeSet<String>,
    ) -> Result<impl Iterator<Item = Result<JudgedRow, PipelineError>> + 'a, PipelineError> {
        let input = context.input("verdicts")?;
        let mut answers = follow(input.rows::<Answer>()?, |row| &row.rollout_id);
        let mut prompts = follow(input.rows::<Reference>()?, |row| &row.prompt_id);
        Ok(input.rows::<Decision>()?.map(move |row| {
            let row = row?;
            let answer = answers.share(VerdictRow::TABLE, &row.rollout_id)?;
            let todo = self.todo(drawn, &row, &answer, prompts.partner_of(VerdictRow::TABLE, &row.prompt_id)?);
            Ok((row, answer, todo))
        }))
    }

    fn requests<'a>(
        &'a self,
        context: &'a Context<'_>,
        drawn: &'a BTreeSet<String>,
        judge: &'a str,
        sampling: &'a str,
    ) -> Result<impl Iterator<Item = Result<Request, PipelineError>> + 'a, PipelineError> {
        let mut questions = follow(context.input("verdicts")?.rows::<Question>()?, |row| &row.prompt_id);
        Ok(self.walk(context, drawn)?.flat_map(move |row| {
            let make = || -> Result<Vec<Request>, PipelineError> {
                let (row, answer, todo) = row?;
                if !matches!(todo, Todo::Ask) {
                    return Ok(Vec::new());
                }
                let question = questions.partner_of(VerdictRow::TABLE, &row.prompt_id)?;
                let asked = question.messages.iter().rev().find(|message| message.role == "user");
                let shown = Shown {
                    prompt: asked.map(|message| message.content.as_str()).unwrap_or_default(),
                    reference_answer: question.reference_answer.as_deref().unwrap_or_default(),
                    prediction: answer.prediction().unwrap_or_default(),
                };
                let request = |order: &Order| Request {
                    rollout_id: judgement_id(&row.rollout_id, judge, sampling, *order),
                    // A recording finds its replies by the rollout that they are about.
                    prompt_id: row.rollout_id.clone(),
                    sample_index: *order as u32,
                    messages: messages(&shown, *order),
                    beyond_text: None,
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
    ) -> Result<StageOutput, StageError> {
        let (judge, mut journal) = (asker.name(), asker.into_journal());
        let mut verdicts = context.writer::<VerdictRow>()?;
        let mut judgements = context.writer::<JudgementRow>()?;
        let mut telemetry = context.writer::<Telemetry>()?;
        let mut tally = Tally::default();
        let rows = context.input("verdicts")?.rows::<VerdictRow>()?;
        for (row, walked) in rows.zip(self.walk(context, drawn)?) {
            let (mut row, (_, _, todo)) = (row?, walked?);
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
            *tally.verdicts.entry(row.verdict).or_default() += 1;
            verdicts.push(row)?;
        }
        if tally.asked > 0 && tally.methods.get("unreadable") == Some(&tally.asked) {
            context.warn("no reply of the judge could be read; `show --table judgements` shows what it wrote");
        }
        let rows = verdicts.rows();
        let mut output = StageOutput::default();
        output.add(verdicts)?;
        output.add(judgements)?;
        output.add(telemetry)?;
        let summary = tally.in_words(&judge);
        Ok(output.with_facts(&tally.facts(rows, judge), summary)?)
    }
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
        SampleOutcome::Dropped { drop_reason, message } => {
            (String::new(), FinishReason::Unknown, Err(format!("no reply, {drop_reason}: {message}")))
        }
        SampleOutcome::Rollout(reply) => {
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
    verdicts: BTreeMap<Verdict, u64>,
    methods: BTreeMap<&'static str, u64>,
    agreement: Agreement,
    disagreements: Vec<Disagreement>,
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
            self.disagreements.push(Disagreement {
                rollout_id: row.rollout_id.clone(),
                rules: row.verdict,
                judge: *verdict,
                extracted_answer: row.extracted_answer.clone(),
                rules_say: rules.join("; "),
                judge_says: reason.clone(),
            });
        }
    }

    fn facts(self, rows: u64, judge: String) -> JudgeFacts {
        let said = |rules: Verdict| Verdict::ALL.map(|said| (said, self.agreement.count(rules, said))).into();
        JudgeFacts {
            rows: RowCounts::all_kept(rows),
            verdicts: self.verdicts,
            judge,
            asked: self.asked,
            undecided_asked: self.undecided,
            settled: self.settled,
            methods: self.methods.into_iter().map(|(method, rows)| (method.to_owned(), rows)).collect(),
            agreement: AgreementFacts {
                counts: Verdict::ALL.map(|rules| (rules, said(rules))).into(),
                compared: self.agreement.compared(),
                share: self.agreement.share(),
                kappa: self.agreement.kappa(),
            },
            disagreements: self.disagreements,
        }
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
