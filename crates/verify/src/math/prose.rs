//! Sentences around answers: which words are prose, which part is a formula, which value a sentence ends in.

use std::sync::LazyLock;

use regex::Regex;

use super::{candidate::Place, nouns, numerals, units, words};
use crate::stance;

/// The last formula or number of a sentence, with the unit or percent sign after it.
pub fn last_value(sentence: &str) -> Option<(Place, &str)> {
    let formulas = formulas(sentence);
    if let Some(last) = formulas.last() {
        let start = place_in(sentence, last);
        let after = sentence.get(start + last.len()..).unwrap_or_default();
        if !after.contains(|c: char| c.is_ascii_digit()) {
            let said = formulas.len() == 1 || says(&sentence[..start]);
            return Some((place(said && is_asserted(sentence, last)), last));
        }
    }
    if sentence.contains('\\') {
        // A number inside LaTeX without its marks is a part of something.
        return None;
    }
    let found = NUMBER.find_iter(sentence).last()?;
    let (before, after) = (&sentence[..found.start()], &sentence[found.end()..]);
    let apart = |c: Option<char>| {
        c.is_none_or(|c| {
            c.is_whitespace() || !c.is_ascii() || matches!(c, '=' | ':' | '.' | ',' | '!' | '*' | '"' | '$' | 'm')
        })
    };
    if !apart(before.chars().next_back()) || !apart(after.chars().next()) {
        return None;
    }
    let only = NUMBER.find_iter(sentence).count() == 1;
    // `7 to the fourth`: what begins with its number is no more than that with its words.
    let alone = before.trim_matches(|c: char| !c.is_alphanumeric()).is_empty();
    let words = after.split(['.', ',', ';', '\n', '(']).next().unwrap_or_default();
    let forgiven = !alone || units::Phrase::read(words, units::Question::default()).is_forgiven();
    // `≥ 5`, `< 5`
    let related = before.trim_end().ends_with(['<', '>', '≤', '≥', '≠', '±', '∓', '~', '^']);
    let said = (only && forgiven || says(before))
        && !related
        && stance::asserts(before, after)
        && stance::leads_to_value(before)
        && !is_changed(before, after);
    Some((place(said), found.as_str()))
}

fn place(said: bool) -> Place {
    if said { Place::LastValue } else { Place::StrayValue }
}

/// Where a part of a text begins in it.
fn place_in(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len())
}

/// Whether the sentence around a formula, a part of the text, asserts it.
pub fn is_asserted(text: &str, formula: &str) -> bool {
    let at = place_in(text, formula);
    let marks = |c: char| matches!(c, '$' | '\\' | '(' | ')' | '[' | ']' | ' ');
    let (before, after) = (&text[..at], &text[at + formula.len()..]);
    let before = before.trim_end_matches(marks);
    stance::asserts(before, after.trim_start_matches(marks))
        && stance::leads_to_value(before)
        && !stance::takes_back(after)
}

/// Whether a word beside a number in a sentence makes it another number: `minus 5`, `5 thousand`, `5 below zero`.
fn is_changed(before: &str, after: &str) -> bool {
    let word = |c: char| c.is_alphabetic() || c == '-';
    let last = before.trim_end_matches(|c: char| c.is_whitespace() || c == '$');
    let last =
        &last[last.rfind(|c| !word(c)).map_or(0, |at| at + last[at..].chars().next().map_or(1, char::len_utf8))..];
    let clause = after.split(['.', ',', ';', '\n', '。', '，', '(']).next().unwrap_or_default();
    let mut following = clause.split_whitespace().map(|part| part.trim_matches(|c| !word(c)));
    let first = following.clone().next().unwrap_or_default();
    numerals::is_negative_sign(last)
        || numerals::multiplier(first).is_some()
        || nouns::is_changing(first)
        || following.by_ref().take(6).any(units::is_side)
}

/// Whether a sentence so far ends in a word that gives a value, as in `the probability is`.
fn says(before: &str) -> bool {
    let before =
        before.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '$' | '\\' | '(' | '[' | '*' | '"'));
    if before.ends_with(['=', ':', '：', '是', '为', '得', '≈']) {
        return true;
    }
    let word = before.rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default().to_lowercase();
    let gives = [
        "is",
        "are",
        "was",
        "equals",
        "equal",
        "to",
        "be",
        "approximately",
        "about",
        "exactly",
        "get",
        "gives",
        "have",
        "has",
        "obtain",
        "by",
    ];
    gives.contains(&word.as_str())
}

/// A number in prose: grouped, decimal, fraction, tuple of numbers, or percentage.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?x)
        [(\[]\s*-?\d+(?:\.\d+)?(?:/\d+)?(?:\s*,\s*-?\d+(?:\.\d+)?(?:/\d+)?)+\s*[)\]]
        | (?:[$€£¥]|\\\$)?-?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:\ \d{3})+|\d+[.,]\d+|\.\d+|\d+)(?:\s?/\s?\d+)?(?:\s?\\?%|[€°])?
    ")
    .expect("the pattern is constant")
});

/// The contents of a text's formulas: `$…$`, `$$…$$`, `\(…\)`, `\[…\]`.
pub fn formulas(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        let here = &rest[at..];
        let pair = [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")]
            .into_iter()
            .find(|(open, _)| here.starts_with(open));
        let Some((open, close)) = pair else {
            // A command, or an escaped dollar sign.
            let width = here.char_indices().nth(2).map_or(here.len(), |(at, _)| at);
            rest = &here[width..];
            continue;
        };
        let inner = &here[open.len()..];
        match inner.find(close) {
            Some(end) if open == "$" && currency(&inner[..end]) => rest = inner,
            Some(end) => {
                if !inner[..end].trim().is_empty() {
                    found.push(inner[..end].trim());
                }
                rest = &inner[end + close.len()..];
            }
            None => rest = inner,
        }
    }
    found
}

/// Whether a dollar sign was a price and what follows is prose up to the next price.
fn currency(content: &str) -> bool {
    let spoken =
        |c: char| content.split(|other: char| !other.is_alphabetic()).any(|word| word.len() > 1 && word.starts_with(c));
    content.starts_with(|c: char| c.is_ascii_digit())
        && content.contains(' ')
        && !content.contains('\\')
        && ('a'..='z').any(spoken)
}

/// Whether a run of letters is a function, a Greek letter, a joining word or a unit.
fn mathematical(run: &str) -> bool {
    words::plain_word(run).is_some() || words::leading_function(run).is_some() || units::is_known(run)
}

/// Whether a text has words that belong to no formula: at least two, or one Chinese clause.
pub fn is_prose(text: &str) -> bool {
    let mut words = 0;
    let mut chars = text.char_indices().peekable();
    let mut depth_of_text = 0usize;
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            // A command; the words inside `\text{…}` are part of the formula.
            let name: String = text[at + 1..].chars().take_while(char::is_ascii_alphabetic).collect();
            for _ in 0..name.len().max(1) {
                chars.next();
            }
            if matches!(
                name.as_str(),
                "text"
                    | "textbf"
                    | "mbox"
                    | "mathrm"
                    | "textit"
                    | "operatorname"
                    | "begin"
                    | "end"
                    | "mathbf"
                    | "textrm"
            ) && text[at + 1 + name.len()..].trim_start().starts_with('{')
            {
                depth_of_text = 1;
                while chars.next().is_some_and(|(_, c)| c != '{') {}
            }
            continue;
        }
        if depth_of_text > 0 {
            match c {
                '{' => depth_of_text += 1,
                '}' => depth_of_text -= 1,
                _ => {}
            }
            continue;
        }
        if !c.is_alphabetic() {
            continue;
        }
        let mut run = String::from(c);
        while let Some((_, next)) = chars.peek() {
            if !next.is_alphabetic() {
                break;
            }
            run.push(*next);
            chars.next();
        }
        let letters = run.chars().count();
        if c.is_ascii() {
            let lower = run.to_ascii_lowercase();
            let spoken = letters >= 4
                || matches!(
                    lower.as_str(),
                    "the"
                        | "is"
                        | "are"
                        | "so"
                        | "we"
                        | "it"
                        | "of"
                        | "to"
                        | "for"
                        | "has"
                        | "was"
                        | "not"
                        | "its"
                        | "get"
                        | "be"
                        | "by"
                        | "an"
                        | "as"
                        | "this"
                        | "let"
                );
            words += usize::from(spoken && !mathematical(&run));
        } else if words::greek_letter(c).is_none() || letters > 1 {
            // Scripts without spaces: four characters are about two words.
            words += letters.div_ceil(4).max(1);
        }
        if words >= 2 {
            return true;
        }
    }
    false
}
