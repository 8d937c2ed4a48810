//! Training and generation rates of a model with random weights, one JSON line each.
//!
//! `cargo run --release -p retort-student --example speed -- SHAPE [train BATCH LENGTH STEPS | generate BATCH PROMPT TOKENS]`
//! where SHAPE is `tiny` (hidden 128, 4 layers, vocabulary 96), `small` (3.2M: hidden 256, 4 layers, vocabulary 128) or
//! `smollm2` (135M).

#![allow(clippy::print_stdout)] // its purpose

use std::time::Instant;

use retort_student::{
    Architecture, Control, Family, GenerateRequest, GenerateSettings, Generator, Student, Target, TokenRow, train_sft,
};
use retort_training::TrainSettings;

fn architecture(shape: &str) -> Architecture {
    let sizes = match shape {
        "smollm2" => [49_152, 576, 1536, 30, 9, 3],
        "small" => [128, 256, 688, 4, 4, 4],
        _ => [96, 128, 344, 4, 4, 4],
    };
    let [vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, key_value] = sizes;
    Architecture {
        model_type: Family::Llama,
        vocab_size,
        hidden_size,
        intermediate_size,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads: Some(key_value),
        head_dim: None,
        max_position_embeddings: 8192,
        rms_norm_eps: 1e-5,
        rope_theta: 1e4,
        tie_word_embeddings: true,
        initializer_range: 0.02,
    }
}

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn main() -> Result<(), retort_student::Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |index: usize| arguments.get(index).map_or("", String::as_str);
    let number = |index: usize, default: usize| text(index).parse().unwrap_or(default);
    let shape = text(0);
    let mut student = Student::random(&architecture(shape), 0, Target::Cpu)?;
    let (parameters, vocabulary) = (student.parameters(), student.config().vocab_size);
    let token = |i: usize| ((i * 2_654_435_761) >> 7) % vocabulary;
    if text(1) == "generate" {
        let (batch, prompt, tokens) = (number(2, 32), number(3, 64), number(4, 64));
        let generator = Generator::new(&student)?;
        let request = |i: usize| GenerateRequest {
            prompt_ids: (0..prompt).map(|t| token(i * prompt + t) as u32).collect(),
            seed: i as u64,
        };
        let requests: Vec<GenerateRequest> = (0..batch).map(request).collect();
        let settings = GenerateSettings { max_tokens: tokens, batch_size: batch, ..GenerateSettings::default() };
        let mut rates: Vec<f64> = Vec::new();
        for _ in 0..3 {
            let start = Instant::now();
            generator.generate(&requests, &settings)?;
            rates.push((batch * tokens) as f64 / start.elapsed().as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        println!(
            r#"{{"shape":"{shape}","parameters":{parameters},"batch":{batch},"prompt":{prompt},"new":{tokens},"tokens_per_second":{:.1},"peak_rss_bytes":{}}}"#,
            rates[1],
            peak_memory()
        );
        return Ok(());
    }
    let (batch, length, steps) = (number(2, 24), number(3, 256), number(4, 6));
    let rows: Vec<TokenRow> = (0..batch)
        .map(|i| TokenRow {
            input_ids: (0..=length).map(|t| token(i * length + t) as u32).collect(),
            loss: vec![true; length + 1],
        })
        .collect();
    let settings =
        TrainSettings { max_steps: Some(steps), batch_size: batch, ..TrainSettings::with_learning_rate(1e-3) };
    let mut rates = Vec::new();
    let mut start = Instant::now();
    train_sft(&mut student, &rows, &settings, 0, None, &mut |_| {
        rates.push((batch * length) as f64 / start.elapsed().as_secs_f64());
        start = Instant::now();
        Control::Continue
    })?;
    rates.remove(0);
    rates.sort_by(f64::total_cmp);
    println!(
        r#"{{"shape":"{shape}","parameters":{parameters},"batch":{batch},"length":{length},"tokens_per_second":{:.1},"best":{:.1},"peak_rss_bytes":{}}}"#,
        rates[rates.len() / 2],
        rates[rates.len() - 1],
        peak_memory()
    );
    Ok(())
}
