//! Files to rows of JSON values, and the spill that brings rollouts into the order of their prompts.

use crate::error::PipelineError;
use retort_records::Rollout;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The files that `path` names: itself, or all that match its last component's `*` and `?`, in order of name.
pub fn expand_glob(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !name.contains(['*', '?']) {
        return if path.is_file() { vec![path.to_owned()] } else { Vec::new() };
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| matches(name.as_bytes(), entry.file_name().to_string_lossy().as_bytes()))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.first(), name.first()) {
        (None, None) => true,
        (Some(b'*'), _) => matches(&pattern[1..], name) || (!name.is_empty() && matches(pattern, &name[1..])),
        (Some(b'?'), Some(_)) => matches(&pattern[1..], &name[1..]),
        (Some(a), Some(b)) if a == b => matches(&pattern[1..], &name[1..]),
        _ => false,
    }
}

type Rows = Box<dyn Iterator<Item = Result<Value, String>>>;

/// The rows of one file; a row that cannot be parsed is an item with the reason.
pub fn rows_of(path: &Path) -> Result<Rows, PipelineError> {
    let open = || File::open(path).map_err(PipelineError::io("read", path));
    match path.extension().unwrap_or_default().to_string_lossy().as_ref() {
        "parquet" => Ok(Box::new(retort_tables::scan_json(path)?.map(|row| row.map_err(|error| error.to_string())))),
        "json" => {
            let mut text = String::new();
            open()?.read_to_string(&mut text).map_err(PipelineError::io("read", path))?;
            match serde_json::from_str(&text) {
                Ok(Value::Array(rows)) => Ok(Box::new(rows.into_iter().map(Ok))),
                Ok(Value::Object(map)) if map.len() == 1 && map.values().all(Value::is_array) => {
                    let rows = map.into_values().flat_map(|rows| rows.as_array().cloned().unwrap_or_default());
                    Ok(Box::new(rows.collect::<Vec<_>>().into_iter().map(Ok)))
                }
                Ok(_) => Ok(Box::new(std::iter::once(Err("the file is not a list of rows".to_owned())))),
                // Many `.json` files hold one object a line.
                Err(_) => Ok(Box::new(lines(BufReader::new(open()?)))),
            }
        }
        "csv" => {
            let mut reader = csv::Reader::from_reader(open()?);
            let headers = reader.headers().cloned().map_err(|error| PipelineError::Argument(error.to_string()))?;
            Ok(Box::new(reader.into_records().map(move |record| {
                let record = record.map_err(|error| error.to_string())?;
                let cells = headers.iter().zip(record.iter());
                Ok(cells.map(|(name, cell)| (name.to_owned(), Value::from(cell))).collect())
            })))
        }
        _ => Ok(Box::new(lines(BufReader::new(open()?)))),
    }
}

fn lines(reader: BufReader<File>) -> impl Iterator<Item = Result<Value, String>> {
    reader.lines().filter(|line| line.as_ref().is_ok_and(|line| !line.trim().is_empty()) || line.is_err()).map(|line| {
        let line = line.map_err(|error| error.to_string())?;
        serde_json::from_str(line.trim_start_matches('\u{feff}')).map_err(|error| error.to_string())
    })
}

/// Prompt ordinal, teacher ordinal, sample index: the order of a table of rollouts.
pub type Position = (u64, u32, u32);

/// Rollouts on disk with only their positions in memory (24 bytes a rollout), to be read back in order.
pub struct Spill {
    path: PathBuf,
    file: BufWriter<File>,
    index: Vec<(Position, u64)>,
    bytes: u64,
}

impl Spill {
    /// An empty spill inside `folder`.
    pub fn create(folder: &Path) -> Result<Self, PipelineError> {
        let path = folder.join(".spill");
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(PipelineError::io("create", &path))?;
        Ok(Self { path, file: BufWriter::new(file), index: Vec::new(), bytes: 0 })
    }

    /// Puts one rollout aside.
    pub fn push(&mut self, position: Position, rollout: &Rollout) -> Result<(), PipelineError> {
        let mut line = serde_json::to_vec(rollout).unwrap_or_default();
        line.push(b'\n');
        self.index.push((position, self.bytes));
        self.bytes += line.len() as u64;
        self.file.write_all(&line).map_err(PipelineError::io("write", &self.path))
    }

    /// Gives all rollouts in order and removes the file.
    pub fn drain_ordered(
        mut self,
        mut take: impl FnMut(Rollout) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        let error = |path: &Path| PipelineError::io("read", path.to_owned());
        self.index.sort_unstable();
        let file = self.file.into_inner().map_err(|failed| error(&self.path)(failed.into_error()))?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        reader.rewind().map_err(error(&self.path))?;
        let (mut at, mut line) = (0_u64, String::new());
        for (_, offset) in &self.index {
            if *offset == at {
                // Rows that are already in order are read straight through.
            } else {
                reader.seek(SeekFrom::Start(*offset)).map_err(error(&self.path))?;
            }
            line.clear();
            at = offset + reader.read_line(&mut line).map_err(error(&self.path))? as u64;
            let rollout = serde_json::from_str(&line).map_err(|cause| error(&self.path)(cause.into()))?;
            take(rollout)?;
        }
        std::fs::remove_file(&self.path).map_err(PipelineError::io("remove", &self.path))
    }
}
