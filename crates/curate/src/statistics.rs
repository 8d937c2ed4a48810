//! What is counted over a run, as accumulators that take one row at a time and can be merged.
//!
//! All sums are whole numbers, so merging the parts of a table in any order gives the same bytes as one pass over it.

mod corpus;
mod funnel;
mod groups;
mod tokens;

pub use corpus::{CorpusRow, CorpusTable};
pub use funnel::{Funnel, StageCounts, VerdictCounts};
pub use groups::{GroupStatistics, PairStatistics, RatioSum};
pub use tokens::{TokenBin, TokenCounts};

/// Lays out rows of cells as text: columns padded to their widest cell and joined by ` | `, a rule under the first row.
/// The first column is set to the left, the others to the right.
fn layout(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            let padding = " ".repeat(width - cell.chars().count());
            if column == 0 { format!("{cell}{padding}") } else { format!("{padding}{cell}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join(" | ").trim_end());
        text.push('\n');
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
            text.push_str(&rule.join("-|-"));
            text.push('\n');
        }
    }
    text
}
