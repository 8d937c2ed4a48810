//! Training handed over to other tools: the settings of a train block in the words of TRL, axolotl and LLaMA-Factory, what
//! starts them on several machines, and what their rows are.
//!
//! This crate knows nothing about pipelines, tables or tensors: it is given the train block, counts of the rows and their
//! tokens, and returns the texts of files by their names.

mod axolotl;
mod files;
mod launch;
mod llama_factory;
mod readme;
mod rows;
mod settings;
mod sheet;
#[cfg(test)]
mod tests;
mod trl;
mod words;

pub use files::files;
pub use rows::{ParityRows, RowFormat, RowTotals, UNTRAINED, labels};
pub use settings::{Precision, Recipes, SettingProblem, Tool, TrainedBy};
