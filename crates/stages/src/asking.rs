//! Asking a model for many completions: whom, with a journal that keeps every finished one at once, so that a killed run
//! loses only what was in flight. `sample` asks for rollouts this way, `judge` for judgements.

use crate::error::StageError;
use crate::journal_lines::{Rest, each_line};
use retort_pipeline::{Context, OutsideFile, PipelineError, SettingProblem, Surroundings, canonical, label};
use retort_records::{Rollout, Telemetry};
use retort_teacher::{
    Attempted, Endpoint, Failure, Replay, ReplaySettings, Request, Sampling, Spend, Stopped, Summary, Teacher,
    TeacherSettings, sample_all,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Problems of `teacher` and `sampling` that their types cannot express: a JSON pointer and what is wrong.
pub fn problems(teacher: &TeacherSettings, sampling: &Sampling) -> Vec<SettingProblem> {
    let mut problems = sampling_problems(sampling);
    problems.extend(inside("/teacher", teacher.problems()));
    problems
}

/// Problems of `sampling` that its types cannot express.
pub fn sampling_problems(sampling: &Sampling) -> Vec<SettingProblem> {
    inside("/sampling", sampling.problems()).collect()
}

fn inside(pointer: &str, found: Vec<retort_teacher::SettingProblem>) -> impl Iterator<Item = SettingProblem> {
    found.into_iter().map(move |problem| SettingProblem::new(problem.pointer, problem.message).inside(pointer))
}

/// What asking needs and is not there: the key.
pub fn unmet(teacher: &TeacherSettings, around: &Surroundings<'_>) -> Vec<SettingProblem> {
    let TeacherSettings::Endpoint(endpoint) = teacher else { return Vec::new() };
    let missing = endpoint.api_key.as_ref().and_then(|key| key.check(around.resolver.workspace()).err());
    missing.map(|error| SettingProblem::new("/teacher/api_key", error.to_string())).into_iter().collect()
}

/// Files outside the pipeline that are read.
pub fn files(teacher: &TeacherSettings) -> Vec<OutsideFile> {
    match teacher {
        TeacherSettings::Replay(replay) => {
            replay.replay.to_str().map(|path| OutsideFile::new("/teacher/replay", path)).into_iter().collect()
        }
        TeacherSettings::Endpoint(_) | TeacherSettings::Checkpoint(_) => Vec::new(),
    }
}

/// What of `teacher` can change what it says; where and how fast it is asked cannot.
pub fn identity(teacher: &TeacherSettings) -> Value {
    match teacher {
        TeacherSettings::Endpoint(endpoint) => endpoint.identity(),
        TeacherSettings::Replay(replay) => replay.identity(),
        // Its content stands among the inputs; its name goes into the rollouts.
        TeacherSettings::Checkpoint(name) => json!({ "checkpoint": label(name) }),
    }
}

/// The most that `requests` completions cost, where the teacher has a price.
pub fn max_cost(teacher: &TeacherSettings, requests: u64, sampling: &Sampling) -> Option<f64> {
    match teacher {
        TeacherSettings::Endpoint(endpoint) => endpoint.forecast(requests, 0, sampling).max_cost,
        TeacherSettings::Replay(_) | TeacherSettings::Checkpoint(_) => None,
    }
}

/// Sampling settings as canonical JSON, as they stand in rollouts and ids.
pub fn sampling_text(sampling: &Sampling) -> Result<String, PipelineError> {
    Ok(canonical(&serde_json::to_value(sampling).map_err(PipelineError::json("`sampling`"))?).to_string())
}

/// A model that can be asked, and the journal of what it said.
pub struct Asker {
    teacher: Box<dyn Teacher>,
    concurrency: usize,
    journal: Journal,
}

impl Asker {
    /// Opens the stage's journal and the teacher, whose budget knows what the journal has cost.
    pub fn open(context: &Context<'_>, teacher: &TeacherSettings) -> Result<Self, StageError> {
        let journal = Journal::open(&context.journal, context.mend)?;
        let spent = journal.spent();
        let (teacher, concurrency): (Box<dyn Teacher>, usize) = match teacher {
            TeacherSettings::Endpoint(endpoint) => {
                (Box::new(Endpoint::open(endpoint, context.around.resolver.workspace(), spent)?), endpoint.concurrency)
            }
            TeacherSettings::Replay(replay) => {
                let path = replay.replay.to_string_lossy();
                let path = context.locate(&path)?;
                let resolved = ReplaySettings { replay: path, model: replay.model.clone() };
                (Box::new(Replay::open(&resolved, Path::new("/"))?), 64)
            }
            TeacherSettings::Checkpoint(name) => {
                let reason = format!("checkpoint `{name}` is asked by `sample` and `evaluate` only");
                return Err(context.fail(reason).into());
            }
        };
        Ok(Self { teacher, concurrency, journal })
    }

    /// The model's name.
    pub fn name(&self) -> String {
        self.teacher.name().to_owned()
    }

    /// What it has said, without the model, which may hold much: a recording holds the places of all its answers.
    pub fn into_journal(self) -> Journal {
        self.journal
    }

    /// Asks for every one of the `total` requests that the journal does not hold yet. When it returns without an error,
    /// the journal holds all.
    pub fn ask(
        &mut self,
        context: &Context<'_>,
        sampling: &Sampling,
        requests: impl Iterator<Item = Result<Request, PipelineError>>,
        total: u64,
    ) -> Result<Summary, StageError> {
        let Self { teacher, concurrency, journal } = self;
        context.resumed(journal.index.len() as u64)?;
        let text = sampling_text(sampling)?;
        let known = journal.known();
        let mut failed_read = None;
        let requests = requests
            .map_while(|request| request.map_err(|error| failed_read = Some(error)).ok())
            .filter(|request| !known.contains(&request.rollout_id));
        let mut write_error = None;
        let mut done = |attempted: Attempted| {
            let record = || -> Result<(), PipelineError> {
                journal.append(&entry(attempted, teacher.name(), &text))?;
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
        let summary = sample_all(teacher.as_ref(), requests, sampling, *concurrency, context.cancel, &mut done);
        if let Some(error) = write_error.or(failed_read) {
            return Err(error.into());
        }
        let summary = summary?;
        check_stop(context, &summary, journal.index.len() as u64, total)?;
        Ok(summary)
    }
}

/// What the journal keeps of one completion.
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Id of the request.
    pub rollout_id: String,
    /// What was said, or why nothing was.
    #[serde(flatten)]
    pub outcome: SampleOutcome,
    /// How it was obtained.
    pub telemetry: Telemetry,
}

/// What came of one request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleOutcome {
    /// A completion.
    Rollout(Box<Rollout>),
    /// None, and why.
    Dropped {
        /// One word or two.
        drop_reason: String,
        /// The server's words.
        message: String,
    },
}

/// The entry of a finished sample of the teacher called `teacher`, with what its `sampling` column holds.
pub fn entry(attempted: Attempted, teacher: &str, sampling: &str) -> Entry {
    let Attempted { request, result, telemetry } = attempted;
    let outcome = match result {
        Err(Failure { drop_reason, message, .. }) => SampleOutcome::Dropped { drop_reason, message },
        Ok(reply) => SampleOutcome::Rollout(Box::new(Rollout {
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
    match summary.stopped {
        _ if done == total => Ok(()),
        Stopped::Cancelled | Stopped::Caller => Err(context.interrupted()),
        Stopped::Budget => Err(context
            .fail(format!("the budget is spent after {done} of {total} samples"))
            .with_hint("raise `max_cost` or `budget_tokens` and run again; finished samples are kept")),
        Stopped::Finished => {
            Err(context.fail(format!("{done} of {total} samples are there")).with_hint("run again to go on"))
        }
    }
}

/// Finished samples, one JSON line each, appended and made durable as they come.
pub struct Journal {
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
    /// Opens or creates the journal; a line that a crash cut off is removed. Any other damage is an error, or with `mend`
    /// moved out of the way.
    pub fn open(folder: &Path, mend: bool) -> Result<Self, PipelineError> {
        std::fs::create_dir_all(folder).map_err(PipelineError::io("create", folder))?;
        let path = folder.join("samples.jsonl");
        let (mut index, mut spend) = (BTreeMap::new(), Spend::default());
        let bytes = each_line(&path, mend, Rest::Whole, |entry: Entry, offset| {
            spend.cost += entry.telemetry.cost.unwrap_or_default();
            if let SampleOutcome::Rollout(rollout) = &entry.outcome {
                let count = |tokens: Option<u32>| u64::from(tokens.unwrap_or_default());
                spend.tokens += count(rollout.prompt_tokens) + count(rollout.completion_tokens);
            }
            index.insert(entry.rollout_id, offset);
        })?;
        let open = || {
            let file = File::options().create(true).truncate(false).read(true).append(true).open(&path)?;
            file.set_len(bytes)?;
            Ok(file)
        };
        let file = open().map_err(PipelineError::io("open", &path))?;
        Ok(Self { path, file, index, bytes, spend, synced: Instant::now() })
    }

    /// What the samples so far have cost.
    fn spent(&self) -> Spend {
        self.spend
    }

    /// Number of finished samples.
    pub fn finished(&self) -> u64 {
        self.index.len() as u64
    }

    /// Ids of the finished samples.
    pub fn known(&self) -> BTreeSet<String> {
        self.index.keys().cloned().collect()
    }

    /// Adds one finished sample.
    fn append(&mut self, entry: &Entry) -> Result<(), PipelineError> {
        self.append_all(std::slice::from_ref(entry))
    }

    /// Adds finished samples, written together.
    pub fn append_all(&mut self, entries: &[Entry]) -> Result<(), PipelineError> {
        let (mut lines, mut places) = (Vec::new(), Vec::with_capacity(entries.len()));
        for entry in entries {
            places.push((entry.rollout_id.clone(), self.bytes + lines.len() as u64));
            serde_json::to_writer(&mut lines, entry)
                .map_err(|error| PipelineError::io("write", &self.path)(error.into()))?;
            lines.push(b'\n');
        }
        retort_tables::abort_point("before-sample");
        self.file.write_all(&lines).map_err(PipelineError::io("write", &self.path))?;
        if self.synced.elapsed() >= SYNC_EVERY {
            self.file.sync_data().map_err(PipelineError::io("write", &self.path))?;
            self.synced = Instant::now();
        }
        retort_tables::abort_point("after-sample");
        self.index.extend(places);
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// The entry of a finished sample.
    pub fn read(&mut self, rollout_id: &str) -> Result<Entry, PipelineError> {
        let offset = *self.index.get(rollout_id).ok_or_else(|| {
            PipelineError::argument(format!("the journal `{}` has no sample `{rollout_id}`", self.path.display()))
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
