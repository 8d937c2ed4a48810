//! `merge`: several checkpoints become one.

use super::{Context, Made};
use crate::error::PipelineError;
use crate::inputs::CHECKPOINT;
use crate::source::Kind;
use crate::stage::Input;
use retort_weights::{Checkpoint, MergeSettings, merge};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Merges checkpoints, tensor by tensor; mergekit's words.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Merge(pub MergeSettings);

impl Merge {
    pub(crate) fn inputs(&self) -> Vec<Input<'_>> {
        let models = self.0.models.iter().enumerate().map(|(index, model)| Input {
            pointer: format!("/models/{index}/model"),
            source: &model.model,
            accepts: &[Kind::Checkpoint],
        });
        let base = self.0.base_model.iter().map(|base| Input {
            pointer: "/base_model".into(),
            source: base,
            accepts: &[Kind::Checkpoint],
        });
        models.chain(base).collect()
    }

    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        self.0.check().err().map(|error| (String::new(), error.to_string())).into_iter().collect()
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        context.started("merge", None, "tensors");
        let mut opened: Vec<(&str, Checkpoint)> = Vec::new();
        for input in self.inputs() {
            if opened.iter().all(|(name, _)| *name != input.source) {
                let finished = context.input(input.pointer.trim_start_matches('/'))?;
                opened.push((input.source, Checkpoint::open(&finished.checkpoint_folder())?));
            }
        }
        let inputs: Vec<(&str, &Checkpoint)> = opened.iter().map(|(name, checkpoint)| (*name, checkpoint)).collect();
        merge(&self.0, &inputs, &context.out.path().join(CHECKPOINT))?;
        let parameters = opened.first().map_or(0, |(_, checkpoint)| checkpoint.parameters());
        let names: Vec<&str> = opened.iter().map(|(name, _)| *name).collect();
        let mut made = Made {
            summary: format!("{parameters} parameters merged from {}", names.join(" and ")),
            facts: json!({ "parameters": parameters }),
            ..Made::default()
        };
        made.add_checkpoint(context.out)?;
        Ok(made)
    }
}
