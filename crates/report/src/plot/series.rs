//! What several plots show.

/// Values under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Series<T> {
    /// The name in the legend.
    pub name: String,
    /// The values.
    pub values: Vec<T>,
}
