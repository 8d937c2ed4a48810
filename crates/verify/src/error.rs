//! What can be wrong with a verifier's settings. Bad data is never an error: it is a verdict with a reason.

use thiserror::Error;

/// A setting that no verifier can be built from.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// A regular expression that does not compile.
    #[error("setting `{setting}` of `{verifier}` is not a regular expression: `{given}` ({message})")]
    Pattern {
        /// The verifier.
        verifier: &'static str,
        /// The setting.
        setting: &'static str,
        /// The expression as given.
        given: String,
        /// What the regular-expression compiler says.
        message: String,
    },
    /// A value outside the allowed ones.
    #[error("setting `{setting}` of `{verifier}` is `{given}`, allowed: {allowed}")]
    Setting {
        /// The verifier.
        verifier: &'static str,
        /// The setting.
        setting: &'static str,
        /// The value as given.
        given: String,
        /// What is allowed instead.
        allowed: String,
    },
    /// A verifier that cannot work on this machine, with the way to mend it.
    #[error("verifier `{verifier}` cannot work here: {reason}")]
    Unavailable {
        /// The verifier.
        verifier: &'static str,
        /// Why, and what to do.
        reason: String,
    },
}

/// The last line of a message: where the regex crate says what is wrong.
pub(crate) fn last_line(message: &str) -> String {
    message.lines().last().unwrap_or_default().trim().to_owned()
}
