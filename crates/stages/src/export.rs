//! `export`: files that other tools read, with a dataset card.

mod recipe_rows;
mod recipes;
mod row_file;
mod row_forms;

use crate::dropping::Dropping;
use crate::error::StageError;
use crate::lengths::Lengths;
use crate::rows::examples;
use crate::train::tokenizer_files;
use retort_curate::statistics::CorpusTable;
use retort_handover::Recipes;
use retort_pipeline::{
    Context, Input, OutputKind, OutsideFile, PipelineError, RowCounts, SettingProblem, Source, StageKind, StageOutput,
    Surroundings, without_inputs,
};
use retort_records::{Pair, Row};
use retort_tables::file_digest;
pub use row_file::ExportFile;
use row_file::RowFile;
pub use row_forms::ExportReasoning;
use row_forms::ExportRow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Write as _;

/// Writes training examples or preference pairs in the form another tool reads.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// A selection, training examples or preference pairs.
    pub data: Source,
    /// The columns.
    #[serde(default)]
    pub format: ExportFormat,
    /// The file type.
    #[serde(default)]
    pub file: ExportFile,
    /// What becomes of the reasoning.
    #[serde(default)]
    pub reasoning: ExportReasoning,
    /// Also write recipes with which TRL, axolotl and LLaMA-Factory train on this data, on many GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipes: Option<Recipes>,
}

/// The columns of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExportFormat {
    /// TRL's conversational columns: `prompt` and `completion`, or `prompt`, `chosen` and `rejected`; lists of messages.
    #[default]
    Trl,
    /// OpenAI conversations: `messages`. For training examples only.
    Messages,
    /// ShareGPT: `conversations`, and `chosen` and `rejected` for preference pairs.
    Sharegpt,
}

/// What a finished export tells of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportFacts {
    /// Rows that came and were written; where recipes are written, those that can be trained on.
    #[serde(flatten)]
    pub rows: RowCounts,
    /// Tokens of the recipes' rows to train on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
}

impl StageKind for Export {
    const NAME: &'static str = "export";
    const VERSION: u32 = 2;
    const EXPLAIN: &'static str = include_str!("explain/export.md");
    type Facts = ExportFacts;

    fn output(&self) -> OutputKind {
        OutputKind::Export
    }

    fn inputs<'a>(&'a self, around: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        let accepts: &[OutputKind] = match self.format {
            ExportFormat::Messages => &[OutputKind::Selection, OutputKind::Sft],
            ExportFormat::Trl | ExportFormat::Sharegpt => &[OutputKind::Selection, OutputKind::Sft, OutputKind::Pairs],
        };
        let mut inputs = vec![Input { pointer: "/data".into(), source: &self.data, accepts }];
        let held_out = self.recipes.iter().filter_map(|given| recipes::held_out(given, around));
        inputs.extend(held_out.map(|source| Input { pointer: format!("/{}", recipes::HELD_OUT), source, accepts }));
        inputs
    }

    fn needs(&self) -> &'static [&'static str] {
        &[Lengths::NAME]
    }

    /// Files that decide what the recipes' rows are.
    fn files(&self, around: &Surroundings<'_>) -> Vec<OutsideFile> {
        let folder = self.recipes.iter().filter_map(|given| recipes::tokenizer(given, around));
        folder
            .map(|folder| OutsideFile {
                pointer: "/recipes/tokenizer".into(),
                path: format!("{}/tokenizer.json", folder.trim_end_matches('/')),
                deciding: tokenizer_files,
            })
            .collect()
    }

    /// It is the title of the dataset card.
    fn writes_its_name(&self) -> bool {
        true
    }

    /// The run's seed stands in the recipes' settings.
    fn uses_seed(&self) -> bool {
        self.recipes.is_some()
    }

    fn key_settings(&self, around: &Surroundings<'_>) -> Result<Value, serde_json::Error> {
        let mut settings = without_inputs(self, &self.inputs(around))?;
        // The dataset card names them.
        settings["data"] = self.data.as_str().into();
        if let Some(given) = &self.recipes {
            settings["recipes"] = recipes::block(given, around).map(|block| given.key_settings(&block)).into();
        }
        Ok(settings)
    }

    fn problems(&self, around: &Surroundings<'_>) -> Vec<SettingProblem> {
        let Some(given) = &self.recipes else { return Vec::new() };
        let mut problems = recipes::problems(given, &self.data, around);
        if self.reasoning == ExportReasoning::Drop {
            let message = "`recipes` train on the reasoning too: leave `reasoning: drop` out";
            problems.push(SettingProblem::new("/reasoning", message));
        }
        problems
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        Ok(self.export(context)?)
    }
}

/// Writes down a pair whose sides would be the same text in the export.
fn drop_pair(dropping: &mut Option<Dropping>, context: &Context<'_>, pair: &Pair) -> Result<(), PipelineError> {
    let dropping = match dropping {
        Some(dropping) => dropping,
        None => dropping.insert(Dropping::new(context)?),
    };
    dropping.push(&pair.pair_id, &pair.prompt_id, "identical_sides", "chosen and rejected would be the same text")
}

impl Export {
    fn export(&self, context: &Context<'_>) -> Result<StageOutput, StageError> {
        let input = context.input("data")?;
        context.started(Self::NAME, None, "rows");
        let mut corpus = CorpusTable::default();
        let reasoning = self.reasoning;
        let mut dropping = None;
        let (rows, columns) = if input.manifest.tables.contains_key(Pair::TABLE) {
            let mut pairs = input.rows::<Pair>()?;
            let pairs = std::iter::from_fn(|| {
                loop {
                    let pair = match pairs.next()? {
                        Ok(pair) => pair,
                        Err(error) => return Some(Err(error.into())),
                    };
                    if !reasoning.same_sides(&pair) {
                        return Some(Ok(pair));
                    }
                    // Recipes write down what they drop, these pairs too.
                    if self.recipes.is_none()
                        && let Err(error) = drop_pair(&mut dropping, context, &pair)
                    {
                        return Some(Err(error));
                    }
                }
            });
            match self.format {
                ExportFormat::Sharegpt => (
                    self.write(context, pairs, |pair| reasoning.preference_conversations(pair))?,
                    "conversations, chosen, rejected",
                ),
                ExportFormat::Trl | ExportFormat::Messages => {
                    (self.write(context, pairs, |pair| reasoning.preference(pair))?, "prompt, chosen, rejected")
                }
            }
        } else {
            let rows = examples(input)?.inspect(|row| {
                if let Ok(row) = row {
                    corpus.add_example(row);
                }
            });
            match self.format {
                ExportFormat::Trl => {
                    (self.write(context, rows, |row| reasoning.prompt_completion(&row))?, "prompt, completion")
                }
                ExportFormat::Messages => (self.write(context, rows, |row| reasoning.messages(&row))?, "messages"),
                ExportFormat::Sharegpt => {
                    (self.write(context, rows, |row| reasoning.conversations(&row))?, "conversations")
                }
            }
        };
        let mut output = StageOutput::default();
        output.files.push(file_digest(&context.out.path().join(self.file_name()), self.file_name())?);
        let card = self.card(context, rows, columns, &corpus);
        output.files.push(context.out.write_file("README.md", card.as_bytes())?);
        let mut summary = format!("{rows} rows with columns {columns} in {}", self.file_name());
        let mut counts = RowCounts::all_kept(rows);
        if let Some(dropping) = dropping {
            let (words, examples) = (dropping.in_words(), dropping.example());
            if rows == 0 {
                return Err(context.no_rows(format!("no row is left to export{words}{examples}")).into());
            }
            summary.push_str(&words);
            let rows_in = rows + dropping.count();
            counts = dropping.finish(&mut output, rows_in, rows)?;
        }
        if rows == 0 {
            context.warn("there are no rows to export");
        }
        let mut facts = ExportFacts { rows: counts, tokens: None };
        if let Some(given) = &self.recipes {
            let written = recipes::write(context, given, self.file, input, &mut output)?;
            let tools: Vec<&str> = given.tools.iter().map(|tool| tool.name()).collect();
            let _ = write!(summary, ", recipes for {}{}", tools.join(", "), written.in_words);
            facts = ExportFacts { rows: written.counts, tokens: Some(written.totals.tokens) };
        }
        Ok(output.with_facts(&facts, summary)?)
    }

    fn file_name(&self) -> &'static str {
        match self.file {
            ExportFile::Jsonl => "train.jsonl",
            ExportFile::Parquet => "train.parquet",
        }
    }

    fn write<T, U: ExportRow>(
        &self,
        context: &Context<'_>,
        rows: impl Iterator<Item = Result<T, PipelineError>>,
        convert: impl Fn(T) -> U,
    ) -> Result<u64, PipelineError> {
        let mut file = RowFile::create(context.out, "train", self.file)?;
        let mut count = 0;
        for row in rows {
            file.push(convert(row?))?;
            count += 1;
            if count % 256 == 0 {
                context.advanced(count, "")?;
            }
        }
        file.finish()?;
        Ok(count)
    }

    fn card(&self, context: &Context<'_>, rows: u64, columns: &str, corpus: &CorpusTable) -> String {
        let size = match rows {
            0..1_000 => "n<1K",
            1_000..10_000 => "1K<n<10K",
            10_000..100_000 => "10K<n<100K",
            100_000..1_000_000 => "100K<n<1M",
            _ => "n>1M",
        };
        let mut card = format!(
            "---\nconfigs:\n- config_name: default\n  data_files: {file}\nsize_categories:\n- {size}\ntask_categories:\n\
             - text-generation\ntags:\n- retort\n- reasoning\n---\n\n# {stage}\n\n{rows} rows with the columns {columns}, \
             written by Retort {version} from stage `{from}`.\n\n```python\nfrom datasets import load_dataset\n\n\
             data = load_dataset(\"json\", data_files=\"{file}\", split=\"train\")\n```\n",
            file = self.file_name(),
            stage = context.stage,
            version = env!("CARGO_PKG_VERSION"),
            from = self.data.as_str(),
        );
        if self.file == ExportFile::Parquet {
            card = card.replace("load_dataset(\"json\"", "load_dataset(\"parquet\"");
        }
        if !corpus.rows().is_empty() {
            let _ = write!(card, "\n{}\n", corpus.to_text());
        }
        card.push_str(
            "\nThe licence of the data is that of the prompts and of the teacher's terms; check both before you publish it.\n",
        );
        card
    }
}
