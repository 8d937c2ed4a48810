//! The rows of a training run, before it begins, for people to look at.

use super::Train;
use crate::error::StageError;
use crate::token_rows::FirstRow;
use retort_chat::Tokenizer;
use retort_pipeline::{Finished, PipelineError, Surroundings};
use retort_student::TokenRow;
use retort_training::Method;

/// One row of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedRow {
    /// The id of the example, or the id of the pair and its side.
    pub label: String,
    /// The tokens, or why the row is dropped.
    pub tokens: Result<Vec<InspectedToken>, String>,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedToken {
    /// Its id.
    pub id: u32,
    /// What it adds to the text before it.
    pub text: String,
    /// Whether predicting it counts in the loss.
    pub trained: bool,
}

impl Train {
    /// The first `limit` rows of `data` as they would be trained on, dropped ones among them.
    pub(crate) fn inspect(
        &self,
        base: Option<&Finished>,
        data: &Finished,
        around: &Surroundings<'_>,
        limit: usize,
    ) -> Result<Vec<InspectedRow>, StageError> {
        let folder = match (base, &self.init) {
            (Some(base), _) => base.checkpoint_folder(),
            (None, Some(init)) => around.resolver.locate(&init.tokenizer).map_err(PipelineError::argument)?,
            (None, None) => return Err(PipelineError::argument("give `base` or `init`").into()),
        };
        let encoder = self.encoder(&folder)?;
        let within = self.limit(&self.config(base)?);
        let rows = encoder.first(data, within, limit, self.method == Method::Dpo)?;
        let shown = |row: TokenRow| tokens(encoder.tokenizer(), &row);
        let inspected = |FirstRow { label, row }| InspectedRow { label, tokens: row.map(shown) };
        Ok(rows.into_iter().map(inspected).collect())
    }
}

/// Each token with the text that it adds.
fn tokens(tokenizer: &Tokenizer, row: &TokenRow) -> Vec<InspectedToken> {
    let mut tokens = Vec::with_capacity(row.input_ids.len());
    for (at, id) in row.input_ids.iter().enumerate() {
        // Some tokenizers drop a space at the beginning of a text, so a token is read behind the one before it.
        let pair = &row.input_ids[at.saturating_sub(1)..=at];
        let before = tokenizer.decode(&pair[..pair.len() - 1], false);
        let both = tokenizer.decode(pair, false);
        let text = both.strip_prefix(&before).map_or_else(|| tokenizer.decode(&[*id], false), str::to_owned);
        tokens.push(InspectedToken { id: *id, text, trained: at > 0 && row.loss[at] });
    }
    tokens
}
