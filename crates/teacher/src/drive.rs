//! Drives many requests at once through one teacher.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use retort_records::FinishReason;
use serde::Serialize;
use tokio::{
    runtime::Runtime,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{Attempted, Failure, FailureKind, Request, Sampling, Teacher, TeacherError};

/// How long samples in flight may go on after sampling was cancelled; afterwards they are given up.
pub const GRACE: Duration = Duration::from_secs(5);
/// How often the cancel flag is looked at.
const CANCEL_POLL: Duration = Duration::from_millis(50);
/// The fewest failures in a row that mean the server is down.
const FEWEST_FAILURES: usize = 16;

/// Why sampling ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Every request was asked.
    Finished,
    /// The cancel flag was set.
    Cancelled,
    /// The callback wanted no more.
    Caller,
    /// The budget has no room for another request.
    Budget,
}

/// What came of sampling, in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Why it ended.
    pub stopped: Stopped,
    /// Samples that have a reply.
    pub replies: u64,
    /// Samples that have none, by `drop_reason`.
    pub failures: BTreeMap<String, u64>,
    /// Requests sent beyond the first of each sample.
    pub retries: u64,
    /// Replies that contain reasoning. A reasoning teacher with none at all is set up wrongly: its server drops or
    /// renames the reasoning.
    pub with_reasoning: u64,
    /// Replies that the token limit cut off.
    pub truncated: u64,
    /// Prompt tokens of all replies whose server counts.
    pub prompt_tokens: u64,
    /// Completion tokens of all replies whose server counts.
    pub completion_tokens: u64,
    /// Replies without token counts.
    pub uncounted: u64,
    /// Price of all replies, when the teacher has one.
    pub cost: f64,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            stopped: Stopped::Finished,
            replies: 0,
            failures: BTreeMap::new(),
            retries: 0,
            with_reasoning: 0,
            truncated: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
            uncounted: 0,
            cost: 0.0,
        }
    }
}

impl Summary {
    fn count(&mut self, attempted: &Attempted) {
        self.retries += u64::from(attempted.telemetry.attempts.saturating_sub(1));
        match &attempted.result {
            Ok(reply) => {
                self.replies += 1;
                self.with_reasoning += u64::from(reply.reasoning.is_some());
                self.truncated += u64::from(reply.finish_reason == FinishReason::Length);
                self.uncounted += u64::from(reply.completion_tokens.is_none());
                self.prompt_tokens += u64::from(reply.prompt_tokens.unwrap_or(0));
                self.completion_tokens += u64::from(reply.completion_tokens.unwrap_or(0));
                self.cost += attempted.telemetry.cost.unwrap_or(0.0);
            }
            Err(failure) => *self.failures.entry(failure.drop_reason.clone()).or_default() += 1,
        }
    }
}

/// Draws every sample of `requests` from `teacher`, at most `concurrency` at once, and hands each finished one to
/// `done`, in the order in which they finish, from the calling thread.
///
/// Requests are pulled only when there is room for them. When `cancel` is set, or the budget is spent, no more are
/// pulled and those in flight may finish (after a cancel only for [`GRACE`]); samples given up are not handed to
/// `done`, so that a later run asks for them again. `done` breaks to stop at once.
///
/// Failures by the server's fault ([`FailureKind::Server`]) are held back until some sample succeeds. If too many
/// gather, or nothing at all could be reached, the server is down: they are forgotten and the result is
/// [`TeacherError::Unreachable`].
///
/// Blocks on a runtime of this crate: not to be called from async code.
pub fn sample_all(
    teacher: &dyn Teacher,
    requests: impl Iterator<Item = Request>,
    sampling: &Sampling,
    concurrency: usize,
    cancel: &AtomicBool,
    done: &mut dyn FnMut(Attempted) -> ControlFlow<()>,
) -> Result<Summary, TeacherError> {
    let runtime = runtime()?;
    let concurrency = concurrency.max(1);
    let delivery = Delivery {
        teacher: teacher.name(),
        done,
        summary: Summary::default(),
        held: Vec::new(),
        patience: FEWEST_FAILURES.max(2 * concurrency),
    };
    runtime.block_on(drive(teacher, requests, sampling, concurrency, cancel, delivery))
}

/// The runtime of all sampling. One for the whole process, because a teacher's idle connections live on it: they would
/// break when the same teacher is asked again on another.
fn runtime() -> Result<&'static Runtime, TeacherError> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("retort-teacher")
        .enable_all()
        .build()
        .map_err(|error| TeacherError::Runtime(error.to_string()))?;
    Ok(RUNTIME.get_or_init(|| built))
}

async fn drive(
    teacher: &dyn Teacher,
    mut requests: impl Iterator<Item = Request>,
    sampling: &Sampling,
    concurrency: usize,
    cancel: &AtomicBool,
    mut delivery: Delivery<'_>,
) -> Result<Summary, TeacherError> {
    let mut running = FuturesUnordered::new();
    let mut stopped = None;
    let mut fatal = None;
    let mut deadline = None;
    let mut ticks = interval(CANCEL_POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open = true;
    loop {
        if stopped.is_none() && cancel.load(Ordering::Relaxed) {
            stopped = Some(Stopped::Cancelled);
            deadline = Some(Instant::now() + GRACE);
        }
        while open && stopped.is_none() && running.len() < concurrency {
            match requests.next() {
                Some(request) => running.push(async move {
                    let attempt = teacher.ask(&request, sampling).await;
                    Attempted { request, result: attempt.result, telemetry: attempt.telemetry }
                }),
                None => open = false,
            }
        }
        if running.is_empty() {
            break;
        }
        let finished = tokio::select! {
            finished = running.next() => finished,
            _ = ticks.tick() => None,
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
        };
        let Some(attempted) = finished else { continue };
        match delivery.take(attempted)? {
            Taken::Next => {}
            Taken::Break => {
                stopped = Some(Stopped::Caller);
                break;
            }
            Taken::Budget => stopped = stopped.or(Some(Stopped::Budget)),
            Taken::Fatal(message) => {
                fatal = fatal.or(Some(message));
                // Others in flight may be fine, and are paid for.
                stopped = stopped.or(Some(Stopped::Caller));
                deadline = deadline.or_else(|| Some(Instant::now() + GRACE));
            }
        }
    }
    drop(running);
    if let Some(message) = fatal {
        return Err(TeacherError::Refused { teacher: teacher.name().to_owned(), message });
    }
    delivery.finish(stopped.unwrap_or(Stopped::Finished))
}

/// What to do after a sample was taken in.
enum Taken {
    Next,
    Break,
    Budget,
    Fatal(String),
}

/// Hands samples on, holding back failures that may be the server's.
struct Delivery<'a> {
    teacher: &'a str,
    done: &'a mut dyn FnMut(Attempted) -> ControlFlow<()>,
    summary: Summary,
    held: Vec<Attempted>,
    /// How many failures in a row are borne.
    patience: usize,
}

impl Delivery<'_> {
    fn take(&mut self, attempted: Attempted) -> Result<Taken, TeacherError> {
        match &attempted.result {
            Err(Failure { kind: FailureKind::Budget, .. }) => return Ok(Taken::Budget),
            Err(Failure { kind: FailureKind::Fatal, message, .. }) => return Ok(Taken::Fatal(message.clone())),
            Err(Failure { kind: FailureKind::Server, .. }) => {
                self.held.push(attempted);
                if self.held.len() >= self.patience {
                    return Err(self.unreachable());
                }
                return Ok(Taken::Next);
            }
            Err(Failure { kind: FailureKind::Request, .. }) => {}
            Ok(_) => {
                if self.release().is_break() {
                    return Ok(Taken::Break);
                }
            }
        }
        Ok(if self.deliver(attempted).is_break() { Taken::Break } else { Taken::Next })
    }

    fn finish(mut self, stopped: Stopped) -> Result<Summary, TeacherError> {
        self.summary.stopped = stopped;
        if stopped == Stopped::Finished {
            let nobody_there = |attempted: &Attempted| matches!(&attempted.result, Err(failure) if failure.drop_reason == "unreachable");
            if !self.held.is_empty() && self.held.iter().all(nobody_there) {
                return Err(self.unreachable());
            }
            if self.release().is_break() {
                self.summary.stopped = Stopped::Caller;
            }
        }
        Ok(self.summary)
    }

    /// Hands on what was held back: the server works, so these samples themselves were at fault.
    fn release(&mut self) -> ControlFlow<()> {
        for attempted in std::mem::take(&mut self.held) {
            self.deliver(attempted)?;
        }
        ControlFlow::Continue(())
    }

    fn deliver(&mut self, attempted: Attempted) -> ControlFlow<()> {
        self.summary.count(&attempted);
        (self.done)(attempted)
    }

    fn unreachable(&self) -> TeacherError {
        let message = match self.held.last().map(|attempted| &attempted.result) {
            Some(Err(failure)) => failure.to_string(),
            _ => String::new(),
        };
        TeacherError::Unreachable { teacher: self.teacher.to_owned(), samples: self.held.len(), message }
    }
}
