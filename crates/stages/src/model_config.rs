//! What a checkpoint that no stage has made yet will be.

use retort_pipeline::{CheckpointShape, Finished, Surroundings, is_checkpoint};
use retort_weights::{Checkpoint, Error, ModelConfig};
use std::collections::BTreeSet;

/// The settings of the model that `source` names, as far as the file and the disk say: nothing where that is not known yet,
/// an error for a folder that cannot be used.
pub fn model_config(around: &Surroundings<'_>, source: &str) -> Result<Option<ModelConfig>, Error> {
    let (mut source, mut seen) = (source, BTreeSet::new());
    // Cycles are reported elsewhere: here they must only end.
    while seen.insert(source) {
        if source.contains('/') {
            let Ok(folder) = around.resolver.locate(source) else { return Ok(None) };
            if is_checkpoint(&folder) {
                return Checkpoint::open(&folder)?.config().map(Some);
            }
            let Ok(finished) = Finished::open(source, &folder) else { return Ok(None) };
            return Checkpoint::open(&finished.checkpoint_folder())?.config().map(Some);
        }
        match around.stages.get(source).and_then(retort_pipeline::Stage::checkpoint_shape) {
            Some(CheckpointShape::Config(config)) => return Ok(ModelConfig::from_json(&config).ok()),
            Some(CheckpointShape::Like(other)) => source = other,
            None => return Ok(None),
        }
    }
    Ok(None)
}
