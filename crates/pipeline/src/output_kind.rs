//! What stages make and take.

use serde::{Deserialize, Serialize};

/// What kinds of things stages make and take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
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

impl OutputKind {
    /// The table that holds outputs of this kind, for those that are one table.
    pub fn table(self) -> Option<&'static str> {
        match self {
            Self::Prompts => Some("prompts"),
            Self::Rollouts => Some("rollouts"),
            Self::Lengths => Some("lengths"),
            Self::Verdicts => Some("verdicts"),
            Self::Selection => Some("selection"),
            Self::Sft => Some("sft"),
            Self::Pairs => Some("pairs"),
            Self::Checkpoint | Self::Measures | Self::Export | Self::Report => None,
        }
    }

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
