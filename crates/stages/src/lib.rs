//! The stage kinds, one file each, and the commands on single files: here the walls between the other crates are crossed.
//!
//! This crate knows nothing about terminals or flags.

mod asking;
mod compose;
mod dropping;
mod error;
mod evaluate;
mod explain;
mod export;
mod filter;
mod import;
mod journal_lines;
mod judge;
mod lengths;
mod local_teacher;
mod merge;
mod model_config;
mod narrow;
mod once;
mod pair;
mod report;
mod rows;
mod sample;
mod select;
mod synthesize;
mod token_rows;
mod train;
mod verify;

pub use error::StageError;
pub use explain::{explain, explained_names};
pub use once::init::{Begun, RECIPES, Recipe, recipe_list};
pub use once::inspect::inspect;
pub use once::merge::OpenedMerge;
pub use once::schemas::{SchemaFile, schema_files};
pub use once::show::{Shown, show};
pub use once::verify::{FileCounts, JudgedRow, verifier, verify_lines, verify_one};
pub use retort_weights::TensorDistances;
pub use train::preview::{InspectedRow, InspectedToken};

use retort_pipeline::{Engine, KindEntry};

/// Lists stage kinds in the order in which people see them.
macro_rules! kinds {
    ($($kind:ty),+ $(,)?) => { vec![$(KindEntry::of::<$kind>()),+] };
}

/// The engine with every stage kind.
pub fn engine() -> Engine {
    Engine {
        kinds: kinds! {
            import::Import,
            synthesize::Synthesize,
            sample::Sample,
            lengths::Lengths,
            verify::Verify,
            judge::Judge,
            filter::Filter,
            select::Select,
            pair::Pair,
            compose::Compose,
            train::Train,
            merge::Merge,
            evaluate::Evaluate,
            export::Export,
            report::Report,
        },
        resolver: |access| Box::new(access),
        check_tokenizer: lengths::check_tokenizer,
    }
}
