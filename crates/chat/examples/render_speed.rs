//! How fast examples are tokenised: `speed MODEL_FOLDER ROLLOUTS.jsonl` (fields `prompt`, `thinking`, `text`), one thread.
#![allow(clippy::print_stdout, reason = "printing the measurement is what it is for")]

use std::path::PathBuf;
use std::time::Instant;

use retort_chat::{ChatTemplate, Tokenizer, encode_example};
use retort_records::SftMessage;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: speed MODEL_FOLDER ROLLOUTS.jsonl".into());
    };
    let started = Instant::now();
    let tokenizer = Tokenizer::load(&folder)?;
    let template = ChatTemplate::load(&folder)?;
    println!("loaded in {:.2} s", started.elapsed().as_secs_f64());

    let mut examples = Vec::new();
    for line in std::fs::read_to_string(file)?.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let message = |role: &str, reasoning: Option<String>, content: String| SftMessage {
            role: role.to_owned(),
            reasoning,
            content,
            train: role == "assistant",
        };
        let assistant = message("assistant", Some(text("thinking")).filter(|text| !text.is_empty()), text("text"));
        examples.push([message("user", None, text("prompt")), assistant]);
    }

    let started = Instant::now();
    let (mut tokens, mut trained, mut warnings, mut dropped) = (0, 0, 0, 0);
    for messages in &examples {
        match encode_example(&tokenizer, template.as_ref(), messages) {
            Ok(encoded) => {
                tokens += encoded.input_ids.len();
                trained += encoded.trained_tokens();
                warnings += encoded.warnings.len();
            }
            Err(error) if error.drop_reason().is_some() => {
                println!("{error}");
                dropped += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    report("encode_example", examples.len(), tokens, started);
    println!("{trained} tokens count in the loss; {warnings} warnings, {dropped} dropped");

    let started = Instant::now();
    let counts = examples
        .iter()
        .map(|[_, last]| tokenizer.count(&last.content) + tokenizer.count(last.reasoning.as_deref().unwrap_or("")));
    let tokens = counts.sum();
    report("count", examples.len(), tokens, started);

    for character in [" ", "\n", "a", "1", "="] {
        let started = Instant::now();
        let text = character.repeat(3_000_000);
        let encoded = tokenizer.encode_with_offsets(&text);
        let whole = encoded.last().is_some_and(|(_, bytes)| bytes.end == text.len());
        println!(
            "3 MB of {character:?}: {} tokens in {:.2} s, whole: {whole}",
            encoded.len(),
            started.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

fn report(what: &str, rows: usize, tokens: usize, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{what}: {rows} rows, {tokens} tokens in {seconds:.2} s: {:.0} rows/s, {:.0} tokens/s",
        rows as f64 / seconds,
        tokens as f64 / seconds
    );
}
