use crate::TokenRow;

/// Token sequences one after the other, without padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Token ids of all sequences.
    pub tokens: Vec<u32>,
    /// Where each sequence starts, and the total at the end.
    pub starts: Vec<usize>,
    /// Position of each token within its sequence.
    pub positions: Vec<u32>,
}

impl Batch {
    /// Lays sequences one after the other.
    pub fn new<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut batch = Self { tokens: Vec::new(), starts: vec![0], positions: Vec::new() };
        for sequence in sequences {
            batch.tokens.extend_from_slice(sequence);
            batch.positions.extend(0..sequence.len() as u32);
            batch.starts.push(batch.tokens.len());
        }
        batch
    }

    /// Rows one after the other, and their trained tokens in order.
    pub fn of_rows(rows: &[&TokenRow]) -> (Self, Targets) {
        let batch = Self::new(rows.iter().map(|row| row.input_ids.as_slice()));
        let mut targets = Targets::default();
        for (row, start) in rows.iter().zip(&batch.starts) {
            for position in (1..row.input_ids.len()).filter(|position| row.loss[*position]) {
                targets.rows.push(start + position - 1);
                targets.tokens.push(row.input_ids[position]);
            }
        }
        (batch, targets)
    }

    /// Number of tokens of all sequences.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens of the longest sequence.
    pub fn longest(&self) -> usize {
        self.sequences().map(|(_, length)| length).max().unwrap_or(0)
    }

    /// Start and length of each sequence.
    pub fn sequences(&self) -> impl Iterator<Item = (usize, usize)> {
        self.starts.windows(2).map(|pair| (pair[0], pair[1] - pair[0]))
    }
}

/// Tokens of a batch whose log-probs are wanted: `tokens[i]` after position `rows[i]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    /// Positions in the batch.
    pub rows: Vec<usize>,
    /// The tokens that follow them.
    pub tokens: Vec<u32>,
}

impl Targets {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
}
