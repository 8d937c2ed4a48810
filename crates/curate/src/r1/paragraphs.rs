//! Long paragraphs. DeepSeek-R1 asked for reasoning in short paragraphs and dropped the rest (arXiv 2501.12948v2, B.3.3);
//! the limits are ours.

use std::fmt;

use super::excerpt::{counts_alone, excerpt};

/// The paragraph of a text that fills its limits most.
#[derive(Debug, Clone, PartialEq)]
pub struct Paragraph {
    /// Its number, from 1.
    pub number: usize,
    /// Words in it: what stands between white space and holds a letter or digit, characters that count alone left out.
    pub words: u32,
    /// Chinese, Japanese and Korean characters in it.
    pub characters: u32,
    /// `words` over their limit plus `characters` over theirs: above 1 it is too long.
    pub fill: f64,
    limits: (Option<u32>, Option<u32>),
    start: String,
}

impl fmt::Display for Paragraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paragraph {} has", self.number)?;
        let parts = [(self.words, self.limits.0, "words"), (self.characters, self.limits.1, "characters")];
        let mut separator = "";
        for (count, limit, unit) in parts {
            if let Some(limit) = limit.filter(|_| count > 0) {
                write!(f, "{separator} {count} {unit}, at most {limit}")?;
                separator = " and";
            }
        }
        write!(f, ": `{}`", self.start)
    }
}

/// The fullest paragraph of `text` under the limits (`None` counts for nothing); the first of equals. `None` when the text
/// has no paragraph. Paragraphs end at a line without text and before a list item, heading or table row, as in Markdown: a
/// list of a hundred short lines is long but not a long paragraph.
pub fn fullest(text: &str, max_words: Option<u32>, max_characters: Option<u32>) -> Option<Paragraph> {
    let mut best: Option<Paragraph> = None;
    for (index, paragraph) in paragraphs(text).enumerate() {
        let (words, characters) = size(paragraph);
        let share = |count: u32, limit: Option<u32>| limit.map_or(0.0, |limit| f64::from(count) / f64::from(limit));
        let fill = share(words, max_words) + share(characters, max_characters);
        if best.as_ref().is_none_or(|best| fill > best.fill) {
            let (limits, start) = ((max_words, max_characters), excerpt(paragraph.trim_start(), 40));
            best = Some(Paragraph { number: index + 1, words, characters, fill, limits, start });
        }
    }
    best
}

/// The stretches of lines between lines without text, and between those that begin a block of their own.
fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut begin = None;
        let mut at = 0;
        for line in rest.split_inclusive('\n') {
            match (line.trim().is_empty(), begin) {
                (false, None) => begin = Some(at),
                (empty, Some(begin)) if empty || begins_block(line) => {
                    let paragraph = &rest[begin..at];
                    rest = &rest[at..];
                    return Some(paragraph);
                }
                _ => {}
            }
            at += line.len();
        }
        let last = begin.map(|begin| &rest[begin..]);
        rest = "";
        last
    })
}

/// Whether a line is a list item (`-`, `*`, `+`, `•`, `1.`, `1)`), a heading or a table row.
fn begins_block(line: &str) -> bool {
    let line = line.trim_start();
    let after_number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered =
        after_number.len() < line.len() && (after_number.starts_with(". ") || after_number.starts_with(") "));
    let marked = ["- ", "* ", "+ ", "• ", "#", "|"].iter().any(|mark| line.starts_with(mark));
    numbered || marked
}

/// Words and characters that count alone.
fn size(paragraph: &str) -> (u32, u32) {
    let (mut words, mut characters) = (0, 0);
    let mut in_word = false;
    for c in paragraph.chars() {
        // Nearly all text is ASCII, for which one comparison each is enough.
        let (letter, space) =
            if c.is_ascii() { (c.is_ascii_alphanumeric(), c <= ' ') } else { (c.is_alphanumeric(), c.is_whitespace()) };
        if letter && counts_alone(c) {
            characters += 1;
            in_word = false;
        } else if letter {
            words += u32::from(!in_word);
            in_word = true;
        } else if space {
            in_word = false;
        }
    }
    (words, characters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_end_at_lines_without_text() {
        let text = "\n\none\nstill one\n \t\ntwo\r\n\r\n\n\nthree";
        assert_eq!(paragraphs(text).collect::<Vec<_>>(), ["one\nstill one\n", "two\r\n", "three"]);
        let list = "so:\n- a\n  b\n12. c\n3.5 d\n| e |\n";
        assert_eq!(paragraphs(list).collect::<Vec<_>>(), ["so:\n", "- a\n  b\n", "12. c\n3.5 d\n", "| e |\n"]);
        assert_eq!(paragraphs("  \n").count(), 0);
        assert_eq!(paragraphs("").count(), 0);
    }

    #[test]
    fn sizes_by_hand() {
        assert_eq!(size("x + y = 3, isn't it? (so-called)"), (6, 0));
        assert_eq!(size("共有 3 个苹果"), (1, 5));
        assert_eq!(size("* - —"), (0, 0));
    }

    #[test]
    fn the_fullest_paragraph_decides() {
        let text = format!("short\n\n{}\n\n{}", "word ".repeat(30), "字".repeat(45));
        let found = fullest(&text, Some(60), Some(60)).unwrap();
        assert_eq!((found.number, found.fill), (3, 0.75));
        let found = fullest(&text, Some(10), None).unwrap();
        assert_eq!((found.number, found.fill), (2, 3.0));
        assert_eq!(fullest("", Some(1), Some(1)), None);
        // Half of each limit and a bit more is too much together.
        let mixed = format!("{}{}", "word ".repeat(31), "字".repeat(30));
        let found = fullest(&mixed, Some(60), Some(60)).unwrap();
        assert!(found.fill > 1.0);
        assert_eq!(
            found.to_string(),
            "paragraph 1 has 31 words, at most 60 and 30 characters, at most 60: `word word word word word word word word `"
        );
    }
}
