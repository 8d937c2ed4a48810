//! What a checkpoint that no stage has made yet will be.

use retort_pipeline::{CheckpointShape, Finished, Surroundings, is_checkpoint};
use retort_weights::{Checkpoint, ModelConfig};
use std::collections::BTreeSet;

/// The settings of the model that `source` names, as far as the file and the disk say.
pub fn model_config(around: &Surroundings<'_>, source: &str) -> Option<ModelConfig> {
    let (mut source, mut seen) = (source, BTreeSet::new());
    // Cycles are reported elsewhere: here they must only end.
    while seen.insert(source) {
        if source.contains('/') {
            let folder = around.resolver.locate(source).ok()?;
            let folder =
                if is_checkpoint(&folder) { folder } else { Finished::open(source, &folder).ok()?.checkpoint_folder() };
            return Checkpoint::open(&folder).ok()?.config().ok();
        }
        match around.stages.get(source)?.checkpoint_shape()? {
            CheckpointShape::Config(config) => return ModelConfig::from_json(&config).ok(),
            CheckpointShape::Like(other) => source = other,
        }
    }
    None
}
