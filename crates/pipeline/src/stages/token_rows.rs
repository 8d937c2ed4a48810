//! Training examples and preference pairs as rows of tokens.

use super::Context;
use super::dropping::Dropping;
use super::rows::examples;
use crate::error::PipelineError;
use crate::inputs::Finished;
use rayon::prelude::*;
use retort_chat::{ChatError, ChatTemplate, Encoded, Tokenizer, encode_example, encode_pair};
use retort_records::{Pair, SftExample};
use retort_student::TokenRow;
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

/// Why a row cannot be used: drop reason and detail.
type Unusable = (&'static str, String);

impl Encoder {
    /// The tokenizer and template of a checkpoint's folder.
    pub fn open(folder: &Path) -> Result<Self, PipelineError> {
        Ok(Self { tokenizer: Tokenizer::load(folder)?, template: ChatTemplate::load(folder)? })
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
        usable(encode_example(&self.tokenizer, self.template.as_ref(), &row.messages))
    }

    fn pair(&self, row: &Pair) -> Result<Result<PairTokens, Unusable>, ChatError> {
        let side = |text: &str| usable(encode_pair(&self.tokenizer, self.template.as_ref(), &row.prompt, text));
        let (chosen, rejected) = match (side(&row.chosen)?, side(&row.rejected)?) {
            (Ok(chosen), Ok(rejected)) => (chosen, rejected),
            (Err(reason), _) | (_, Err(reason)) => return Ok(Err(reason)),
        };
        Ok(Ok(PairTokens { pair_id: row.pair_id.clone(), prompt_id: row.prompt_id.clone(), chosen, rejected }))
    }

    /// How many rows `data` has, and the lengths in tokens of the first `most` of them: one an example, two a pair.
    pub fn lengths(&self, data: &Finished, most: usize, pairs: bool) -> Result<(u64, Vec<usize>), PipelineError> {
        let mut lengths = Vec::new();
        if pairs {
            let rows = data.rows::<Pair>()?;
            let total = rows.total();
            for row in rows.take(most) {
                if let Ok(pair) = self.pair(&row?)? {
                    lengths.extend([pair.chosen.input_ids.len(), pair.rejected.input_ids.len()]);
                }
            }
            return Ok((total, lengths));
        }
        let mut total = 0;
        for row in examples(data)? {
            let row = row?;
            if total < most as u64
                && let Ok(tokens) = self.example(&row)?
            {
                lengths.push(tokens.input_ids.len());
            }
            total += 1;
        }
        Ok((total, lengths))
    }

    /// The examples of `input` that fit into `most` tokens, in order; the others are dropped with a reason.
    pub fn examples(
        &self,
        context: &Context<'_>,
        input: &Finished,
        most: usize,
        dropping: &mut Dropping,
    ) -> Result<Vec<TokenRow>, PipelineError> {
        let (mut found, mut rows) = (Vec::new(), examples(input)?);
        loop {
            let batch: Vec<SftExample> = rows.by_ref().take(BATCH).collect::<Result<_, _>>()?;
            if batch.is_empty() {
                return Ok(found);
            }
            let encoded: Vec<_> = batch.par_iter().map(|row| self.example(row)).collect::<Result<_, ChatError>>()?;
            for (row, encoded) in batch.iter().zip(encoded) {
                match encoded.and_then(|tokens| fits(&[&tokens], most).map(|()| tokens)) {
                    Ok(tokens) => found.push(tokens),
                    Err((reason, detail)) => dropping.push(&row.example_id, &row.prompt_id, reason, detail)?,
                }
            }
            context.advanced(0, "tokenising")?;
        }
    }

    /// The pairs of `input` of which both sides fit into `most` tokens, in order; the others are dropped with a reason.
    pub fn pairs(
        &self,
        context: &Context<'_>,
        input: &Finished,
        most: usize,
        dropping: &mut Dropping,
    ) -> Result<Vec<PairTokens>, PipelineError> {
        let mut found = Vec::new();
        for batch in input.rows::<Pair>()?.batches() {
            let batch = batch?;
            let encoded: Vec<_> = batch.par_iter().map(|row| self.pair(row)).collect::<Result<_, ChatError>>()?;
            for (row, encoded) in batch.iter().zip(encoded) {
                match encoded.and_then(|pair| fits(&[&pair.chosen, &pair.rejected], most).map(|()| pair)) {
                    Ok(pair) => found.push(pair),
                    Err((reason, detail)) => dropping.push(&row.pair_id, &row.prompt_id, reason, detail)?,
                }
            }
            context.advanced(0, "tokenising")?;
        }
        Ok(found)
    }
}

/// Faults of a row become reasons; faults of the model's files stay errors.
fn usable(encoded: Result<Encoded, ChatError>) -> Result<Result<TokenRow, Unusable>, ChatError> {
    match encoded {
        Ok(encoded) => Ok(Ok(TokenRow { input_ids: encoded.input_ids, loss: encoded.labels_mask })),
        Err(error) => match error.drop_reason() {
            Some(reason) => Ok(Err((reason, error.to_string()))),
            None => Err(error),
        },
    }
}

fn fits(rows: &[&TokenRow], most: usize) -> Result<(), Unusable> {
    for row in rows {
        if row.input_ids.len() > most {
            return Err(("too_long", format!("{} tokens, allowed are {most}", row.input_ids.len())));
        }
        if row.trained_tokens() == 0 {
            return Err(("nothing_trained", "no token counts in the loss".to_owned()));
        }
    }
    Ok(())
}
