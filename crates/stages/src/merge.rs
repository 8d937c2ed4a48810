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
    const VERSION: u32 = 2;
    const EXPLAIN: &'static str = include_str!("explain/merge.md");
    type Facts = MergeFacts;

    fn output(&self) -> OutputKind {
        OutputKind::Checkpoint
    }

    fn inputs<'a>(&'a self, _: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        let input = |pointer: String, source| Input { pointer, source, accepts: &[OutputKind::Checkpoint] };
        let settings = &self.0;
        let mut inputs = Vec::new();
        for (index, model) in settings.models.iter().enumerate() {
            inputs.push(input(format!("/models/{index}/model"), &model.model));
        }
        for (index, slice) in settings.slices.iter().enumerate() {
            for (number, source) in slice.sources.iter().enumerate() {
                inputs.push(input(format!("/slices/{index}/sources/{number}/model"), &source.model));
            }
            let base = slice.base_model.iter();
            inputs.extend(base.map(|base| input(format!("/slices/{index}/base_model"), base)));
        }
        inputs.extend(settings.base_model.iter().map(|base| input("/base_model".into(), base)));
        let tokens = settings.tokenizer_source.iter().filter(|source| *source != "base" && *source != "union");
        inputs.extend(tokens.map(|source| input("/tokenizer_source".into(), source)));
        inputs
    }

    fn uses_seed(&self) -> bool {
        self.0.merge_method.uses_seed()
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
        // Layers that are stacked anew make another shape.
        let models = self.0.slices.is_empty().then_some(&self.0.models);
        Some(CheckpointShape::Like(&models?.first()?.model))
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
        let Merged { parameters, warnings } =
            merge(&self.0, &inputs, context.seed("", 0), &context.out.path().join(CHECKPOINT))?;
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
