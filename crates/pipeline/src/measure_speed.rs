//! How fast a checkpoint trains and generates on this machine: the work of the command `retort bench`.

use crate::error::PipelineError;
use crate::machine::Device;
use retort_student::{
    Adapter, Control, GenerateRequest, GenerateSettings, Generator, LoraSettings, Student, TokenRow, TrainSettings,
    train_sft,
};
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
    /// Steps that are measured, after one that is not.
    pub steps: usize,
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
    /// Rounds that are measured, after one that is not.
    pub steps: usize,
}

/// Measures optimizer steps on random tokens, each of which is trained.
pub fn bench_train(folder: &Path, device: Device, bench: &TrainBench) -> Result<Value, PipelineError> {
    let mut student = Student::load(&Checkpoint::open(folder)?, device)?;
    let parameters = student.parameters();
    let rows: Vec<TokenRow> = (0..bench.batch)
        .map(|row| TokenRow {
            input_ids: tokens(row, bench.sequence, student.config().vocab_size),
            loss: vec![true; bench.sequence],
        })
        .collect();
    let settings = TrainSettings {
        max_steps: Some(bench.steps + 1),
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
    let mut line = measured("train", bench.batch * bench.sequence, &seconds[1..]);
    line["settings"] = json!({
        "batch": bench.batch, "sequence": bench.sequence, "steps": bench.steps, "lora_rank": bench.lora_rank,
        "gradient_checkpointing": bench.gradient_checkpointing, "parameters": parameters,
        "threads": rayon::current_num_threads(), "device": device.to_string(),
    });
    Ok(line)
}

/// Measures whole completions of random prompts, reading the prompts included.
pub fn bench_generate(folder: &Path, device: Device, bench: &GenerateBench) -> Result<Value, PipelineError> {
    let student = Student::load(&Checkpoint::open(folder)?, device)?;
    let generator = Generator::new(&student)?;
    let requests: Vec<GenerateRequest> = (0..bench.batch)
        .map(|row| GenerateRequest {
            prompt_ids: tokens(row, bench.sequence, student.config().vocab_size),
            seed: row as u64,
        })
        .collect();
    let settings =
        GenerateSettings { max_tokens: bench.new_tokens, batch_size: bench.batch, ..GenerateSettings::default() };
    let (mut seconds, mut tokens) = (Vec::new(), 0);
    for _ in 0..=bench.steps {
        let started = Instant::now();
        let generated = generator.generate(&requests, &settings)?;
        seconds.push(started.elapsed().as_secs_f64());
        // Fewer than asked for where the context ends.
        tokens = generated.iter().map(|completion| completion.ids.len()).sum();
    }
    let mut line = measured("generate", tokens, &seconds[1..]);
    line["settings"] = json!({
        "batch": bench.batch, "sequence": bench.sequence, "new_tokens": bench.new_tokens, "steps": bench.steps,
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
    let mut state = row as u64 + 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % vocabulary as u64) as u32
    };
    (0..count).map(next).collect()
}

/// The most memory in bytes that this process has held, where the system says.
fn peak_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
}
