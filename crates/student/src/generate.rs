use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use retort_weights::ModelConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend::{Decoder, Segment};
use crate::error::setting;
use crate::kernels::rowwise::{exponentials, largest};
use crate::rows::check_tokens;
use crate::sampling::{pick, random_of};
use crate::{Error, Student};

/// How completions are sampled; vLLM's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateSettings {
    /// Most tokens of a completion.
    #[serde(default = "default_max_tokens")]
    #[schemars(range(min = 1))]
    pub max_tokens: usize,
    /// Divides the logits; 0 always takes the most probable token.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0))]
    pub temperature: f64,
    /// Samples from the smallest set of tokens whose probabilities sum to this; 1 is off.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: f64,
    /// Samples from so many most probable tokens; 0 is off.
    #[serde(default)]
    pub top_k: usize,
    /// Leaves out tokens whose probability is below this share of the largest; 0 is off.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: f64,
    /// Tokens that end a completion; the checkpoint's end-of-sequence tokens, usually.
    #[serde(default)]
    pub stop_token_ids: Vec<u32>,
    /// Whether each token's log-prob (of the distribution before temperature and filters) is wanted.
    #[serde(default)]
    pub log_probs: bool,
    /// Most sequences that are decoded at the same time. It changes speed and memory, never a token.
    #[serde(default = "default_batch")]
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// Stops completions that go round in circles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition_stop: Option<RepetitionStop>,
}

/// When a completion counts as going round in circles: its end is one piece of tokens over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepetitionStop {
    /// Longest piece in tokens.
    #[serde(default = "default_period")]
    #[schemars(range(min = 1))]
    pub max_period: usize,
    /// Least number of times the piece comes in a row.
    #[serde(default = "default_repeats")]
    #[schemars(range(min = 2))]
    pub min_repeats: usize,
    /// Least number of tokens that all the repeats cover.
    #[serde(default = "default_covered")]
    #[schemars(range(min = 2))]
    pub min_tokens: usize,
}

fn default_max_tokens() -> usize {
    256
}
fn one() -> f64 {
    1.0
}
fn default_batch() -> usize {
    64
}
fn default_period() -> usize {
    1024
}
fn default_repeats() -> usize {
    4
}
fn default_covered() -> usize {
    256
}

impl Default for GenerateSettings {
    fn default() -> Self {
        Self {
            max_tokens: default_max_tokens(),
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            stop_token_ids: Vec::new(),
            log_probs: false,
            batch_size: default_batch(),
            repetition_stop: None,
        }
    }
}

impl GenerateSettings {
    /// Says which setting is not allowed, if any.
    pub fn check(&self) -> Result<(), Error> {
        if self.max_tokens == 0 {
            return Err(setting("max_tokens", 0, "1 or more"));
        }
        if self.batch_size == 0 {
            return Err(setting("batch_size", 0, "1 or more"));
        }
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(setting("temperature", self.temperature, "0 or more"));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(setting("top_p", self.top_p, "more than 0, to 1"));
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return Err(setting("min_p", self.min_p, "0 to 1"));
        }
        match self.repetition_stop {
            Some(stop) if stop.max_period == 0 => Err(setting("max_period", 0, "1 or more")),
            Some(stop) if stop.min_repeats < 2 => Err(setting("min_repeats", stop.min_repeats, "2 or more")),
            _ => Ok(()),
        }
    }
}

/// One completion that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerateRequest {
    /// Token ids of the prompt, at least one.
    pub prompt_ids: Vec<u32>,
    /// Seed of this sample alone: the completion depends on prompt, seed and settings, never on its neighbours.
    pub seed: u64,
}

/// Why a completion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// A stop token, or the caller said so.
    Stop,
    /// `max_tokens`, or the model's context, was reached.
    Length,
    /// It went round in circles.
    Repetition,
}

/// One completion.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// Sampled token ids, without the stop token.
    pub ids: Vec<u32>,
    /// The stop token that ended it, if one did.
    pub stop_token: Option<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// Natural log-prob of each of `ids`, and of the stop token after them, if asked for.
    pub log_probs: Option<Vec<f32>>,
}

/// A student ready to generate: its weights are packed once.
#[derive(Debug)]
pub struct Generator<'a> {
    config: &'a ModelConfig,
    decoder: Box<dyn Decoder + 'a>,
}

/// Prompt tokens that one step reads beside the tokens being sampled.
const PROMPT_TOKENS: usize = 256;

impl<'a> Generator<'a> {
    /// Prepares a student: on the CPU its weights are packed, which takes about as much memory again as its parameters; on
    /// another device they are copied there.
    pub fn new(student: &'a Student) -> Result<Self, Error> {
        Ok(Self::of(&student.config, student.decoder()?))
    }

    pub(crate) fn of(config: &'a ModelConfig, decoder: Box<dyn Decoder + 'a>) -> Self {
        decoder.pack();
        Self { config, decoder }
    }

    /// Completes every request, in their order. Finished sequences leave and waiting ones enter at once, and yet each
    /// completion is the one it would be alone.
    pub fn generate(&self, requests: &[GenerateRequest], settings: &GenerateSettings) -> Result<Vec<Generated>, Error> {
        self.generate_until(requests, settings, &|_, _| false)
    }

    /// [`Generator::generate`] with a say for the caller: `done(request, ids)` is asked after every token and ends the
    /// completion (as [`Finish::Stop`]) by `true`, for stop strings. It may be called from several threads at a time.
    pub fn generate_until(
        &self,
        requests: &[GenerateRequest],
        settings: &GenerateSettings,
        done: &(dyn Fn(usize, &[u32]) -> bool + Sync),
    ) -> Result<Vec<Generated>, Error> {
        settings.check()?;
        for (index, request) in requests.iter().enumerate() {
            let tokens = request.prompt_ids.len();
            if tokens == 0 || tokens >= self.context() {
                let max_tokens = self.context() - 1;
                return Err(Error::Rows(format!("prompt {index} has {tokens} tokens; allowed are 1 to {max_tokens}")));
            }
            check_tokens(self.config, &request.prompt_ids)
                .map_err(|error| Error::Rows(format!("prompt {index}: {error}")))?;
        }
        let workers = self.decoder.generations().min(settings.batch_size).max(1);
        let next = AtomicUsize::new(0);
        let finished: Vec<Mutex<Option<Result<Generated, Error>>>> =
            requests.iter().map(|_| Mutex::new(None)).collect();
        let work = |worker: usize| {
            // Sequences are shared out as they come: who decodes which changes nothing.
            let places = (settings.batch_size + worker) / workers;
            self.work(requests, settings, done, places.max(1), &next, &finished);
        };
        if workers == 1 {
            work(0);
        } else {
            (0..workers).into_par_iter().with_max_len(1).for_each(work);
        }
        let take = |slot: Mutex<Option<_>>| slot.into_inner().unwrap_or_else(PoisonError::into_inner);
        finished.into_iter().map(|slot| take(slot).expect("every request was worked on")).collect()
    }

    /// Most tokens of prompt and completion together.
    fn context(&self) -> usize {
        self.config.max_position_embeddings
    }

    /// Completes requests, `places` at a time, until none is left.
    fn work(
        &self,
        requests: &[GenerateRequest],
        settings: &GenerateSettings,
        done: &(dyn Fn(usize, &[u32]) -> bool + Sync),
        places: usize,
        next: &AtomicUsize,
        finished: &[Mutex<Option<Result<Generated, Error>>>],
    ) {
        let capacity = |request: &GenerateRequest| {
            self.context().min(request.prompt_ids.len().saturating_add(settings.max_tokens))
        };
        let longest = requests.iter().map(capacity).max().unwrap_or(0);
        let mut generation = self.decoder.generation(longest);
        let mut active: Vec<Sequence> = Vec::new();
        let mut scratch = Vec::new();
        loop {
            while active.len() < places {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(index) else { break };
                active.push(Sequence::new(index, request, generation.open(capacity(request)), capacity(request)));
            }
            if active.is_empty() {
                return;
            }
            let mut prompt_tokens = PROMPT_TOKENS;
            let mut sampled: Vec<usize> = Vec::with_capacity(active.len());
            let mut segments: Vec<Segment> = Vec::with_capacity(active.len());
            for (at, sequence) in active.iter_mut().enumerate() {
                let prompt = &sequence.request.prompt_ids;
                let tokens = match prompt.len() - sequence.read {
                    0 => &sequence.ids[sequence.ids.len() - 1..],
                    left => {
                        let now = left.min(prompt_tokens);
                        prompt_tokens -= now;
                        sequence.read += now;
                        &prompt[sequence.read - now..sequence.read]
                    }
                };
                let wanted = !tokens.is_empty() && sequence.read == prompt.len();
                if wanted {
                    sampled.push(at);
                }
                segments.push(Segment { place: sequence.place, tokens, wanted });
            }
            let logits = generation.step(&segments);
            for (at, logits) in sampled.iter().zip(logits.chunks_exact(self.config.vocab_size)) {
                active[*at].sample(logits, settings, done, &mut scratch);
            }
            for at in (0..active.len()).rev() {
                if active[at].ended.is_some() {
                    let sequence = active.swap_remove(at);
                    generation.close(sequence.place);
                    let slot = &finished[sequence.index];
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(sequence.finish(settings));
                }
            }
        }
    }
}

/// A completion under way.
struct Sequence<'a> {
    index: usize,
    request: &'a GenerateRequest,
    /// Its place in the generation.
    place: usize,
    /// Prompt tokens that were read.
    read: usize,
    /// Most tokens of the completion.
    limit: usize,
    ids: Vec<u32>,
    log_probs: Vec<f32>,
    ended: Option<(Finish, Option<u32>)>,
    /// Whether the model gave logits that are no numbers.
    broken: bool,
}

impl<'a> Sequence<'a> {
    fn new(index: usize, request: &'a GenerateRequest, place: usize, capacity: usize) -> Self {
        let limit = capacity - request.prompt_ids.len();
        Self {
            index,
            request,
            place,
            read: 0,
            limit,
            ids: Vec::new(),
            log_probs: Vec::new(),
            ended: None,
            broken: false,
        }
    }

    fn sample(
        &mut self,
        logits: &[f32],
        settings: &GenerateSettings,
        done: &(dyn Fn(usize, &[u32]) -> bool + Sync),
        scratch: &mut Vec<f32>,
    ) {
        let random = random_of(self.request.seed, self.ids.len());
        let Some(token) = pick(logits, settings, random, scratch) else {
            self.broken = true;
            self.ended = Some((Finish::Length, None));
            return;
        };
        if settings.log_probs {
            scratch.clear();
            scratch.extend_from_slice(logits);
            let maximum = largest(logits);
            self.log_probs.push(logits[token as usize] - maximum - exponentials(scratch, 1.0, maximum).ln());
        }
        if settings.stop_token_ids.contains(&token) {
            self.ended = Some((Finish::Stop, Some(token)));
            return;
        }
        self.ids.push(token);
        if done(self.index, &self.ids) {
            self.ended = Some((Finish::Stop, None));
        } else if settings.repetition_stop.is_some_and(|stop| stop.reached(&self.ids)) {
            self.ended = Some((Finish::Repetition, None));
        } else if self.ids.len() >= self.limit {
            self.ended = Some((Finish::Length, None));
        }
    }

    fn finish(self, settings: &GenerateSettings) -> Result<Generated, Error> {
        if self.broken {
            return Err(Error::Logits { what: format!("prompt {}, token {}", self.index, self.ids.len()) });
        }
        let (finish, stop_token) = self.ended.unwrap_or((Finish::Length, None));
        let log_probs = settings.log_probs.then_some(self.log_probs);
        Ok(Generated { ids: self.ids, stop_token, finish, log_probs })
    }
}

impl RepetitionStop {
    /// Whether the end of `ids` is one piece over and over.
    fn reached(&self, ids: &[u32]) -> bool {
        // A period's repeats cover a known number of tokens, so looking every 16 tokens costs little and misses nothing.
        if ids.len() < self.min_tokens || !ids.len().is_multiple_of(16) {
            return false;
        }
        (1..=self.max_period.min(ids.len() / self.min_repeats)).any(|period| {
            let covered = (period * self.min_repeats).max(self.min_tokens.next_multiple_of(period));
            ids.len() >= covered && {
                let end = &ids[ids.len() - covered..];
                end[period..] == end[..covered - period]
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found() {
        let stop = RepetitionStop { max_period: 8, min_repeats: 4, min_tokens: 16 };
        let mut ids: Vec<u32> = (0..16).collect();
        assert!(!stop.reached(&ids));
        ids.extend([1, 2, 3, 4].repeat(4));
        assert!(stop.reached(&ids));
        ids[30] = 9;
        assert!(!stop.reached(&ids));
    }
}
