//! One file of rows for other tools: JSON lines or Parquet, written as rows come.

use super::row_forms::{ExportRow, json_line};
use retort_pipeline::PipelineError;
use retort_tables::{FileDigest, PendingFolder, ShardLimits, TableWriter, file_digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// The file type of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExportFile {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// Parquet.
    Parquet,
}

impl ExportFile {
    /// How its name ends, which is also what `datasets` calls it.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }
}

/// A file under way.
pub struct RowFile<'a, T: ExportRow> {
    out: &'a PendingFolder,
    name: String,
    path: PathBuf,
    form: Form<T>,
}

enum Form<T: ExportRow> {
    Jsonl(BufWriter<File>),
    /// One file, not shards: what `load_dataset` and pandas take without a glob.
    Parquet(Box<TableWriter<T>>, PathBuf),
}

impl<'a, T: ExportRow> RowFile<'a, T> {
    /// Begins the file `stem` with the type's ending inside `out`; `stem` may have folders.
    pub fn create(out: &'a PendingFolder, stem: &str, file: ExportFile) -> Result<Self, PipelineError> {
        let name = format!("{stem}.{}", file.extension());
        let path = out.path().join(&name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(PipelineError::io("create", parent))?;
        }
        let form = match file {
            ExportFile::Jsonl => {
                Form::Jsonl(BufWriter::new(File::create(&path).map_err(PipelineError::io("create", &path))?))
            }
            ExportFile::Parquet => {
                let folder = path.with_extension("rows");
                let limits = ShardLimits { shard_rows: usize::MAX, shard_bytes: usize::MAX, ..ShardLimits::default() };
                Form::Parquet(Box::new(TableWriter::create(&folder, limits)?), folder)
            }
        };
        Ok(Self { out, name, path, form })
    }

    /// Adds a row.
    pub fn push(&mut self, row: T) -> Result<(), PipelineError> {
        match &mut self.form {
            Form::Jsonl(file) => {
                let line = json_line(&row).map_err(PipelineError::json("a row"))?;
                writeln!(file, "{line}").map_err(PipelineError::io("write", &self.path))
            }
            Form::Parquet(writer, _) => Ok(writer.push(row)?),
        }
    }

    /// Makes the file durable.
    pub fn finish(self) -> Result<FileDigest, PipelineError> {
        let Self { out, name, path, form } = self;
        match form {
            Form::Jsonl(file) => {
                let file = file.into_inner().map_err(|error| PipelineError::io("write", &path)(error.into_error()))?;
                file.sync_all().map_err(PipelineError::io("write", &path))?;
            }
            Form::Parquet(writer, folder) => {
                writer.finish()?;
                std::fs::rename(folder.join("part-00000.parquet"), &path)
                    .and_then(|()| std::fs::remove_dir(&folder))
                    .map_err(PipelineError::io("write", &path))?;
            }
        }
        Ok(file_digest(&out.path().join(&name), &name)?)
    }
}
