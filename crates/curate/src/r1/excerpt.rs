//! Small looks at text that several filters share.

use retort_records::language::Script;

/// The first `length` characters of `text`, in one line.
pub(super) fn excerpt(text: &str, length: usize) -> String {
    text.chars().take(length).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whether a character is Han, kana or Hangul: writing in which a character is counted rather than a word.
pub(super) fn counts_alone(c: char) -> bool {
    !c.is_ascii() && matches!(Script::of(c), Script::Han | Script::Kana | Script::Hangul)
}
