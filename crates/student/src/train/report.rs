use std::path::PathBuf;

/// What happened in one optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The step, from 1.
    pub step: usize,
    /// Steps of the whole run.
    pub total: usize,
    /// Mean loss over the step's trained tokens (SFT) or pairs (DPO), before the update.
    pub loss: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Tokens that went through the model.
    pub tokens: usize,
    /// Tokens that were trained.
    pub trained_tokens: usize,
    /// Share of pairs whose chosen completion is preferred (DPO), else nothing.
    pub preferred: Option<f64>,
    /// Mean loss over the trained tokens of the evaluation rows after the update, where this step has one.
    pub eval_loss: Option<f64>,
}

/// What the caller wants after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// The next step.
    Continue,
    /// Write the training state into this folder (under another name first, then renamed, replacing what is there), then
    /// the next step.
    Save(PathBuf),
    /// Write the weights alone into this folder (in the same way; adapters where they are what is trained), then do the
    /// rest.
    Keep(PathBuf, Box<Self>),
    /// No further step.
    Stop,
}

/// How a training run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Optimizer steps made, counting those before a resume.
    pub steps: usize,
    /// Whether all steps were made, that is, nobody asked to stop.
    pub complete: bool,
    /// Loss of the last step of this call, if any was made.
    pub last_loss: Option<f64>,
    /// Indices of rows that were left out because they are too long or train no token.
    pub dropped: Vec<usize>,
}

/// What one step's batches gave.
pub(crate) struct BatchLoss {
    pub loss: f64,
    pub tokens: usize,
    pub trained_tokens: usize,
    pub preferred: Option<f64>,
    /// Indices of the rows, where they have some.
    pub rows: Vec<usize>,
}
