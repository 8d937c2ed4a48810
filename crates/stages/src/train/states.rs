//! What a training run leaves on the disk while it is under way.

use crate::journal_lines::{Rest, read_lines};
use retort_pipeline::{Context, Event, PipelineError, write_atomically};
use retort_student::{Control, StepReport};
use retort_tables::abort_point;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Name of the file with one line of JSON a step.
pub const STEPS: &str = "steps.jsonl";

/// One line of the file of steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    step: usize,
    loss: f64,
    learning_rate: f64,
    grad_norm: f64,
    tokens: usize,
    trained_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    eval_loss: Option<f64>,
}

/// Notes every step, says when to save, and tells of progress.
pub struct Recorder {
    folder: PathBuf,
    save_steps: Option<usize>,
    save_every: Duration,
    lines: Vec<Line>,
    /// Whether a step was made in this process.
    moved: bool,
    /// The step whose state is being saved: known to be whole when the next step is over.
    saving: Option<usize>,
    stopping: bool,
    saved: Instant,
    progress: (Instant, usize),
    /// Whether the weights with the lowest evaluation loss are kept.
    keep_best: bool,
}

impl Recorder {
    /// What an earlier process noted, or nothing.
    pub fn open(
        context: &Context<'_>,
        save_steps: Option<usize>,
        save_seconds: u64,
        keep_best: bool,
    ) -> Result<Self, PipelineError> {
        let folder = context.journal.clone();
        std::fs::create_dir_all(&folder).map_err(PipelineError::io("create", &folder))?;
        let (lines, _) = read_lines::<Line>(&folder.join(STEPS), context.mend, Rest::Lost)?;
        let now = Instant::now();
        Ok(Self {
            folder,
            save_steps,
            save_every: Duration::from_secs(save_seconds),
            lines,
            moved: false,
            saving: None,
            stopping: false,
            saved: now,
            progress: (now, 0),
            keep_best,
        })
    }

    /// The folder of the latest saved state whose steps are all noted.
    pub fn latest(&self) -> Option<PathBuf> {
        let step = self.states().into_iter().filter(|step| *step <= self.lines.len()).max()?;
        Some(self.state(step))
    }

    fn state(&self, step: usize) -> PathBuf {
        self.folder.join(format!("state-{step}"))
    }

    /// Steps of which a state is there. A state appears whole, by a rename.
    fn states(&self) -> Vec<usize> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("state-")?.parse().ok()).collect()
    }

    /// Takes one step's report and says what is to follow.
    pub fn step(&mut self, context: &Context<'_>, report: &StepReport) -> Result<Control, PipelineError> {
        abort_point("after-step");
        if !self.moved {
            // What was noted after the state that this process began with is made again.
            self.lines.truncate(report.step - 1);
            self.moved = true;
            context.observer.event(Event::Resumed { stage: context.stage, done: report.step as u64 - 1 });
        }
        if let Some(step) = self.saving.take() {
            self.remove_before(step)?;
            // The last step is made when it is reported: then training is whole.
            if self.stopping && report.step < report.total {
                return Ok(Control::Stop);
            }
        }
        let better = |loss: f64| self.best_eval().is_none_or(|(_, best)| loss < best);
        let improved = report.eval_loss.is_some_and(better);
        self.lines.push(Line {
            step: report.step,
            loss: report.loss,
            learning_rate: report.learning_rate,
            grad_norm: report.grad_norm,
            tokens: report.tokens,
            trained_tokens: report.trained_tokens,
            preferred: report.preferred,
            eval_loss: report.eval_loss,
        });
        self.tell(context, report);
        let last = report.step == report.total;
        self.stopping = context.cancel.load(Ordering::Relaxed) && !last;
        let due = self.save_steps.is_some_and(|steps| report.step.is_multiple_of(steps))
            || self.saved.elapsed() >= self.save_every;
        let save = if self.stopping || due && !last { self.save(report.step)? } else { Control::Continue };
        let keep = improved && self.keep_best;
        Ok(if keep { Control::Keep(self.best_folder(), Box::new(save)) } else { save })
    }

    fn save(&mut self, step: usize) -> Result<Control, PipelineError> {
        write_atomically(&self.folder.join(STEPS), self.lines()?.as_bytes())?;
        abort_point("before-state");
        self.saving = Some(step);
        self.saved = Instant::now();
        Ok(Control::Save(self.state(step)))
    }

    fn tell(&mut self, context: &Context<'_>, report: &StepReport) {
        self.progress.1 += report.tokens;
        let elapsed = self.progress.0.elapsed();
        let rate = self.progress.1 as f64 / elapsed.as_secs_f64().max(1e-9);
        let preferred = report.preferred.map(|share| format!(", {:.0} % preferred", share * 100.0)).unwrap_or_default();
        let held_out = report.eval_loss.map(|loss| format!(", evaluation loss {loss:.4}")).unwrap_or_default();
        let note = format!("loss {:.4}{preferred}{held_out}, {rate:.0} tokens/s", report.loss);
        let event = Event::Advanced { stage: context.stage, done: report.step as u64, note: &note };
        context.observer.event(event);
    }

    fn remove_before(&self, step: usize) -> Result<(), PipelineError> {
        abort_point("after-state");
        for old in self.states().into_iter().filter(|old| *old < step) {
            let folder = self.state(old);
            std::fs::remove_dir_all(&folder).map_err(PipelineError::io("remove", &folder))?;
        }
        Ok(())
    }

    /// Leaves out what was noted beyond the last step: a state may have been saved by a run that got further.
    pub fn end(&mut self, steps: usize) {
        self.lines.truncate(steps);
    }

    /// Gives a saved state another name, so that it is found no more but not lost.
    pub fn set_aside(state: &Path) -> Result<PathBuf, PipelineError> {
        let name = state.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut number = 1_u32;
        let free = |number: u32| state.with_file_name(format!("unusable-{name}-{number}"));
        while free(number).exists() {
            number += 1;
        }
        let aside = free(number);
        if state.exists() {
            std::fs::rename(state, &aside).map_err(PipelineError::io("set aside", state))?;
        }
        Ok(aside)
    }

    /// Gives all that was saved another name: the next run begins at the first step.
    pub fn set_all_aside(&self) -> Result<PathBuf, PipelineError> {
        Self::set_aside(&self.folder.join("best"))?;
        Self::set_aside(&self.folder.join(STEPS))?;
        for step in self.states() {
            Self::set_aside(&self.state(step))?;
        }
        Ok(self.folder.clone())
    }

    /// Whether a step was made in this process.
    pub fn moved(&self) -> bool {
        self.moved
    }

    /// One line of JSON a step.
    pub fn lines(&self) -> Result<String, PipelineError> {
        json_lines(&self.lines)
    }

    fn best_folder(&self) -> PathBuf {
        self.folder.join("best")
    }

    /// The folder of the weights with the lowest evaluation loss, where they are to be the result.
    pub fn best(&self) -> Option<PathBuf> {
        self.best_eval().filter(|_| self.keep_best).map(|_| self.best_folder())
    }

    /// The last evaluation loss.
    pub fn last_eval(&self) -> Option<f64> {
        self.lines.iter().rev().find_map(|line| line.eval_loss)
    }

    /// The step with the lowest evaluation loss, the first of several, and that loss.
    pub fn best_eval(&self) -> Option<(usize, f64)> {
        let losses = self.lines.iter().filter_map(|line| Some((line.step, line.eval_loss?)));
        losses.min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)))
    }

    /// Tokens that went through the model.
    pub fn tokens(&self) -> usize {
        self.lines.iter().map(|line| line.tokens).sum()
    }

    /// The last step's loss.
    pub fn last_loss(&self) -> f64 {
        self.lines.last().map_or(0.0, |line| line.loss)
    }
}

/// One line of JSON for each item.
fn json_lines<T: Serialize>(items: &[T]) -> Result<String, PipelineError> {
    let lines = items.iter().map(|item| serde_json::to_string(item).map(|line| line + "\n"));
    lines.collect::<Result<_, _>>().map_err(PipelineError::json("a step"))
}

/// Log-probs under the reference model, kept as they are computed.
pub struct ReferenceJournal {
    path: PathBuf,
    file: File,
    /// Sums of the chosen and of the rejected side, pair by pair.
    pub known: Vec<(f64, f64)>,
}

impl ReferenceJournal {
    pub fn open(folder: &Path, mend: bool) -> Result<Self, PipelineError> {
        std::fs::create_dir_all(folder).map_err(PipelineError::io("create", folder))?;
        let path = folder.join("reference.jsonl");
        // A pair is known by its place.
        let (known, bytes) = read_lines(&path, mend, Rest::Lost)?;
        let open = || {
            let file = File::options().create(true).truncate(false).append(true).open(&path)?;
            file.set_len(bytes)?;
            Ok(file)
        };
        let file = open().map_err(PipelineError::io("open", &path))?;
        Ok(Self { path, file, known })
    }

    pub fn append(&mut self, pairs: impl Iterator<Item = (f64, f64)>) -> Result<(), PipelineError> {
        let pairs: Vec<(f64, f64)> = pairs.collect();
        let lines = json_lines(&pairs)?;
        abort_point("before-reference");
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(PipelineError::io("write", &self.path))?;
        abort_point("after-reference");
        self.known.extend(pairs);
        Ok(())
    }
}
