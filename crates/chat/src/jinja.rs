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

mod arguments;
mod characters;
mod error;
mod evaluate;
mod expression;
mod filters;
mod format;
mod globals;
mod interpreter;
mod json;
mod lexer;
mod lookup;
mod methods;
mod numbers;
mod operators;
mod ordering;
mod parser;
mod predicates;
mod scope;
mod strftime;
mod syntax;
mod text;
mod value;

pub(crate) use error::{Cause, RenderError, SyntaxError};
pub use strftime::Date;
pub(crate) use text::{Mark, Text};
pub(crate) use value::{Dict, Value};

use interpreter::Interpreter;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template(parser::Parsed);

impl Template {
    pub(crate) fn parse(source: &str) -> Result<Self, SyntaxError> {
        parser::parse(source).map(Self)
    }

    /// Renders the template with these variables. `date` is the day of `strftime_now`.
    pub(crate) fn render(&self, context: &Dict, date: Date) -> Result<Text, RenderError> {
        Interpreter::new(context, date).render(&self.0.body, &self.0.hidden)
    }
}
