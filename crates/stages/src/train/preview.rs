//! The rows of a training run, before it begins, for people to look at.

use super::super::token_rows::{Encoder, FirstRow};
use super::Train;
use crate::error::PipelineError;
use crate::inputs::Finished;
use crate::inspect::{InspectedRow, InspectedToken};
use crate::workspace::Access;
use retort_chat::Tokenizer;
use retort_student::TokenRow;
use retort_training::Method;

impl Train {
    /// The first `limit` rows of `data` as they would be trained on, dropped ones among them.
    pub(crate) fn inspect(
        &self,
        base: Option<&Finished>,
        data: &Finished,
        access: &Access,
        limit: usize,
    ) -> Result<Vec<InspectedRow>, PipelineError> {
        let folder = match (base, &self.init) {
            (Some(base), _) => base.checkpoint_folder(),
            (None, Some(init)) => access.resolve(&init.tokenizer).map_err(PipelineError::Argument)?,
            (None, None) => return Err(PipelineError::Argument("give `base` or `init`".into())),
        };
        let encoder = Encoder::open(&folder)?;
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
