//! Why a row leaves.

/// Why a row is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropReason {
    /// One word per rule, for the `drop_reason` column.
    pub reason: &'static str,
    /// The measure behind it, for the `detail` column.
    pub detail: String,
}

impl DropReason {
    /// A reason with its measure.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}
