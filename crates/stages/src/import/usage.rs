//! What was read as what: every import says which columns it used and which it did not.

use super::layout::{ImportColumn, NONE};
use super::unusable::listed;
use retort_pipeline::RowCounts;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Most columns that are remembered: rows may have keys of their own, and an endless number of them.
const MOST: usize = 1000;
/// Most columns that one line names.
const NAMED: usize = 20;

/// Counts of what was met.
pub struct Usage<'a> {
    layouts: BTreeMap<&'static str, u64>,
    used: BTreeMap<ImportColumn, BTreeSet<&'a str>>,
    seen: BTreeSet<String>,
    /// The user's names that no row had so far.
    missing: BTreeMap<ImportColumn, &'a str>,
    /// Rollouts with and without a token count.
    pub counted: u64,
    pub uncounted: u64,
    /// Rows with several reference answers.
    pub alternatives: u64,
}

/// What a finished import tells of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportFacts {
    /// Rows that came, stayed and were dropped.
    #[serde(flatten)]
    pub rows: RowCounts,
    /// Which columns were read as what.
    #[serde(flatten)]
    pub columns: ColumnsRead,
    /// Rows whose prompt an earlier row gave another reference answer, which counts.
    #[serde(default)]
    pub conflicting_references: u64,
}

/// What an import tells of the columns.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ColumnsRead {
    /// Rows by the layout they were read as.
    #[serde(default)]
    pub read_as: BTreeMap<String, u64>,
    /// The columns that were used, by what they were read as.
    #[serde(default)]
    pub used: BTreeMap<String, Vec<String>>,
    /// The columns that were not.
    #[serde(default)]
    pub unused: Vec<String>,
}

impl<'a> Usage<'a> {
    /// Nothing met yet; `columns` are the user's names.
    pub fn new(columns: &'a BTreeMap<ImportColumn, String>) -> Self {
        let written = columns.iter().filter(|(_, path)| *path != NONE);
        Self {
            layouts: BTreeMap::new(),
            used: BTreeMap::new(),
            seen: BTreeSet::new(),
            missing: written.map(|(column, path)| (*column, path.as_str())).collect(),
            counted: 0,
            uncounted: 0,
            alternatives: 0,
        }
    }

    /// Columns that a row has.
    pub fn saw<'n>(&mut self, columns: impl Iterator<Item = &'n String>) {
        for column in columns {
            if !self.seen.contains(column) && self.seen.len() < MOST {
                self.seen.insert(column.clone());
            }
        }
    }

    /// A row is read as this layout.
    pub fn read_as(&mut self, layout: &'static str) {
        *self.layouts.entry(layout).or_default() += 1;
    }

    /// A value was taken.
    pub fn took(&mut self, column: ImportColumn, path: &'a str) {
        self.used.entry(column).or_default().insert(path);
    }

    /// Crosses off the user's names that `has` finds.
    pub fn look_for_written(&mut self, has: impl Fn(&str) -> bool) {
        self.missing.retain(|_, path| !has(path));
    }

    /// The user's names that no row had, in words; none when all were found.
    pub fn missing(&self) -> Option<String> {
        let missing: Vec<String> =
            self.missing.iter().map(|(column, path)| format!("`{path}` (columns.{})", column.word())).collect();
        (!missing.is_empty()).then(|| format!("no row has {}; columns: {}", missing.join(", "), self.seen_in_words()))
    }

    /// The columns that rows had.
    pub fn seen_in_words(&self) -> String {
        named(self.seen.iter().map(String::as_str))
    }

    /// Whether anything of a column was taken.
    pub fn used(&self, column: &str) -> bool {
        let within = |path: &str| path == column || path.strip_prefix(column).is_some_and(|rest| rest.starts_with('.'));
        self.used.values().flatten().any(|path| within(path))
    }

    /// What the import tells.
    pub fn columns_read(&self) -> ColumnsRead {
        let owned = |names: &BTreeSet<&str>| names.iter().map(|name| (*name).to_owned()).collect();
        ColumnsRead {
            read_as: self.layouts.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect(),
            used: self.used.iter().map(|(column, names)| (column.word().to_owned(), owned(names))).collect(),
            unused: self.seen.iter().filter(|column| !self.used(column)).cloned().collect(),
        }
    }
}

impl ColumnsRead {
    /// One line for people: `read as OpenR1 generations: prompt from `problem`, …; not used: …`.
    pub fn in_words(&self) -> String {
        let layouts: Vec<String> = match self.read_as.len() {
            1 => self.read_as.keys().cloned().collect(),
            _ => self.read_as.iter().map(|(name, rows)| format!("{name} ({rows} rows)")).collect(),
        };
        let used: Vec<String> = self
            .used
            .iter()
            .map(|(column, names)| format!("{column} from {}", listed(names.iter().map(String::as_str))))
            .collect();
        let mut line = format!("read as {}: {}", layouts.join(", "), used.join(", "));
        if !self.unused.is_empty() {
            let _ = write!(line, "; not used: {}", named(self.unused.iter().map(String::as_str)));
        }
        line
    }
}

/// Names, the first of them where there are many.
fn named<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut line = listed(names.take(NAMED));
    if more > 0 {
        let _ = write!(line, " and {more} more");
    }
    if line.is_empty() { "none".to_owned() } else { line }
}
