//! What is wrong with a pipeline file, said so that a person can mend it.

use std::ops::Range;

/// One problem, with the place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong: the key, the value given and what is allowed.
    pub message: String,
    /// Where, as a byte range of the file.
    pub span: Option<Range<usize>>,
    /// What to do about it.
    pub help: Option<String>,
    /// Whether the text at the place must not be shown, because it may be a secret.
    pub secret: bool,
}

impl Problem {
    /// A problem at `span`.
    pub fn new(message: impl Into<String>, span: Option<Range<usize>>) -> Self {
        Self { message: message.into(), span, help: None, secret: false }
    }

    /// The same problem with advice.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same problem with advice, if there is any.
    #[must_use]
    pub fn with_help_if(self, help: Option<String>) -> Self {
        Self { help: help.or(self.help), ..self }
    }
}

/// `did you mean …` for the one of `allowed` that is closest to `given`, if any is close.
pub fn did_you_mean<'a>(given: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Nobody mistypes a name of hundreds of letters, and comparing takes the product of both lengths.
    const LONGEST: usize = 100;
    if given.len() > LONGEST {
        return None;
    }
    allowed
        .into_iter()
        .filter(|word| word.len() <= LONGEST)
        .map(|word| (strsim::damerau_levenshtein(given, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len().min(given.len()) / 3)
        .min()
        .map(|(_, word)| format!("did you mean `{word}`?"))
}
