//! What `export` writes for those who train elsewhere: the rows as our trainer would read them, and the training settings in
//! the words of TRL, axolotl and LLaMA-Factory, with what starts them on several machines.

mod axolotl;
mod data;
mod launch;
mod llama_factory;
mod readme;
mod settings;
mod sheet;
#[cfg(test)]
mod tests;
mod trl;
mod words;

pub(crate) use settings::Recipes;

use super::export::{EVALUATED, Export};
use super::token_rows::Encoder;
use super::{Context, Made};
use crate::error::PipelineError;
use crate::file::Read;
use crate::file::document::pointer_step;
use crate::inputs::Finished;
use crate::problem::{Problem, did_you_mean};
use crate::source::Source;
use crate::stage::Stage;
use crate::workspace::Access;
use data::Rows;
use settings::{Block, Tool, TrainedBy};
use sheet::Sheet;
use std::collections::BTreeMap;

/// Gives the recipes of a file the training settings that they name, and the tokenizer's folder.
pub(crate) fn link(read: &mut Read, access: &Access) -> Vec<Problem> {
    let stages = read.file.stages.clone();
    let mut problems = Vec::new();
    for (name, stage) in &mut read.file.stages {
        let Stage::Export(Export { data, recipes: Some(recipes), .. }) = stage else { continue };
        let base = format!("/stages/{}/export/recipes", pointer_step(name));
        let at = |key: &str| read.document.span(&format!("{base}/{key}"));
        let mut folder = None;
        match &recipes.train {
            TrainedBy::Settings(block) => recipes.block = Some((**block).clone()),
            TrainedBy::Stage(wanted) => match stages.get(wanted) {
                Some(Stage::Train(train)) => {
                    recipes.block = Some(Block::of(train));
                    let starts = train.base.as_ref().map(|base| base.0.clone());
                    folder = starts.or_else(|| train.init.as_ref().map(|init| init.tokenizer.clone()));
                    if train.data != *data {
                        let message = format!(
                            "`data` is `{}`, but `{wanted}` trains on `{}`: recipes are for the same rows",
                            data.as_str(),
                            train.data.as_str()
                        );
                        problems.push(Problem::new(message, read.document.span(&base.replace("/recipes", "/data"))));
                    }
                }
                Some(other) => {
                    let message = format!("`{wanted}` is of the kind `{}`; allowed is a `train` stage", other.kind());
                    problems.push(Problem::new(message, at("train")));
                }
                None => {
                    let trains = stages.iter().filter(|(_, stage)| matches!(stage, Stage::Train(_)));
                    let names: Vec<&str> = trains.map(|(name, _)| name.as_str()).collect();
                    let message = format!("there is no stage `{wanted}`; `train` stages: {}", names.join(", "));
                    let problem = Problem::new(message, at("train"));
                    problems.push(match did_you_mean(wanted, names) {
                        Some(help) => problem.with_help(help),
                        None => problem,
                    });
                }
            },
        }
        let has_tokenizer =
            |folder: &String| access.resolve(folder).is_ok_and(|folder| folder.join("tokenizer.json").is_file());
        let folder = folder.filter(|folder| folder.contains('/')).filter(has_tokenizer);
        recipes.folder = recipes.tokenizer.clone().or(folder).or_else(|| read.file.tokenizer.clone());
        if recipes.folder.is_none() {
            let message = "recipes need the base model's tokenizer: give `tokenizer`, a folder with `tokenizer.json`";
            problems.push(Problem::new(message, read.document.key_span(&base)));
        }
    }
    problems
}

impl Recipes {
    /// Where the tokenizer stands in the settings, and its file.
    pub(crate) fn tokenizer_file(&self) -> Option<(String, String)> {
        let folder = self.folder.as_ref()?.trim_end_matches('/');
        Some(("/recipes/tokenizer".to_owned(), format!("{folder}/tokenizer.json")))
    }

    /// Held-out rows.
    pub(crate) fn held_out(&self) -> Option<&str> {
        self.block.as_ref()?.eval_data.as_ref().map(Source::as_str)
    }

    /// Writes the folder `recipes` of an export.
    pub(crate) fn write(
        &self,
        context: &Context<'_>,
        export: &Export,
        data: &Finished,
        made: &mut Made,
    ) -> Result<(), PipelineError> {
        let (Some(block), Some(folder)) = (&self.block, &self.folder) else {
            return Err(context.fail("the training settings of `recipes` are not known"));
        };
        let folder = context.access.resolve(folder).map_err(|reason| context.fail(reason))?;
        let held_out = match self.held_out() {
            Some(_) => Some(context.input(EVALUATED.trim_start_matches('/'))?),
            None => None,
        };
        let rows =
            data::write(context, export, &Inputs { block, encoder: Encoder::open(&folder)?, data, held_out }, made)?;
        // What transformers' `set_seed` takes.
        let seed = context.run_seed % (1 << 32);
        for (name, text) in self.files(block, &rows, export, seed) {
            made.files.push(context.out.write_file(&format!("recipes/{name}"), text.as_bytes())?);
        }
        let tools: Vec<&str> = self.tools.iter().map(|tool| tool.name()).collect();
        made.summary = format!("{}, recipes for {}{}", made.summary, tools.join(", "), rows.in_words);
        Ok(())
    }

    /// The files beside the rows, by their paths inside `recipes`.
    fn files(&self, block: &Block, rows: &Rows, export: &Export, seed: u64) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut differences = Vec::new();
        for tool in self.tools.iter().copied() {
            let folder = tool.name();
            let mut put = |name: &str, text: String| {
                files.insert(format!("{folder}/{name}"), text);
            };
            let sheet: Sheet = match tool {
                Tool::Trl => {
                    put("accelerate.yaml", launch::accelerate(self));
                    put("requirements.txt", trl::requirements(block));
                    trl::settings(self, block, seed)
                }
                Tool::Axolotl => {
                    put("requirements.txt", axolotl::REQUIREMENTS.to_owned());
                    axolotl::settings(self, block, export.file, seed)
                }
                Tool::LlamaFactory => {
                    put("requirements.txt", llama_factory::REQUIREMENTS.to_owned());
                    put("prepare.py", llama_factory::PREPARE.to_owned());
                    put("dataset_info.json", pretty(&llama_factory::dataset_info(block, export.file)));
                    if self.devices() > 1 {
                        put("ds_z3.json", pretty(&llama_factory::zero_3()));
                    }
                    llama_factory::settings(self, block, seed)
                }
            };
            put(settings_file(tool, block), sheet.text().to_owned());
            put("run.sh", launch::script(tool, self, block));
            put("train.slurm", launch::slurm(tool, self));
            put("sky.yaml", launch::sky(tool, self));
            differences.push((tool, sheet.differences));
        }
        files.insert("parity/check.py".into(), include_str!("templates/check.py").to_owned());
        files.insert("README.md".into(), readme::text(self, block, rows, &differences));
        files
    }
}

/// What the rows are made of.
struct Inputs<'a> {
    block: &'a Block,
    encoder: Encoder,
    data: &'a Finished,
    held_out: Option<&'a Finished>,
}

/// The name of a tool's settings file.
fn settings_file(tool: Tool, block: &Block) -> &'static str {
    match (tool, block.method) {
        (Tool::Trl, retort_training::Method::Sft) => "sft.yaml",
        (Tool::Trl, retort_training::Method::Dpo) => "dpo.yaml",
        (Tool::Axolotl, _) => "config.yaml",
        (Tool::LlamaFactory, _) => "train.yaml",
    }
}

fn pretty(value: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
