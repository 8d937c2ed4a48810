use retort_weights::ModelConfig;

use crate::Error;
use crate::random::Random;

/// One row of token ids with the tokens that are trained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRow {
    /// Token ids of prompt and completion.
    pub input_ids: Vec<u32>,
    /// For each token whether predicting it counts; the first one never does, nothing comes before it.
    pub loss: Vec<bool>,
}

impl TokenRow {
    /// Number of tokens that are trained.
    pub fn trained_tokens(&self) -> usize {
        self.loss.iter().skip(1).filter(|trained| **trained).count()
    }

    /// A hash that goes on with this row: its tokens, and which of them are trained.
    pub(crate) fn mixed_into(&self, mut hash: Random) -> Random {
        hash = Random::new(&[hash.next(), self.input_ids.len() as u64]);
        for (id, trained) in self.input_ids.iter().zip(&self.loss) {
            hash = Random::new(&[hash.next(), u64::from(*id) << 1 | u64::from(*trained)]);
        }
        hash
    }

    pub(crate) fn check(&self, index: usize, config: &ModelConfig) -> Result<(), Error> {
        if self.loss.len() != self.input_ids.len() {
            let (tokens, marks) = (self.input_ids.len(), self.loss.len());
            return Err(Error::Rows(format!("row {index} has {tokens} tokens but {marks} loss marks")));
        }
        check_tokens(config, &self.input_ids).map_err(|error| Error::Rows(format!("row {index}: {error}")))
    }
}

/// Refuses tokens that the model does not know.
pub(crate) fn check_tokens(config: &ModelConfig, tokens: &[u32]) -> Result<(), Error> {
    match tokens.iter().find(|token| **token as usize >= config.vocab_size) {
        Some(token) => Err(Error::Rows(format!("token `{token}` is not among the {} of the model", config.vocab_size))),
        None => Ok(()),
    }
}
