//! Progress as bars on a terminal, as plain lines elsewhere, or as JSON lines for programs.

use crate::screen::{duration, note};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use retort_pipeline::{Event, Observer};
use serde_json::json;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a plain line or a JSON line tells of progress at most.
const EVERY: Duration = Duration::from_secs(5);

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
    terminal: bool,
    current: Mutex<Option<Current>>,
}

struct Current {
    bar: ProgressBar,
    unit: String,
    started: Instant,
    first: Option<u64>,
    reported: Instant,
}

impl Progress {
    /// A display of the given form.
    pub fn new(form: Form) -> Self {
        Self { form, terminal: std::io::stderr().is_terminal(), current: Mutex::new(None) }
    }

    /// Takes the bar off the screen.
    pub fn clear(&self) {
        if let Ok(mut current) = self.current.lock()
            && let Some(current) = current.take()
        {
            current.bar.finish_and_clear();
        }
    }

    fn human(&self, event: &Event<'_>) {
        let Ok(mut current) = self.current.lock() else { return };
        match event {
            Event::Started { stage, kind, total, unit } => {
                let target = if self.terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
                let bar = ProgressBar::with_draw_target(*total, target).with_message(String::new());
                let template = if total.is_some() {
                    "{prefix:20} {bar:24} {human_pos}/{human_len} {per_sec} ETA {eta} {msg}"
                } else {
                    "{prefix:20} {spinner} {human_pos} {per_sec} {msg}"
                };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.set_prefix((*stage).to_owned());
                let now = Instant::now();
                *current = Some(Current { bar, unit: (*unit).to_owned(), started: now, first: None, reported: now });
                if !self.terminal {
                    let total = total.map(|total| format!(" of {total} {unit}")).unwrap_or_default();
                    note(&format!("{stage}: {kind}{total}"));
                }
            }
            Event::Advanced { stage, done, note: remark } => {
                let Some(current) = current.as_mut() else { return };
                if current.first.is_none() {
                    current.first = Some(*done);
                    current.bar.reset_eta();
                }
                current.bar.set_position(*done);
                current.bar.set_message((*remark).to_owned());
                if !self.terminal && current.reported.elapsed() >= EVERY {
                    current.reported = Instant::now();
                    let rate = (done - current.first.unwrap_or(0)) as f64 / current.started.elapsed().as_secs_f64();
                    let total = current.bar.length().filter(|total| total >= done && rate > 0.0);
                    let eta = total.map(|total| {
                        let left = Duration::from_secs_f64(((total - done) as f64 / rate).min(1e9));
                        format!(" of {total}, ETA {}", duration(left))
                    });
                    let (unit, eta) = (&current.unit, eta.unwrap_or_default());
                    note(format!("{stage}: {done} {unit} ({rate:.1}/s{eta}) {remark}").trim_end());
                }
            }
            Event::Finished { stage, summary } => {
                let took = current.take().map(|current| {
                    current.bar.finish_and_clear();
                    current.started.elapsed()
                });
                let took = took.map(|took| format!(" [{}]", duration(took))).unwrap_or_default();
                note(&format!("{stage}: {summary}{took}"));
            }
            Event::Fresh { .. } => {}
            Event::Warning { stage, message } => {
                let say = || note(&format!("warning: {stage}: {message}"));
                match current.as_ref() {
                    Some(current) => current.bar.suspend(say),
                    None => say(),
                }
            }
        }
    }

    fn json(&self, event: &Event<'_>) {
        let value = match event {
            Event::Started { stage, kind, total, unit } => {
                json!({ "event": "started", "stage": stage, "kind": kind, "total": total, "unit": unit })
            }
            Event::Advanced { stage, done, note } => {
                let Ok(mut current) = self.current.lock() else { return };
                let now = Instant::now();
                let quiet = current.as_ref().is_some_and(|current| now - current.reported < Duration::from_secs(1));
                if quiet {
                    return;
                }
                let bar = ProgressBar::hidden();
                *current = Some(Current { bar, unit: String::new(), started: now, first: None, reported: now });
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
