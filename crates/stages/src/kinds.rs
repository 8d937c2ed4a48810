//! The list of stage kinds, and the engine that knows them.

use crate::compose::Compose;
use crate::evaluate::Evaluate;
use crate::export::Export;
use crate::filter::Filter;
use crate::import::Import;
use crate::judge::Judge;
use crate::lengths::{Lengths, check_tokenizer};
use crate::merge::Merge;
use crate::pair::Pair;
use crate::report::Report;
use crate::sample::Sample;
use crate::select::Select;
use crate::synthesize::Synthesize;
use crate::train::Train;
use crate::verify::Verify;
use retort_pipeline::{Engine, KindEntry};

/// Lists kinds in the order in which people see them.
macro_rules! kinds {
    ($($kind:ty),+ $(,)?) => { vec![$(KindEntry::of::<$kind>()),+] };
}

/// The engine with every stage kind.
pub fn engine() -> Engine {
    Engine {
        kinds: kinds! {
            Import, Synthesize, Sample, Lengths, Verify, Judge, Filter, Select, Pair, Compose, Train, Merge, Evaluate,
            Export, Report,
        },
        resolver: |access| Box::new(access),
        check_tokenizer,
    }
}
