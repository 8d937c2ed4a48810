//! Rotary positions (arXiv 2104.09864) in Hugging Face's layout: element `i` is paired with `i + head_dim / 2`.

use std::sync::{Arc, Mutex, PoisonError};

use retort_weights::ModelConfig;

/// A decoder's tables, made as far as they were ever needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct RotaryTables(Arc<Mutex<Arc<Rotary>>>);

impl RotaryTables {
    /// Tables for positions `0..length` at least.
    pub fn up_to(&self, config: &ModelConfig, length: usize) -> Arc<Rotary> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.positions() < length {
            Arc::make_mut(&mut tables).extend(config, length);
        }
        tables.clone()
    }
}

/// Cosines and sines for every position up to a length.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rotary {
    half: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Rotary {
    /// Makes sure that positions `0..length` are there.
    fn extend(&mut self, config: &ModelConfig, length: usize) {
        self.half = config.head_dim / 2;
        let frequencies = frequencies(config);
        for position in self.positions()..length {
            for frequency in &frequencies {
                // The product is rounded to f32 as in transformers; the functions are exact to the last place.
                let angle = f64::from(position as f32 * frequency);
                self.cosines.push(angle.cos() as f32);
                self.sines.push(angle.sin() as f32);
            }
        }
    }

    /// Number of positions in the tables.
    fn positions(&self) -> usize {
        self.cosines.len().checked_div(self.half).unwrap_or(0)
    }

    /// Cosines and sines of one position, `head_dim / 2` each.
    pub fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.half..(position + 1) * self.half;
        (&self.cosines[range.clone()], &self.sines[range])
    }
}

/// Angle per position of each pair, with `rope_type: llama3` applied where the config asks for it.
fn frequencies(config: &ModelConfig) -> Vec<f32> {
    let width = config.head_dim;
    let plain = (0..width / 2).map(|i| 1.0 / (config.rope_theta as f32).powf((2 * i) as f32 / width as f32));
    let Some(scaling) = config.rope_scaling else { return plain.collect() };
    let original = scaling.original_max_position_embeddings as f64;
    let (low, high) = (original / scaling.low_freq_factor, original / scaling.high_freq_factor);
    plain
        .map(|frequency| {
            let exact = f64::from(frequency);
            let wavelength = std::f64::consts::TAU / exact;
            let scaled = if wavelength > low {
                exact / scaling.factor
            } else if wavelength < high {
                exact
            } else {
                let smooth = (original / wavelength - scaling.low_freq_factor)
                    / (scaling.high_freq_factor - scaling.low_freq_factor);
                (1.0 - smooth) * exact / scaling.factor + smooth * exact
            };
            scaled as f32
        })
        .collect()
}
