use std::path::Path;

use retort_training::{DpoLoss, DpoSettings, TrainSettings};
use serde_json::{Value, json};

use crate::backend::{Decoder, Learner, Weighing};
use crate::batch::Batch;
use crate::error::setting;
use crate::sft::fits;
use crate::train::{BatchLoss, Objective, run};
use crate::{Control, Error, StepReport, TokenRow, Trained, Trainee};

/// Two completions of one prompt, prompt included, with the completions' tokens marked, and what the reference model gives
/// them.
#[derive(Clone, Debug, PartialEq)]
pub struct PreferencePair {
    /// Prompt and preferred completion.
    pub chosen: TokenRow,
    /// Prompt and the other completion.
    pub rejected: TokenRow,
    /// Sum of the chosen completion's natural log-probs under the reference model.
    pub reference_chosen: f64,
    /// Sum of the rejected completion's natural log-probs under the reference model.
    pub reference_rejected: f64,
}

/// Preference training with reference log-probs computed beforehand ([`crate::sequence_log_probs`]); `batch_size` counts
/// pairs. Reproducible like [`crate::train_sft`].
pub fn train_dpo<'a>(
    trainee: impl Into<Trainee<'a>>,
    pairs: &[PreferencePair],
    settings: &TrainSettings,
    dpo: &DpoSettings,
    seed: u64,
    resume: Option<&Path>,
    on_step: &mut dyn FnMut(StepReport) -> Control,
) -> Result<Trained, Error> {
    settings.check()?;
    dpo.check()?;
    if settings.packing {
        return Err(setting("packing", true, "false for preference pairs"));
    }
    let trainee = trainee.into();
    let config = &trainee.student.config;
    let (mut usable, mut dropped) = (Vec::with_capacity(pairs.len()), Vec::new());
    for (index, pair) in pairs.iter().enumerate() {
        let mut fit = pair.reference_chosen.is_finite() && pair.reference_rejected.is_finite();
        for row in [&pair.chosen, &pair.rejected] {
            row.check(index, config)?;
            fit = fits(index, row.input_ids.len(), config, settings)? && row.trained_tokens() > 0 && fit;
        }
        if fit { usable.push(index) } else { dropped.push(index) }
    }
    let objective = Dpo { pairs, settings: dpo };
    let trained = run(trainee, &objective, &usable, settings, seed, resume, on_step)?;
    Ok(Trained { dropped, ..trained })
}

/// One completion as the loss sees it: log-prob sums under student and reference model, and its tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub student: f64,
    pub reference: f64,
    pub tokens: f64,
}

/// Loss of one pair and its derivatives by the student's log-prob sums of chosen and rejected.
pub(crate) fn pair_loss(settings: &DpoSettings, chosen: Completion, rejected: Completion) -> (f64, f64, f64) {
    let DpoSettings { beta, label_smoothing: smoothing, .. } = *settings;
    let averaged = matches!(settings.loss_type, DpoLoss::Ipo | DpoLoss::SigmoidNorm | DpoLoss::Simpo);
    let (per_chosen, per_rejected) = if averaged { (1.0 / chosen.tokens, 1.0 / rejected.tokens) } else { (1.0, 1.0) };
    let reference = if settings.loss_type == DpoLoss::Simpo { 0.0 } else { 1.0 };
    let ratio = |completion: Completion| completion.student - reference * completion.reference;
    let delta = ratio(chosen) * per_chosen - ratio(rejected) * per_rejected;
    let (loss, slope) = match settings.loss_type {
        DpoLoss::Sigmoid | DpoLoss::SigmoidNorm => {
            let x = beta * delta;
            let loss = (1.0 - smoothing) * softplus(-x) + smoothing * softplus(x);
            (loss, beta * (smoothing * sigmoid(x) - (1.0 - smoothing) * sigmoid(-x)))
        }
        DpoLoss::Robust => {
            let (x, scale) = (beta * delta, 1.0 / (1.0 - 2.0 * smoothing));
            let loss = ((1.0 - smoothing) * softplus(-x) - smoothing * softplus(x)) * scale;
            (loss, -beta * scale * ((1.0 - smoothing) * sigmoid(-x) + smoothing * sigmoid(x)))
        }
        DpoLoss::Ipo => {
            let off = delta - 1.0 / (2.0 * beta);
            (off * off, 2.0 * off)
        }
        DpoLoss::Hinge => match 1.0 - beta * delta {
            loss if loss > 0.0 => (loss, -beta),
            _ => (0.0, 0.0),
        },
        DpoLoss::Simpo => {
            let x = beta * delta - settings.simpo_gamma;
            (softplus(-x), -beta * sigmoid(-x))
        }
    };
    let sft = settings.rpo_alpha / chosen.tokens;
    (loss - sft * chosen.student, slope * per_chosen - sft, -slope * per_rejected)
}

/// `ln(1 + e^x)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

struct Dpo<'a> {
    pairs: &'a [PreferencePair],
    settings: &'a DpoSettings,
}

impl Objective for Dpo<'_> {
    fn length(&self, index: usize) -> usize {
        self.pairs[index].chosen.input_ids.len() + self.pairs[index].rejected.input_ids.len()
    }

    fn evaluate(&self, _: &dyn Decoder) -> Option<f64> {
        None
    }

    fn accumulate(&self, learner: &mut dyn Learner, batches: &[Vec<usize>]) -> BatchLoss {
        let scale = 1.0 / batches.iter().map(Vec::len).sum::<usize>() as f64;
        let mut total = BatchLoss { loss: 0.0, tokens: 0, trained_tokens: 0, preferred: None, rows: Vec::new() };
        let mut preferred = 0.0;
        for indices in batches {
            let pairs: Vec<&PreferencePair> = indices.iter().map(|index| &self.pairs[*index]).collect();
            let rows: Vec<&TokenRow> = pairs.iter().flat_map(|pair| [&pair.chosen, &pair.rejected]).collect();
            let (batch, targets) = Batch::of_rows(&rows);
            total.tokens += batch.len();
            total.trained_tokens += targets.len();
            let mut weigh = |log_probs: &[f32]| {
                let mut log_probs = log_probs;
                let mut weights = Vec::with_capacity(log_probs.len());
                for pair in &pairs {
                    let mut completion = |row: &TokenRow, reference: f64| {
                        let (own, others) = log_probs.split_at(row.trained_tokens());
                        log_probs = others;
                        let student = own.iter().map(|x| f64::from(*x)).sum();
                        Completion { student, reference, tokens: own.len() as f64 }
                    };
                    let chosen = completion(&pair.chosen, pair.reference_chosen);
                    let rejected = completion(&pair.rejected, pair.reference_rejected);
                    let (loss, dchosen, drejected) = pair_loss(self.settings, chosen, rejected);
                    total.loss += loss * scale;
                    if chosen.student - chosen.reference > rejected.student - rejected.reference {
                        preferred += scale;
                    }
                    weights.extend(std::iter::repeat_n((dchosen * scale) as f32, pair.chosen.trained_tokens()));
                    weights.extend(std::iter::repeat_n((drejected * scale) as f32, pair.rejected.trained_tokens()));
                }
                weights
            };
            learner.accumulate(&batch, &targets, Weighing::Later(&mut weigh));
        }
        total.preferred = Some(preferred);
        total
    }

    fn fingerprint(&self) -> Value {
        let mut hash = crate::random::Random::new(&[self.pairs.len() as u64]);
        for pair in self.pairs {
            for (row, reference) in [(&pair.chosen, pair.reference_chosen), (&pair.rejected, pair.reference_rejected)] {
                hash = row.mixed_into(crate::random::Random::new(&[hash.next(), reference.to_bits()]));
            }
        }
        let settings = serde_json::to_value(self.settings).unwrap_or(Value::Null);
        json!({"method": "dpo", "pairs": format!("{:016x}", hash.next()), "dpo": settings})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(student: f64, reference: f64, tokens: f64) -> Completion {
        Completion { student, reference, tokens }
    }

    /// recipes.md §7.
    #[test]
    fn golden_losses() {
        let plain = DpoSettings::default();
        let (chosen, rejected) = (completion(1.0, 0.0, 1.0), completion(-2.0, 0.0, 1.0));
        let loss = |settings: &DpoSettings| pair_loss(settings, chosen, rejected).0;
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{a} against {b}");
        close(loss(&plain), 0.5543552);
        close(loss(&DpoSettings { label_smoothing: 0.1, ..plain.clone() }), 0.5843552);
        close(loss(&DpoSettings { label_smoothing: 0.1, loss_type: DpoLoss::Robust, ..plain.clone() }), 0.5168552);
        let simpo = DpoSettings { loss_type: DpoLoss::Simpo, beta: 2.0, simpo_gamma: 0.3, ..plain.clone() };
        close(pair_loss(&simpo, completion(-5.0, 9.0, 10.0), completion(-16.0, 9.0, 20.0)).0, 0.5543552);
        let ipo = DpoSettings { loss_type: DpoLoss::Ipo, ..plain };
        close(pair_loss(&ipo, completion(0.2, 0.0, 10.0), completion(0.0, 0.0, 5.0)).0, 24.8004);
    }

    #[test]
    fn slopes_are_finite_differences() {
        for loss_type in
            [DpoLoss::Sigmoid, DpoLoss::SigmoidNorm, DpoLoss::Robust, DpoLoss::Ipo, DpoLoss::Hinge, DpoLoss::Simpo]
        {
            let settings = DpoSettings { beta: 0.3, loss_type, label_smoothing: 0.1, simpo_gamma: 0.2, rpo_alpha: 0.5 };
            let at = |a: f64, b: f64| pair_loss(&settings, completion(a, -3.0, 4.0), completion(b, -6.0, 7.0));
            let (_, da, db) = at(-2.5, -7.0);
            let step = 1e-6;
            let slope_a = (at(-2.5 + step, -7.0).0 - at(-2.5 - step, -7.0).0) / (2.0 * step);
            let slope_b = (at(-2.5, -7.0 + step).0 - at(-2.5, -7.0 - step).0) / (2.0 * step);
            assert!((slope_a - da).abs() < 1e-7 && (slope_b - db).abs() < 1e-7, "{loss_type:?}");
        }
    }
}
