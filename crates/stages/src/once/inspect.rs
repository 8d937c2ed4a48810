//! What a `train` stage would train on, token by token: the work of the command `retort inspect`.

use crate::train::Train;
use crate::train::preview::InspectedRow;
use retort_pipeline::{Checked, FinishedStages, PipelineError};
use std::path::Path;

/// The first `limit` rows that `stage`, which must be a `train` stage whose inputs are finished under `out`, trains on.
pub fn inspect(checked: &Checked, out: &Path, stage: &str, limit: usize) -> Result<Vec<InspectedRow>, PipelineError> {
    let node = checked.node(stage)?;
    let Some(train) = node.stage.as_any().downcast_ref::<Train>() else {
        let kind = node.stage.kind();
        let reason = format!("stage `{stage}` is of kind `{kind}`; only `train` stages train on rows");
        return Err(PipelineError::argument(reason));
    };
    let finished = FinishedStages::find(checked, out)?;
    let data = finished.input(node, "data")?;
    let data = data.ok_or_else(|| PipelineError::argument(format!("stage `{stage}` has no data")))?;
    let base = finished.input(node, "base")?;
    Ok(train.inspect(base.as_ref(), &data, &checked.around(), limit)?)
}
