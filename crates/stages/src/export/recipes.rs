//! The recipes of an export: which train block they hand over, and the folder `recipes`. What stands in the file is only
//! read: the block that a name stands for is looked up wherever it is needed.

use super::recipe_rows::{self, WrittenRows};
use super::row_file::ExportFile;
use crate::error::StageError;
use crate::token_rows::Encoder;
use crate::train::Train;
use retort_handover::{Recipes, RowFormat, TrainedBy, files};
use retort_pipeline::{Context, Finished, SettingProblem, StageOutput, Surroundings, did_you_mean};
use retort_training::TrainBlock;

/// The slot of the recipes' held-out rows.
pub const HELD_OUT: &str = "recipes/eval_data";

/// The train block that the recipes hand over: what is written out, or that of the stage they name; none where there is no
/// such stage.
pub fn block(recipes: &Recipes, around: &Surroundings<'_>) -> Option<TrainBlock> {
    match &recipes.train {
        TrainedBy::Settings(block) => Some((**block).clone()),
        TrainedBy::Stage(name) => around.stages.of_kind::<Train>(name).map(Train::block),
    }
}

/// The name or path of the held-out rows.
pub fn held_out<'a>(recipes: &'a Recipes, around: &'a Surroundings<'_>) -> Option<&'a str> {
    match &recipes.train {
        TrainedBy::Settings(block) => block.eval_data.as_deref(),
        TrainedBy::Stage(name) => around.stages.of_kind::<Train>(name)?.eval_data.as_deref(),
    }
}

/// The folder of the base model's tokenizer, as written: that of the recipes, else that of the checkpoint from which the
/// named stage starts, where it has one, else the file's.
pub fn tokenizer<'a>(recipes: &'a Recipes, around: &'a Surroundings<'_>) -> Option<&'a str> {
    let starts = || {
        let TrainedBy::Stage(name) = &recipes.train else { return None };
        let train = around.stages.of_kind::<Train>(name)?;
        train.base.as_deref().or(train.init.as_ref().map(|init| init.tokenizer.as_str()))
    };
    let has_tokenizer = |folder: &&str| {
        let found = around.resolver.locate(folder);
        folder.contains('/') && found.is_ok_and(|folder| folder.join("tokenizer.json").is_file())
    };
    recipes.tokenizer.as_deref().or_else(|| starts().filter(has_tokenizer)).or(around.tokenizer)
}

/// What is wrong with the recipes of an export of `data`: pointers are those of the export's settings.
pub fn problems(recipes: &Recipes, data: &str, around: &Surroundings<'_>) -> Vec<SettingProblem> {
    let mut problems = Vec::new();
    match &recipes.train {
        // A stage tells of its own.
        TrainedBy::Settings(block) => problems.extend(
            block
                .contradictions()
                .into_iter()
                .map(|found| SettingProblem::new(found.pointer, found.message).inside("/recipes/train")),
        ),
        TrainedBy::Stage(name) => problems.extend(problem_of_name(name, data, around)),
    }
    if let Some(block) = block(recipes, around) {
        let found = recipes.problems(&block).into_iter();
        problems.extend(found.map(|problem| SettingProblem::new(problem.pointer, problem.message).inside("/recipes")));
    }
    if tokenizer(recipes, around).is_none() {
        let message = "recipes need the base model's tokenizer: give `tokenizer`, a folder with `tokenizer.json`";
        problems.push(SettingProblem::new("/recipes", message));
    }
    problems
}

/// What is wrong with the name of a `train` stage.
fn problem_of_name(name: &str, data: &str, around: &Surroundings<'_>) -> Option<SettingProblem> {
    let Some(stage) = around.stages.get(name) else {
        let trains = || around.stages.names().filter(|name| around.stages.of_kind::<Train>(name).is_some());
        let names: Vec<&str> = trains().collect();
        let message = format!("there is no stage `{name}`; `train` stages: {}", names.join(", "));
        let problem = SettingProblem::new("/recipes/train", message);
        return Some(match did_you_mean(name, names) {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        });
    };
    let Some(train) = around.stages.of_kind::<Train>(name) else {
        let message = format!("`{name}` is of the kind `{}`; allowed is a `train` stage", stage.kind());
        return Some(SettingProblem::new("/recipes/train", message));
    };
    (train.data.as_str() != data).then(|| {
        let trained_on = train.data.as_str();
        let message =
            format!("`data` is `{data}`, but `{name}` trains on `{trained_on}`: recipes are for the same rows");
        SettingProblem::new("/data", message)
    })
}

/// Writes the folder `recipes` of an export.
pub fn write(
    context: &Context<'_>,
    recipes: &Recipes,
    file: ExportFile,
    data: &Finished,
    output: &mut StageOutput,
) -> Result<WrittenRows, StageError> {
    let around = &context.around;
    let block = block(recipes, around).ok_or_else(|| context.fail("the train block of `recipes` is not known"))?;
    let folder = tokenizer(recipes, around).ok_or_else(|| context.fail("the tokenizer of `recipes` is not known"))?;
    let folder = context.locate(folder)?;
    let stage = match &recipes.train {
        TrainedBy::Stage(name) => around.stages.of_kind::<Train>(name),
        TrainedBy::Settings(_) => None,
    };
    let encoder = match stage {
        Some(train) => train.encoder(&folder)?,
        None => Encoder::open(&folder, block.chat_template.as_deref(), &block.chat_template_kwargs)?,
    };
    let held_out = match block.eval_data {
        Some(_) => Some(context.input(HELD_OUT)?),
        None => None,
    };
    let inputs = recipe_rows::Inputs { recipes, block: &block, encoder: &encoder, data, held_out };
    let written = recipe_rows::write(context, file, &inputs, output)?;
    let format = match file {
        ExportFile::Jsonl => RowFormat::Jsonl,
        ExportFile::Parquet => RowFormat::Parquet,
    };
    for (name, text) in files(recipes, &block, &written.totals, format, context.run_seed) {
        output.files.push(context.out.write_file(&format!("recipes/{name}"), text.as_bytes())?);
    }
    Ok(written)
}
