//! What is said of the rows that are handed over, and the forms in which other trainers take their tokens.

use serde_json::json;
use std::fmt::Write;

/// Label of a token that does not count in the loss, for PyTorch's cross-entropy.
pub const UNTRAINED: i64 = -100;

/// A row's labels as transformers' trainers take them: its tokens, and [`UNTRAINED`] where a token does not count in the
/// loss. `loss` has one mark a token.
pub fn labels(input_ids: &[u32], loss: &[bool]) -> Vec<i64> {
    let marked = input_ids.iter().zip(loss);
    marked.map(|(id, counts)| if *counts { i64::from(*id) } else { UNTRAINED }).collect()
}

/// The file type of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// One JSON object a line.
    Jsonl,
    /// Parquet.
    Parquet,
}

impl RowFormat {
    /// How the files' names end.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }

    /// What `datasets` calls the type.
    pub(crate) fn loader(self) -> &'static str {
        match self {
            Self::Jsonl => "json",
            Self::Parquet => "parquet",
        }
    }
}

/// The rows that are handed over, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowTotals {
    /// Rows to train on: examples or pairs.
    pub rows: usize,
    /// Held-out rows.
    pub held_out: usize,
    /// Tokens of the rows to train on, both sides of a pair.
    pub tokens: usize,
    /// Tokens of the longest row or side.
    pub longest: usize,
    /// Pairs whose text is not read back as the same tokens.
    pub read_otherwise: usize,
}

impl RowTotals {
    /// Counts the tokens of a row, or of one side of a pair.
    pub fn add_tokens(&mut self, tokens: usize) {
        self.tokens += tokens;
        self.longest = self.longest.max(tokens);
    }
}

/// The first rows as `retort logprobs` takes them, for the check that another trainer computes the same.
#[derive(Debug, Default)]
pub struct ParityRows {
    rows: usize,
    text: String,
}

impl ParityRows {
    /// Rows that the check looks at.
    const MOST: usize = 100;

    /// Adds a row, unless there are enough. `loss` has one mark a token.
    pub fn push(&mut self, input_ids: &[u32], loss: &[bool]) {
        if self.rows < Self::MOST {
            self.rows += 1;
            let row = json!({ "input_ids": input_ids, "labels": labels(input_ids, loss) });
            let _ = writeln!(self.text, "{row}");
        }
    }

    /// Name of the file in the folder of the recipes, and its text: one JSON object a line.
    pub fn file(self) -> (&'static str, String) {
        ("parity/rows.jsonl", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_do_not_count_have_no_label() {
        assert_eq!(labels(&[5, 6, 7], &[false, true, true]), [-100, 6, 7]);
        let mut parity = ParityRows::default();
        (0..101).for_each(|_| parity.push(&[5, 6], &[false, true]));
        let (name, text) = parity.file();
        assert_eq!((name, text.lines().count()), ("parity/rows.jsonl", 100));
        assert_eq!(text.lines().next(), Some(r#"{"input_ids":[5,6],"labels":[-100,6]}"#));
    }
}
