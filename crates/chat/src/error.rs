//! What can go wrong between messages and tokens.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what its name promises.
    #[error("cannot use `{path}`: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The chat template is not valid Jinja.
    #[error("chat template does not compile: {reason}")]
    TemplateSyntax {
        /// The parser's message, with the line.
        reason: String,
    },
    /// The chat template failed on this conversation: it raised an exception, ran out of fuel or wrote too much.
    #[error("chat template fails on this conversation: {reason}")]
    TemplateFails {
        /// The template's own message where it has one.
        reason: String,
    },
    /// The chat template uses something of Jinja or Python that is not supported here.
    #[error("chat template cannot be used on this conversation: {reason}")]
    TemplateRefused {
        /// What it uses, and where.
        reason: String,
    },
    /// The model has no chat template to train with.
    #[error(
        "`{path}` has no chat template, so that prompt and answer would be glued together; name one to train with: \
         `{choices}` (`plain` says that the rows are plain texts)"
    )]
    NoTemplate {
        /// The model's folder.
        path: PathBuf,
        /// The names that may be given.
        choices: String,
    },
    /// There is no built-in chat template of this name.
    #[error("no chat template is named `{name}`; there are `{choices}`")]
    UnknownTemplate {
        /// The name given.
        name: String,
        /// The names that may be given.
        choices: String,
    },
    /// The tokenizer lacks a token that a built-in chat template writes.
    #[error("the tokenizer has no token `{token}`, which the chat template `{name}` writes")]
    MissingToken {
        /// The template's name.
        name: String,
        /// The token.
        token: String,
    },
    /// A row is no conversation.
    #[error("`{key}`: {reason}")]
    Conversation {
        /// The key that is wrong, such as `messages[0].role`.
        key: String,
        /// What is wrong, and what is expected.
        reason: String,
    },
    /// Pictures, videos or sounds belong to a row.
    #[error("the row has pictures, videos or sounds, of which no chat template makes text")]
    Media,
    /// A trained message was cut off inside its reasoning.
    #[error(
        "the reasoning of the message at position {index} never ends: an end of turn must not stand inside a thought"
    )]
    UnfinishedReasoning {
        /// Position of the message in the conversation, from 0.
        index: usize,
    },
    /// The chat template changes or omits the text of a message, so that no loss mask can be made.
    #[error("chat template rewrites the `{role}` message at position {index}")]
    Rewritten {
        /// Position of the message in the conversation, from 0.
        index: usize,
        /// Its role.
        role: String,
    },
    /// No token of the example would count in the loss.
    #[error("no message to train on, or the trained message is empty")]
    NothingTrained,
    /// The tokenizer names no end-of-sequence token, and the template writes none.
    #[error("no end-of-sequence token: expected `eos_token` in `tokenizer_config.json`")]
    NoEndOfSequence,
    /// The tokenizer could not encode a text.
    #[error("cannot tokenise: {reason}")]
    Tokenise {
        /// The tokenizer's message.
        reason: String,
    },
}

impl ChatError {
    /// The `drop_reason` of a row that meets this error, or `None` when the fault lies not with the row but with the
    /// model's files or the settings.
    pub fn drop_reason(&self) -> Option<&'static str> {
        match self {
            Self::TemplateFails { .. } => Some("template_fails"),
            Self::Rewritten { .. } => Some("template_rewrites"),
            Self::TemplateRefused { .. } => Some("template_refused"),
            Self::UnfinishedReasoning { .. } => Some("unfinished_reasoning"),
            Self::Conversation { .. } => Some("not_a_conversation"),
            Self::Media => Some("media_not_supported"),
            Self::NothingTrained => Some("nothing_trained"),
            Self::Tokenise { .. } => Some("not_tokenisable"),
            Self::Read { .. }
            | Self::Malformed { .. }
            | Self::TemplateSyntax { .. }
            | Self::NoTemplate { .. }
            | Self::UnknownTemplate { .. }
            | Self::MissingToken { .. }
            | Self::NoEndOfSequence => None,
        }
    }
}
