use rayon::prelude::*;

use super::Model;
use super::pass::{Pass, chunk_of, grow};
use crate::batch::Targets;
use crate::kernels::product::{View, multiply_parallel};
use crate::kernels::rowwise::{add, entropy, exponentials, largest, rms_norm, rms_norm_backward, scale};

/// Elements of logits that exist at a time.
pub const LOGITS: usize = 12 << 20;

impl Pass {
    /// Natural log-probs of the targets. Only their positions go through the head, and no more than some megabytes of
    /// logits exist at a time.
    pub fn log_probs(&mut self, model: &Model, targets: &Targets) -> Vec<f32> {
        let mut found = Vec::with_capacity(targets.len());
        for (rows, targets) in pieces(model, targets) {
            self.logits_of(model, rows);
            let logits = self.gradients.logits.par_chunks_exact_mut(model.config.vocab_size);
            found.par_extend(logits.zip(targets).map(|(logits, target)| {
                let (target, maximum) = (logits[*target as usize], largest(logits));
                target - maximum - exponentials(logits, 1.0, maximum).ln()
            }));
        }
        found
    }

    /// [`Pass::log_probs`], and the backward pass of `Σ weights[i] · log-prob[i]` through the head: adds to `gradients` and
    /// puts the gradient of [`Pass::hidden`] where [`Pass::backward`] takes it from.
    pub fn log_probs_backward(
        &mut self,
        model: &Model,
        targets: &Targets,
        weights: &[f32],
        gradients: &mut [f32],
    ) -> Vec<f32> {
        let (hidden, vocabulary) = (model.config.hidden_size, model.config.vocab_size);
        let layout = model.layout;
        let tokens = self.hidden().len() / hidden;
        grow(&mut self.gradients.stream, tokens * hidden);
        self.gradients.stream.fill(0.0);
        let mut found = Vec::with_capacity(targets.len());
        let mut weights = weights;
        for (rows, targets) in pieces(model, targets) {
            self.logits_of(model, rows);
            let (now, later) = weights.split_at(rows.len());
            weights = later;
            let logits = self.gradients.logits.par_chunks_exact_mut(vocabulary);
            found.par_extend(logits.zip(targets).zip(now).map(|((logits, target), weight)| {
                let (value, maximum) = (logits[*target as usize], largest(logits));
                let sum = exponentials(logits, 1.0, maximum);
                scale(logits, -weight / sum);
                logits[*target as usize] += weight;
                value - maximum - sum.ln()
            }));
            let Pass { gradients: buffers, streams, .. } = &mut *self;
            let (logits, normed) = (&buffers.logits, &buffers.normed);
            let head = model.tensor(layout.head);
            let left = View::transposed(logits, vocabulary);
            if model.adapters.is_none() {
                let (dhead, right) = (layout.slice_mut(gradients, layout.head), View::rows(normed, hidden));
                multiply_parallel(vocabulary, hidden, rows.len(), left, right, dhead, hidden, true);
            }
            grow(&mut buffers.rows, rows.len() * hidden);
            let (left, right) = (View::rows(logits, vocabulary), View::rows(head, hidden));
            multiply_parallel(rows.len(), hidden, vocabulary, left, right, &mut buffers.rows, hidden, false);
            let stream = streams.last().map_or(&[][..], Vec::as_slice);
            let norm = model.tensor(layout.norm);
            let chunk = chunk_of(tokens);
            grow(&mut buffers.partial, rows.len().div_ceil(chunk) * hidden);
            buffers.partial.fill(0.0);
            // The gradient takes the place of the normed rows, then moves to its positions.
            buffers
                .normed
                .par_chunks_mut(chunk * hidden)
                .zip(buffers.partial.par_chunks_exact_mut(hidden))
                .zip(rows.par_chunks(chunk).zip(buffers.rows.par_chunks(chunk * hidden)))
                .for_each(|((dx, partial), (rows, dout))| {
                    dx.fill(0.0);
                    for (i, row) in rows.iter().enumerate() {
                        let (x, part) = (&stream[row * hidden..][..hidden], i * hidden..(i + 1) * hidden);
                        rms_norm_backward(x, norm, model.epsilon(), &dout[part.clone()], &mut dx[part], partial);
                    }
                });
            for (row, dx) in rows.iter().zip(buffers.normed.chunks_exact(hidden)) {
                add(&mut buffers.stream[row * hidden..][..hidden], dx);
            }
            if model.adapters.is_none() {
                let dnorm = layout.slice_mut(gradients, layout.norm);
                buffers.partial.chunks_exact(hidden).for_each(|partial| add(dnorm, partial));
            }
        }
        found
    }

    /// Entropies `[rows]` of the distributions after the given positions, in nats.
    pub fn entropies(&mut self, model: &Model, rows: &[usize]) -> Vec<f32> {
        let mut found = Vec::with_capacity(rows.len());
        for rows in rows.chunks(rows_at_once(model)) {
            self.logits_of(model, rows);
            let logits = self.gradients.logits.par_chunks_exact(model.config.vocab_size);
            found.par_extend(logits.map(|logits| entropy(logits, largest(logits))));
        }
        found
    }

    /// Logits `[rows, vocab_size]` after the given positions of the batch.
    pub fn logits(&mut self, model: &Model, rows: &[usize]) -> Vec<f32> {
        let mut logits = Vec::with_capacity(rows.len() * model.config.vocab_size);
        for rows in rows.chunks(rows_at_once(model)) {
            self.logits_of(model, rows);
            logits.extend_from_slice(&self.gradients.logits);
        }
        logits
    }

    fn logits_of(&mut self, model: &Model, rows: &[usize]) {
        let (hidden, vocabulary) = (model.config.hidden_size, model.config.vocab_size);
        let Pass { gradients: buffers, streams, .. } = self;
        let stream = streams.last().map_or(&[][..], Vec::as_slice);
        let norm = model.tensor(model.layout.norm);
        grow(&mut buffers.normed, rows.len() * hidden);
        buffers.normed.par_chunks_exact_mut(hidden).zip(rows).for_each(|(out, row)| {
            rms_norm(&stream[row * hidden..][..hidden], norm, model.epsilon(), out);
        });
        grow(&mut buffers.logits, rows.len() * vocabulary);
        let (left, right) =
            (View::rows(&buffers.normed, hidden), View::transposed(model.tensor(model.layout.head), hidden));
        multiply_parallel(rows.len(), vocabulary, hidden, left, right, &mut buffers.logits, vocabulary, false);
    }
}

/// Cuts the targets into pieces whose logits fit.
fn pieces<'a>(model: &Model, targets: &'a Targets) -> impl Iterator<Item = (&'a [usize], &'a [u32])> {
    let count = rows_at_once(model);
    targets.rows.chunks(count).zip(targets.tokens.chunks(count))
}

fn rows_at_once(model: &Model) -> usize {
    (LOGITS / model.config.vocab_size).max(64)
}
