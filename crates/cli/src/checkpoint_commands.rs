//! `logprobs` and `bench`: what a checkpoint gives to texts, and how fast it is here.

use crate::device_flag::DeviceFlag;
use crate::generate_command::open;
use crate::screen::{CommandResult, duration, line, note};
use clap::{Args, Subcommand};
use retort_local::{GenerateBench, LoadedCheckpoint, ScoredRow, TrainBench, bench_generate, bench_train, score_lines};
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Debug, Args)]
#[command(after_help = "\
Rows are JSON objects, one a line: `input_ids`, all of whose tokens but the first are scored, or `prompt` and
`completion`, of which the completion's tokens are (a token that begins in the prompt belongs to it). A `prompt` that is
a list of messages is written by the chat template, with --chat a text too; the token that ends the turn then counts with
the completion. Each row is written as it stands, with `token_logprobs` (natural logarithms), their `sum` and
`input_ids`; a row that cannot be used has null in both and a `reason`.

Examples:
  retort logprobs --checkpoint student --input rows.jsonl > scored.jsonl
  echo '{\"prompt\": \"2 + 2 =\", \"completion\": \" 4\"}' | retort logprobs --checkpoint student --input -")]
pub struct LogprobsArguments {
    /// Folder of the checkpoint: `config.json`, safetensors and, for text, `tokenizer.json`.
    #[arg(long, value_name = "DIR")]
    pub checkpoint: PathBuf,
    /// JSONL file of rows; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// A prompt that is plain text is the message of a user.
    #[arg(long)]
    pub chat: bool,
    #[command(flatten)]
    pub device: DeviceFlag,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints one line of JSON with `tokens_per_second` (the median), `peak_rss_bytes` (of the whole process) and the settings.
RAYON_NUM_THREADS sets the number of threads.

Examples:
  retort bench train --checkpoint models/Qwen2.5-0.5B --batch 1 --sequence 1024
  retort bench train --checkpoint models/Qwen2.5-0.5B --sequence 8192 --lora-rank 16 --gradient-checkpointing
  retort bench generate --checkpoint models/Qwen2.5-0.5B --batch 8
  retort bench generate --checkpoint models/Qwen2.5-0.5B --batch 8 --requests 64 --ragged")]
pub struct BenchArguments {
    #[command(subcommand)]
    pub what: BenchWork,
}

#[derive(Debug, Subcommand)]
pub enum BenchWork {
    /// Optimizer steps on random tokens.
    Train {
        #[command(flatten)]
        common: BenchFlags,
        /// Tokens of a row.
        #[arg(long, value_name = "T", default_value_t = 256, value_parser = clap::value_parser!(u32).range(2..))]
        sequence: u32,
        /// Train adapters of this rank on all projections instead of all parameters.
        #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
        lora_rank: Option<u32>,
        /// Keep only each block's input and compute the block again in the backward pass.
        #[arg(long)]
        gradient_checkpointing: bool,
    },
    /// Completions of random prompts.
    Generate {
        #[command(flatten)]
        common: BenchFlags,
        /// Tokens of a prompt.
        #[arg(long, value_name = "T", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
        sequence: u32,
        /// Tokens of a completion.
        #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
        new_tokens: u32,
        /// Completions of a round; as many as the batch has when left out.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        requests: Option<u32>,
        /// Let completions end at lengths between 1 and twice `--new-tokens`, drawn evenly but the same every time.
        #[arg(long)]
        ragged: bool,
        /// Let a whole batch go on until its longest completion ends, to see what continuous batching gains.
        #[arg(long)]
        static_batches: bool,
    },
}

#[derive(Debug, Args)]
pub struct BenchFlags {
    /// Folder of the checkpoint.
    #[arg(long, value_name = "DIR")]
    pub checkpoint: PathBuf,
    /// Rows that go through the model together.
    #[arg(long, value_name = "B", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// How often to measure.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: u32,
    /// How often to run before that without measuring.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub warm_up: u32,
    #[command(flatten)]
    pub device: DeviceFlag,
}

/// `logprobs`.
pub fn logprobs(arguments: &LogprobsArguments) -> CommandResult {
    let loaded = LoadedCheckpoint::open(&arguments.checkpoint, arguments.device.device)?;
    loaded.warnings().iter().for_each(|warning| note(&format!("warning: {warning}")));
    let started = Instant::now();
    let mut input = BufReader::new(open(&arguments.input)?);
    let (mut rows, mut unusable, mut tokens) = (0_u64, 0_u64, 0);
    let mut found = |row: ScoredRow| {
        rows += 1;
        unusable += u64::from(row.tokens.is_err());
        tokens += row.tokens.unwrap_or(0);
        line(&row.json)
    };
    score_lines(&loaded, &mut input, &arguments.input, arguments.chat, &mut found)?;
    let unusable = if unusable > 0 { format!(" ({unusable} cannot be used)") } else { String::new() };
    note(&format!("{rows} rows{unusable}, {tokens} tokens scored [{}]", duration(started.elapsed())));
    Ok(ExitCode::SUCCESS)
}

/// `bench`.
pub fn bench(arguments: &BenchArguments) -> CommandResult {
    let measured = match &arguments.what {
        BenchWork::Train { common, sequence, lora_rank, gradient_checkpointing } => {
            let bench = TrainBench {
                batch: common.batch as usize,
                sequence: *sequence as usize,
                steps: common.steps as usize,
                warm_up: common.warm_up as usize,
                lora_rank: lora_rank.map(|rank| rank as usize),
                gradient_checkpointing: *gradient_checkpointing,
            };
            bench_train(&common.checkpoint, common.device.device, &bench)?
        }
        BenchWork::Generate { common, sequence, new_tokens, requests, ragged, static_batches } => {
            let bench = GenerateBench {
                batch: common.batch as usize,
                sequence: *sequence as usize,
                new_tokens: *new_tokens as usize,
                requests: requests.map(|requests| requests as usize),
                ragged: *ragged,
                static_batches: *static_batches,
                steps: common.steps as usize,
                warm_up: common.warm_up as usize,
            };
            bench_generate(&common.checkpoint, common.device.device, &bench)?
        }
    };
    line(&measured.to_string())?;
    Ok(ExitCode::SUCCESS)
}
