use burn::tensor::Device;
use retort_weights::ModelConfig;

use super::{Tables, device_log_probs, download};
use crate::fused::{Batch, Model, Pass, Saving};
use crate::layout::ParameterLayout;
use crate::rotary::Rotary;

/// What gives tokens their log-probs where nothing is differentiated.
pub(crate) struct Scorer<'a>(Engine<'a>);

enum Engine<'a> {
    /// This machine's processors.
    Kernels { model: Model<'a>, pass: Box<Pass> },
    /// Plain tensor operations on a device.
    Plain { config: &'a ModelConfig, layout: &'a ParameterLayout, rotary: &'a Rotary, tables: Tables, device: Device },
}

impl<'a> Scorer<'a> {
    pub fn kernels(model: Model<'a>) -> Self {
        Self(Engine::Kernels { model, pass: Box::new(Pass::new(Saving::Nothing)) })
    }

    pub fn plain(
        config: &'a ModelConfig,
        layout: &'a ParameterLayout,
        rotary: &'a Rotary,
        tables: Tables,
        device: Device,
    ) -> Self {
        Self(Engine::Plain { config, layout, rotary, tables, device })
    }

    /// Natural log-probs `[rows]` of `targets[i]` after position `rows[i]` of a batch.
    pub fn log_probs(&mut self, batch: &Batch, rows: &[usize], targets: &[u32]) -> Vec<f32> {
        match &mut self.0 {
            _ if rows.is_empty() => Vec::new(),
            Engine::Kernels { model, pass } => {
                pass.forward(model, batch);
                pass.log_probs(model, rows, targets)
            }
            Engine::Plain { config, layout, rotary, tables, device } => {
                download(device_log_probs(config, layout, rotary, tables, batch, rows, targets, device))
            }
        }
    }
}
