use crate::backend::Decoder;
use crate::batch::{Batch, Targets};
use crate::{Error, Student, TokenRow};

/// A student ready to score tokens: on another device than the CPU its weights are copied there once.
#[derive(Debug)]
pub struct Scorer<'a> {
    student: &'a Student,
    decoder: Box<dyn Decoder + 'a>,
}

impl<'a> Scorer<'a> {
    /// Prepares a student.
    pub fn new(student: &'a Student) -> Result<Self, Error> {
        Ok(Self { student, decoder: student.decoder()? })
    }

    /// Natural log-prob of every trained token of each row, in order.
    pub fn token_log_probs(&self, rows: &[TokenRow]) -> Result<Vec<Vec<f32>>, Error> {
        self.of_rows(rows, log_probs_of)
    }

    /// Sum of the trained tokens' natural log-probs of each row: what DPO needs of the reference model.
    pub fn sequence_log_probs(&self, rows: &[TokenRow]) -> Result<Vec<f64>, Error> {
        let sum = |row: Vec<f32>| row.into_iter().map(f64::from).sum();
        Ok(self.token_log_probs(rows)?.into_iter().map(sum).collect())
    }

    /// Entropy in nats of the distribution that every trained token of each row is drawn from, in order.
    pub fn token_entropies(&self, rows: &[TokenRow]) -> Result<Vec<Vec<f32>>, Error> {
        self.of_rows(rows, |decoder, rows| of_rows(rows, |batch, targets| decoder.entropies(batch, &targets.rows)))
    }

    fn of_rows(
        &self,
        rows: &[TokenRow],
        score: impl FnOnce(&dyn Decoder, &[TokenRow]) -> Vec<Vec<f32>>,
    ) -> Result<Vec<Vec<f32>>, Error> {
        for (index, row) in rows.iter().enumerate() {
            row.check(index, &self.student.config)?;
        }
        let found = score(&*self.decoder, rows);
        // A log-prob of minus infinity is a probability that f32 rounds to 0; anything else that is no number is a fault.
        let broken = |score: &f32| score.is_nan() || *score == f32::INFINITY;
        match found.iter().position(|row| row.iter().any(broken)) {
            Some(row) => Err(Error::Logits { what: format!("row {row}") }),
            None => Ok(found),
        }
    }
}

/// [`Scorer::token_log_probs`] of a student that is asked once.
pub fn token_log_probs(student: &Student, rows: &[TokenRow]) -> Result<Vec<Vec<f32>>, Error> {
    Scorer::new(student)?.token_log_probs(rows)
}

/// [`Scorer::sequence_log_probs`] of a student that is asked once.
pub fn sequence_log_probs(student: &Student, rows: &[TokenRow]) -> Result<Vec<f64>, Error> {
    Scorer::new(student)?.sequence_log_probs(rows)
}

/// Natural log-prob of every trained token of each row, of rows that are known to be good.
pub(crate) fn log_probs_of(decoder: &dyn Decoder, rows: &[TokenRow]) -> Vec<Vec<f32>> {
    of_rows(rows, |batch, targets| decoder.log_probs(batch, targets))
}

/// A number for every trained token of each row, batch by batch.
fn of_rows(rows: &[TokenRow], score: impl Fn(&Batch, &Targets) -> Vec<f32>) -> Vec<Vec<f32>> {
    /// Tokens, with padding, that go through the model together; a row's numbers do not depend on it.
    const TOKENS: usize = 4096;
    let mut found = Vec::with_capacity(rows.len());
    let mut rest = rows;
    while !rest.is_empty() {
        let (mut count, mut longest) = (0, 0);
        let fit = rest.iter().take_while(|row| {
            (count, longest) = (count + 1, row.input_ids.len().max(longest));
            count * longest <= TOKENS
        });
        let (now, later) = rest.split_at(fit.count().max(1));
        rest = later;
        let (batch, targets) = Batch::of_rows(&now.iter().collect::<Vec<_>>());
        let scores = if targets.len() == 0 { Vec::new() } else { score(&batch, &targets) };
        let mut scores = scores.as_slice();
        for row in now {
            let (own, others) = scores.split_at(row.trained_tokens());
            found.push(own.to_vec());
            scores = others;
        }
    }
    found
}
