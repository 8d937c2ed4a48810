//! `sample`: asks a teacher for rollouts.

use super::asking::{self, Asker, Journal, Outcome};
use super::dropping::Dropping;
use super::embedded::Embedded;
use super::{Context, Made};
use crate::error::PipelineError;
use crate::source::{Kind, Source};
use crate::stage::Input;
use retort_records::{Prompt, Rollout, Telemetry, id_of};
use retort_teacher::{Request, Sampling, TeacherSettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Write;

/// Asks a teacher for `n` completions of every prompt.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The prompts.
    pub prompts: Source,
    /// Whom to ask: a server (`endpoint`, `model`), recorded answers (`replay`, `model`), or a checkpoint, by the name of
    /// its stage or, with a `/`, the path of a Hugging Face folder.
    pub teacher: TeacherSettings,
    /// How to sample.
    pub sampling: Sampling,
}

impl Sample {
    pub(crate) fn inputs(&self) -> Vec<Input<'_>> {
        let prompts =
            Input { pointer: "/prompts".into(), source: &self.prompts, accepts: &[Kind::Prompts, Kind::Rollouts] };
        match &self.teacher {
            TeacherSettings::Checkpoint(name) => {
                vec![prompts, Input { pointer: "/teacher".into(), source: name, accepts: &[Kind::Checkpoint] }]
            }
            TeacherSettings::Endpoint(_) | TeacherSettings::Replay(_) => vec![prompts],
        }
    }

    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        asking::problems(&self.teacher, &self.sampling)
    }

    pub(crate) fn files(&self) -> Vec<(String, String)> {
        asking::files(&self.teacher)
    }

    /// The request set decides the output; where and how fast it is asked does not.
    pub(crate) fn key_settings(&self) -> Value {
        json!({ "teacher": asking::identity(&self.teacher), "sampling": self.sampling })
    }

    /// What the stage would ask for, for `plan`.
    pub(crate) fn forecast(&self, prompts: Option<u64>) -> String {
        let Some(prompts) = prompts else { return format!("n = {} per prompt", self.sampling.n) };
        let requests = prompts * u64::from(self.sampling.n);
        let tokens = requests * u64::from(self.sampling.max_tokens);
        let price = asking::max_cost(&self.teacher, requests, &self.sampling);
        let price = price.map(|price| format!(", at most {price:.2} for completions")).unwrap_or_default();
        format!("{requests} samples, at most {tokens} completion tokens{price}")
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        if matches!(self.teacher, TeacherSettings::Checkpoint(_)) {
            return self.run_embedded(context);
        }
        let prompts = context.input("prompts")?;
        let mut asker = Asker::open(context, &self.teacher)?;
        let total = prompts.rows::<Prompt>()?.total() * u64::from(self.sampling.n);
        context.started("sample", Some(total), "samples");
        let (teacher, sampling) = (asker.name(), asking::sampling_text(&self.sampling));
        let requests = self.requests(context, prompts.rows::<Prompt>()?, &teacher, &sampling);
        let summary = asker.ask(context, &self.sampling, requests, total)?;
        if summary.replies > 0 && summary.with_reasoning == 0 {
            context.warn("no reply had reasoning: a reasoning teacher's server may drop or rename it");
        }
        self.collect(context, asker.journal, (&teacher, &teacher), &sampling)
    }

    /// Asks a checkpoint inside this program.
    fn run_embedded(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        let prompts = context.input("prompts")?;
        let mut journal = Journal::open(&context.journal)?;
        let teacher = Embedded::open(context.input("teacher")?)?;
        let total = prompts.rows::<Prompt>()?.total() * u64::from(self.sampling.n);
        context.started("sample", Some(total), "samples");
        context.advanced(journal.finished(), "")?;
        let sampling = asking::sampling_text(&self.sampling);
        let requests = self.requests(context, prompts.rows::<Prompt>()?, &teacher.identity, &sampling);
        let mut told = |done: u64, note: &str| context.advanced(done, note);
        teacher.sample(context, requests, &self.sampling, &sampling, &mut journal, &mut told)?;
        self.collect(context, journal, (&teacher.name, &teacher.identity), &sampling)
    }

    fn requests(
        &self,
        context: &Context<'_>,
        prompts: impl Iterator<Item = Result<Prompt, retort_tables::TableError>>,
        teacher: &str,
        sampling: &str,
    ) -> impl Iterator<Item = Result<Request, PipelineError>> {
        prompts.flat_map(move |prompt| {
            let requests: Vec<Result<Request, PipelineError>> = match prompt {
                Err(error) => vec![Err(error.into())],
                Ok(prompt) => requests_of(context, &prompt, self.sampling.n, teacher, sampling).map(Ok).collect(),
            };
            requests
        })
    }

    /// The journal in the order of the prompts, as tables.
    fn collect(
        &self,
        context: &Context<'_>,
        mut journal: Journal,
        (teacher, identity): (&str, &str),
        sampling: &str,
    ) -> Result<Made, PipelineError> {
        let prompts = context.input("prompts")?;
        let mut rollouts = context.writer::<Rollout>()?;
        let mut telemetry = context.writer::<Telemetry>()?;
        let mut dropping = Dropping::new(context)?;
        let (mut total, mut truncated, mut reasoning, mut tokens, mut cost) = (0_u64, 0_u64, 0_u64, 0_u64, 0.0_f64);
        for request in self.requests(context, prompts.rows::<Prompt>()?, identity, sampling) {
            let request = request?;
            total += 1;
            let entry = journal.read(&request.rollout_id)?;
            cost += entry.telemetry.cost.unwrap_or_default();
            telemetry.push(entry.telemetry)?;
            match entry.outcome {
                Outcome::Rollout(rollout) => {
                    truncated += u64::from(rollout.truncated());
                    reasoning += u64::from(rollout.reasoning.is_some());
                    tokens += u64::from(rollout.completion_tokens.unwrap_or_default());
                    rollouts.push(*rollout)?;
                }
                Outcome::Dropped { drop_reason, message } => {
                    dropping.push(&request.rollout_id, &request.prompt_id, &drop_reason, message)?;
                }
            }
        }
        let kept = rollouts.rows();
        if kept == 0 {
            return Err(context.fail(format!("the teacher answered none of {total} requests{}", dropping.in_words())));
        }
        let mut made = Made {
            summary: format!(
                "{kept} rollouts by {teacher}, {truncated} truncated, {reasoning} with reasoning{}",
                dropping.in_words()
            ),
            facts: json!({ "teacher": teacher, "truncated": truncated, "with_reasoning": reasoning, "completion_tokens": tokens }),
            ..Made::default()
        };
        if cost > 0.0 {
            let _ = write!(made.summary, ", cost {cost:.4}");
        }
        made.add(rollouts)?;
        made.add(telemetry)?;
        dropping.finish(&mut made, total, kept)?;
        Ok(made)
    }
}

/// The requests of one prompt, one a sample. `teacher` and `sampling` go into their ids.
pub(super) fn requests_of(
    context: &Context<'_>,
    prompt: &Prompt,
    n: u32,
    teacher: &str,
    sampling: &str,
) -> impl Iterator<Item = Request> {
    (0..n).map(move |sample_index| {
        let seed = context.seed(&prompt.prompt_id, sample_index);
        Request {
            rollout_id: rollout_id(&prompt.prompt_id, teacher, sampling, seed),
            prompt_id: prompt.prompt_id.clone(),
            sample_index,
            messages: prompt.messages.clone(),
            seed,
        }
    })
}

fn rollout_id(prompt_id: &str, teacher: &str, sampling: &str, seed: u64) -> String {
    id_of("rollout", &[prompt_id.as_bytes(), teacher.as_bytes(), sampling.as_bytes(), &seed.to_le_bytes()])
}
