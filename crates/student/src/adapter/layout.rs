use retort_training::{LoraSettings, TargetModule};

use crate::kernels::product::{View, multiply_parallel};
use crate::layout::{BlockPlaces, ParameterLayout, TensorPlace};

/// Where adapters' matrices lie in their flat buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdapterLayout {
    pub places: Vec<TensorPlace>,
    /// For each block and projection: the places of A `[r, inputs]` and B `[outputs, r]`.
    pub blocks: Vec<[Option<(usize, usize)>; 7]>,
    pub total: usize,
}

impl AdapterLayout {
    pub fn new(base: &ParameterLayout, settings: &LoraSettings) -> Self {
        let (mut places, mut total) = (Vec::new(), 0);
        let mut add = |name: String, shape: [usize; 2]| {
            places.push(TensorPlace { name, shape: shape.to_vec(), start: total });
            total += shape[0] * shape[1];
            places.len() - 1
        };
        let modules = TargetModule::ALL;
        let block = |block: &BlockPlaces| {
            let mut part = 0;
            block.projections().map(|place| {
                let module = modules[part];
                part += 1;
                if !settings.target_modules.contains(&module) {
                    return None;
                }
                let place = &base.places[place];
                let (outputs, inputs) = (place.shape[0], place.shape[1]);
                let stem = place.name.trim_end_matches(".weight");
                let a = add(format!("base_model.model.{stem}.lora_A.weight"), [settings.r, inputs]);
                let b = add(format!("base_model.model.{stem}.lora_B.weight"), [outputs, settings.r]);
                Some((a, b))
            })
        };
        let blocks = base.blocks.iter().map(block).collect();
        Self { places, blocks, total }
    }
}

/// `W += s · B · A`.
pub(crate) fn merge(weight: &mut [f32], a: &[f32], b: &[f32], settings: &LoraSettings) {
    let (rank, scale) = (settings.r, settings.scale());
    let (inputs, outputs) = (a.len() / rank, b.len() / rank);
    let b: Vec<f32> = b.iter().map(|x| x * scale).collect();
    multiply_parallel(outputs, inputs, rank, View::rows(&b, rank), View::rows(a, inputs), weight, inputs, true);
}
