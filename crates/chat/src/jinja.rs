//! The Jinja in which `transformers` renders chat templates: Jinja 3.1 in its immutable sandbox, with `trim_blocks`,
//! `lstrip_blocks`, `{% break %}`, `{% continue %}` and `{% generation %}`.
//!
//! It is an interpreter of our own for two reasons. The values must be Python's, or a template that compares, prints or
//! looks up something unusual (`x.items` where `items` is a key) says something else in silence. And a loss mask needs
//! to know which bytes of the rendering each message wrote, which no other library keeps: strings carry that along
//! (`text`). What is missing is refused by name ([`RenderError::refused`]).
//!
//! A template comes with a downloaded model, so it is bounded: steps, nesting, the size of strings and of the output
//! have limits, and it can neither load another template nor read a file, the environment or the clock.

mod characters;
mod evaluate;
mod expression;
mod filters;
mod format;
mod globals;
mod interpreter;
mod json;
mod lexer;
mod methods;
mod numbers;
mod operators;
mod parser;
mod predicates;
mod strftime;
mod syntax;
mod text;
mod value;

pub use strftime::Date;
pub(crate) use text::{Mark, Text};
pub(crate) use value::{Dict, Value};

use interpreter::Interpreter;

/// How deeply values may be nested to be printed.
const DEPTH: usize = 200;

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
    fn new(reason: impl Into<String>) -> Self {
        Self { cause: Cause::Raised, reason: reason.into(), line: None }
    }

    fn refused(what: impl std::fmt::Display) -> Self {
        Self { cause: Cause::Refused, reason: format!("{what} is not supported in chat templates"), line: None }
    }

    fn limit(reason: &str) -> Self {
        Self { cause: Cause::Limit, reason: reason.to_owned(), line: None }
    }

    fn at(self, line: u32) -> Self {
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

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template(Vec<syntax::Node>);

impl Template {
    pub(crate) fn parse(source: &str) -> Result<Self, SyntaxError> {
        parser::parse(source).map(Self)
    }

    /// Renders the template with these variables. `date` is the day of `strftime_now`.
    pub(crate) fn render(&self, context: &Dict, date: Date) -> Result<Text, RenderError> {
        Interpreter::new(context, date).render(&self.0)
    }
}
