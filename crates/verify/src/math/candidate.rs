//! Texts that may be the answer, and where they stand.

use std::borrow::Cow;

/// How an answer was found, from the surest to the least sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the last box.
    Boxed,
    /// In the last `<answer>` tag.
    Tagged,
    /// Directly after a phrase that announces the answer.
    Announced,
    /// The whole text is the answer.
    Whole,
    /// The only formula of a text.
    OnlyFormula,
    /// The last value of the sentence that announces the answer, or of the last sentence, where the sentence says that
    /// this is the value: `… is 5`.
    LastValue,
    /// The last value of such a sentence that merely stands there.
    StrayValue,
}

impl Place {
    /// The method's name in outcomes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boxed => "boxed",
            Self::Tagged => "tagged",
            Self::Announced => "announced",
            Self::Whole => "whole",
            Self::OnlyFormula => "formula",
            Self::LastValue => "last value",
            Self::StrayValue => "stray value",
        }
    }

    /// Whether another value at this place proves the completion wrong.
    pub fn is_sure(self) -> bool {
        !matches!(self, Self::LastValue | Self::StrayValue)
    }
}

/// A text that may be the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'t> {
    /// Where it was found.
    pub place: Place,
    /// The text.
    pub text: Cow<'t, str>,
    /// The contents of the boxes, when several make up the text.
    pub parts: Vec<&'t str>,
    /// The content of the box, when the text has what touches it too.
    pub bare: Option<&'t str>,
    /// Whether a sentence around it denies it.
    pub doubted: bool,
}

impl<'t> Candidate<'t> {
    /// A text found at a place.
    pub fn new(place: Place, text: Cow<'t, str>) -> Self {
        Self { place, text, parts: Vec::new(), bare: None, doubted: false }
    }
}
