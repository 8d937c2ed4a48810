//! `lengths`: counts rollouts in tokens of the model to be trained.

use crate::error::StageError;
use retort_chat::{ChatTemplate, Tokenizer};
use retort_pipeline::{
    Context, Input, OutputKind, PipelineError, RowCounts, Source, StageKind, StageOutput, Surroundings, shown,
};
use retort_records::{LengthRow, Rollout};
use retort_tables::map_rows;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Counts rollouts in tokens of the model to be trained; put behind rollouts wherever somebody needs their lengths.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lengths {
    /// The rollouts to count.
    pub rollouts: Source,
}

/// What stands for the tokenizer where the teachers' own counts are taken.
const TEACHER: &str = "teacher";

impl StageKind for Lengths {
    const NAME: &'static str = "lengths";
    const VERSION: u32 = 1;
    const EXPLAIN: &'static str = include_str!("explain/lengths.md");
    const DERIVED_FROM: Option<OutputKind> = Some(OutputKind::Rollouts);
    type Facts = RowCounts;

    fn derived(rollouts: Source) -> Option<Self> {
        Some(Self { rollouts })
    }

    fn output(&self) -> OutputKind {
        OutputKind::Lengths
    }

    fn inputs<'a>(&'a self, _: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        vec![Input { pointer: "/rollouts".into(), source: &self.rollouts, accepts: &[OutputKind::Rollouts] }]
    }

    fn key_settings(&self, _: &Surroundings<'_>) -> Result<Value, serde_json::Error> {
        Ok(Value::Null)
    }

    fn versions(&self, around: &Surroundings<'_>) -> Result<BTreeMap<String, String>, PipelineError> {
        let id = match around.tokenizer_folder() {
            Some(folder) => Tokenizer::load(&folder).map_err(StageError::from)?.id().to_owned(),
            None => TEACHER.to_owned(),
        };
        Ok([("tokenizer".to_owned(), id)].into())
    }

    /// One row for every rollout, in the same order.
    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        let folder = context.around.tokenizer_folder();
        let tokenizer = folder.as_deref().map(Tokenizer::load).transpose().map_err(StageError::from)?;
        let rollouts = context.input("rollouts")?.rows::<Rollout>()?;
        context.started(Self::NAME, Some(rollouts.total()), "rows");
        let mut writer = context.writer::<LengthRow>()?;
        let mut done = 0;
        let count = |rollout: Rollout| count(context, tokenizer.as_ref(), &rollout);
        map_rows(rollouts, &mut writer, count, |rows| {
            done += rows;
            context.advanced(done, "")
        })?;
        let mut output = StageOutput::default();
        output.add(writer)?;
        let summary = match &tokenizer {
            Some(tokenizer) => {
                format!("{done} rollouts counted with tokenizer {}", &tokenizer.id()[..8.min(tokenizer.id().len())])
            }
            None => format!("{done} rollouts, counted by their teachers"),
        };
        output.with_facts(&RowCounts::all_kept(done), summary)
    }
}

/// The lengths of one rollout, in tokens.
fn count(context: &Context<'_>, tokenizer: Option<&Tokenizer>, rollout: &Rollout) -> Result<LengthRow, PipelineError> {
    let row = |tokenizer_id: &str, reasoning, answer, total| LengthRow {
        rollout_id: rollout.rollout_id.clone(),
        prompt_id: rollout.prompt_id.clone(),
        tokenizer_id: tokenizer_id.to_owned(),
        reasoning_tokens: reasoning,
        answer_tokens: answer,
        total_tokens: total,
    };
    match (tokenizer, rollout.completion_tokens) {
        (Some(tokenizer), _) => {
            let count = |text: &str| tokenizer.count(text) as u32;
            Ok(row(
                tokenizer.id(),
                rollout.reasoning.as_deref().map(count),
                rollout.answer.as_deref().map(count),
                count(&rollout.completion),
            ))
        }
        (None, Some(tokens)) => Ok(row(TEACHER, None, None, tokens)),
        (None, None) => Err(context
            .fail(format!(
                "rollout `{}` has no token count of its teacher, and the pipeline has no `tokenizer` to count with",
                rollout.rollout_id
            ))
            .with_hint("set `tokenizer:` to the folder of the model to be trained")),
    }
}

/// Whether the folder of a file's `tokenizer` can be used: warnings, or why not.
pub fn check_tokenizer(folder: &Path) -> Result<Vec<String>, String> {
    Tokenizer::load(folder).map_err(|error| error.to_string())?;
    Ok(template_warning(folder).into_iter().collect())
}

/// Training on a template that deletes reasoning would silently teach the student not to think.
fn template_warning(folder: &Path) -> Option<String> {
    match ChatTemplate::load(folder) {
        Ok(Some(template)) if template.deletes_reasoning() => Some(format!(
            "the chat template of `{}` deletes `<think>` text from assistant turns; training renders the trained turn itself \
             so that reasoning is kept",
            shown(folder)
        )),
        Ok(_) => None,
        Err(error) => Some(format!("the chat template of `{}` is not usable: {error}", shown(folder))),
    }
}
