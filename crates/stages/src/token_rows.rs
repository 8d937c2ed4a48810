//! Training examples and preference pairs as rows of tokens.

use crate::dropping::Dropping;
use crate::error::StageError;
use crate::rows::{example_count, examples};
use rayon::prelude::*;
use retort_chat::{
    ChatError, ChatTemplate, Conversation, Encoded, Tokenizer, encode_completion, encode_conversation, stop_ids,
};
use retort_local::load_tokenizer;
use retort_pipeline::{Context, Finished, PipelineError};
use retort_records::completion::{THINK_CLOSE, THINK_OPEN};
use retort_records::{Pair, SftExample};
use retort_student::TokenRow;
use retort_training::OverLong;
use serde_json::{Map, Value};
use std::path::Path;

/// Rows that are tokenised together on all cores.
const BATCH: usize = 512;

/// Turns texts into the tokens that one checkpoint reads.
pub struct Encoder {
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
}

/// The tokens of one pair.
pub struct PairTokens {
    pub pair_id: String,
    pub prompt_id: String,
    pub chosen: TokenRow,
    pub rejected: TokenRow,
}

/// How long rows may be, and what becomes of longer ones.
#[derive(Clone, Copy)]
pub struct LengthLimit {
    pub max_tokens: usize,
    pub over_long: OverLong,
}

/// Rows that can be trained on, and how many of them were cut.
pub struct Tokenised<T> {
    pub rows: Vec<T>,
    pub truncated: u64,
}

/// A row to be looked at: what to call it, and its tokens or why it would be dropped.
pub struct FirstRow {
    pub label: String,
    pub row: Result<TokenRow, String>,
}

/// Why a row cannot be used: drop reason and detail.
type Unusable = (&'static str, String);

impl Encoder {
    /// The tokenizer of a checkpoint's folder, and the template named, or the folder's own, with these variables.
    pub fn open(folder: &Path, template: Option<&str>, kwargs: &Map<String, Value>) -> Result<Self, StageError> {
        let tokenizer = load_tokenizer(folder)?;
        let template = ChatTemplate::for_training(folder, template)?;
        let set =
            |template: ChatTemplate| if kwargs.is_empty() { template } else { template.with_kwargs(kwargs.clone()) };
        Ok(Self { tokenizer, template: template.map(set) })
    }

    /// The token that a completion is trained to end with, and its text: the template's, else the tokenizer's own.
    pub fn ending(&self) -> Option<(u32, String)> {
        let eos = self.tokenizer.eos().map(|token| token.id);
        let stops = stop_ids(&self.tokenizer, self.template.as_ref());
        let id = stops.into_iter().find(|id| Some(*id) != eos).or(eos)?;
        Some((id, self.tokenizer.decode(&[id], false)))
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The template.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// Tokens of one example, or why there are none.
    pub fn example(&self, row: &SftExample) -> Result<Result<TokenRow, Unusable>, ChatError> {
        let conversation = Conversation::of_row(&row.messages, row.beyond_text.as_deref());
        usable(conversation.and_then(|row| encode_conversation(&self.tokenizer, self.template.as_ref(), &row)))
    }

    fn pair(&self, row: &Pair) -> Result<Result<PairTokens, Unusable>, ChatError> {
        if row.chosen == row.rejected {
            return Ok(Err(("identical_sides", "chosen and rejected are the same text".to_owned())));
        }
        let prompt = match Conversation::of_row(&row.prompt, row.beyond_text.as_deref()) {
            Ok(prompt) => prompt,
            Err(error) => return reason_of(error).map(Err),
        };
        let side = |text: &str| usable(encode_completion(&self.tokenizer, self.template.as_ref(), &prompt, text));
        let (chosen, rejected) = match (side(&row.chosen)?, side(&row.rejected)?) {
            (Ok(chosen), Ok(rejected)) => (chosen, rejected),
            (Err(reason), _) | (_, Err(reason)) => return Ok(Err(reason)),
        };
        if chosen == rejected {
            return Ok(Err(("identical_sides", "chosen and rejected are the same tokens".to_owned())));
        }
        Ok(Ok(PairTokens { pair_id: row.pair_id.clone(), prompt_id: row.prompt_id.clone(), chosen, rejected }))
    }

    /// How many rows `data` has, and the lengths in tokens of the first `max_rows` of them: one an example, two a pair.
    pub fn lengths(&self, data: &Finished, max_rows: usize, pairs: bool) -> Result<(u64, Vec<usize>), StageError> {
        let mut lengths = Vec::new();
        if pairs {
            let rows = data.rows::<Pair>()?;
            let total = rows.total();
            for row in rows.take(max_rows) {
                if let Ok(pair) = self.pair(&row?)? {
                    lengths.extend([pair.chosen.input_ids.len(), pair.rejected.input_ids.len()]);
                }
            }
            return Ok((total, lengths));
        }
        for row in examples(data)?.take(max_rows) {
            if let Ok(tokens) = self.example(&row?)? {
                lengths.push(tokens.input_ids.len());
            }
        }
        Ok((example_count(data)?, lengths))
    }

    /// The first `rows` rows of `data` with what to call them: an example is one, a pair two. A row that would be dropped
    /// stands with its reason.
    pub fn first(
        &self,
        data: &Finished,
        limit: LengthLimit,
        rows: usize,
        pairs: bool,
    ) -> Result<Vec<FirstRow>, StageError> {
        let words = |(reason, detail): Unusable| format!("{reason}: {detail}");
        let mut found = Vec::new();
        if pairs {
            for row in data.rows::<Pair>()?.take(rows.div_ceil(2)) {
                let row = row?;
                match self.pair(&row)?.and_then(|pair| self.fit_pair(pair, limit)) {
                    Ok((pair, _)) => found.extend([
                        FirstRow { label: format!("{} chosen", pair.pair_id), row: Ok(pair.chosen) },
                        FirstRow { label: format!("{} rejected", pair.pair_id), row: Ok(pair.rejected) },
                    ]),
                    Err(unusable) => found.push(FirstRow { label: row.pair_id, row: Err(words(unusable)) }),
                }
            }
            found.truncate(rows);
            return Ok(found);
        }
        for row in examples(data)?.take(rows) {
            let row = row?;
            let tokens = self.example(&row)?.and_then(|tokens| self.fit(tokens, limit));
            let tokens = tokens.map(|(tokens, _)| tokens).map_err(words);
            found.push(FirstRow { label: row.example_id, row: tokens });
        }
        Ok(found)
    }

    /// The examples of `input` that are short enough or may be cut, in order; `drop` is told of the others: row, reason and
    /// detail.
    pub fn examples(
        &self,
        context: &Context<'_>,
        input: &Finished,
        limit: LengthLimit,
        drop: &mut dyn FnMut(&SftExample, &'static str, String) -> Result<(), PipelineError>,
    ) -> Result<Tokenised<TokenRow>, StageError> {
        let mut rows = Vec::new();
        let truncated = self.each_example(context, input, limit, drop, &mut |_, tokens| {
            rows.push(tokens);
            Ok(())
        })?;
        Ok(Tokenised { rows, truncated })
    }

    /// [`Self::examples`], handed over one by one to `keep`; gives the number of those that were cut.
    pub fn each_example(
        &self,
        context: &Context<'_>,
        input: &Finished,
        limit: LengthLimit,
        drop: &mut dyn FnMut(&SftExample, &'static str, String) -> Result<(), PipelineError>,
        keep: &mut dyn FnMut(&SftExample, TokenRow) -> Result<(), PipelineError>,
    ) -> Result<u64, StageError> {
        let (mut truncated, mut rows) = (0, examples(input)?);
        loop {
            let batch: Vec<SftExample> = rows.by_ref().take(BATCH).collect::<Result<_, _>>()?;
            if batch.is_empty() {
                return Ok(truncated);
            }
            let encoded: Vec<_> = batch.par_iter().map(|row| self.example(row)).collect::<Result<_, ChatError>>()?;
            for (row, encoded) in batch.iter().zip(encoded) {
                match encoded.and_then(|tokens| self.fit(tokens, limit)) {
                    Ok((tokens, cut)) => {
                        truncated += u64::from(cut);
                        keep(row, tokens)?;
                    }
                    Err((reason, detail)) => drop(row, reason, detail)?,
                }
            }
            context.advanced(0, "tokenising")?;
        }
    }

    /// The pairs of `input` of which both sides are short enough or may be cut, in order; the others are dropped with a
    /// reason.
    pub fn pairs(
        &self,
        context: &Context<'_>,
        input: &Finished,
        limit: LengthLimit,
        dropping: &mut Dropping,
    ) -> Result<Tokenised<PairTokens>, StageError> {
        let mut rows = Vec::new();
        let truncated = self.each_pair(context, input, limit, dropping, &mut |_, tokens| {
            rows.push(tokens);
            Ok(())
        })?;
        Ok(Tokenised { rows, truncated })
    }

    /// [`Self::pairs`], handed over one by one to `keep`; gives the number of those that were cut.
    pub fn each_pair(
        &self,
        context: &Context<'_>,
        input: &Finished,
        limit: LengthLimit,
        dropping: &mut Dropping,
        keep: &mut dyn FnMut(&Pair, PairTokens) -> Result<(), PipelineError>,
    ) -> Result<u64, StageError> {
        let mut truncated = 0;
        for batch in input.rows::<Pair>()?.batches() {
            let batch = batch?;
            let encoded: Vec<_> = batch.par_iter().map(|row| self.pair(row)).collect::<Result<_, ChatError>>()?;
            for (row, encoded) in batch.iter().zip(encoded) {
                match encoded.and_then(|pair| self.fit_pair(pair, limit)) {
                    Ok((pair, cut)) => {
                        truncated += u64::from(cut);
                        keep(row, pair)?;
                    }
                    Err((reason, detail)) => dropping.push(&row.pair_id, &row.prompt_id, reason, detail)?,
                }
            }
            context.advanced(0, "tokenising")?;
        }
        Ok(truncated)
    }

    fn fit_pair(&self, pair: PairTokens, limit: LengthLimit) -> Result<(PairTokens, bool), Unusable> {
        let (chosen, first) = self.fit(pair.chosen, limit)?;
        let (rejected, second) = self.fit(pair.rejected, limit)?;
        Ok((PairTokens { chosen, rejected, ..pair }, first || second))
    }

    /// The row, cut where it is too long and that is wanted, and whether it was cut.
    fn fit(&self, mut row: TokenRow, limit: LengthLimit) -> Result<(TokenRow, bool), Unusable> {
        let LengthLimit { max_tokens, over_long } = limit;
        let tokens = row.input_ids.len();
        let cut = tokens > max_tokens;
        if cut && over_long != OverLong::Truncate {
            return Err(("too_long", format!("{tokens} tokens, allowed are {max_tokens}")));
        }
        if cut && self.cuts_a_thought(&row, max_tokens) {
            return Err((
                "thought_cut",
                format!("{tokens} tokens, and the first {max_tokens} end within the reasoning"),
            ));
        }
        row.input_ids.truncate(max_tokens);
        row.loss.truncate(max_tokens);
        if row.trained_tokens() == 0 {
            return Err(("nothing_trained", "no token counts in the loss".to_owned()));
        }
        Ok((row, cut))
    }

    /// Whether the end of the first `max_tokens` tokens lies within the reasoning of a trained turn. A student that learns from
    /// half a thought learns to think without an end.
    fn cuts_a_thought(&self, row: &TokenRow, max_tokens: usize) -> bool {
        /// Tokens of a prompt in which an opening tag may stand at the end.
        const OPENING: usize = 8;
        if !row.loss[max_tokens] {
            return false;
        }
        let start = row.loss[..max_tokens].iter().rposition(|trained| !trained).map_or(0, |at| at + 1);
        let text = self.tokenizer.decode(&row.input_ids[start..max_tokens], false);
        match (text.rfind(THINK_OPEN), text.rfind(THINK_CLOSE)) {
            (Some(opened), Some(closed)) => opened > closed,
            (opened, closed) => {
                let before = self.tokenizer.decode(&row.input_ids[start.saturating_sub(OPENING)..start], false);
                closed.is_none() && (opened.is_some() || before.trim_end().ends_with(THINK_OPEN))
            }
        }
    }
}

/// Faults of a row become reasons; faults of the model's files stay errors.
fn usable(encoded: Result<Encoded, ChatError>) -> Result<Result<TokenRow, Unusable>, ChatError> {
    match encoded {
        Ok(encoded) => Ok(Ok(TokenRow { input_ids: encoded.input_ids, loss: encoded.labels_mask })),
        Err(error) => reason_of(error).map(Err),
    }
}

/// Why a row cannot be used; an error that is not the row's stays one.
fn reason_of(error: ChatError) -> Result<Unusable, ChatError> {
    match error.drop_reason() {
        Some(reason) => Ok((reason, error.to_string())),
        None => Err(error),
    }
}
