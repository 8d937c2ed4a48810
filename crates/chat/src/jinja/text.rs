//! Strings that know which stretches of them came from the conversation.
//!
//! A chat template may trim a message, split it at `</think>`, or write it twice. Whoever makes a loss mask must know
//! which bytes of the rendering are whose, so every string carries *marks*: byte ranges with the number of the input
//! string (its *origin*) that they were copied from. Slicing, trimming, splitting, replacing, joining and concatenating
//! keep them exactly; a function that writes new text out of an input (`upper`, `tojson`) marks all of its output,
//! without saying where in the input it stood.

use std::ops::Range;
use std::sync::Arc;

/// A stretch of a string that came from an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Bytes of the string.
    pub range: Range<usize>,
    /// Number of the input that they came from.
    pub origin: u32,
    /// The byte of the input at which they stood; `None` when the text is not a copy.
    pub source: Option<usize>,
}

/// An immutable string with its marks, sorted and disjoint.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    string: Arc<str>,
    marks: Option<Arc<[Mark]>>,
    /// Whether the string is what Python calls `Markup`: text that went through `safe` or `escape`.
    markup: bool,
}

impl Text {
    /// A string that came from input number `origin`, whole.
    pub(crate) fn from_input(string: &str, origin: u32) -> Self {
        let mark = Mark { range: 0..string.len(), origin, source: Some(0) };
        Self { marks: (!string.is_empty()).then(|| Arc::from([mark])), ..Self::from(string) }
    }

    /// A string written out of `parts` in a way that does not copy them: all of it is marked with the first of
    /// their origins.
    pub(crate) fn written(string: String, origin: Option<u32>) -> Self {
        let mark = origin
            .filter(|_| !string.is_empty())
            .map(|origin| Arc::from([Mark { range: 0..string.len(), origin, source: None }]));
        Self { marks: mark, ..Self::from(string) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.string
    }

    pub(crate) fn marks(&self) -> &[Mark] {
        self.marks.as_deref().unwrap_or_default()
    }

    /// The first origin that is marked.
    pub(crate) fn origin(&self) -> Option<u32> {
        self.marks().first().map(|mark| mark.origin)
    }

    pub(crate) fn is_markup(&self) -> bool {
        self.markup
    }

    pub(crate) fn with_markup(self, markup: bool) -> Self {
        Self { markup, ..self }
    }

    /// A part of the string; the range must lie on character boundaries.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        if range == (0..self.string.len()) {
            return self.clone();
        }
        let mut builder = TextBuilder::default();
        builder.push_slice(self, range);
        builder.finish().with_markup(self.markup)
    }

    /// Byte range of `part`, which must be a slice of this very string.
    pub(crate) fn range_of(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr() as usize - self.string.as_ptr() as usize;
        start..start + part.len()
    }

    /// A part of the string given as a slice of [`Text::as_str`].
    pub(crate) fn part(&self, part: &str) -> Self {
        self.slice(self.range_of(part))
    }
}

impl From<&str> for Text {
    fn from(string: &str) -> Self {
        Self { string: Arc::from(string), marks: None, markup: false }
    }
}

impl From<String> for Text {
    fn from(string: String) -> Self {
        Self { string: Arc::from(string), marks: None, markup: false }
    }
}

impl From<&Arc<str>> for Text {
    fn from(string: &Arc<str>) -> Self {
        Self { string: string.clone(), marks: None, markup: false }
    }
}

/// Puts texts together, marks included.
#[derive(Debug, Default)]
pub(crate) struct TextBuilder {
    string: String,
    marks: Vec<Mark>,
}

impl TextBuilder {
    pub(crate) fn push(&mut self, text: &Text) {
        self.push_slice(text, 0..text.string.len());
    }

    /// Appends text that came from no input.
    pub(crate) fn push_str(&mut self, text: &str) {
        self.string.push_str(text);
    }

    pub(crate) fn push_slice(&mut self, text: &Text, range: Range<usize>) {
        let shift = self.string.len();
        self.string.push_str(&text.string[range.clone()]);
        let marks = text.marks();
        let first = marks.partition_point(|mark| mark.range.end <= range.start);
        for mark in marks[first..].iter().take_while(|mark| mark.range.start < range.end) {
            let start = mark.range.start.max(range.start);
            let end = mark.range.end.min(range.end);
            self.mark(Mark {
                range: start - range.start + shift..end - range.start + shift,
                origin: mark.origin,
                source: mark.source.map(|source| source + start - mark.range.start),
            });
        }
    }

    /// Appends a mark; one that goes on where the last ended, in the string and in the input, is joined to it.
    fn mark(&mut self, mark: Mark) {
        if let Some(last) = self.marks.last_mut()
            && last.range.end == mark.range.start
            && last.origin == mark.origin
        {
            let goes_on = match (last.source, mark.source) {
                (Some(source), Some(next)) => source + last.range.len() == next,
                (None, None) => true,
                _ => false,
            };
            if goes_on {
                last.range.end = mark.range.end;
                return;
            }
        }
        if !mark.range.is_empty() {
            self.marks.push(mark);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.string.len()
    }

    pub(crate) fn finish(self) -> Text {
        let marks = (!self.marks.is_empty()).then(|| Arc::from(self.marks));
        Text { string: Arc::from(self.string), marks, markup: false }
    }
}

/// White space as Python's `str.isspace` and `str.strip` see it.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_follow_slices_and_joins() {
        let text = Text::from_input("héllo world", 7);
        let tail = text.part(text.as_str().split_once(' ').expect("two words").1);
        assert_eq!(tail.marks(), [Mark { range: 0..5, origin: 7, source: Some(7) }]);
        let mut builder = TextBuilder::default();
        builder.push_str("<");
        builder.push(&text.slice(0..3));
        builder.push(&text.slice(3..6));
        builder.push(&tail);
        let joined = builder.finish();
        assert_eq!(joined.as_str(), "<hélloworld");
        assert_eq!(
            joined.marks(),
            [Mark { range: 1..7, origin: 7, source: Some(0) }, Mark { range: 7..12, origin: 7, source: Some(7) }]
        );
        assert_eq!(Text::written("HI".to_owned(), text.origin()).marks()[0].source, None);
        assert!(Text::from("x").marks().is_empty());
    }
}
