//! What can be wrong with settings.

/// A setting that the type system lets through and the method does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A number outside its range.
    #[error("`{key}` is `{given}`, allowed is {allowed}")]
    OutOfRange {
        /// The setting's name, as the pipeline file spells it.
        key: String,
        /// What was given.
        given: String,
        /// What is allowed, in words.
        allowed: &'static str,
    },
    /// A lower bound above its upper bound.
    #[error("`{low}` is `{low_given}`, above `{high}`, which is `{high_given}`")]
    Crossed {
        /// Name of the lower bound.
        low: &'static str,
        /// Its value.
        low_given: String,
        /// Name of the upper bound.
        high: &'static str,
        /// Its value.
        high_given: String,
    },
    /// A list of allowed values with nothing in it, which would drop every row.
    #[error("`{key}` is an empty list, allowed is at least one value")]
    EmptyList {
        /// The setting's name.
        key: &'static str,
    },
}

impl SettingsError {
    /// An [`SettingsError::OutOfRange`] unless `ok`.
    pub(crate) fn check(
        ok: bool,
        key: impl Into<String>,
        given: impl ToString,
        allowed: &'static str,
    ) -> Result<(), Self> {
        if ok { Ok(()) } else { Err(Self::OutOfRange { key: key.into(), given: given.to_string(), allowed }) }
    }
}
