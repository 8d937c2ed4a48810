//! The embedded teacher: a checkpoint that is asked for completions inside this program.
//!
//! A completion depends on prompt, seed and sampling settings alone, never on what is sampled beside it, so samples are
//! generated in chunks that only decide how much a crash can lose.

use super::Context;
use super::asking::{Entry, Journal, Outcome};
use crate::error::PipelineError;
use crate::inputs::Finished;
use crate::loaded::{stop_tokens, stopped_text, with_opened_reasoning};
use rayon::prelude::*;
use retort_chat::{ChatError, ChatTemplate, Tokenizer, encode_prompt};
use retort_records::completion;
use retort_records::{FinishReason, Rollout, Telemetry};
use retort_student::{Finish, GenerateRequest, GenerateSettings, Generated, Generator, Student};
use retort_teacher::{Request, Sampling};
use retort_weights::Checkpoint;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// How long a chunk should take: what a crash loses at most, and how often progress is told.
const CHUNK_TIME: Duration = Duration::from_secs(5);
/// Samples of the first chunk, of the smallest and of the largest.
const CHUNKS: (usize, usize, usize) = (64, 8, 4096);

/// Everything that the chunks of one stage share.
struct Asked<'a> {
    generator: Generator<'a>,
    settings: GenerateSettings,
    /// Texts that end a completion.
    stop: &'a [String],
    /// What the rollouts' `sampling` column holds.
    sampling: &'a str,
    /// Tokens of the model's context.
    context: usize,
}

/// A checkpoint with its tokenizer and template.
pub struct Embedded {
    /// What the `teacher` column holds.
    pub name: String,
    /// Goes into the ids of its rollouts, so that two checkpoints of one name are told apart.
    pub identity: String,
    folder: PathBuf,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
}

impl Embedded {
    /// The checkpoint of a finished stage or of a folder. Its weights are loaded when they are needed.
    pub fn open(input: &Finished) -> Result<Self, PipelineError> {
        let folder = input.checkpoint_folder();
        let name = input.label().to_owned();
        let identity = format!("{name}@{}", input.manifest.fingerprint());
        let tokenizer = Tokenizer::load(&folder)?;
        let template = ChatTemplate::load(&folder)?;
        Ok(Self { name, identity, folder, tokenizer, template })
    }

    /// Generates every request that the journal does not hold, `chunk` after `chunk`, and adds it to the journal.
    /// `sampling_text` is what the rollouts' `sampling` column holds; `told` is called with the number of samples done.
    pub fn sample(
        &self,
        context: &Context<'_>,
        requests: impl Iterator<Item = Result<Request, PipelineError>>,
        sampling: &Sampling,
        sampling_text: &str,
        journal: &mut Journal,
        told: &mut dyn FnMut(u64, &str) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        let mut requests = requests.fuse();
        let mut next = |size: usize, journal: &Journal| -> Result<Vec<Request>, PipelineError> {
            let open = |request: &Result<Request, _>| {
                request.as_ref().map_or(true, |request: &Request| !journal.holds(&request.rollout_id))
            };
            requests.by_ref().filter(open).take(size).collect()
        };
        let mut size = CHUNKS.0;
        let mut chunk = next(size, journal)?;
        if chunk.is_empty() {
            return Ok(());
        }
        let checkpoint = Checkpoint::open(&self.folder)?;
        let student = Student::load(&checkpoint, context.machine.device)?;
        let asked = Asked {
            generator: Generator::new(&student)?,
            settings: self.settings(sampling)?,
            stop: &sampling.stop,
            sampling: sampling_text,
            context: student.config().max_position_embeddings,
        };
        while !chunk.is_empty() {
            let started = Instant::now();
            let (entries, tokens) = self.chunk(context, &chunk, &asked)?;
            if context.cancel.load(Ordering::Relaxed) {
                return Err(PipelineError::Interrupted { stage: context.stage.to_owned() });
            }
            journal.append_all(&entries)?;
            let took = started.elapsed();
            let rate = tokens as f64 / took.as_secs_f64().max(1e-9);
            told(journal.finished(), &format!("{}: {rate:.0} tokens/s", self.name))?;
            let ideal = size as f64 * CHUNK_TIME.as_secs_f64() / took.as_secs_f64().max(1e-3);
            size = (ideal as usize).clamp(size / 2, size * 2).clamp(CHUNKS.1, CHUNKS.2);
            chunk = next(size, journal)?;
        }
        Ok(())
    }

    /// The journal's entries of one chunk, in the order of the requests, and how many tokens were generated.
    fn chunk(
        &self,
        context: &Context<'_>,
        chunk: &[Request],
        asked: &Asked<'_>,
    ) -> Result<(Vec<Entry>, u64), PipelineError> {
        let started_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let started = Instant::now();
        let encoded: Vec<Result<Vec<u32>, (String, String)>> = chunk
            .par_iter()
            .map(|request| match encode_prompt(&self.tokenizer, self.template.as_ref(), &request.messages) {
                Ok(ids) if ids.is_empty() => {
                    Ok(Err(("empty_prompt".to_owned(), "the prompt has no tokens".to_owned())))
                }
                Ok(ids) if ids.len() >= asked.context => {
                    let detail = format!("{} tokens, the model's context is {}", ids.len(), asked.context);
                    Ok(Err(("prompt_too_long".to_owned(), detail)))
                }
                Ok(ids) => Ok(Ok(ids)),
                Err(error) => match error.drop_reason() {
                    Some(reason) => Ok(Err((reason.to_owned(), error.to_string()))),
                    None => Err(error),
                },
            })
            .collect::<Result<_, ChatError>>()?;
        let wanted: Vec<GenerateRequest> = chunk
            .iter()
            .zip(&encoded)
            .filter_map(|(request, ids)| {
                Some(GenerateRequest { prompt_ids: ids.as_ref().ok()?.clone(), seed: request.seed })
            })
            .collect();
        // Asked after every token, so that Ctrl-C need not wait for the chunk.
        let done = |_: usize, ids: &[u32]| {
            context.cancel.load(Ordering::Relaxed) || stopped_text(&self.tokenizer, ids, asked.stop).is_some()
        };
        let mut generated = asked.generator.generate_until(&wanted, &asked.settings, &done)?.into_iter();
        let latency_ms = started.elapsed().as_millis() as u64;
        let mut tokens = 0;
        let entries = chunk
            .iter()
            .zip(encoded)
            .map(|(request, ids)| {
                let outcome = match ids {
                    Err((drop_reason, message)) => Outcome::Dropped { drop_reason, message },
                    Ok(ids) => {
                        let generated = generated.next().expect("every encoded prompt was generated from");
                        tokens += generated.ids.len() as u64;
                        let rollout = self.rollout(request, ids.len(), &generated, asked);
                        Outcome::Rollout(Box::new(rollout))
                    }
                };
                Entry {
                    rollout_id: request.rollout_id.clone(),
                    outcome,
                    telemetry: Telemetry {
                        rollout_id: request.rollout_id.clone(),
                        prompt_id: request.prompt_id.clone(),
                        endpoint: "embedded".into(),
                        attempts: 1,
                        started_ms: started_ms as u64,
                        latency_ms,
                        cost: None,
                    },
                }
            })
            .collect();
        Ok((entries, tokens))
    }

    fn rollout(&self, request: &Request, prompt_tokens: usize, generated: &Generated, asked: &Asked<'_>) -> Rollout {
        let text = match stopped_text(&self.tokenizer, &generated.ids, asked.stop) {
            Some(text) => text,
            None => self.tokenizer.decode(&generated.ids, true),
        };
        let text = with_opened_reasoning(self.template.as_ref(), text);
        let parts = completion::split(&text);
        let count = generated.ids.len() + usize::from(generated.stop_token.is_some());
        Rollout {
            rollout_id: request.rollout_id.clone(),
            prompt_id: request.prompt_id.clone(),
            sample_index: request.sample_index,
            teacher: self.name.clone(),
            reasoning: parts.reasoning.map(str::to_owned),
            answer: parts.answer.map(str::to_owned),
            finish_reason: match generated.finish {
                Finish::Stop => FinishReason::Stop,
                Finish::Length | Finish::Repetition => FinishReason::Length,
            },
            prompt_tokens: Some(prompt_tokens as u32),
            completion_tokens: Some(count as u32),
            seed: Some(request.seed),
            sampling: asked.sampling.to_owned(),
            source_id: None,
            completion: text,
        }
    }

    fn settings(&self, sampling: &Sampling) -> Result<GenerateSettings, PipelineError> {
        let stop_token_ids = stop_tokens(&self.folder, Some(&self.tokenizer), self.template.as_ref())?;
        Ok(GenerateSettings {
            max_tokens: sampling.max_tokens as usize,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k.unwrap_or(0) as usize,
            min_p: sampling.min_p.unwrap_or(0.0),
            stop_token_ids,
            ..GenerateSettings::default()
        })
    }
}
