//! `generate`: completes a prompt, or the prompts of a file.

use crate::device_flag::DeviceFlag;
use crate::failure::Failure;
use crate::pace::three_digits;
use crate::screen::{CommandResult, duration, line, note, tame};
use clap::Args;
use retort_local::{GenerateOptions, GeneratedRow, LoadedCheckpoint, generate_lines, generate_one};
use retort_pipeline::PipelineError;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

#[derive(Debug, Args)]
#[command(after_help = "\
Rows are JSON objects, one a line, with one of `prompt` (a text, or a list of messages), `messages` and `input_ids`. A
text is continued as it stands; with --chat it is the message of a user, and the checkpoint's chat template writes it.
Messages go to the template with all they hold, and with the row's `tools`, `documents` and `chat_template_kwargs`.
With --json each row is written as it stands, with `completion`, `finish_reason` (stop or length), `completion_tokens`,
`prompt_ids` and `completion_ids` (with the token that ended it); a row that cannot be used has `completion` null and a
`reason`. A completion depends on its prompt, the seed and the settings, never on the other rows.

Examples:
  retort generate --checkpoint student --chat --prompt 'What is 3 + 4?'
  retort generate --checkpoint student --input prompts.jsonl --json > completions.jsonl
  retort generate --checkpoint student --chat --prompt 'Tell a story.' --temperature 0.8 --seed 7")]
pub struct GenerateArguments {
    /// Folder of the checkpoint: `config.json`, safetensors and, for text, `tokenizer.json`.
    #[arg(long, value_name = "DIR")]
    pub checkpoint: PathBuf,
    /// Complete this prompt.
    #[arg(long, value_name = "TEXT", required_unless_present = "input", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// JSONL file of prompts; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    pub input: Option<PathBuf>,
    /// A text is the message of a user.
    #[arg(long)]
    pub chat: bool,
    /// Most tokens of a completion.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub max_tokens: usize,
    /// Divides the logits; 0 always takes the most probable token.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f64,
    /// Sample from the most probable tokens that together have this probability.
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub top_p: f64,
    /// Sample from so many most probable tokens; 0 is off.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub top_k: usize,
    /// Leave out tokens whose probability is below this share of the largest.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub min_p: f64,
    /// End a completion at this text. May be given several times.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub stop: Vec<String>,
    /// Variables of the chat template as a JSON object, such as '{"enable_thinking": false}'. A row's own go before them.
    #[arg(long, value_name = "JSON", value_parser = template_kwargs, default_value = "{}", hide_default_value = true)]
    pub chat_template_kwargs: TemplateKwargs,
    /// Where randomness starts.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Write JSON lines, with token ids.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceFlag,
}

/// Variables of a chat template.
#[derive(Debug, Clone)]
pub struct TemplateKwargs(Map<String, Value>);

fn template_kwargs(text: &str) -> Result<TemplateKwargs, String> {
    serde_json::from_str(text).map(TemplateKwargs).map_err(|error| format!("expected a JSON object: {error}"))
}

/// `generate`.
pub fn generate(arguments: &GenerateArguments) -> CommandResult {
    let loaded = LoadedCheckpoint::open(&arguments.checkpoint, arguments.device.device)?;
    loaded.warnings().iter().for_each(|warning| note(&format!("warning: {warning}")));
    let loaded = loaded.with_template_kwargs(arguments.chat_template_kwargs.0.clone());
    if arguments.chat && !loaded.has_template() {
        note("warning: the checkpoint has no chat template; messages are written one after the other");
    }
    let options = GenerateOptions {
        chat: arguments.chat,
        max_tokens: arguments.max_tokens,
        temperature: arguments.temperature,
        top_p: arguments.top_p,
        top_k: arguments.top_k,
        min_p: arguments.min_p,
        stop: arguments.stop.clone(),
        seed: arguments.seed,
    };
    let started = Instant::now();
    match (&arguments.input, &arguments.prompt) {
        (Some(path), _) => file(&loaded, path, &options, arguments.json, started),
        (None, prompt) => one(&loaded, prompt.as_deref().unwrap_or_default(), &options, arguments.json),
    }
}

fn one(loaded: &LoadedCheckpoint, prompt: &str, options: &GenerateOptions, json: bool) -> CommandResult {
    let mut wanted = true;
    let mut show_piece = |piece: &str| {
        if !json && wanted {
            let mut out = std::io::stdout().lock();
            let piece = if out.is_terminal() { tame(piece) } else { piece.to_owned() };
            wanted = out.write_all(piece.as_bytes()).and_then(|()| out.flush()).is_ok();
        }
    };
    let row = generate_one(loaded, prompt, options, &mut show_piece)?;
    line(if json { &row.json } else { "" })?;
    Ok(ExitCode::SUCCESS)
}

fn file(
    loaded: &LoadedCheckpoint,
    path: &Path,
    options: &GenerateOptions,
    json: bool,
    started: Instant,
) -> CommandResult {
    let mut input = BufReader::new(open(path)?);
    let (mut rows, mut unusable, mut tokens) = (0_u64, 0_u64, 0);
    let mut found = |row: GeneratedRow| {
        rows += 1;
        unusable += u64::from(row.text.is_err());
        tokens += row.tokens;
        if json { line(&row.json) } else { show(&row) }
    };
    generate_lines(loaded, &mut input, path, options, &mut found)?;
    let took = started.elapsed();
    let unusable = if unusable > 0 { format!(" ({unusable} cannot be used)") } else { String::new() };
    let rate = tokens as f64 / took.as_secs_f64().max(1e-9);
    note(&format!("{rows} rows{unusable}, {tokens} tokens [{}, {} tokens/s]", duration(took), three_digits(rate)));
    Ok(ExitCode::SUCCESS)
}

fn show(row: &GeneratedRow) -> Result<(), Failure> {
    match &row.text {
        Ok(text) => {
            line(&format!("── line {}: {}, {} tokens", row.line, row.finish_reason, row.tokens))?;
            line(&if std::io::stdout().is_terminal() { tame(text) } else { text.clone() })
        }
        Err(reason) => line(&format!("── line {}: cannot be used: {reason}", row.line)),
    }
}

/// The rows of a file, or of standard input.
pub fn open(path: &Path) -> Result<Box<dyn Read + Send>, PipelineError> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let failed = |source| PipelineError::Io { action: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    Ok(Box::new(file))
}
