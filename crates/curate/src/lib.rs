//! Chooses rows: which rollouts of a prompt become training examples, which two become a preference pair, which rows
//! leave and why, and what is measured over those that stay. All of it is pure functions over one row, one prompt's
//! group, or a stream of narrow rows.
//!
//! This crate knows nothing about files, tables, networks, tokenizers or models, nor about how rows were sampled or
//! verified: it gets verdicts and lengths and answers with indices, reasons and numbers. Bad data is never an error here
//! but a row with a reason; only settings can be wrong ([`SettingsError`]).

pub mod compose;
pub mod curriculum;
pub mod filter;
pub mod measure;
pub mod pair;
pub mod r1;
pub mod rewards;
pub mod select;
pub mod statistics;

mod drop_reason;
mod explain;
mod settings_error;
mod views;

pub use drop_reason::DropReason;
pub use explain::{explain, names};
pub use filter::{FilterSettings, RowView};
pub use pair::{PairChoice, PairKind, PairSettings, kimi_pairs};
pub use select::{Candidate, GroupBy, SelectRule, not_selected_reason, select};
pub use settings_error::SettingsError;
pub use views::{PromptView, TextView};
