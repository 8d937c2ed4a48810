//! `import`: files of others to tables of ours.

mod fields;
mod read;

pub use read::expand_glob;

use super::dropping::Dropping;
use super::{Context, Made};
use crate::error::PipelineError;
use crate::source::Kind;
use fields::{Fields, Imported};
use read::{Spill, rows_of};
use retort_records::{Pair, Prompt, Rollout, SftExample, id_of};
use retort_tables::TableWriter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Reads prompts, rollouts, training examples or preference pairs from files.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// The file or files: `.jsonl`, `.json`, `.csv` or `.parquet`, also as a glob (`data/*.jsonl`).
    pub path: Paths,
    /// How the rows are laid out.
    #[serde(default)]
    pub format: Format,
    /// What the rows become. By default what the format is: conversations become training examples, preference rows
    /// become pairs, everything else prompts.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub becomes: Option<Becomes>,
    /// Which column holds what, where the names differ from the format's own. Dots reach into nested values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<Column, String>,
    /// The reference answer is what follows the last occurrence of this text in its column, such as `####` or `A:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_pattern: Option<String>,
    /// Domain of rows that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Language (ISO 639-1) of rows that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Teacher of rollouts that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// Rollouts with at least this many completion tokens were cut off by the limit they were sampled with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u32>,
    /// Read at most this many rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<u64>,
}

/// One path or several.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Paths {
    /// One file or glob.
    One(String),
    /// Several, read in this order.
    Many(Vec<String>),
}

/// How the rows of a file are laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Columns by their usual names: `prompt`, `problem`, `question` or `instruction`; `reference_answer`,
    /// `expected_answer` or `answer`; `completion`, `text`, `response` or `generation`.
    #[default]
    Auto,
    /// GSM8K: `question` (or `prompt`) and `answer`, whose final number follows `####`.
    Gsm8k,
    /// MATH: `problem` (or `prompt`) and `answer`, else the last `\boxed{}` of `solution`.
    Math,
    /// OpenAI conversations: `messages`, a list of `role` and `content`.
    Messages,
    /// ShareGPT: `conversations`, a list of `from` and `value`; with `chosen` and `rejected` for preference rows.
    Sharegpt,
    /// TRL: `prompt` and `completion`, or `prompt`, `chosen` and `rejected`; texts or lists of messages.
    Trl,
}

/// What rows become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Becomes {
    /// Prompts with reference answers.
    Prompts,
    /// Rollouts that somebody already sampled, and their prompts.
    Rollouts,
    /// Training examples.
    Sft,
    /// Preference pairs.
    Pairs,
}

/// What a column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// What is asked: text or a list of messages.
    Prompt,
    /// The known right answer.
    ReferenceAnswer,
    /// Subject area.
    Domain,
    /// The id of the row at its source.
    SourceId,
    /// Language (ISO 639-1).
    Language,
    /// Tests of a programming task.
    Tests,
    /// What the model wrote, or what follows the reasoning when `reasoning` has a column of its own.
    Completion,
    /// What the model wrote inside the think tags.
    Reasoning,
    /// The model that wrote it.
    Teacher,
    /// Why it ended.
    FinishReason,
    /// Tokens of the completion, reasoning included.
    CompletionTokens,
    /// A list of rollouts inside one row; the columns of rollouts are then looked up in its items.
    Samples,
    /// The preferred completion.
    Chosen,
    /// The rejected completion.
    Rejected,
}

impl Import {
    fn becomes(&self) -> Becomes {
        self.becomes.unwrap_or(match self.format {
            Format::Messages | Format::Sharegpt | Format::Trl if self.columns.contains_key(&Column::Chosen) => {
                Becomes::Pairs
            }
            Format::Messages | Format::Sharegpt | Format::Trl => Becomes::Sft,
            Format::Auto | Format::Gsm8k | Format::Math => Becomes::Prompts,
        })
    }

    pub(crate) fn output(&self) -> Kind {
        match self.becomes() {
            Becomes::Prompts => Kind::Prompts,
            Becomes::Rollouts => Kind::Rollouts,
            Becomes::Sft => Kind::Sft,
            Becomes::Pairs => Kind::Pairs,
        }
    }

    fn paths(&self) -> Vec<&str> {
        match &self.path {
            Paths::One(path) => vec![path],
            Paths::Many(paths) => paths.iter().map(String::as_str).collect(),
        }
    }

    pub(crate) fn files(&self) -> Vec<(String, String)> {
        match &self.path {
            Paths::One(path) => vec![("/path".into(), path.clone())],
            Paths::Many(paths) => {
                paths.iter().enumerate().map(|(i, path)| (format!("/path/{i}"), path.clone())).collect()
            }
        }
    }

    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let known = ["jsonl", "json", "csv", "parquet"];
        let mut problems: Vec<(String, String)> = Vec::new();
        for (pointer, path) in self.files() {
            let extension = path.rsplit('.').next().unwrap_or_default();
            if !known.contains(&extension) && !extension.ends_with('*') && !extension.ends_with('}') {
                problems.push((
                    pointer,
                    format!("`{path}` ends in `.{extension}`; allowed: .jsonl, .json, .csv, .parquet"),
                ));
            }
        }
        if self.becomes() == Becomes::Rollouts && matches!(self.format, Format::Messages | Format::Sharegpt) {
            problems.push((
                "/format".into(),
                "conversations cannot be read as rollouts; allowed: auto, gsm8k, math, trl".into(),
            ));
        }
        problems
    }

    /// The content of the files decides, not how they are named.
    pub(crate) fn key_settings(&self) -> Value {
        let mut settings = serde_json::to_value(self).unwrap_or_default();
        settings["path"] = Value::Null;
        settings
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        let mut files: Vec<PathBuf> = Vec::new();
        for written in self.paths() {
            let path = context.access.resolve(written).map_err(|reason| context.fail(reason))?;
            let found = expand_glob(&path);
            if found.is_empty() {
                return Err(context.fail(format!("there is no file `{written}`")));
            }
            files.extend(found);
        }
        context.started("import", None, "rows");
        let mut writing = Writing::new(self, context)?;
        let fields = Fields::new(self);
        'files: for file in &files {
            let source = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for (number, row) in rows_of(file)?.enumerate() {
                if self.limit.is_some_and(|limit| writing.rows >= limit) {
                    break 'files;
                }
                writing.rows += 1;
                let place = format!("{source}:{}", number + 1);
                match row {
                    Ok(row) => writing.take(&fields, &row, &source, &place)?,
                    Err(reason) => writing.dropping.push(&place, "", "not_json", reason)?,
                }
                if writing.rows.is_multiple_of(1024) {
                    context.advanced(writing.rows, "")?;
                }
            }
        }
        writing.finish(context)
    }
}

/// The tables under way.
struct Writing {
    becomes: Becomes,
    rows: u64,
    dropping: Dropping,
    prompts: TableWriter<Prompt>,
    /// Ordinal of each prompt met so far.
    ordinals: BTreeMap<String, u64>,
    /// Next sample index for each prompt and teacher.
    samples: BTreeMap<(u64, u32), u32>,
    teachers: BTreeMap<String, u32>,
    spill: Spill,
    examples: Option<TableWriter<SftExample>>,
    pairs: Option<TableWriter<Pair>>,
}

impl Writing {
    fn new(import: &Import, context: &Context<'_>) -> Result<Self, PipelineError> {
        let becomes = import.becomes();
        Ok(Self {
            becomes,
            rows: 0,
            dropping: Dropping::new(context)?,
            prompts: context.writer()?,
            ordinals: BTreeMap::new(),
            samples: BTreeMap::new(),
            teachers: BTreeMap::new(),
            spill: Spill::create(context.out.path())?,
            examples: (becomes == Becomes::Sft).then(|| context.writer()).transpose()?,
            pairs: (becomes == Becomes::Pairs).then(|| context.writer()).transpose()?,
        })
    }

    fn take(&mut self, fields: &Fields<'_>, row: &Value, source: &str, place: &str) -> Result<(), PipelineError> {
        let imported = match fields.read(row, source, self.becomes) {
            Ok(imported) => imported,
            Err((reason, detail)) => return self.dropping.push(place, "", reason, detail),
        };
        match imported {
            Imported::Prompt(prompt) => {
                if self.ordinals.contains_key(&prompt.prompt_id) {
                    return self.dropping.push(place, &prompt.prompt_id, "duplicate_prompt", "asked by an earlier row");
                }
                self.prompt(prompt).map(|_| ())
            }
            Imported::Rollouts(prompt, rollouts) => {
                let prompt_id = prompt.prompt_id.clone();
                let ordinal = self.prompt(prompt)?;
                for (rollout, problem) in rollouts {
                    match problem {
                        Some(problem) => self.dropping.push(place, &prompt_id, "no_completion", problem)?,
                        None => self.rollout(ordinal, rollout)?,
                    }
                }
                Ok(())
            }
            Imported::Example(example) => match &mut self.examples {
                Some(writer) => Ok(writer.push(example)?),
                None => Ok(()),
            },
            Imported::Pair(pair) => match &mut self.pairs {
                Some(writer) => Ok(writer.push(pair)?),
                None => Ok(()),
            },
        }
    }

    fn prompt(&mut self, mut prompt: Prompt) -> Result<u64, PipelineError> {
        if let Some(ordinal) = self.ordinals.get(&prompt.prompt_id) {
            return Ok(*ordinal);
        }
        let ordinal = self.ordinals.len() as u64;
        self.ordinals.insert(prompt.prompt_id.clone(), ordinal);
        prompt.ordinal = ordinal;
        self.prompts.push(prompt)?;
        Ok(ordinal)
    }

    /// Numbers the rollout by row order within prompt and teacher and puts it aside until all rows are known.
    fn rollout(&mut self, ordinal: u64, mut rollout: Rollout) -> Result<(), PipelineError> {
        let next = self.teachers.len() as u32;
        let teacher = *self.teachers.entry(rollout.teacher.clone()).or_insert(next);
        let index = self.samples.entry((ordinal, teacher)).or_default();
        rollout.sample_index = *index;
        rollout.rollout_id = id_of(
            "rollout",
            &[
                rollout.prompt_id.as_bytes(),
                rollout.teacher.as_bytes(),
                &index.to_le_bytes(),
                rollout.completion.as_bytes(),
            ],
        );
        *index += 1;
        self.spill.push((ordinal, teacher, rollout.sample_index), &rollout)
    }

    fn finish(self, context: &Context<'_>) -> Result<Made, PipelineError> {
        let mut made = Made { facts: json!({}), ..Made::default() };
        let (prompts, drops) = (self.prompts.rows(), self.dropping.in_words());
        let mut kept = prompts;
        match self.becomes {
            Becomes::Prompts => {
                made.add(self.prompts)?;
                made.summary = format!("{prompts} prompts{drops}");
            }
            Becomes::Rollouts => {
                made.add(self.prompts)?;
                let mut writer = context.writer::<Rollout>()?;
                self.spill.drain_ordered(|rollout| Ok(writer.push(rollout)?))?;
                kept = writer.rows();
                made.summary =
                    format!("{kept} rollouts of {prompts} prompts by {} teachers{drops}", self.teachers.len());
                made.add(writer)?;
            }
            Becomes::Sft => {
                let Some(writer) = self.examples else { return Ok(made) };
                kept = writer.rows();
                made.add(writer)?;
                made.summary = format!("{kept} training examples{drops}");
            }
            Becomes::Pairs => {
                let Some(writer) = self.pairs else { return Ok(made) };
                kept = writer.rows();
                made.add(writer)?;
                made.summary = format!("{kept} preference pairs{drops}");
            }
        }
        // The empty prompt table of examples and pairs would be one that nobody asked for.
        if matches!(self.becomes, Becomes::Sft | Becomes::Pairs) {
            let folder = context.out.path().join("prompts");
            std::fs::remove_dir_all(&folder).map_err(PipelineError::io("remove", &folder))?;
        }
        self.dropping.finish(&mut made, self.rows, kept)?;
        if kept == 0 {
            return Err(context.fail(format!("none of {} rows could be read{drops}", self.rows)));
        }
        Ok(made)
    }
}
