//! The local teacher: a checkpoint that is asked for completions inside this program.
//!
//! A completion depends on prompt, seed and sampling settings alone, never on what is sampled beside it, so samples are
//! generated in chunks that only decide how much a crash can lose.

use crate::checkpoint::{completion_text, load_tokenizer, opens_reasoning, stop_tokens, with_opened_reasoning};
use crate::error::LocalError;
use crate::watch::Watches;
use rayon::prelude::*;
use retort_chat::{ChatError, ChatTemplate, Conversation, Tokenizer, encode_conversation_prompt};
use retort_records::{FinishReason, Telemetry, completion};
use retort_student::{Finish, GenerateRequest, GenerateSettings, Generated, Generator, Student, Target};
use retort_teacher::{Attempted, Failure, FailureKind, Reply, Request, Sampling, Stopped};
use retort_weights::Checkpoint;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Tokens of the model's context.
    context: usize,
    /// Set when the user wants to stop.
    cancel: &'a AtomicBool,
}

/// A checkpoint with its tokenizer and template. Its weights are loaded when they are needed.
pub struct LocalTeacher {
    folder: PathBuf,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    warnings: Vec<String>,
}

impl LocalTeacher {
    /// The checkpoint in a Hugging Face folder.
    pub fn open(folder: PathBuf) -> Result<Self, LocalError> {
        // What is wrong with the folder itself is said before its tokenizer is missed.
        let warnings = Checkpoint::open(&folder)?.warnings().to_vec();
        let tokenizer = load_tokenizer(&folder)?;
        let template = ChatTemplate::load(&folder)?;
        Ok(Self { folder, tokenizer, template, warnings })
    }

    /// The same with these variables of the chat template, such as `enable_thinking`.
    #[must_use]
    pub fn with_template_kwargs(self, kwargs: &Map<String, Value>) -> Self {
        let set =
            |template: ChatTemplate| if kwargs.is_empty() { template } else { template.with_kwargs(kwargs.clone()) };
        Self { template: self.template.map(set), ..self }
    }

    /// What was decided in reading the checkpoint that people should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Generates every request, chunk after chunk. `keep` is given the samples of each chunk in the order of the requests,
    /// and tokens a second; it says whether to go on.
    pub fn sample<E: From<LocalError>>(
        &self,
        device: Target,
        mut requests: impl Iterator<Item = Result<Request, E>>,
        sampling: &Sampling,
        cancel: &AtomicBool,
        keep: &mut dyn FnMut(Vec<Attempted>, f64) -> Result<(), E>,
    ) -> Result<Stopped, E> {
        let mut size = CHUNKS.0;
        let mut next = |size: usize| requests.by_ref().take(size).collect::<Result<Vec<Request>, E>>();
        let mut chunk = next(size)?;
        if chunk.is_empty() {
            return Ok(Stopped::Finished);
        }
        let student = self.load(device)?;
        let asked = Asked {
            generator: Generator::new(&student).map_err(LocalError::from)?,
            settings: self.settings(sampling)?,
            stop: &sampling.stop,
            context: student.config().max_position_embeddings,
            cancel,
        };
        while !chunk.is_empty() {
            let started = Instant::now();
            let (samples, tokens) = self.chunk(chunk, &asked)?;
            if cancel.load(Ordering::Relaxed) {
                return Ok(Stopped::Cancelled);
            }
            let took = started.elapsed();
            keep(samples, tokens as f64 / took.as_secs_f64().max(1e-9))?;
            let ideal = size as f64 * CHUNK_TIME.as_secs_f64() / took.as_secs_f64().max(1e-3);
            size = (ideal as usize).clamp(size / 2, size * 2).clamp(CHUNKS.1, CHUNKS.2);
            chunk = next(size)?;
        }
        Ok(Stopped::Finished)
    }

    fn encoded(&self, request: &Request) -> Result<Vec<u32>, ChatError> {
        let conversation = Conversation::of_row(&request.messages, request.beyond_text.as_deref())?;
        encode_conversation_prompt(&self.tokenizer, self.template.as_ref(), &conversation)
    }

    fn load(&self, device: Target) -> Result<Student, LocalError> {
        Ok(Student::load(&Checkpoint::open(&self.folder)?, device)?)
    }

    /// The samples of one chunk, in the order of the requests, and how many tokens were generated.
    fn chunk(&self, chunk: Vec<Request>, asked: &Asked<'_>) -> Result<(Vec<Attempted>, u64), LocalError> {
        let started_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let started = Instant::now();
        let encoded: Vec<Result<Vec<u32>, (String, String)>> = chunk
            .par_iter()
            .map(|request| match self.encoded(request) {
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
        let watches = Watches::new(Some(&self.tokenizer), asked.stop, wanted.len());
        // Asked after every token, so that Ctrl-C need not wait for the chunk.
        let done = |request: usize, ids: &[u32]| asked.cancel.load(Ordering::Relaxed) || watches.stopped(request, ids);
        let mut generated = asked.generator.generate_until(&wanted, &asked.settings, &done)?.into_iter();
        let latency_ms = started.elapsed().as_millis() as u64;
        let mut tokens = 0;
        let samples = chunk
            .into_iter()
            .zip(encoded)
            .map(|(request, ids)| {
                let result = match ids {
                    Err((drop_reason, message)) => Err(Failure { kind: FailureKind::Request, drop_reason, message }),
                    Ok(ids) => {
                        let generated = generated.next().expect("every encoded prompt was generated from");
                        tokens += generated.ids.len() as u64;
                        Ok(self.reply(&ids, &generated, asked))
                    }
                };
                let telemetry = Telemetry {
                    rollout_id: request.rollout_id.clone(),
                    prompt_id: request.prompt_id.clone(),
                    endpoint: "embedded".into(),
                    attempts: 1,
                    started_ms: started_ms as u64,
                    latency_ms,
                    cost: None,
                };
                Attempted { request, result, telemetry }
            })
            .collect();
        Ok((samples, tokens))
    }

    fn reply(&self, prompt_ids: &[u32], generated: &Generated, asked: &Asked<'_>) -> Reply {
        let text = completion_text(&self.tokenizer, &generated.ids, asked.stop);
        let opened = self.template.is_some() && opens_reasoning(&self.tokenizer, prompt_ids);
        let text = if opened { with_opened_reasoning(text) } else { text };
        let parts = completion::split(&text);
        let count = generated.ids.len() + usize::from(generated.stop_token.is_some());
        Reply {
            reasoning: parts.reasoning.map(str::to_owned),
            answer: parts.answer.map(str::to_owned),
            finish_reason: match generated.finish {
                Finish::Stop => FinishReason::Stop,
                Finish::Length | Finish::Repetition => FinishReason::Length,
            },
            prompt_tokens: Some(prompt_ids.len() as u32),
            completion_tokens: Some(count as u32),
            completion: text,
        }
    }

    fn settings(&self, sampling: &Sampling) -> Result<GenerateSettings, LocalError> {
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
