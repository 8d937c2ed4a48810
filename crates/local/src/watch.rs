//! Completions under way, as text: each token is decoded once and compared with the stop texts once.

use retort_chat::{StopTexts, TextStream, Tokenizer};
use std::sync::{Mutex, PoisonError};

/// One completion under way.
pub(crate) struct Watch<'a> {
    stream: TextStream<'a>,
    stops: StopTexts<'a>,
    /// Tokens that were looked at.
    seen: usize,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(tokenizer: &'a Tokenizer, stops: &'a [String]) -> Self {
        Self { stream: TextStream::new(tokenizer, true), stops: StopTexts::new(stops), seen: 0 }
    }

    /// Looks at the tokens that `ids`, the whole completion so far, has gained; true once a stop text has come.
    pub(crate) fn take(&mut self, ids: &[u32]) -> bool {
        for id in &ids[self.seen.min(ids.len())..] {
            let new = self.stream.push(*id);
            self.stops.push(&new);
        }
        self.seen = ids.len();
        self.stops.stopped()
    }

    /// The text so far, without an unfinished character, up to a stop text.
    pub(crate) fn text(&self) -> &str {
        self.stops.text()
    }
}

/// The completions of several requests under way; empty where nothing has to be watched for.
pub(crate) struct Watches<'a>(Vec<Mutex<Watch<'a>>>);

impl<'a> Watches<'a> {
    /// One for each of `requests` requests.
    pub(crate) fn new(tokenizer: Option<&'a Tokenizer>, stops: &'a [String], requests: usize) -> Self {
        let tokenizer = tokenizer.filter(|_| stops.iter().any(|stop| !stop.is_empty()));
        Self(tokenizer.map_or_else(Vec::new, |tokenizer| {
            (0..requests).map(|_| Mutex::new(Watch::new(tokenizer, stops))).collect()
        }))
    }

    /// Whether a stop text has come in the completion of request `index`.
    pub(crate) fn stopped(&self, index: usize, ids: &[u32]) -> bool {
        self.0.get(index).is_some_and(|watch| watch.lock().unwrap_or_else(PoisonError::into_inner).take(ids))
    }
}
