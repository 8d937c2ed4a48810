//! What a stage reads: another stage, or a path.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an input comes from: the name of a stage (`[a-z0-9_-]+`), or, with a `/`, the path of a finished stage's
/// folder; a checkpoint may also be any Hugging Face folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Source(pub String);

impl Source {
    /// Whether the text names a path.
    pub fn is_path(&self) -> bool {
        self.0.contains('/')
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Source {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
