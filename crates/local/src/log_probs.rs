//! Log-probs of the tokens of a JSONL file's rows under a checkpoint: the work of the command `retort logprobs`.

use crate::checkpoint::{LoadedCheckpoint, conversation, token_ids};
use crate::error::LocalError;
use rayon::prelude::*;
use retort_chat::encode_completion;
use retort_records::json_lines::{JsonLine, JsonLines, RowFields, close};
use retort_student::{TokenRow, token_log_probs};
use serde_json::{Value, json};
use std::io::BufRead;
use std::path::Path;

/// Rows that are handed to the model together.
const ROWS: usize = 256;

/// One row with its log-probs, or the reason why it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoredRow {
    /// The row with `token_logprobs` and `sum`, as a line of JSON without its end.
    pub json: String,
    /// Number of log-probs, or why there are none.
    pub tokens: Result<usize, String>,
}

/// Scores every line of `input` that is not blank and hands over the rows in their order. `chat` makes a `prompt` that
/// is plain text the message of a user.
pub fn score_lines<E: From<LocalError>>(
    loaded: &LoadedCheckpoint,
    input: &mut (dyn BufRead + Send),
    name: &Path,
    chat: bool,
    found: &mut dyn FnMut(ScoredRow) -> Result<(), E>,
) -> Result<(), E> {
    let mut lines = JsonLines::new(input);
    loop {
        let batch = lines.batch().map_err(LocalError::read(name))?;
        if batch.is_empty() {
            return Ok(());
        }
        for lines in batch.chunks(ROWS) {
            for row in chunk(loaded, chat, lines)? {
                found(row)?;
            }
        }
    }
}

fn chunk(loaded: &LoadedCheckpoint, chat: bool, lines: &[JsonLine]) -> Result<Vec<ScoredRow>, LocalError> {
    let fields: Vec<_> = lines.iter().map(JsonLine::fields).collect();
    let encoded: Vec<Result<TokenRow, String>> = fields
        .par_iter()
        .map(|fields| {
            let row = tokens_of(loaded, fields.as_ref().map_err(|(_, reason)| reason.clone())?, chat)?;
            loaded.check(&row.input_ids, loaded.student().config().max_position_embeddings).map(|()| row)
        })
        .collect();
    let usable: Vec<TokenRow> = encoded.iter().flatten().cloned().collect();
    let mut scores = token_log_probs(loaded.student(), &usable)?.into_iter();
    let whole = lines.iter().zip(fields).zip(encoded).map(|((line, fields), encoded)| {
        let (added, tokens) = match encoded {
            Ok(row) => {
                let scores = scores.next().expect("every usable row was scored");
                let sum: f64 = scores.iter().map(|score| f64::from(*score)).sum();
                let added = json!({ "token_logprobs": scores, "sum": sum, "input_ids": row.input_ids });
                (added, Ok(scores.len()))
            }
            Err(reason) => (json!({ "token_logprobs": null, "sum": null, "reason": reason }), Err(reason)),
        };
        ScoredRow { json: with(line, fields.as_ref().ok(), &added), tokens }
    });
    Ok(whole.collect())
}

fn with(line: &JsonLine, fields: Option<&RowFields<'_>>, added: &Value) -> String {
    if let Some(fields) = fields {
        return fields.with(added);
    }
    let mut json = format!("{{\"line\":{}", line.number);
    close(&mut json, added);
    json
}

/// The tokens of a row and which of them are scored: all of `input_ids`, or those of `completion` after `prompt`.
fn tokens_of(loaded: &LoadedCheckpoint, row: &RowFields<'_>, chat: bool) -> Result<TokenRow, String> {
    if let Some(json) = row.get("input_ids") {
        let input_ids = token_ids(json)?;
        return Ok(TokenRow { loss: vec![true; input_ids.len()], input_ids });
    }
    let text = |key: &str| -> Result<String, String> {
        let json = row.get(key).ok_or_else(|| format!("the row has no key `{key}` and no `input_ids`"))?;
        serde_json::from_str(json).map_err(|_| format!("`{key}` is no text"))
    };
    let completion = text("completion")?;
    let messages = match row.get("prompt") {
        Some(json) if json.starts_with('[') => {
            Some(serde_json::from_str::<Value>(json).map_err(|error| format!("`prompt`: {error}"))?)
        }
        _ if chat => Some(json!([{"role": "user", "content": text("prompt")?}])),
        _ => None,
    };
    if let Some(messages) = messages {
        let prompt = conversation(row, "prompt", messages)?;
        let encoded = encode_completion(loaded.tokenizer()?, loaded.template(), &prompt, &completion);
        let encoded = encoded.map_err(|error| error.to_string())?;
        return Ok(TokenRow { input_ids: encoded.input_ids, loss: encoded.labels_mask });
    }
    let prompt = text("prompt")?;
    let whole = format!("{prompt}{completion}");
    let placed = loaded.tokenizer()?.encode_with_offsets(&whole);
    let mut input_ids = loaded.plain(&whole)?;
    let before = input_ids.len() - placed.len();
    // A token that begins in the prompt belongs to it.
    let mut loss = vec![false; before];
    loss.extend(placed.iter().map(|(_, bytes)| bytes.start >= prompt.len()));
    loss.truncate(input_ids.len());
    input_ids.truncate(loss.len());
    Ok(TokenRow { input_ids, loss })
}
