//! Counts rollouts in tokens of the model to be trained.

use super::{Context, Made};
use crate::error::PipelineError;
use retort_records::{LengthRow, Rollout};
use retort_tables::map_rows;
use serde_json::json;

/// One row for every rollout, in the same order.
pub fn run(context: &Context<'_>) -> Result<Made, PipelineError> {
    let rollouts = context.input("rollouts")?.rows::<Rollout>()?;
    context.started("lengths", Some(rollouts.total()), "rows");
    let mut writer = context.writer::<LengthRow>()?;
    let mut done = 0;
    let count = |rollout: Rollout| -> Result<LengthRow, PipelineError> {
        let row = |tokenizer_id: &str, reasoning, answer, total| LengthRow {
            rollout_id: rollout.rollout_id.clone(),
            prompt_id: rollout.prompt_id.clone(),
            tokenizer_id: tokenizer_id.to_owned(),
            reasoning_tokens: reasoning,
            answer_tokens: answer,
            total_tokens: total,
        };
        match (context.tokenizer, rollout.completion_tokens) {
            (Some(tokenizer), _) => {
                let count = |text: &str| tokenizer.count(text) as u32;
                Ok(row(
                    tokenizer.id(),
                    rollout.reasoning.as_deref().map(count),
                    rollout.answer.as_deref().map(count),
                    count(&rollout.completion),
                ))
            }
            (None, Some(tokens)) => Ok(row("teacher", None, None, tokens)),
            (None, None) => Err(context.fail(format!(
                "rollout `{}` has no token count of its teacher, and the pipeline has no `tokenizer` to count with\n\
                 hint: set `tokenizer:` to the folder of the model to be trained",
                rollout.rollout_id
            ))),
        }
    };
    map_rows(rollouts, &mut writer, count, |rows| {
        done += rows;
        context.advanced(done, "")
    })?;
    let mut made = Made { facts: json!({ "rows_in": done, "kept": done }), ..Made::default() };
    made.add(writer)?;
    made.summary = match context.tokenizer {
        Some(tokenizer) => {
            format!("{done} rollouts counted with tokenizer {}", &tokenizer.id()[..8.min(tokenizer.id().len())])
        }
        None => format!("{done} rollouts, counted by their teachers"),
    };
    Ok(made)
}
