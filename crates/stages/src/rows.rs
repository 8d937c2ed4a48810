//! Rows of several tables brought together, always by walking them side by side.

use crate::lengths::Lengths;
use crate::narrow::TotalTokens;
use retort_curate::Candidate;
use retort_pipeline::{Context, Finished, Origin, PipelineError, StageKind};
use retort_records::{Message, Prompt, Rollout, Row, Selection, SftExample, SftMessage, Verdict, VerdictRow, id_of};
use retort_tables::{Columns, follow, groups};
use serde::Deserialize;

/// One prompt's judged rollouts with their lengths.
pub struct Group {
    /// The prompt.
    pub prompt_id: String,
    /// What the rules of selection look at.
    pub candidates: Vec<Candidate>,
}

/// What the rules of selection look at of a verdict.
#[derive(Deserialize)]
struct Judged {
    rollout_id: String,
    prompt_id: String,
    sample_index: u32,
    teacher: String,
    truncated: bool,
    verdict: Verdict,
}

impl Columns for Judged {
    type Table = VerdictRow;
}

/// The judged rollouts of `verdicts`, prompt by prompt. Only one prompt's rows are in memory.
pub fn candidate_groups<'a>(
    context: &Context<'_>,
    verdicts: &Finished,
) -> Result<(u64, impl Iterator<Item = Result<Group, PipelineError>> + 'a), PipelineError> {
    let rows = verdicts.rows::<Judged>()?;
    let total = rows.total();
    let mut lengths = follow(lengths_of(context, verdicts)?.rows::<TotalTokens>()?, |row| &row.rollout_id);
    let iterator = groups(rows, |row| row.prompt_id.clone()).map(move |group| {
        let group = group?;
        let prompt_id = group.first().map(|row| row.prompt_id.clone()).unwrap_or_default();
        let candidates = group
            .into_iter()
            .map(|row| {
                let length = lengths.partner_of(VerdictRow::TABLE, &row.rollout_id)?;
                Ok(Candidate {
                    rollout_id: row.rollout_id,
                    teacher: row.teacher,
                    sample_index: row.sample_index,
                    verdict: row.verdict,
                    truncated: row.truncated,
                    total_tokens: length.total_tokens,
                })
            })
            .collect::<Result<_, PipelineError>>()?;
        Ok(Group { prompt_id, candidates })
    });
    Ok((total, iterator))
}

/// The counted lengths of the rollouts behind `input`.
pub fn lengths_of<'a>(context: &'a Context<'_>, input: &Finished) -> Result<&'a Finished, PipelineError> {
    let rollouts = input.origins(Rollout::TABLE);
    let lengths = || context.derived.iter().filter(|derived| derived.manifest.key.kind == Lengths::NAME);
    let counted = |derived: &&Finished| {
        let counted = derived.manifest.lineage.of(Rollout::TABLE).iter().map(Origin::key);
        counted.eq(rollouts.iter().map(Origin::key))
    };
    // Where the rollouts were made again under another key with the same rows, lengths that were counted since name that key,
    // and those that joined them before the old one.
    let only = || lengths().next().filter(|_| lengths().count() == 1);
    lengths()
        .find(counted)
        .or_else(only)
        .ok_or_else(|| context.fail(format!("the rollouts behind `{}` have no lengths", input.name)))
}

/// A chosen rollout.
#[derive(Deserialize)]
struct Chosen {
    rollout_id: String,
    prompt_id: String,
    total_tokens: u32,
}

impl Columns for Chosen {
    type Table = Selection;
}

/// What a chosen rollout says.
#[derive(Deserialize)]
struct Said {
    rollout_id: String,
    reasoning: Option<String>,
    answer: Option<String>,
}

impl Columns for Said {
    type Table = Rollout;
}

/// What it was asked.
#[derive(Deserialize)]
struct Asked {
    prompt_id: String,
    messages: Vec<Message>,
    domain: String,
    source: String,
    beyond_text: Option<String>,
}

impl Columns for Asked {
    type Table = Prompt;
}

/// The training examples of `input`: its own, or made of the rollouts it chose.
pub fn examples(
    input: &Finished,
) -> Result<Box<dyn Iterator<Item = Result<SftExample, PipelineError>>>, PipelineError> {
    if has_examples(input) {
        return Ok(Box::new(input.rows::<SftExample>()?.map(|row| Ok(row?))));
    }
    let mut rollouts = follow(input.rows::<Said>()?, |row| &row.rollout_id);
    let mut prompts = follow(input.rows::<Asked>()?, |row| &row.prompt_id);
    Ok(Box::new(input.rows::<Chosen>()?.map(move |chosen| {
        let chosen = chosen?;
        let prompt = prompts.partner_of(Selection::TABLE, &chosen.prompt_id)?;
        let rollout = rollouts.partner_of(Selection::TABLE, &chosen.rollout_id)?;
        Ok(example(prompt, rollout, chosen.total_tokens))
    })))
}

/// How many training examples [`examples`] gives.
pub fn example_count(input: &Finished) -> Result<u64, PipelineError> {
    Ok(if has_examples(input) { input.rows::<ExampleKey>()?.total() } else { input.rows::<Chosen>()?.total() })
}

/// What tells a training example from others, and what quotas ask of it.
#[derive(Deserialize)]
pub struct ExampleKey {
    pub example_id: String,
    pub prompt_id: String,
    pub domain: String,
}

impl Columns for ExampleKey {
    type Table = SftExample;
}

/// A chosen rollout's prompt.
#[derive(Deserialize)]
struct Domain {
    prompt_id: String,
    domain: String,
}

impl Columns for Domain {
    type Table = Prompt;
}

/// The keys of [`examples`], in the same order; no text is read.
pub fn example_keys(
    input: &Finished,
) -> Result<Box<dyn Iterator<Item = Result<ExampleKey, PipelineError>>>, PipelineError> {
    if has_examples(input) {
        return Ok(Box::new(input.rows::<ExampleKey>()?.map(|row| Ok(row?))));
    }
    let mut prompts = follow(input.rows::<Domain>()?, |row| &row.prompt_id);
    Ok(Box::new(input.rows::<Chosen>()?.map(move |chosen| {
        let chosen = chosen?;
        let domain = prompts.partner_of(Selection::TABLE, &chosen.prompt_id)?.domain.clone();
        Ok(ExampleKey { example_id: example_id(&chosen.rollout_id), prompt_id: chosen.prompt_id, domain })
    })))
}

fn has_examples(input: &Finished) -> bool {
    input.manifest.tables.contains_key(SftExample::TABLE)
}

fn example_id(rollout_id: &str) -> String {
    id_of("example", &[rollout_id.as_bytes()])
}

/// The training example of one rollout: the prompt's messages, then the completion, which is trained.
fn example(prompt: &Asked, rollout: &Said, completion_tokens: u32) -> SftExample {
    let mut messages: Vec<SftMessage> = prompt
        .messages
        .iter()
        .map(|message| SftMessage {
            role: message.role.clone(),
            reasoning: None,
            content: message.content.clone(),
            train: false,
        })
        .collect();
    messages.push(SftMessage {
        role: "assistant".into(),
        reasoning: rollout.reasoning.clone(),
        content: rollout.answer.clone().unwrap_or_default(),
        train: true,
    });
    SftExample {
        example_id: example_id(&rollout.rollout_id),
        rollout_id: Some(rollout.rollout_id.clone()),
        prompt_id: prompt.prompt_id.clone(),
        domain: prompt.domain.clone(),
        source: prompt.source.clone(),
        messages,
        completion_tokens: Some(completion_tokens),
        beyond_text: prompt.beyond_text.clone(),
    }
}
