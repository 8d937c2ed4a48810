//! `import`: files of others to tables of ours.

mod evidence;
mod example_rows;
mod fields;
mod layout;
mod layouts;
mod pair_rows;
mod read;
mod rollout_rows;
mod rollouts;
mod spill;
mod tables;
mod turns;
mod unusable;
mod usage;
mod values;

use fields::RowReader;
use layout::{Becomes, Format, ImportColumn, NONE, RowLayout};
use read::RawRow;
use retort_pipeline::{
    Context, OutputKind, OutsideFile, PipelineError, SettingProblem, StageKind, StageOutput, Surroundings, expand_glob,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tables::Tables;
use unusable::listed;
use usage::ImportFacts;

/// Reads prompts, rollouts, training examples or preference pairs from files.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// The file or files: `.jsonl`, `.ndjson`, `.json`, `.csv`, `.tsv`, `.parquet`, `.arrow` or `.feather`, text also with `.gz` or
    /// `.zst` behind it, also as a glob (`data/*.jsonl`); or a folder that `save_to_disk` of datasets wrote.
    pub path: Paths,
    /// How the rows are laid out.
    #[serde(default)]
    pub format: Format,
    /// What the rows become. By default what the format is: conversations become training examples, preference rows
    /// become pairs, everything else prompts.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub becomes: Option<Becomes>,
    /// Which column holds what, where the names differ from the layout's own. Dots reach into nested values and lists
    /// (`outputs.0.text`); `none` says that the rows have no such column.
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
    const VERSION: u32 = 2;
    const EXPLAIN: &'static str = include_str!("explain/import.md");
    type Facts = ImportFacts;

    fn output(&self) -> OutputKind {
        match self.becomes() {
            Becomes::Prompts => OutputKind::Prompts,
            Becomes::Rollouts => OutputKind::Rollouts,
            Becomes::Sft => OutputKind::Sft,
            Becomes::Pairs => OutputKind::Pairs,
        }
    }

    fn files(&self, _: &Surroundings<'_>) -> Vec<OutsideFile> {
        let file = |(pointer, path): (String, &str)| OutsideFile { pointer, path: path.to_owned(), deciding: files_of };
        self.written_paths().map(file).collect()
    }

    /// Names and content of the files stand beside the settings; of several, their order is that of the rows.
    fn key_settings(&self, around: &Surroundings<'_>) -> Result<Value, serde_json::Error> {
        let mut settings = serde_json::to_value(self)?;
        let found = self.written_paths().filter_map(|(_, path)| Some(files_of(&around.resolver.locate(path).ok()?)));
        let files: Vec<PathBuf> = found.flatten().collect();
        let name = |file: &PathBuf| {
            let inside = file.strip_prefix(around.resolver.workspace());
            inside.unwrap_or(file).to_string_lossy().into_owned()
        };
        settings["path"] = if files.len() > 1 { files.iter().map(name).collect() } else { Value::Null };
        Ok(settings)
    }

    fn problems(&self, _: &Surroundings<'_>) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        for (pointer, path) in self.written_paths() {
            let ending = read::ending(Path::new(path));
            let name = path.rsplit('/').next().unwrap_or_default();
            // A folder has no ending, and a glob may match several.
            if !read::ENDINGS.contains(&ending.as_str()) && name.contains('.') && !ending.ends_with(['*', '}', '?']) {
                let endings = read::ENDINGS.map(|ending| format!(".{ending}")).join(", ");
                let message =
                    format!("`{path}` ends in `.{ending}`; allowed: {endings}, text also with .gz or .zst behind it");
                problems.push(SettingProblem::new(pointer, message));
            }
        }
        let becomes = self.becomes();
        for column in self.columns.keys().filter(|column| !becomes.columns().contains(column)) {
            let allowed = listed(becomes.columns().iter().map(|column| column.word()));
            let message =
                format!("rows that become {} have no use for `{}`; allowed: {allowed}", becomes.word(), column.word());
            problems.push(SettingProblem::new(format!("/columns/{}", column.word()), message));
        }
        problems
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        let mut files: Vec<PathBuf> = Vec::new();
        for (_, written) in self.written_paths() {
            let path = context.locate(written)?;
            let found = if path.is_dir() { vec![path] } else { expand_glob(&path) };
            if found.is_empty() {
                return Err(context.fail(format!("there is no file `{written}`")));
            }
            files.extend(found);
        }
        context.started(Self::NAME, None, "rows");
        let mut tables = Tables::create(self.becomes(), context)?;
        let reader = RowReader::new(self.layout(), self.becomes());
        'files: for file in &files {
            let source = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let opened = read::open(file, |column| self.may_read(column))?;
            reader.saw_columns(opened.columns.iter());
            for row in opened.rows {
                if self.limit.is_some_and(|limit| tables.rows_in() >= limit) {
                    break 'files;
                }
                let RawRow { number, value, unreadable } = row?;
                let place = format!("{source}:{number}");
                let read = value.and_then(|row| reader.read(&row, &source));
                match unreadable.into_iter().find(|value| reader.used(&value.column)) {
                    Some(value) => {
                        let detail = format!("column `{}`: {}", value.column, value.reason);
                        tables.take(Err(("unreadable_value", detail)), &place)?;
                    }
                    None => tables.take(read, &place)?,
                }
                if tables.rows_in().is_multiple_of(1024) {
                    context.advanced(tables.rows_in(), "")?;
                }
            }
        }
        let usage = reader.into_usage();
        if let Some(missing) = usage.missing().filter(|_| tables.rows_in() > 0) {
            return Err(context.fail(missing).with_hint("`retort explain import` lists every layout and its columns"));
        }
        if let Some(limit) = self.max_tokens.filter(|_| self.becomes() == Becomes::Rollouts && usage.uncounted > 0) {
            if usage.counted == 0 {
                let reason = format!(
                    "`max_tokens: {limit}` cannot be applied: no rollout has a token count; columns: {}",
                    usage.seen_in_words()
                );
                let hint = "name the column with `columns.completion_tokens`, or leave `max_tokens` out where no rollout was cut off";
                return Err(context.fail(reason).with_hint(hint));
            }
            let uncounted = usage.uncounted;
            context
                .warn(&format!("{uncounted} rollouts have no token count: `max_tokens` could not be applied to them"));
        }
        if usage.alternatives > 0 {
            let rows = usage.alternatives;
            context.warn(&format!("{rows} rows have several reference answers: any of them counts as right"));
        }
        tables.finish(context, usage.columns_read())
    }
}

/// The files that a path names: those of a folder, of a glob, or the one.
fn files_of(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return expand_glob(path);
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
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

    /// Whether a column of this name may be read, by any layout or by the user's names.
    fn may_read(&self, name: &str) -> bool {
        let within = |path: &str| path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        let written = self.columns.values().filter(|path| *path != NONE);
        written.map(String::as_str).any(within) || layouts::any_path(within)
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
