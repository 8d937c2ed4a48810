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

/// What kinds of things stages make and take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A table of prompts.
    Prompts,
    /// A table of rollouts, with their prompts.
    Rollouts,
    /// Lengths of rollouts in tokens of the model to be trained.
    Lengths,
    /// Verdicts on rollouts.
    Verdicts,
    /// Chosen rollouts.
    Selection,
    /// Training examples.
    Sft,
    /// Preference pairs.
    Pairs,
    /// A Hugging Face checkpoint folder.
    Checkpoint,
    /// Measures of checkpoints.
    Measures,
    /// Files for other tools.
    Export,
    /// An HTML report.
    Report,
}

impl Kind {
    /// The word that messages use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Rollouts => "rollouts",
            Self::Lengths => "lengths",
            Self::Verdicts => "verdicts",
            Self::Selection => "a selection",
            Self::Sft => "training examples",
            Self::Pairs => "preference pairs",
            Self::Checkpoint => "a checkpoint",
            Self::Measures => "measures",
            Self::Export => "exported files",
            Self::Report => "a report",
        }
    }
}
