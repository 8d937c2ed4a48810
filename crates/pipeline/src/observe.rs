//! What a run says while it works.

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A stage begins; `total` units of work are expected.
    Started {
        /// The stage.
        stage: &'a str,
        /// What kind of stage it is.
        kind: &'a str,
        /// How many units there are, when that is known.
        total: Option<u64>,
        /// What is counted, in the plural: `rows`, `samples`, `steps`.
        unit: &'a str,
    },
    /// A stage found units that an earlier run had done.
    Resumed {
        /// The stage.
        stage: &'a str,
        /// Units done so far.
        done: u64,
    },
    /// A stage got further.
    Advanced {
        /// The stage.
        stage: &'a str,
        /// Units done so far, those of earlier runs included.
        done: u64,
        /// A short remark, such as the loss or the price so far; may be empty.
        note: &'a str,
    },
    /// A stage is complete and durable.
    Finished {
        /// The stage.
        stage: &'a str,
        /// One line about the result.
        summary: &'a str,
    },
    /// A stage had nothing to do.
    Fresh {
        /// The stage.
        stage: &'a str,
    },
    /// Something that a person should know.
    Warning {
        /// The stage.
        stage: &'a str,
        /// What.
        message: &'a str,
    },
}

/// Receives events. Called from one thread at a time.
pub trait Observer: Sync {
    /// Takes one event.
    fn event(&self, event: Event<'_>);
}

/// An observer that keeps quiet.
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: Event<'_>) {}
}
