//! How fast a checkpoint trains and generates on this machine: the work of the command `retort bench`.

use crate::error::LocalError;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use retort_student::{
    Adapter, Control, GenerateRequest, GenerateSettings, Generator, Student, Target, TokenRow, train_sft,
};
use retort_training::{LoraSettings, TrainSettings};
use retort_weights::Checkpoint;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// What training is measured on.
#[derive(Debug, Clone, Copy)]
pub struct TrainBench {
    /// Rows of a step.
    pub batch: usize,
    /// Tokens of a row.
    pub sequence: usize,
    /// Steps that are measured.
    pub steps: usize,
    /// Steps before them that are not.
    pub warm_up: usize,
    /// Rank of adapters on all projections; none trains all parameters.
    pub lora_rank: Option<usize>,
    /// Keep only each block's input and compute the block again in the backward pass.
    pub gradient_checkpointing: bool,
}

/// What generation is measured on.
#[derive(Debug, Clone, Copy)]
pub struct GenerateBench {
    /// Sequences that are decoded at the same time.
    pub batch: usize,
    /// Tokens of a prompt.
    pub sequence: usize,
    /// Tokens of a completion.
    pub new_tokens: usize,
    /// Completions; as many as are decoded at the same time when left out.
    pub requests: Option<usize>,
    /// Completions end at lengths between 1 and twice `new_tokens`, drawn evenly but the same every time.
    pub ragged: bool,
    /// `batch` completions start together and go on until the longest ends, as in batches with padding; what is too long
    /// counts for nothing.
    pub static_batches: bool,
    /// Rounds that are measured.
    pub steps: usize,
    /// Rounds before them that are not.
    pub warm_up: usize,
}

/// Measures optimizer steps on random tokens, each of which is trained.
pub fn bench_train(folder: &Path, device: Target, bench: &TrainBench) -> Result<Value, LocalError> {
    let mut student = Student::load(&Checkpoint::open(folder)?, device)?;
    let parameters = student.parameters();
    let rows: Vec<TokenRow> = (0..bench.batch)
        .map(|row| TokenRow {
            input_ids: tokens(row, bench.sequence, student.config().vocab_size),
            loss: vec![true; bench.sequence],
        })
        .collect();
    let settings = TrainSettings {
        max_steps: Some(bench.steps + bench.warm_up),
        batch_size: bench.batch,
        max_length: Some(bench.sequence),
        gradient_checkpointing: bench.gradient_checkpointing,
        ..TrainSettings::with_learning_rate(1e-5)
    };
    let (mut last, mut seconds) = (Instant::now(), Vec::new());
    let mut on_step = |_| {
        seconds.push(last.elapsed().as_secs_f64());
        last = Instant::now();
        Control::Continue
    };
    match bench.lora_rank {
        None => train_sft(&mut student, &rows, &settings, 0, None, &mut on_step)?,
        Some(r) => {
            let lora = LoraSettings { r, lora_alpha: 2.0 * r as f64, ..LoraSettings::default() };
            let mut adapter = Adapter::new(&student, &lora, 0)?;
            train_sft((&mut student, &mut adapter), &rows, &settings, 0, None, &mut on_step)?
        }
    };
    let mut line = measured("train", bench.batch * bench.sequence, &seconds[bench.warm_up..]);
    line["settings"] = json!({
        "batch": bench.batch, "sequence": bench.sequence, "steps": bench.steps, "warm_up": bench.warm_up, "lora_rank": bench.lora_rank,
        "gradient_checkpointing": bench.gradient_checkpointing, "parameters": parameters,
        "threads": rayon::current_num_threads(), "device": device.to_string(),
    });
    Ok(line)
}

/// Measures whole completions of random prompts, reading the prompts included.
pub fn bench_generate(folder: &Path, device: Target, bench: &GenerateBench) -> Result<Value, LocalError> {
    let student = Student::load(&Checkpoint::open(folder)?, device)?;
    let generator = Generator::new(&student)?;
    let vocabulary = student.config().vocab_size;
    let requests: Vec<GenerateRequest> = (0..bench.requests.unwrap_or(bench.batch))
        .map(|row| GenerateRequest { prompt_ids: tokens(row, bench.sequence, vocabulary), seed: row as u64 })
        .collect();
    let max_tokens = if bench.ragged { 2 * bench.new_tokens } else { bench.new_tokens };
    let settings = GenerateSettings { max_tokens, batch_size: bench.batch, ..GenerateSettings::default() };
    let lengths: Vec<usize> = if bench.ragged {
        tokens(requests.len(), requests.len(), max_tokens).into_iter().map(|length| length as usize + 1).collect()
    } else {
        vec![max_tokens; requests.len()]
    };
    let group = if bench.static_batches { bench.batch } else { requests.len() };
    let (mut seconds, mut tokens) = (Vec::new(), 0);
    for _ in 0..bench.warm_up + bench.steps {
        let started = Instant::now();
        tokens = 0;
        for (requests, lengths) in requests.chunks(group).zip(lengths.chunks(group)) {
            let longest = lengths.iter().max().copied().unwrap_or(0);
            let until = |request: usize| if bench.static_batches { longest } else { lengths[request] };
            let generated =
                generator.generate_until(requests, &settings, &|request, ids| ids.len() >= until(request))?;
            // Fewer than asked for where the context ends.
            let useful = generated.iter().zip(lengths).map(|(completion, length)| completion.ids.len().min(*length));
            tokens += useful.sum::<usize>();
        }
        seconds.push(started.elapsed().as_secs_f64());
    }
    let mut line = measured("generate", tokens, &seconds[bench.warm_up..]);
    line["settings"] = json!({
        "batch": bench.batch, "sequence": bench.sequence, "new_tokens": bench.new_tokens, "requests": requests.len(),
        "ragged": bench.ragged, "static_batches": bench.static_batches, "steps": bench.steps, "warm_up": bench.warm_up,
        "parameters": student.parameters(), "threads": rayon::current_num_threads(), "device": device.to_string(),
    });
    Ok(line)
}

fn measured(what: &str, tokens: usize, seconds: &[f64]) -> Value {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
    json!({
        "bench": what,
        "tokens_per_second": tokens as f64 / median,
        "peak_rss_bytes": peak_memory(),
        "seconds": seconds,
    })
}

/// Tokens without a pattern that a model could know.
fn tokens(row: usize, count: usize, vocabulary: usize) -> Vec<u32> {
    let mut random = SplitMix64::seed_from_u64(row as u64);
    (0..count).map(|_| (random.next_u64() % vocabulary as u64) as u32).collect()
}

/// The most memory in bytes that this process has held, where the system says.
fn peak_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
}
