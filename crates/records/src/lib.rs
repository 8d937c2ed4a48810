//! The rows that pass between stages, and their ids.
//!
//! Every table of a run is a sequence of one of these structs; a column is a field.
//! This crate knows nothing about files, networks, models or Arrow: `retort-tables` derives the Arrow schema from
//! the structs, so that a column is declared once.

mod beyond_text;
mod checkpoint_rows;
pub mod completion;
mod finish_reason;
mod id;
pub mod json_lines;
pub mod language;
mod row;

pub use beyond_text::{BeyondText, MEDIA};
pub use checkpoint_rows::{MeasureRow, ReferenceLogProbs};
pub use finish_reason::FinishReason;
pub use id::{derive_seed, hex_id, id_of};
pub use row::{
    Check, Dropped, JudgementRow, LengthRow, Message, Pair, Prompt, Rollout, Row, Selection, SftExample, SftMessage,
    Telemetry, Verdict, VerdictRow,
};
