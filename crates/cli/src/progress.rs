//! Progress as bars on a terminal, as plain lines elsewhere, or as JSON lines for programs.

use crate::pace::Pace;
use crate::screen::{about, duration, note};
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use retort_pipeline::{Event, Observer};
use serde_json::json;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a plain line tells of progress at most.
const EVERY: Duration = Duration::from_secs(5);
/// How often a JSON line does.
const EVERY_JSON: Duration = Duration::from_secs(1);
/// How often a bar is drawn.
const EVERY_BAR: Duration = Duration::from_millis(50);
/// Columns of a terminal that does not tell.
const COLUMNS: usize = 80;

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Nowhere.
    Quiet,
    /// JSON lines on standard error.
    Json,
    /// Bars when standard error is a terminal, lines otherwise.
    Human,
}

/// Shows what a run says.
pub struct Progress {
    form: Form,
    current: Mutex<Option<Current>>,
    /// When a JSON line last told of progress.
    told: Mutex<Option<Instant>>,
}

/// The work that is under way. Its bar leaves the screen with it.
struct Current {
    bar: ProgressBar,
    unit: String,
    pace: Pace,
    started: Instant,
    shown: Option<Instant>,
}

impl Drop for Current {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Current {
    fn new(total: Option<u64>, unit: &str) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        let pace = Pace { total, ..Pace::default() };
        Self { bar, unit: unit.to_owned(), pace, started: Instant::now(), shown: None }
    }

    /// Shows how far the work is, unless that was shown just now.
    fn show(&mut self, stage: &str, remark: &str) {
        let plain = self.bar.is_hidden();
        let (every, last) = if plain { (EVERY, self.shown.or(Some(self.started))) } else { (EVERY_BAR, self.shown) };
        if last.is_some_and(|last| last.elapsed() < every) {
            return;
        }
        self.shown = Some(Instant::now());
        let elapsed = self.started.elapsed();
        if !plain {
            let width = Term::stderr().size_checked().map_or(COLUMNS, |(_, columns)| usize::from(columns));
            self.bar.set_message(self.pace.line(width, stage, &self.unit, elapsed, remark));
            return;
        }
        let Pace { done, total, .. } = self.pace;
        let total = total.map(|total| format!(" of {total}")).unwrap_or_default();
        let rate = self.pace.rate(elapsed).map(|rate| format!(", {rate}")).unwrap_or_default();
        let eta = self.pace.eta(elapsed).map(|left| format!(", ETA {}", about(left))).unwrap_or_default();
        note(format!("{stage}: {done}{total} {}{rate}{eta}  {remark}", self.unit).trim_end());
    }
}

impl Progress {
    /// A display of the given form.
    pub fn new(form: Form) -> Self {
        Self { form, current: Mutex::new(None), told: Mutex::new(None) }
    }

    /// Takes the bar off the screen.
    pub fn clear(&self) {
        if let Ok(mut current) = self.current.lock() {
            *current = None;
        }
    }

    /// Writes a line for people, above the bar where there is one.
    pub fn say(&self, text: &str) {
        if self.form != Form::Human {
            return;
        }
        match self.current.lock().as_deref() {
            Ok(Some(current)) => current.bar.suspend(|| note(text)),
            _ => note(text),
        }
    }

    fn human(&self, event: &Event<'_>) {
        if let Event::Warning { stage, message } = event {
            return self.say(&format!("warning: {stage}: {message}"));
        }
        let Ok(mut current) = self.current.lock() else { return };
        match event {
            Event::Started { stage, kind, total, unit } => {
                // One bar goes before the next comes.
                *current = None;
                let work = Current::new(*total, unit);
                if work.bar.is_hidden() {
                    let total = total.map(|total| format!(" of {total} {unit}")).unwrap_or_default();
                    note(&format!("{stage}: {kind}{total}"));
                }
                *current = Some(work);
            }
            Event::Resumed { stage, done } => {
                if let Some(current) = current.as_mut() {
                    current.pace.found += done.saturating_sub(current.pace.done);
                    current.pace.done = *done;
                    current.show(stage, "");
                }
            }
            Event::Advanced { stage, done, note } => {
                if let Some(current) = current.as_mut() {
                    current.pace.done = *done;
                    current.show(stage, note);
                }
            }
            Event::Finished { stage, summary } => {
                let took = current.take().map(|current| format!(" [{}]", duration(current.started.elapsed())));
                note(&format!("{stage}: {summary}{}", took.unwrap_or_default()));
            }
            Event::Fresh { .. } | Event::Warning { .. } => {}
        }
    }

    fn json(&self, event: &Event<'_>) {
        let value = match event {
            Event::Started { stage, kind, total, unit } => {
                json!({ "event": "started", "stage": stage, "kind": kind, "total": total, "unit": unit })
            }
            Event::Resumed { stage, done } => json!({ "event": "resumed", "stage": stage, "done": done }),
            Event::Advanced { stage, done, note } => {
                let Ok(mut told) = self.told.lock() else { return };
                if told.is_some_and(|told| told.elapsed() < EVERY_JSON) {
                    return;
                }
                *told = Some(Instant::now());
                json!({ "event": "advanced", "stage": stage, "done": done, "note": note })
            }
            Event::Finished { stage, summary } => json!({ "event": "finished", "stage": stage, "summary": summary }),
            Event::Fresh { stage } => json!({ "event": "fresh", "stage": stage }),
            Event::Warning { stage, message } => json!({ "event": "warning", "stage": stage, "message": message }),
        };
        note(&value.to_string());
    }
}

impl Observer for Progress {
    fn event(&self, event: Event<'_>) {
        match self.form {
            Form::Quiet => {}
            Form::Json => self.json(&event),
            Form::Human => self.human(&event),
        }
    }
}
