//! Token ids to text, one at a time.
//!
//! Decoding all ids again after every new one costs time that grows with the square of the length. Here the text before
//! the last few tokens is settled, and each step decodes only those.

use crate::Tokenizer;

/// Decodes a growing list of token ids. What it gives, put together, is what [`Tokenizer::decode`] gives of them all,
/// for tokenizers that decode token by token but for what stands at the beginning.
#[derive(Debug, Clone)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    skip_special: bool,
    /// The ids whose text is not settled, and before them some that are, because a decoder looks at its first token
    /// in another way (it may strip a space).
    ids: Vec<u32>,
    /// How many of them are settled.
    settled: usize,
}

/// What an unfinished character decodes to.
const UNFINISHED: char = '\u{fffd}';
/// Tokens that are waited for; more are text that is no UTF-8 at all.
const LONGEST_WAIT: usize = 64;

impl<'a> TextStream<'a> {
    /// A stream at its beginning; `skip_special` as for [`Tokenizer::decode`].
    pub fn new(tokenizer: &'a Tokenizer, skip_special: bool) -> Self {
        Self { tokenizer, skip_special, ids: Vec::new(), settled: 0 }
    }

    /// Takes the next id and gives the text that it completes: none while a character is unfinished.
    pub fn push(&mut self, id: u32) -> String {
        self.ids.push(id);
        let before = self.tokenizer.decode(&self.ids[..self.settled], self.skip_special);
        let text = self.tokenizer.decode(&self.ids, self.skip_special);
        let waiting = self.ids.len() - self.settled;
        if text.ends_with(UNFINISHED) && waiting < LONGEST_WAIT {
            return String::new();
        }
        let new = text.get(before.len()..).unwrap_or_default().to_owned();
        if new.is_empty() {
            // A special token that is skipped: no other looks at it.
            self.ids.pop();
        } else {
            self.ids.drain(..self.settled);
            self.settled = self.ids.len();
        }
        new
    }

    /// What is left at the end: the bytes of a character that never was finished.
    pub fn finish(self) -> String {
        let before = self.tokenizer.decode(&self.ids[..self.settled], self.skip_special);
        let text = self.tokenizer.decode(&self.ids, self.skip_special);
        text.get(before.len()..).unwrap_or_default().to_owned()
    }
}

/// Watches a growing text for texts that end it, each step looking only at what is new.
#[derive(Debug, Clone)]
pub struct StopTexts<'a> {
    stops: &'a [String],
    longest: usize,
    text: String,
    end: Option<usize>,
}

impl<'a> StopTexts<'a> {
    /// Watches for any of `stops`; empty ones are ignored.
    pub fn new(stops: &'a [String]) -> Self {
        let longest = stops.iter().map(String::len).max().unwrap_or_default();
        Self { stops, longest, text: String::new(), end: None }
    }

    /// Appends text; true once a stop text has come. What comes later is not looked at.
    pub fn push(&mut self, new: &str) -> bool {
        if self.end.is_none() {
            let mut from = self.text.len().saturating_sub(self.longest.saturating_sub(1));
            while !self.text.is_char_boundary(from) {
                from -= 1;
            }
            self.text.push_str(new);
            let found = |stop: &String| self.text[from..].find(stop.as_str()).map(|at| from + at);
            self.end = self.stops.iter().filter(|stop| !stop.is_empty()).filter_map(found).min();
        }
        self.end.is_some()
    }

    /// Whether a stop text has come.
    pub fn stopped(&self) -> bool {
        self.end.is_some()
    }

    /// The text so far, up to the first stop text.
    pub fn text(&self) -> &str {
        &self.text[..self.end.unwrap_or(self.text.len())]
    }
}
