mod epochs;
mod report;
mod state;
mod stepper;

use std::path::Path;

use retort_training::TrainSettings;
use serde_json::json;

use crate::{Error, Trainee};
use epochs::Epochs;
use stepper::Stepper;

pub(crate) use epochs::Objective;
pub(crate) use report::BatchLoss;
pub use report::{Control, StepReport, Trained};

/// The loop: steps, reports, saving. `rows` are the usable ones among the caller's.
pub(crate) fn run(
    trainee: Trainee,
    objective: &dyn Objective,
    rows: &[usize],
    settings: &TrainSettings,
    seed: u64,
    resume: Option<&Path>,
    on_step: &mut dyn FnMut(StepReport) -> Control,
) -> Result<Trained, Error> {
    if rows.is_empty() {
        return Err(Error::Rows("no row is left to train on".to_owned()));
    }
    let settings_json = serde_json::to_value(settings).map_err(|error| Error::Rows(error.to_string()))?;
    let mut identity =
        json!({"objective": objective.fingerprint(), "rows": rows.len(), "seed": seed, "settings": settings_json});
    if let Some(adapter) = &trainee.adapter {
        identity["lora"] = serde_json::to_value(adapter.settings()).map_err(|error| Error::Rows(error.to_string()))?;
    }
    let mut epochs = Epochs::new(objective, rows, settings, trainee.student.config.max_position_embeddings, seed);
    let mut stepper = Stepper::new(trainee, settings, epochs.steps(), seed, identity, resume)?;
    let outcome = steps(&mut stepper, &mut epochs, on_step);
    stepper.finish();
    outcome
}

fn steps(
    stepper: &mut Stepper,
    epochs: &mut Epochs,
    on_step: &mut dyn FnMut(StepReport) -> Control,
) -> Result<Trained, Error> {
    let mut last_loss = None;
    while stepper.step < stepper.total {
        let report = stepper.step(epochs)?;
        last_loss = Some(report.loss);
        let mut wanted = on_step(report);
        while let Control::Keep(path, rest) = wanted {
            stepper.keep(&path)?;
            wanted = *rest;
        }
        match wanted {
            Control::Continue | Control::Keep(..) => {}
            Control::Save(path) => stepper.save(&path)?,
            Control::Stop => break,
        }
    }
    Ok(Trained { steps: stepper.step, complete: stepper.step >= stepper.total, last_loss, dropped: Vec::new() })
}
