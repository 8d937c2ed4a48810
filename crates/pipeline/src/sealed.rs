//! Small JSON files that hold their own hash in the first line, so that any later edit of them is seen.

use crate::error::PipelineError;
use retort_tables::sha256_hex;
use serde::Serialize;

const BEFORE: &[u8] = b"{\n  \"seal\": \"";
const AFTER: &[u8] = b"\",\n";

/// `value`, a struct with fields, as JSON text with its seal: the SHA-256 of all that follows the seal's line.
pub fn seal(value: &impl Serialize, what: &'static str) -> Result<Vec<u8>, PipelineError> {
    let text = serde_json::to_vec_pretty(value).map_err(PipelineError::json(what))?;
    let Some(rest) = text.strip_prefix(b"{\n") else { return Ok(text) };
    let hash = sha256_hex(rest);
    Ok([BEFORE, hash.as_bytes(), AFTER, rest].concat())
}

/// Whether the seal of `text` holds; nothing where there is none.
pub fn holds(text: &[u8]) -> Option<bool> {
    let (hash, rest) = text.strip_prefix(BEFORE)?.split_at_checked(64)?;
    Some(sha256_hex(rest.strip_prefix(AFTER)?).as_bytes() == hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_edit_breaks_the_seal() {
        let text = seal(&json!({ "a": 1, "b": [true] }), "a test").unwrap();
        assert_eq!(holds(&text), Some(true));
        let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(read["b"][0], true);
        for at in 0..text.len() {
            let mut edited = text.clone();
            edited[at] ^= 1;
            assert_ne!(holds(&edited), Some(true), "byte {at}");
            assert_ne!(holds(&text[..at]), Some(true), "cut at {at}");
        }
    }
}
