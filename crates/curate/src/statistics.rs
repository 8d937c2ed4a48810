//! What is counted over a run, as accumulators that take one row at a time.
//!
//! All sums are whole numbers, so the order of the rows changes no bit of them.

mod corpus;
mod groups;
mod tokens;
mod verdicts;

pub use corpus::{CorpusRow, CorpusTable};
pub use groups::{GroupStatistics, PairStatistics, RatioSum};
pub use tokens::TokenCounts;
pub use verdicts::VerdictCounts;
