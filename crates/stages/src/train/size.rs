//! How much training takes, as far as it can be known before it begins.

use super::{PLAIN, Train};
use crate::error::StageError;
use crate::model_config::model_config;
use crate::token_rows::{Encoder, LengthLimit};
use retort_chat::ChatTemplate;
use retort_pipeline::{Finished, PipelineError, PlannedInputs, SettingProblem, Surroundings, machine};
use retort_student::Forecast;
use retort_training::Method;
use retort_weights::{Checkpoint, ModelConfig};
use std::path::Path;

/// Rows that a forecast reads; the others are taken to be like them.
const FORECAST_ROWS: usize = 1000;
/// Operations that one core is taken to do in a second; measured on server processors of 2023 and 2024.
const OPERATIONS_A_SECOND: f64 = 5e10;

impl Train {
    /// Training that would not fit into memory even on the shortest rows, or on rows longer than the model reads.
    pub(super) fn size_problems(&self, around: &Surroundings<'_>) -> Vec<SettingProblem> {
        let config = match (&self.init, &self.base) {
            (Some(init), _) => init.architecture.config().ok(),
            (None, Some(base)) => match model_config(around, base) {
                Ok(config) => config,
                Err(error) => return vec![SettingProblem::new("/base", error.to_string())],
            },
            (None, None) => None,
        };
        let Some(config) = config else { return Vec::new() };
        let mut problems = Vec::new();
        if let Some(message) = self.longer_than_the_model(&config) {
            problems.push(
                SettingProblem::new("/training/max_length", message)
                    .with_hint("a lower `max_length`, or `null` for what the model reads; a preset sets it too"),
            );
        }
        let (memory, least) = (around.machine.memory, self.least(&config));
        if least.peak_bytes as u64 > memory {
            problems.push(
                SettingProblem::new("", too_large(&least, memory))
                    .with_hint("give more memory with `--memory`, or train a smaller model"),
            );
        }
        problems
    }

    /// What the run would take, for people; an error for training that does not fit into memory.
    pub(super) fn forecast_in_words(&self, inputs: &PlannedInputs<'_>) -> Result<String, StageError> {
        let base = inputs.input("base");
        let tokenizer = match (base, &self.init) {
            (Some(base), _) => Some(base.checkpoint_folder()),
            (None, Some(init)) if self.base.is_none() => {
                let found = inputs.around.resolver.locate(&init.tokenizer);
                Some(found.map_err(PipelineError::argument)?)
            }
            (None, _) => None,
        };
        let Some((data, tokenizer)) = inputs.input("data").zip(tokenizer) else {
            return Ok(self.with_preset(self.training.max_steps.map(|steps| format!("{steps} steps"))));
        };
        let forecast = self.forecast_on(base, data, &tokenizer)?;
        let memory = inputs.around.machine.memory;
        if forecast.peak_bytes as u64 > memory {
            return Err(PipelineError::stage(inputs.stage, too_large(&forecast, memory)).into());
        }
        Ok(self.with_preset(Some(in_words(&forecast))))
    }

    /// What is known of the work, and what a preset stands for.
    fn with_preset(&self, words: Option<String>) -> String {
        words.into_iter().chain(self.training.preset_in_words()).collect::<Vec<_>>().join("; ")
    }

    /// Says that rows may be longer than the model can read, if so.
    pub(super) fn longer_than_the_model(&self, config: &ModelConfig) -> Option<String> {
        let (max_length, context) = (self.training.max_length?, config.max_position_embeddings);
        (max_length > context).then(|| {
            format!(
                "`max_length` is `{max_length}`, but the model reads at most {context} tokens (`max_position_embeddings`)"
            )
        })
    }

    /// How long rows may be.
    pub(super) fn limit(&self, config: &ModelConfig) -> LengthLimit {
        let max_tokens = self.training.max_length.unwrap_or(config.max_position_embeddings);
        LengthLimit { max_tokens, over_long: self.training.over_long }
    }

    pub(super) fn sequences_per_row(&self) -> usize {
        if self.method == Method::Dpo { 2 } else { 1 }
    }

    /// What turns rows into tokens, with the tokenizer in `folder`.
    pub(crate) fn encoder(&self, folder: &Path) -> Result<Encoder, StageError> {
        // A model made from random weights has no other form that it could miss.
        let plain = self.init.is_some() && ChatTemplate::load(folder)?.is_none();
        let named = self.chat_template.as_deref().or(plain.then_some(PLAIN));
        Encoder::open(folder, named, &self.chat_template_kwargs)
    }

    /// What the model is, read from its settings alone.
    pub(super) fn config(&self, base: Option<&Finished>) -> Result<ModelConfig, StageError> {
        match (base, &self.init) {
            (Some(base), _) => Ok(Checkpoint::open(&base.checkpoint_folder())?.config()?),
            (None, Some(init)) => Ok(init.architecture.config()?),
            (None, None) => Err(PipelineError::argument("there is nothing to train: give `base` or `init`").into()),
        }
    }

    /// The least that training can take, whatever the data, once the model is known.
    fn least(&self, config: &ModelConfig) -> Forecast {
        retort_student::forecast(config, &self.training, self.lora.as_ref(), &[1, 1], self.sequences_per_row())
    }

    /// What the run would take on rows like the first of `data`.
    fn forecast_on(&self, base: Option<&Finished>, data: &Finished, tokenizer: &Path) -> Result<Forecast, StageError> {
        let encoder = self.encoder(tokenizer)?;
        let (rows, lengths) = encoder.lengths(data, FORECAST_ROWS, self.method == Method::Dpo)?;
        let wanted = rows as usize * self.sequences_per_row();
        let lengths: Vec<usize> =
            lengths.iter().copied().cycle().take(if lengths.is_empty() { 0 } else { wanted }).collect();
        let lora = self.lora.as_ref();
        Ok(retort_student::forecast(&self.config(base)?, &self.training, lora, &lengths, self.sequences_per_row()))
    }
}

/// Says that training does not fit.
pub(super) fn too_large(forecast: &Forecast, memory: u64) -> String {
    format!(
        "training {} parameters takes {} of memory, `{}` is there",
        forecast.parameters,
        machine::in_words(forecast.peak_bytes as u64),
        machine::in_words(memory)
    )
}

fn in_words(forecast: &Forecast) -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let seconds = forecast.operations / (OPERATIONS_A_SECOND * cores as f64);
    let time = match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    };
    format!(
        "{} steps, {} tokens, about {time} on {cores} cores, peak {} for {} parameters",
        forecast.steps,
        forecast.tokens,
        machine::in_words(forecast.peak_bytes as u64),
        forecast.parameters
    )
}
