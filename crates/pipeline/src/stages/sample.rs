//! `sample`: asks a teacher for rollouts. Every finished sample is written to a journal at once, so that a killed run
//! loses only what was in flight.

use super::dropping::Dropping;
use super::{Context, Made};
use crate::error::PipelineError;
use crate::manifest::canonical;
use crate::source::{Kind, Source};
use crate::stage::Input;
use retort_records::{Prompt, Rollout, Telemetry, id_of};
use retort_teacher::{
    Attempted, Endpoint, Failure, Replay, ReplaySettings, Request, Sampling, Spend, Stopped, Summary, Teacher,
    TeacherSettings, sample_all,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Asks a teacher for `n` completions of every prompt.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The prompts.
    pub prompts: Source,
    /// Whom to ask: a server (`endpoint`, `model`) or recorded answers (`replay`, `model`).
    pub teacher: TeacherSettings,
    /// How to sample.
    pub sampling: Sampling,
}

/// What the journal keeps of one sample.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    rollout_id: String,
    #[serde(flatten)]
    outcome: Outcome,
    telemetry: Telemetry,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Rollout(Box<Rollout>),
    Dropped { drop_reason: String, message: String },
}

impl Sample {
    pub(crate) fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input { pointer: "/prompts".into(), source: &self.prompts, accepts: &[Kind::Prompts, Kind::Rollouts] }]
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
        if let TeacherSettings::Checkpoint(name) = &self.teacher {
            let message = format!(
                "`{name}`: a checkpoint cannot be asked yet; give `endpoint` and `model`, or `replay` and `model`"
            );
            problems.push(("/teacher".into(), message));
        }
        problems
    }

    pub(crate) fn files(&self) -> Vec<(String, &str)> {
        match &self.teacher {
            TeacherSettings::Replay(replay) => {
                replay.replay.to_str().map(|path| ("/teacher/replay".to_owned(), path)).into_iter().collect()
            }
            TeacherSettings::Endpoint(_) | TeacherSettings::Checkpoint(_) => Vec::new(),
        }
    }

    /// The request set decides the output; where and how fast it is asked does not.
    pub(crate) fn key_settings(&self) -> Value {
        let teacher = match &self.teacher {
            TeacherSettings::Endpoint(endpoint) => endpoint.identity(),
            TeacherSettings::Replay(replay) => replay.identity(),
            TeacherSettings::Checkpoint(name) => json!({ "checkpoint": name }),
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
            TeacherSettings::Checkpoint(name) => {
                return Err(context.fail(format!("checkpoint `{name}` cannot be asked yet")));
            }
        };
        let total = prompts.rows::<Prompt>()?.total() * u64::from(self.sampling.n);
        context.started("sample", Some(total), "samples");
        context.advanced(journal.index.len() as u64, "")?;

        let sampling = canonical(&serde_json::to_value(&self.sampling).unwrap_or_default()).to_string();
        let known = journal.index.keys().cloned().collect::<std::collections::BTreeSet<_>>();
        let mut failed_read = None;
        let requests = self
            .requests(context, prompts.rows::<Prompt>()?, teacher.name(), &sampling)
            .map_while(|request| request.map_err(|error| failed_read = Some(error)).ok())
            .filter(|request| !known.contains(&request.rollout_id));
        let mut write_error = None;
        let mut done = |attempted: Attempted| {
            let record = || -> Result<(), PipelineError> {
                journal.append(&entry(attempted, teacher.name(), &sampling))?;
                context.advanced(journal.index.len() as u64, "")
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
        check_stop(context, &summary, journal.index.len() as u64, total)?;
        self.collect(context, journal, teacher.name(), &sampling)
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
                Ok(prompt) => (0..self.sampling.n)
                    .map(|sample_index| {
                        let seed = context.seed(&prompt.prompt_id, sample_index);
                        Ok(Request {
                            rollout_id: rollout_id(&prompt.prompt_id, teacher, sampling, seed),
                            prompt_id: prompt.prompt_id.clone(),
                            sample_index,
                            messages: prompt.messages.clone(),
                            seed,
                        })
                    })
                    .collect(),
            };
            requests
        })
    }

    /// The journal in the order of the prompts, as tables.
    fn collect(
        &self,
        context: &Context<'_>,
        mut journal: Journal,
        teacher: &str,
        sampling: &str,
    ) -> Result<Made, PipelineError> {
        let prompts = context.input("prompts")?;
        let mut rollouts = context.writer::<Rollout>()?;
        let mut telemetry = context.writer::<Telemetry>()?;
        let mut dropping = Dropping::new(context)?;
        let (mut total, mut truncated, mut reasoning, mut tokens, mut cost) = (0_u64, 0_u64, 0_u64, 0_u64, 0.0_f64);
        for request in self.requests(context, prompts.rows::<Prompt>()?, teacher, sampling) {
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

/// Finished samples, one JSON line each, appended as they come.
struct Journal {
    path: PathBuf,
    file: File,
    /// Offset of each sample's line.
    index: BTreeMap<String, u64>,
    bytes: u64,
    spend: Spend,
    synced: Instant,
}

/// A killed process loses nothing that was written; a power cut loses at most what came in this time.
const SYNC_EVERY: Duration = Duration::from_millis(200);

impl Journal {
    /// Opens or creates the journal; a line that a crash cut off is removed.
    fn open(folder: &Path) -> Result<Self, PipelineError> {
        std::fs::create_dir_all(folder).map_err(PipelineError::io("create", folder))?;
        let path = folder.join("samples.jsonl");
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .append(true)
            .open(&path)
            .map_err(PipelineError::io("open", &path))?;
        let mut journal =
            Self { path, file, index: BTreeMap::new(), bytes: 0, spend: Spend::default(), synced: Instant::now() };
        journal.load().map_err(PipelineError::io("read", &journal.path))?;
        Ok(journal)
    }

    fn load(&mut self) -> std::io::Result<()> {
        let mut reader = BufReader::new(&self.file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)? as u64;
            match serde_json::from_slice::<Entry>(&line) {
                Ok(entry) if line.ends_with(b"\n") => {
                    self.spend.cost += entry.telemetry.cost.unwrap_or_default();
                    if let Outcome::Rollout(rollout) = &entry.outcome {
                        let count = |tokens: Option<u32>| u64::from(tokens.unwrap_or_default());
                        self.spend.tokens += count(rollout.prompt_tokens) + count(rollout.completion_tokens);
                    }
                    self.index.insert(entry.rollout_id, self.bytes);
                    self.bytes += read;
                }
                _ => break,
            }
        }
        self.file.set_len(self.bytes)
    }

    /// What the samples so far have cost.
    fn spent(&self) -> Spend {
        self.spend
    }

    fn append(&mut self, entry: &Entry) -> Result<(), PipelineError> {
        let mut line = serde_json::to_vec(entry).unwrap_or_default();
        line.push(b'\n');
        retort_tables::abort_point("before-sample");
        self.file.write_all(&line).map_err(PipelineError::io("write", &self.path))?;
        if self.synced.elapsed() >= SYNC_EVERY {
            self.file.sync_data().map_err(PipelineError::io("write", &self.path))?;
            self.synced = Instant::now();
        }
        retort_tables::abort_point("after-sample");
        self.index.insert(entry.rollout_id.clone(), self.bytes);
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn read(&mut self, rollout_id: &str) -> Result<Entry, PipelineError> {
        let offset = *self.index.get(rollout_id).ok_or_else(|| {
            PipelineError::Argument(format!("the journal `{}` has no sample `{rollout_id}`", self.path.display()))
        })?;
        let mut line = String::new();
        let read = (|| -> std::io::Result<Entry> {
            self.file.seek(SeekFrom::Start(offset))?;
            BufReader::new(Read::by_ref(&mut self.file)).read_line(&mut line)?;
            Ok(serde_json::from_str(&line)?)
        })();
        read.map_err(PipelineError::io("read", &self.path))
    }
}
