//! `import`: files of others to tables of ours.

mod fields;
mod layout;
mod read;
mod rollouts;
mod spill;
mod tables;

use fields::RowReader;
use layout::{Becomes, Format, ImportColumn, RowLayout};
use read::rows_of;
use retort_pipeline::{
    Context, OutputKind, OutsideFile, PipelineError, RowCounts, SettingProblem, StageKind, StageOutput, Surroundings,
    expand_glob,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tables::Tables;

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
    pub columns: BTreeMap<ImportColumn, String>,
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

impl StageKind for Import {
    const NAME: &'static str = "import";
    const VERSION: u32 = 1;
    const EXPLAIN: &'static str = include_str!("explain/import.md");
    type Facts = RowCounts;

    fn output(&self) -> OutputKind {
        match self.becomes() {
            Becomes::Prompts => OutputKind::Prompts,
            Becomes::Rollouts => OutputKind::Rollouts,
            Becomes::Sft => OutputKind::Sft,
            Becomes::Pairs => OutputKind::Pairs,
        }
    }

    fn files(&self, _: &Surroundings<'_>) -> Vec<OutsideFile> {
        self.written_paths().map(|(pointer, path)| OutsideFile::new(pointer, path)).collect()
    }

    /// Names and content of the files stand beside the settings; of several, their order is that of the rows.
    fn key_settings(&self, around: &Surroundings<'_>) -> Result<Value, serde_json::Error> {
        let mut settings = serde_json::to_value(self)?;
        let found = self.written_paths().filter_map(|(_, path)| Some(expand_glob(&around.resolver.locate(path).ok()?)));
        let files: Vec<PathBuf> = found.flatten().collect();
        let name = |file: &PathBuf| {
            let inside = file.strip_prefix(around.resolver.workspace());
            inside.unwrap_or(file).to_string_lossy().into_owned()
        };
        settings["path"] = if files.len() > 1 { files.iter().map(name).collect() } else { Value::Null };
        Ok(settings)
    }

    fn problems(&self, _: &Surroundings<'_>) -> Vec<SettingProblem> {
        let known = ["jsonl", "json", "csv", "parquet"];
        let mut problems = Vec::new();
        for (pointer, path) in self.written_paths() {
            let extension = path.rsplit('.').next().unwrap_or_default();
            if !known.contains(&extension) && !extension.ends_with('*') && !extension.ends_with('}') {
                let message = format!("`{path}` ends in `.{extension}`; allowed: .jsonl, .json, .csv, .parquet");
                problems.push(SettingProblem::new(pointer, message));
            }
        }
        if self.becomes() == Becomes::Rollouts && matches!(self.format, Format::Messages | Format::Sharegpt) {
            let message = "conversations cannot be read as rollouts; allowed: auto, gsm8k, math, trl";
            problems.push(SettingProblem::new("/format", message));
        }
        problems
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        let mut files: Vec<PathBuf> = Vec::new();
        for (_, written) in self.written_paths() {
            let found = expand_glob(&context.locate(written)?);
            if found.is_empty() {
                return Err(context.fail(format!("there is no file `{written}`")));
            }
            files.extend(found);
        }
        context.started(Self::NAME, None, "rows");
        let mut tables = Tables::create(self.becomes(), context)?;
        let reader = RowReader::new(self.layout());
        'files: for file in &files {
            let source = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for (number, row) in rows_of(file)?.enumerate() {
                if self.limit.is_some_and(|limit| tables.rows_in() >= limit) {
                    break 'files;
                }
                let place = format!("{source}:{}", number + 1);
                match row? {
                    Ok(row) => tables.take(reader.read(&row, &source, self.becomes()), &place)?,
                    Err(reason) => tables.take(Err(("not_json", reason)), &place)?,
                }
                if tables.rows_in().is_multiple_of(1024) {
                    context.advanced(tables.rows_in(), "")?;
                }
            }
        }
        tables.finish(context)
    }
}

impl Import {
    fn becomes(&self) -> Becomes {
        self.becomes.unwrap_or(match self.format {
            Format::Messages | Format::Sharegpt | Format::Trl if self.columns.contains_key(&ImportColumn::Chosen) => {
                Becomes::Pairs
            }
            Format::Messages | Format::Sharegpt | Format::Trl => Becomes::Sft,
            Format::Auto | Format::Gsm8k | Format::Math => Becomes::Prompts,
        })
    }

    /// The paths as written, each with its place in the settings.
    fn written_paths(&self) -> impl Iterator<Item = (String, &str)> {
        let paths = match &self.path {
            Paths::One(path) => vec![("/path".to_owned(), path.as_str())],
            Paths::Many(paths) => {
                paths.iter().enumerate().map(|(index, path)| (format!("/path/{index}"), path.as_str())).collect()
            }
        };
        paths.into_iter()
    }

    /// What the settings say of the rows.
    fn layout(&self) -> RowLayout<'_> {
        RowLayout {
            format: self.format,
            columns: &self.columns,
            answer_pattern: self.answer_pattern.as_deref(),
            domain: self.domain.as_deref(),
            language: self.language.as_deref(),
            teacher: self.teacher.as_deref(),
            max_tokens: self.max_tokens,
        }
    }
}
