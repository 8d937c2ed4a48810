//! What can go wrong with a template.

/// A template that cannot be parsed.
#[derive(Debug, Clone)]
pub(crate) struct SyntaxError {
    pub line: u32,
    pub reason: String,
}

impl std::fmt::Display for SyntaxError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} (line {} of the template)", self.reason, self.line)
    }
}

/// Why a template stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It raised an exception, or did what raises one in Python.
    Raised,
    /// It uses something that is not supported here, though it works in Python.
    Refused,
    /// It ran into a limit.
    Limit,
}

/// A template that failed on its values.
#[derive(Debug, Clone)]
pub(crate) struct RenderError {
    pub cause: Cause,
    pub reason: String,
    pub line: Option<u32>,
}

impl RenderError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { cause: Cause::Raised, reason: reason.into(), line: None }
    }

    pub(super) fn refused(what: impl std::fmt::Display) -> Self {
        Self { cause: Cause::Refused, reason: format!("{what} is not supported in chat templates"), line: None }
    }

    pub(super) fn limit(reason: &str) -> Self {
        Self { cause: Cause::Limit, reason: reason.to_owned(), line: None }
    }

    pub(super) fn at(self, line: u32) -> Self {
        Self { line: self.line.or(Some(line)), ..self }
    }
}

impl std::fmt::Display for RenderError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{} (line {line} of the template)", self.reason),
            None => formatter.write_str(&self.reason),
        }
    }
}
