//! Draws distinct problems of a split.

use std::collections::HashSet;

use retort_records::derive_seed;

use crate::chain::{self, Worked};
use crate::random::Random;
use crate::settings::{SettingProblem, Split, Style, SynthesizeSettings, Task};
use crate::{arithmetic, base_conversion, calendar, countdown};

/// Draws without a new problem that are allowed before the first.
const FRUITLESS: u64 = 20_000;
/// Further draws without a new problem that are allowed for each one found: enough to collect a small space whole.
const FRUITLESS_PER_PROBLEM: u64 = 50;

/// One problem to be solved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exercise {
    /// What is asked, as the user's message.
    pub prompt: String,
    /// The exact answer.
    pub reference_answer: String,
    /// Subject area: `math` or `logic`.
    pub domain: &'static str,
    /// Worked completions with think tags: as many as samples were asked for, or none. Every one ends in the exact answer.
    pub completions: Vec<String>,
}

/// Why problems cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SynthesizeError {
    /// The settings contradict themselves.
    #[error(transparent)]
    Settings(#[from] SettingProblem),
    /// There are fewer different problems than asked for.
    #[error("only {found} different problems found, `{wanted}` wanted: allow larger numbers or more operations")]
    TooFew {
        /// How many there are.
        found: u64,
        /// How many were asked for.
        wanted: u64,
    },
}

/// The problems of `settings`, one after another. Equal settings and seed give equal problems; no prompt comes twice,
/// and a larger `count` begins with the problems of a smaller one. The last item is an error when there are too few.
pub fn synthesize(
    settings: &SynthesizeSettings,
    seed: u64,
) -> Result<impl Iterator<Item = Result<Exercise, SynthesizeError>> + use<>, SynthesizeError> {
    if let Some(problem) = settings.problems().into_iter().next() {
        return Err(problem.into());
    }
    let interval = settings.split.as_ref().map(Split::interval);
    let parts = settings.task.parts();
    let mut drawing = Drawing {
        weights: parts.iter().map(|(weight, _)| u64::from(*weight)).sum(),
        parts,
        settings: settings.clone(),
        interval: interval.unwrap_or((0.0, 1.0)),
        seed,
        draws: 0,
        seen: HashSet::new(),
        failed: false,
    };
    Ok(std::iter::from_fn(move || drawing.next()))
}

struct Drawing {
    settings: SynthesizeSettings,
    parts: Vec<(u32, Task)>,
    weights: u64,
    interval: (f64, f64),
    seed: u64,
    draws: u64,
    /// Hashes of the prompts given out: membership only, their order is never seen.
    seen: HashSet<u64>,
    failed: bool,
}

impl Drawing {
    fn next(&mut self) -> Option<Result<Exercise, SynthesizeError>> {
        let (found, wanted) = (self.seen.len() as u64, self.settings.count);
        if found >= wanted || self.failed {
            return None;
        }
        let share = self.interval.1 - self.interval.0;
        let patience = ((FRUITLESS + FRUITLESS_PER_PROBLEM * found) as f64 / share.max(1e-6)) as u64;
        for _ in 0..patience {
            if let Some(problem) = self.draw() {
                return Some(Ok(problem));
            }
        }
        self.failed = true;
        Some(Err(SynthesizeError::TooFew { found, wanted }))
    }

    /// One draw; `None` when it breaks a rule of its task, belongs to another split, or was seen before.
    fn draw(&mut self) -> Option<Exercise> {
        let draw = self.draws;
        self.draws += 1;
        let mut random = Random::new(derive_seed(self.seed, "problem", &draw.to_string(), 0));
        let worked = self.work(&mut random)?;
        let place = derive_seed(0, "split", &worked.key, 0) as f64 / (1_u64 << 53) as f64;
        if !(self.interval.0 <= place && place < self.interval.1) {
            return None;
        }
        let prompt = match self.settings.style {
            Style::Compact => worked.compact.clone(),
            Style::Words => worked.words.clone(),
        };
        if !self.seen.insert(derive_seed(0, "prompt", &prompt, 0)) {
            return None;
        }
        let completions = match &self.settings.chain_of_thought {
            Some(chain) => (0..self.settings.samples_per_prompt)
                .map(|sample| {
                    let mut random = Random::new(derive_seed(self.seed, "chain", &prompt, sample));
                    chain::write(&worked, chain, prompt.len(), &mut random)
                })
                .collect(),
            None => Vec::new(),
        };
        Some(Exercise { prompt, reference_answer: worked.answer, domain: worked.domain, completions })
    }

    fn work(&self, random: &mut Random) -> Option<Worked> {
        let mut at = random.between(0, self.weights as i64 - 1);
        let (_, task) = self.parts.iter().find(|(weight, _)| {
            at -= i64::from(*weight);
            at < 0
        })?;
        match task {
            Task::Arithmetic(settings) => arithmetic::draw(settings, random),
            Task::Countdown(settings) => countdown::draw(settings, random),
            Task::BaseConversion(settings) => base_conversion::draw(settings, random),
            Task::Calendar(settings) => calendar::draw(settings, random),
        }
    }
}
