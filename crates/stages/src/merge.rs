//! `merge`: several checkpoints become one.

use crate::error::StageError;
use retort_pipeline::{
    CHECKPOINT, CheckpointShape, Context, Input, OutputKind, PipelineError, SettingProblem, StageKind, StageOutput,
    Surroundings, without_inputs,
};
use retort_weights::{Checkpoint, MergeSettings, Merged, merge};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Merges checkpoints, tensor by tensor; mergekit's words.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Merge(pub MergeSettings);

/// What a merged checkpoint tells of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MergeFacts {
    /// Parameters of the merged checkpoint.
    pub parameters: u64,
}

impl StageKind for Merge {
    const NAME: &'static str = "merge";
    const VERSION: u32 = 1;
    const EXPLAIN: &'static str = include_str!("explain/merge.md");
    type Facts = MergeFacts;

    fn output(&self) -> OutputKind {
        OutputKind::Checkpoint
    }

    fn inputs<'a>(&'a self, _: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        let models = self.0.models.iter().enumerate().map(|(index, model)| Input {
            pointer: format!("/models/{index}/model"),
            source: &model.model,
            accepts: &[OutputKind::Checkpoint],
        });
        let base = self.0.base_model.iter().map(|base| Input {
            pointer: "/base_model".into(),
            source: base,
            accepts: &[OutputKind::Checkpoint],
        });
        models.chain(base).collect()
    }

    /// The checkpoints' names stand in the summary.
    fn key_settings(&self, around: &Surroundings<'_>) -> Result<Value, serde_json::Error> {
        let inputs = StageKind::inputs(self, around);
        let mut settings = without_inputs(self, &inputs)?;
        settings["names"] = inputs.iter().map(|input| input.source).collect();
        Ok(settings)
    }

    fn problems(&self, _: &Surroundings<'_>) -> Vec<SettingProblem> {
        self.0.check().err().map(|error| SettingProblem::new("", error.to_string())).into_iter().collect()
    }

    fn checkpoint_shape(&self) -> Option<CheckpointShape<'_>> {
        Some(CheckpointShape::Like(&self.0.models.first()?.model))
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        Ok(self.merge(context)?)
    }
}

impl Merge {
    fn merge(&self, context: &Context<'_>) -> Result<StageOutput, StageError> {
        context.started(Self::NAME, None, "tensors");
        let mut opened: Vec<(&str, Checkpoint)> = Vec::new();
        for input in StageKind::inputs(self, &context.around) {
            if opened.iter().all(|(name, _)| *name != input.source) {
                let finished = context.input(input.slot())?;
                opened.push((input.source, Checkpoint::open(&finished.checkpoint_folder())?));
            }
        }
        let inputs: Vec<(&str, &Checkpoint)> = opened.iter().map(|(name, checkpoint)| (*name, checkpoint)).collect();
        let Merged { parameters, warnings } = merge(&self.0, &inputs, &context.out.path().join(CHECKPOINT))?;
        for warning in &warnings {
            context.warn(warning);
        }
        let names: Vec<&str> = opened.iter().map(|(name, _)| *name).collect();
        let mut output = StageOutput::default();
        output.add_checkpoint(context.out)?;
        let summary = format!("{parameters} parameters merged from {}", names.join(" and "));
        Ok(output.with_facts(&MergeFacts { parameters: parameters as u64 }, summary)?)
    }
}
