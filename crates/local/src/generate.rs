//! Completes a prompt, or the prompts of a JSONL file: the work of the command `retort generate`.
//!
//! A completion depends on prompt, seed and settings alone, never on the other rows of the file.

use crate::checkpoint::LoadedCheckpoint;
use crate::error::LocalError;
use crate::watch::{Watch, Watches};
use rayon::prelude::*;
use retort_records::completion::THINK_OPEN;
use retort_records::json_lines::{JsonLine, JsonLines, close};
use retort_records::{derive_seed, id_of};
use retort_student::{Finish, GenerateRequest, GenerateSettings, Generated, Generator};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rows that are completed together; more than are decoded at a time, so that places do not stand empty for long.
const ROWS: usize = 256;

/// How to complete.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// Whether a prompt that is plain text is the message of a user.
    pub chat: bool,
    /// Most tokens of a completion.
    pub max_tokens: usize,
    /// Divides the logits; 0 always takes the most probable token.
    pub temperature: f64,
    /// Samples from the smallest set of tokens whose probabilities sum to this; 1 is off.
    pub top_p: f64,
    /// Samples from so many most probable tokens; 0 is off.
    pub top_k: usize,
    /// Leaves out tokens whose probability is below this share of the largest; 0 is off.
    pub min_p: f64,
    /// Texts that end a completion.
    pub stop: Vec<String>,
    /// Where randomness starts.
    pub seed: u64,
}

/// One row completed, or the reason why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedRow {
    /// The row with what was generated, as a line of JSON without its end.
    pub json: String,
    /// Number of the row's line, from 1.
    pub line: u64,
    /// The completion (its token ids where the checkpoint has no tokenizer), or why there is none.
    pub text: Result<String, String>,
    /// `stop` or `length`; empty where there is no completion.
    pub finish_reason: &'static str,
    /// Tokens generated, the one that ends the completion included.
    pub tokens: usize,
}

impl GenerateOptions {
    fn settings(&self, loaded: &LoadedCheckpoint) -> Result<GenerateSettings, LocalError> {
        let settings = GenerateSettings {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            stop_token_ids: loaded.stop_token_ids().to_vec(),
            ..GenerateSettings::default()
        };
        settings.check()?;
        Ok(settings)
    }
}

/// Completes one prompt; `progress` is given the text piece by piece as it comes.
pub fn generate_one(
    loaded: &LoadedCheckpoint,
    prompt: &str,
    options: &GenerateOptions,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<GeneratedRow, LocalError> {
    let settings = options.settings(loaded)?;
    let ids = loaded.prompt(prompt, options.chat);
    let ids = ids.and_then(|ids| loaded.check(&ids, max_prompt_tokens(loaded)).map(|()| ids));
    let ids = ids.map_err(LocalError::Prompt)?;
    let request = GenerateRequest { seed: Seeds::default().next(options.seed, &ids), prompt_ids: ids };
    let watch = loaded.tokenizer().ok().map(|tokenizer| Watch::new(tokenizer, &options.stop));
    let shown = Mutex::new(Shown {
        watch,
        opening: options.chat && loaded.opens_reasoning(&request),
        bytes: 0,
        before: String::new(),
        told: progress,
    });
    // What may still turn into a stop text waits until it is known.
    let held = options.stop.iter().map(String::len).max().unwrap_or(0);
    let done = |_: usize, ids: &[u32]| lock(&shown).take(ids, held);
    let requests = [request];
    let generated = Generator::new(loaded.student())?.generate_until(&requests, &settings, &done)?;
    let [request] = requests;
    let row = row(loaded, options, 1, &request, &generated[0], |added| {
        let mut json = format!("{{\"prompt\":{}", Value::from(prompt));
        close(&mut json, added);
        json
    });
    if let Ok(text) = &row.text {
        let Shown { before, told, .. } = shown.into_inner().unwrap_or_else(PoisonError::into_inner);
        match text.strip_prefix(before.as_str()) {
            Some("") => {}
            Some(new) => told(new),
            // What was shown turned out to be written in another way.
            None => told(&format!("\n{text}")),
        }
    }
    Ok(row)
}

/// A completion that is shown as it comes.
struct Shown<'a> {
    watch: Option<Watch<'a>>,
    /// Whether the prompt opened the reasoning and it is not known yet if the text opens it again.
    opening: bool,
    /// Bytes of the text that were shown.
    bytes: usize,
    /// All that was shown.
    before: String,
    told: &'a mut (dyn FnMut(&str) + Send),
}

impl Shown<'_> {
    /// Shows what is sure of the completion so far; true once a stop text has come.
    fn take(&mut self, ids: &[u32], held: usize) -> bool {
        let Some(watch) = &mut self.watch else { return false };
        if watch.take(ids) {
            return true;
        }
        let text = watch.text();
        if self.opening {
            let start = text.trim_start();
            if start.len() < THINK_OPEN.len() && THINK_OPEN.starts_with(start) {
                return false;
            }
            if !start.starts_with(THINK_OPEN) {
                self.before = format!("{THINK_OPEN}\n");
                (self.told)(&self.before);
            }
            self.opening = false;
        }
        let sure = text.floor_char_boundary(text.len() - held.min(text.len()));
        if sure > self.bytes {
            (self.told)(&text[self.bytes..sure]);
            self.before.push_str(&text[self.bytes..sure]);
            self.bytes = sure;
        }
        false
    }
}

fn lock<'a, 'b>(shown: &'a Mutex<Shown<'b>>) -> MutexGuard<'a, Shown<'b>> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Completes every line of `input` that is not blank and hands over the rows in their order.
pub fn generate_lines<E: From<LocalError>>(
    loaded: &LoadedCheckpoint,
    input: &mut (dyn BufRead + Send),
    name: &Path,
    options: &GenerateOptions,
    found: &mut dyn FnMut(GeneratedRow) -> Result<(), E>,
) -> Result<(), E> {
    let settings = options.settings(loaded)?;
    let generator = Generator::new(loaded.student()).map_err(LocalError::from)?;
    let (mut lines, mut seeds) = (JsonLines::new(input), Seeds::default());
    loop {
        let batch = lines.batch().map_err(LocalError::read(name))?;
        if batch.is_empty() {
            return Ok(());
        }
        for lines in batch.chunks(ROWS) {
            for row in chunk(loaded, &generator, &settings, options, lines, &mut seeds)? {
                found(row)?;
            }
        }
    }
}

fn chunk(
    loaded: &LoadedCheckpoint,
    generator: &Generator<'_>,
    settings: &GenerateSettings,
    options: &GenerateOptions,
    lines: &[JsonLine],
    seeds: &mut Seeds,
) -> Result<Vec<GeneratedRow>, LocalError> {
    let rows: Vec<_> = lines.iter().map(JsonLine::fields).collect();
    let prompts: Vec<Result<Vec<u32>, String>> = rows
        .par_iter()
        .map(|row| {
            let row = row.as_ref().map_err(|(_, reason)| reason.clone())?;
            let ids = loaded.prompt_of(row, options.chat)?;
            loaded.check(&ids, max_prompt_tokens(loaded)).map(|()| ids)
        })
        .collect();
    let mut requests = Vec::with_capacity(prompts.len());
    for ids in prompts.iter().flatten() {
        requests.push(GenerateRequest { seed: seeds.next(options.seed, ids), prompt_ids: ids.clone() });
    }
    let watches = Watches::new(loaded.tokenizer().ok(), &options.stop, requests.len());
    let done = |request: usize, ids: &[u32]| watches.stopped(request, ids);
    let generated = generator.generate_until(&requests, settings, &done)?;
    let mut generated = requests.iter().zip(&generated);
    let whole = lines.iter().zip(rows).zip(prompts).map(|((line, fields), prompt)| {
        let with = |added: &Value| match &fields {
            Ok(fields) => fields.with(added),
            Err(_) => {
                let mut json = format!("{{\"line\":{}", line.number);
                close(&mut json, added);
                json
            }
        };
        match prompt {
            Ok(_) => {
                let (request, generated) = generated.next().expect("every prompt was completed");
                row(loaded, options, line.number, request, generated, with)
            }
            Err(reason) => GeneratedRow {
                json: with(&json!({ "completion": null, "finish_reason": null, "reason": reason })),
                line: line.number,
                text: Err(reason),
                finish_reason: "",
                tokens: 0,
            },
        }
    });
    Ok(whole.collect())
}

/// What a completion looks like; `with` adds keys to the row.
fn row(
    loaded: &LoadedCheckpoint,
    options: &GenerateOptions,
    line: u64,
    request: &GenerateRequest,
    generated: &Generated,
    with: impl Fn(&Value) -> String,
) -> GeneratedRow {
    let mut ids = generated.ids.clone();
    let text = loaded.completion(request, &ids, &options.stop, options.chat);
    ids.extend(generated.stop_token);
    let finish_reason = match generated.finish {
        Finish::Stop => "stop",
        Finish::Length | Finish::Repetition => "length",
    };
    let added = json!({
        "completion": text,
        "finish_reason": finish_reason,
        "completion_tokens": ids.len(),
        "prompt_ids": request.prompt_ids,
        "completion_ids": ids,
    });
    let text = text.unwrap_or_else(|| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    GeneratedRow { json: with(&added), line, text: Ok(text), finish_reason, tokens: ids.len() }
}

/// Most tokens of a prompt: one less than the model's context.
fn max_prompt_tokens(loaded: &LoadedCheckpoint) -> usize {
    loaded.student().config().max_position_embeddings - 1
}

/// Seeds by what a prompt is and how often it came before, so that a row's neighbours do not matter.
#[derive(Default)]
struct Seeds(HashMap<String, u32>);

impl Seeds {
    fn next(&mut self, seed: u64, ids: &[u32]) -> u64 {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        let id = id_of("prompt", &[&bytes]);
        let seen = self.0.entry(id.clone()).or_default();
        *seen += 1;
        derive_seed(seed, "generate", &id, *seen - 1)
    }
}
