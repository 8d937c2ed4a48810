//! `lengths`: counts rollouts in tokens of the model to be trained.

use crate::error::StageError;
use retort_chat::{ChatError, ChatTemplate, Tokenizer};
use retort_pipeline::{
    Context, Input, OutputKind, PipelineError, RowCounts, Source, StageKind, StageOutput, Surroundings, shown,
};
use retort_records::{LengthRow, Rollout, completion};
use retort_tables::{Columns, RowFunction, Scan, apply_rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

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
        let rollouts = context.input("rollouts")?;
        let (output, counted, by) = match context.around.tokenizer_folder() {
            Some(tokenizer) => {
                let function = CountTokens::build(&CountSettings { tokenizer }).map_err(StageError::from)?;
                let (output, counted) = write(context, &function, rollouts.rows()?, |_, row| Ok(row))?;
                let id = function.tokenizer.id();
                (output, counted, format!(" counted with tokenizer {}", &id[..8.min(id.len())]))
            }
            None => {
                let function = TeacherCount::build(&()).unwrap_or_else(|never| match never {});
                let (output, counted) = write(context, &function, rollouts.rows()?, |rollout: TeacherTokens, row| {
                    row.ok_or_else(|| not_counted(context, &rollout.rollout_id))
                })?;
                (output, counted, ", counted by their teachers".to_owned())
            }
        };
        output.with_facts(&RowCounts::all_kept(counted), format!("{counted} rollouts{by}"))
    }
}

/// Writes what `function` and `row` make of each rollout; gives the number of rows.
fn write<F: RowFunction>(
    context: &Context<'_>,
    function: &F,
    rollouts: Scan<F::In>,
    row: impl Fn(F::In, F::Out) -> Result<LengthRow, PipelineError>,
) -> Result<(StageOutput, u64), PipelineError>
where
    F::In: Columns,
{
    context.started(Lengths::NAME, Some(rollouts.total()), "rows");
    let mut writer = context.writer::<LengthRow>()?;
    apply_rows(function, rollouts.batches().map(|batch| Ok(batch?)), |counted| {
        for (rollout, found) in counted {
            writer.push(row(rollout, found)?)?;
        }
        context.advanced(writer.rows(), "")
    })?;
    let rows = writer.rows();
    let mut output = StageOutput::default();
    output.add(writer)?;
    Ok((output, rows))
}

fn not_counted(context: &Context<'_>, rollout_id: &str) -> PipelineError {
    let reason = format!(
        "rollout `{rollout_id}` has no token count of its teacher, and the pipeline has no `tokenizer` to count with"
    );
    context.fail(reason).with_hint("set `tokenizer:` to the folder of the model to be trained")
}

/// A rollout to be counted.
#[derive(Deserialize)]
struct Text {
    rollout_id: String,
    prompt_id: String,
    completion: String,
}

impl Columns for Text {
    type Table = Rollout;
}

/// Counts a rollout in tokens of a tokenizer.
struct CountTokens {
    tokenizer: Tokenizer,
}

#[derive(Serialize, Deserialize)]
struct CountSettings {
    /// The folder of the model to be trained.
    tokenizer: PathBuf,
}

impl RowFunction for CountTokens {
    const NAME: &'static str = "count_tokens";
    type Settings = CountSettings;
    type Error = ChatError;
    type In = Text;
    type Out = LengthRow;

    fn build(settings: &CountSettings) -> Result<Self, ChatError> {
        Ok(Self { tokenizer: Tokenizer::load(&settings.tokenizer)? })
    }

    fn apply(&self, rollout: &Text) -> LengthRow {
        let parts = completion::split(&rollout.completion);
        let count = |text: &str| self.tokenizer.count(text) as u32;
        LengthRow {
            rollout_id: rollout.rollout_id.clone(),
            prompt_id: rollout.prompt_id.clone(),
            tokenizer_id: self.tokenizer.id().to_owned(),
            reasoning_tokens: parts.reasoning.map(count),
            answer_tokens: parts.answer.map(count),
            total_tokens: count(&rollout.completion),
        }
    }
}

/// What a teacher counted.
#[derive(Deserialize)]
struct TeacherTokens {
    rollout_id: String,
    prompt_id: String,
    completion_tokens: Option<u32>,
}

impl Columns for TeacherTokens {
    type Table = Rollout;
}

/// Takes the teacher's own count, where there is one.
struct TeacherCount;

impl RowFunction for TeacherCount {
    const NAME: &'static str = "teacher_count";
    type Settings = ();
    type Error = Infallible;
    type In = TeacherTokens;
    type Out = Option<LengthRow>;

    fn build((): &()) -> Result<Self, Infallible> {
        Ok(Self)
    }

    fn apply(&self, rollout: &TeacherTokens) -> Option<LengthRow> {
        Some(LengthRow {
            rollout_id: rollout.rollout_id.clone(),
            prompt_id: rollout.prompt_id.clone(),
            tokenizer_id: TEACHER.to_owned(),
            reasoning_tokens: None,
            answer_tokens: None,
            total_tokens: rollout.completion_tokens?,
        })
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
