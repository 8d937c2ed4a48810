//! Secrets by reference, and texts from servers made fit to be shown.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::TeacherError;

/// The longest server message that is kept, in characters.
const MESSAGE_LIMIT: usize = 400;

/// Where a secret is found: `env:NAME` or `file:PATH`. Never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(extend("pattern" = "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"))]
pub struct SecretRef(String);

impl SecretRef {
    /// Reads a reference. The error does not repeat `text`, because it may be a secret written by mistake.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let well_formed = match text.split_once(':') {
            Some(("env", name)) => {
                name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            }
            Some(("file", path)) => !path.is_empty(),
            _ => false,
        };
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err("a secret is given as `env:NAME` or `file:PATH`, never literally")
        }
    }

    /// The reference as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file that holds the secret, if it is in a file.
    fn file(&self, root: &Path) -> Option<PathBuf> {
        self.0.strip_prefix("file:").map(|path| root.join(path))
    }

    /// Whether the secret is there and can be used; a relative `file:` path starts at `root`.
    pub fn check(&self, root: &Path) -> Result<(), TeacherError> {
        self.resolve(root).map(drop)
    }

    /// Fetches the secret; a relative `file:` path starts at `root`.
    pub(crate) fn resolve(&self, root: &Path) -> Result<Secret, TeacherError> {
        let fail = |reason: String| TeacherError::Secret { reference: self.0.clone(), reason };
        let text = match self.file(root) {
            // A pipe or a device may never end.
            Some(path) => match path.metadata() {
                Ok(found) if !found.is_file() => return Err(fail("it is no file".into())),
                _ => std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?,
            },
            None => std::env::var(self.0.strip_prefix("env:").unwrap_or(&self.0)).map_err(|error| match error {
                std::env::VarError::NotPresent => fail("the variable is not set".into()),
                // The library's own text would show the value.
                std::env::VarError::NotUnicode(_) => fail("the variable is not UTF-8".into()),
            })?,
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(fail("it is empty".into()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(fail("it holds characters that cannot stand in a header".into()));
        }
        Ok(Secret(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = SecretRef;
            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("`env:NAME` or `file:PATH`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretRef, E> {
                SecretRef::new(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// A secret in memory. Has no `Display`, and its `Debug` says nothing.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// The secret itself: for the `Authorization` header only.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Makes a server's text fit for errors, tables and terminals: one line, no ANSI sequences or control characters, no
/// secret (a server may echo the key), no bearer token, of limited length.
pub(crate) fn clean(text: &str, secret: Option<&Secret>) -> String {
    let text = match secret {
        Some(secret) => text.replace(secret.expose(), "[secret]"),
        None => text.to_owned(),
    };
    let mut line = String::new();
    let mut after_bearer = false;
    for (position, word) in strip_escapes(&text).split_whitespace().enumerate() {
        if line.chars().count() >= MESSAGE_LIMIT {
            line.push_str(" …");
            break;
        }
        if position > 0 {
            line.push(' ');
        }
        line.extend(if after_bearer { "[secret]" } else { word }.chars().take(MESSAGE_LIMIT));
        after_bearer = word.eq_ignore_ascii_case("bearer");
    }
    line
}

/// Removes ANSI escape sequences and control characters; white space stays.
fn strip_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            match characters.next() {
                // A control sequence ends with a letter or one of `@[\]^_`{|}~`.
                Some('[') => while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // A system command ends with BEL or with ESC `\`.
                Some(']') => {
                    while let Some(c) = characters.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            }
        } else if character.is_whitespace() || !(character.is_control() || is_invisible(character)) {
            out.push(character);
        }
    }
    out
}

/// Marks that reorder or hide the text around them.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_refused_and_not_repeated() {
        for text in ["sk-canary-123", "env:", "env:A-B", "file:", "literal:sk-canary-123"] {
            let error = serde_json::from_value::<SecretRef>(text.into()).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
            assert!(error.contains("env:NAME"), "{error}");
        }
        assert_eq!(SecretRef::new("env:OPENAI_API_KEY").unwrap().as_str(), "env:OPENAI_API_KEY");
    }

    #[test]
    fn debug_of_a_secret_says_nothing() {
        assert_eq!(format!("{:?}", Secret("sk-canary".into())), "Secret(..)");
    }

    #[test]
    fn texts_from_servers_are_cleaned() {
        let secret = Secret("sk-canary".into());
        assert_eq!(
            clean(
                "bad\x1b[31m key\x1b[0m sk-canary\r\n\tAuthorization: Bearer abc \x1b]0;title\x07end\u{202e}",
                Some(&secret)
            ),
            "bad key [secret] Authorization: Bearer [secret] end"
        );
        assert!(clean(&"word ".repeat(1000), None).chars().count() < MESSAGE_LIMIT + 10);
        assert!(clean(&"x".repeat(100_000), None).chars().count() <= MESSAGE_LIMIT);
    }
}
