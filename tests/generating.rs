//! `retort generate`: one prompt, rows of a file, and rows that cannot be used.

use crate::binary::{run, succeed, test_data, text};
use serde_json::{Value, json};
use std::path::Path;

/// The rows that `retort generate --json` writes for `input`.
fn generated(checkpoint: &Path, input: &str, more: &[&str]) -> Vec<Value> {
    let work = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(work.path().join("rows.jsonl"), input).expect("rows");
    let checkpoint = checkpoint.to_str().expect("a path of text");
    let mut arguments = vec!["generate", "--checkpoint", checkpoint, "--input", "rows.jsonl", "--json"];
    arguments.extend_from_slice(more);
    let (out, _) = succeed(work.path(), &arguments);
    out.lines().map(|line| serde_json::from_str(line).expect("every line is a row")).collect()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("a reference")).expect("JSON")
}

#[test]
fn a_real_model_writes_the_tokens_of_its_reference() {
    let Some(data) = test_data("generate") else { return };
    let folder = data.join("models/stories260k-hf");
    let reference = read(&folder.join("reference_output.json"));
    let row = json!({ "id": 7, "input_ids": reference["prompt_ids"] }).to_string();
    let rows = generated(&folder, &row, &["--max-tokens", "199"]);
    assert_eq!(rows[0]["completion_ids"], reference["greedy_ids_199"]);
    assert_eq!((&rows[0]["id"], &rows[0]["prompt_ids"]), (&json!(7), &reference["prompt_ids"]));
    assert_eq!((&rows[0]["finish_reason"], &rows[0]["completion_tokens"]), (&json!("length"), &json!(199)));

    let checkpoint = folder.to_str().expect("a path of text");
    let work = tempfile::tempdir().expect("a temporary folder");
    let whole = ["generate", "--checkpoint", checkpoint, "--prompt", "Once upon a time", "--max-tokens", "40"];
    let (shown, _) = succeed(work.path(), &whole);
    let rows = generated(&folder, r#"{"prompt": "Once upon a time"}"#, &["--max-tokens", "40"]);
    assert_eq!(shown.trim_end_matches('\n'), rows[0]["completion"]);
    assert!(shown.contains(", there was"), "{shown}");

    let stopped = [&whole[..], &["--stop", " there", "--json"]].concat();
    let (out, _) = succeed(work.path(), &stopped);
    let row: Value = serde_json::from_str(&out).expect("a row");
    assert_eq!((&row["completion"], &row["finish_reason"]), (&json!(","), &json!("stop")));
    let (out, _) = succeed(work.path(), &stopped[..stopped.len() - 1]);
    assert_eq!(out, ",\n");
}

#[test]
fn a_model_without_tokenizer_serves_rows_of_token_ids() {
    let Some(data) = test_data("generate") else { return };
    for family in ["llama3", "qwen2", "qwen3"] {
        let folder = data.join("reference/transformers5").join(family);
        let reference = read(&folder.join("reference.json"));
        let all = reference["greedy_from_first_8"].as_array().expect("rows");
        let prompts =
            all.iter().map(|ids| json!({ "input_ids": ids.as_array().expect("ids")[..8] }).to_string() + "\n");
        let rows = generated(&folder.join("checkpoint"), &prompts.collect::<String>(), &["--max-tokens", "24"]);
        assert_eq!(rows.len(), all.len());
        for (row, ids) in rows.iter().zip(all) {
            let (ours, theirs) = (row["completion_ids"].as_array().expect("ids"), &ids.as_array().expect("ids")[8..]);
            // The reference goes on behind the end of a sequence.
            let end = theirs.iter().position(|id| id == 2).map_or(theirs.len(), |at| at + 1);
            assert_eq!(ours, &theirs[..end], "{family}");
            assert_eq!((&row["completion"], row.get("reason")), (&Value::Null, None));
        }
    }
}

#[test]
fn samples_depend_on_prompt_and_seed_alone() {
    let Some(data) = test_data("generate") else { return };
    let folder = data.join("models/stories260k-hf");
    let sampled = ["--max-tokens", "24", "--temperature", "1", "--top-p", "0.9"];
    let (one, two) = (r#"{"prompt": "The cat"}"#, r#"{"prompt": "Tom and Sue"}"#);
    let file = generated(&folder, &[one, two, one].join("\n"), &sampled);
    let alone = generated(&folder, two, &sampled);
    assert_eq!(file[1], alone[0]);
    assert_ne!(file[0]["completion_ids"], file[2]["completion_ids"], "a second sample of one prompt is another");
    let other = generated(&folder, two, &[&sampled[..], &["--seed", "1"]].concat());
    assert_ne!(other[0]["completion_ids"], alone[0]["completion_ids"]);
}

#[test]
fn rows_that_cannot_be_used_have_a_reason() {
    let Some(data) = test_data("generate") else { return };
    let folder = data.join("models/stories260k-hf");
    let long = json!({ "input_ids": vec![5; 512] }).to_string();
    let input = [
        "not JSON",
        "[1]",
        r#"{"question": "?"}"#,
        r#"{"prompt": 5}"#,
        r#"{"prompt": [{"content": "no role"}]}"#,
        r#"{"input_ids": []}"#,
        r#"{"input_ids": [1, 512]}"#,
        r#"{"input_ids": "1"}"#,
        &long,
        "",
        r#"{"prompt": "The cat", "completion": "old"}"#,
    ];
    let rows = generated(&folder, &input.join("\n"), &["--max-tokens", "4"]);
    let reasons: Vec<&str> = rows.iter().map(|row| row["reason"].as_str().unwrap_or_default()).collect();
    let expected = [
        "expected ident",
        "no JSON object",
        "none of the keys",
        "neither text nor",
        "list of messages",
        "no tokens",
        "token 512 is not among the 512",
        "no list of token ids",
        "512 tokens, allowed are 511",
        "",
    ];
    assert_eq!(rows.len(), expected.len());
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.contains(expected), "{reasons:?}: {expected}");
    }
    assert_eq!((&rows[0]["line"], &rows[0]["completion"]), (&json!(1), &Value::Null));
    assert!(rows[9]["completion"].as_str().is_some_and(|text| text != "old"), "{}", rows[9]);

    let work = tempfile::tempdir().expect("a temporary folder");
    let checkpoint = folder.to_str().expect("a path of text");
    let wrong = run(work.path(), &["generate", "--checkpoint", checkpoint, "--prompt", "a", "--top-p", "0"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("`top_p` is `0`"), "{}", text(&wrong.stderr));
    let nothing = run(work.path(), &["generate", "--checkpoint", "nowhere", "--prompt", "a"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text(&nothing.stderr).contains("nowhere"), "{}", text(&nothing.stderr));
}

#[test]
fn log_probs_are_those_of_transformers() {
    let Some(data) = test_data("logprobs") else { return };
    let work = tempfile::tempdir().expect("a temporary folder");
    for family in ["llama3", "qwen2", "qwen3"] {
        let folder = data.join("reference/transformers5").join(family);
        let reference = read(&folder.join("reference.json"));
        let bytes = std::fs::read(folder.join("reference.safetensors")).expect("a reference");
        let ids = integers(&bytes, "input_ids");
        let rows: Vec<String> =
            ids.chunks_exact(24).map(|ids| json!({ "n": 1, "input_ids": ids }).to_string()).collect();
        std::fs::write(work.path().join("rows.jsonl"), rows.join("\n") + "\n{\"input_ids\": [99]}\n").expect("rows");
        let checkpoint = folder.join("checkpoint").display().to_string();
        let (out, _) = succeed(work.path(), &["logprobs", "--checkpoint", &checkpoint, "--input", "rows.jsonl"]);
        let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
        assert_eq!(rows.len(), 3);
        for (row, expected) in rows.iter().zip(reference["token_logprobs"].as_array().expect("rows")) {
            let (ours, theirs) =
                (row["token_logprobs"].as_array().expect("numbers"), expected.as_array().expect("rows"));
            assert_eq!(ours.len(), theirs.len());
            let number = |value: &Value| value.as_f64().expect("a number");
            for (a, b) in ours.iter().zip(theirs) {
                assert!((number(a) - number(b)).abs() < 1e-4, "{family}: {a} against {b}");
            }
            let sum: f64 = theirs.iter().map(number).sum();
            assert!((number(&row["sum"]) - sum).abs() < 1e-3 && row["n"] == 1);
        }
        assert_eq!((&rows[2]["sum"], &rows[2]["token_logprobs"]), (&Value::Null, &Value::Null));
        assert!(rows[2]["reason"].as_str().is_some_and(|reason| reason.contains("token 99")), "{}", rows[2]);
    }
}

/// A tensor of 64-bit integers in a safetensors file.
fn integers(bytes: &[u8], name: &str) -> Vec<i64> {
    let (length, rest) = bytes.split_first_chunk::<8>().expect("a header");
    let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).expect("a length"));
    let header: Value = serde_json::from_slice(header).expect("JSON");
    let place = |i: usize| header[name]["data_offsets"][i].as_u64().expect("an offset") as usize;
    data[place(0)..place(1)].as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}

/// A completion's log-probs are what is left of the whole's once the prompt's are taken away.
#[test]
fn completions_are_scored_behind_their_prompt() {
    let Some(data) = test_data("logprobs") else { return };
    let checkpoint = data.join("models/stories260k-hf").display().to_string();
    let work = tempfile::tempdir().expect("a temporary folder");
    let scored = |row: &Value| -> Value {
        std::fs::write(work.path().join("rows.jsonl"), row.to_string()).expect("rows");
        let (out, _) = succeed(work.path(), &["logprobs", "--checkpoint", &checkpoint, "--input", "rows.jsonl"]);
        serde_json::from_str(&out).expect("a row")
    };
    let row = scored(&json!({ "prompt": "Once upon a time", "completion": ", there was a cat." }));
    let whole = scored(&json!({ "input_ids": row["input_ids"] }));
    let (part, all) =
        (row["token_logprobs"].as_array().expect("a list"), whole["token_logprobs"].as_array().expect("a list"));
    assert!(part.len() > 3 && part.len() < all.len());
    assert_eq!(part, &all[all.len() - part.len()..]);
    assert_eq!(row["completion"], ", there was a cat.");

    let (out, _) =
        succeed(work.path(), &["bench", "generate", "--checkpoint", &checkpoint, "--batch", "2", "--steps", "1"]);
    let line: Value = serde_json::from_str(&out).expect("a line");
    assert!(line["tokens_per_second"].as_f64() > Some(0.0) && line["peak_rss_bytes"].as_u64() > Some(1 << 20), "{out}");
    let train = ["bench", "train", "--checkpoint", &checkpoint, "--sequence", "32", "--steps", "2", "--lora-rank", "4"];
    let (out, _) = succeed(work.path(), &train);
    let line: Value = serde_json::from_str(&out).expect("a line");
    assert!(line["tokens_per_second"].as_f64() > Some(0.0) && line["settings"]["lora_rank"] == 4, "{out}");
}
