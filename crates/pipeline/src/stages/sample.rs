//! `sample`: asks a teacher for rollouts. Every finished sample is written to a journal at once, so that a killed run
//! loses only what was in flight.

use super::dropping::Dropping;
use super::embedded::Embedded;
use super::journal::{Entry, Journal, Outcome};
use super::{Context, Made};
use crate::error::PipelineError;
use crate::manifest::canonical;
use crate::source::{Kind, Source};
use crate::stage::Input;
use retort_records::{Prompt, Rollout, Telemetry, id_of};
use retort_teacher::{
    Attempted, Endpoint, Failure, Replay, ReplaySettings, Request, Sampling, Stopped, Summary, Teacher,
    TeacherSettings, sample_all,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::Path;

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
        let name =
            |pointer: &str, field: &str| format!("{pointer}/{}", field.split(['.', '[']).next().unwrap_or_default());
        let sampling = self.sampling.problems().into_iter();
        let mut problems: Vec<(String, String)> = sampling
            .map(|problem| (name("/sampling", problem.field), format!("`{}` {}", problem.field, problem.message)))
            .collect();
        problems.extend(
            self.teacher
                .problems()
                .into_iter()
                .map(|problem| (name("/teacher", problem.field), format!("`{}` {}", problem.field, problem.message))),
        );
        problems
    }

    pub(crate) fn files(&self) -> Vec<(String, String)> {
        match &self.teacher {
            TeacherSettings::Replay(replay) => {
                replay.replay.to_str().map(|path| ("/teacher/replay".into(), path.into())).into_iter().collect()
            }
            TeacherSettings::Endpoint(_) | TeacherSettings::Checkpoint(_) => Vec::new(),
        }
    }

    /// The request set decides the output; where and how fast it is asked does not.
    pub(crate) fn key_settings(&self) -> Value {
        let teacher = match &self.teacher {
            TeacherSettings::Endpoint(endpoint) => endpoint.identity(),
            TeacherSettings::Replay(replay) => replay.identity(),
            // Which one it is stands among the inputs.
            TeacherSettings::Checkpoint(_) => json!("checkpoint"),
        };
        json!({ "teacher": teacher, "sampling": self.sampling })
    }

    /// What the stage would ask for, for `plan`.
    pub(crate) fn forecast(&self, prompts: Option<u64>) -> String {
        let Some(prompts) = prompts else { return format!("n = {} per prompt", self.sampling.n) };
        let requests = prompts * u64::from(self.sampling.n);
        let tokens = requests * u64::from(self.sampling.max_tokens);
        let price = match &self.teacher {
            TeacherSettings::Endpoint(endpoint) => endpoint.forecast(requests, 0, &self.sampling).max_cost,
            TeacherSettings::Replay(_) | TeacherSettings::Checkpoint(_) => None,
        };
        let price = price.map(|price| format!(", at most {price:.2} for completions")).unwrap_or_default();
        format!("{requests} samples, at most {tokens} completion tokens{price}")
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        let prompts = context.input("prompts")?;
        let mut journal = Journal::open(&context.journal)?;
        let spent = journal.spent();
        let (teacher, concurrency): (Box<dyn Teacher>, usize) = match &self.teacher {
            TeacherSettings::Endpoint(endpoint) => {
                (Box::new(Endpoint::open(endpoint, &context.access.workspace, spent)?), endpoint.concurrency)
            }
            TeacherSettings::Replay(replay) => {
                let path = replay.replay.to_string_lossy();
                let path = context.access.resolve(&path).map_err(|reason| context.fail(reason))?;
                let resolved = ReplaySettings { replay: path, model: replay.model.clone() };
                (Box::new(Replay::open(&resolved, Path::new("/"))?), 64)
            }
            TeacherSettings::Checkpoint(_) => return self.run_embedded(context, journal),
        };
        let total = prompts.rows::<Prompt>()?.total() * u64::from(self.sampling.n);
        context.started("sample", Some(total), "samples");
        context.advanced(journal.finished(), "")?;

        let sampling = sampling_text(&self.sampling);
        let known = journal.ids();
        let mut failed_read = None;
        let requests = self
            .requests(context, prompts.rows::<Prompt>()?, teacher.name(), &sampling)
            .map_while(|request| request.map_err(|error| failed_read = Some(error)).ok())
            .filter(|request| !known.contains(&request.rollout_id));
        let mut write_error = None;
        let mut done = |attempted: Attempted| {
            let record = || -> Result<(), PipelineError> {
                journal.append(&entry(attempted, teacher.name(), &sampling))?;
                context.advanced(journal.finished(), "")
            };
            match record() {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    write_error = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        let summary = sample_all(teacher.as_ref(), requests, &self.sampling, concurrency, context.cancel, &mut done);
        if let Some(error) = write_error.or(failed_read) {
            return Err(error);
        }
        let summary = summary?;
        check_stop(context, &summary, journal.finished(), total)?;
        self.collect(context, journal, (teacher.name(), teacher.name()), &sampling)
    }

    /// Asks a checkpoint inside this program.
    fn run_embedded(&self, context: &Context<'_>, mut journal: Journal) -> Result<Made, PipelineError> {
        let prompts = context.input("prompts")?;
        let teacher = Embedded::open(context.input("teacher")?)?;
        let total = prompts.rows::<Prompt>()?.total() * u64::from(self.sampling.n);
        context.started("sample", Some(total), "samples");
        context.advanced(journal.finished(), "")?;
        let sampling = sampling_text(&self.sampling);
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
            made.summary.push_str(&format!(", cost {cost:.4}"));
        }
        made.add(rollouts)?;
        made.add(telemetry)?;
        dropping.finish(&mut made, total, kept)?;
        Ok(made)
    }
}

/// The sampling settings as rollouts hold them: canonical JSON.
pub(super) fn sampling_text(sampling: &Sampling) -> String {
    canonical(&serde_json::to_value(sampling).unwrap_or_default()).to_string()
}

/// The requests of one prompt, one a sample.
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

fn entry(attempted: Attempted, teacher: &str, sampling: &str) -> Entry {
    let Attempted { request, result, telemetry } = attempted;
    let outcome = match result {
        Err(Failure { drop_reason, message, .. }) => Outcome::Dropped { drop_reason, message },
        Ok(reply) => Outcome::Rollout(Box::new(Rollout {
            rollout_id: request.rollout_id.clone(),
            prompt_id: request.prompt_id,
            sample_index: request.sample_index,
            teacher: teacher.to_owned(),
            completion: reply.completion,
            reasoning: reply.reasoning,
            answer: reply.answer,
            finish_reason: reply.finish_reason,
            prompt_tokens: reply.prompt_tokens,
            completion_tokens: reply.completion_tokens,
            seed: Some(request.seed),
            sampling: sampling.to_owned(),
            source_id: None,
        })),
    };
    Entry { rollout_id: request.rollout_id, outcome, telemetry }
}

/// Samples that are not all there yet end the stage, not the work: the journal keeps them.
fn check_stop(context: &Context<'_>, summary: &Summary, done: u64, total: u64) -> Result<(), PipelineError> {
    if summary.replies > 0 && summary.with_reasoning == 0 {
        context.warn("no reply had reasoning: a reasoning teacher's server may drop or rename it");
    }
    match summary.stopped {
        _ if done == total => Ok(()),
        Stopped::Cancelled | Stopped::Caller => Err(PipelineError::Interrupted { stage: context.stage.to_owned() }),
        Stopped::Budget => Err(context.fail(format!(
            "the budget is spent after {done} of {total} samples\nhint: raise `max_cost` or `budget_tokens` and run again; finished samples are kept"
        ))),
        Stopped::Finished => {
            Err(context.fail(format!("{done} of {total} samples are there\nhint: run again to go on")))
        }
    }
}
