//! Where in a text the final answer stands: in the last box, after a phrase that announces it, or in the last sentence.
//!
//! Only the end of a long text is read: one backward search finds the last box, and phrases are looked for in the last
//! few thousand bytes.

use std::{borrow::Cow, sync::LazyLock};

use memchr::memmem;
use regex::Regex;

pub use super::boxes::last_box;
use super::{
    boxes::{boxed, last_of, open_box},
    candidate::{Candidate, Place},
    limits::MAX_ANSWER,
    prose::{formulas, is_asserted, is_prose, last_value},
};
use crate::stance;

/// Bytes at the end of a text in which announcing phrases and last sentences are looked for.
const TAIL: usize = 3000;
/// Bytes of a text that says no more than its answer.
pub const SHORT: usize = 300;
/// Bytes of words that may be an answer themselves.
const MAX_WORDS: usize = 60;
/// Phrases that announce the final answer, in several languages. Their word boundaries are those of ASCII: with Unicode's
/// the search is a hundred times slower in any text that has another letter.
static ANNOUNCEMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:(?-u:\b)final\s+(?:answer|result)(?-u:\b)|(?-u:\b)(?:correct\s+)?answers?\s*(?:\(s\))?[*_]*\s*(?:is|are|would be|will be|must be|comes to|:|=|：)",
        r"|(?-u:\b)(?:correct|right)\s+(?:option|choice)s?\s*(?:is|are|:)",
        r"|(?-u:\b)answers?\s+(?:to|in|for|of)\s[^.\n$\\]{1,60}?\s(?:is|are)(?-u:\b)",
        r"|^\W*answer(?-u:\b)|(?-u:\b)hence,? the (?:result|value) is(?-u:\b)|####",
        r"|(?:最终|正确)?答案(?:(?:应该?|就|即|便|也)?(?:为|是|选)|等于|[:：])|(?:^|\n)\s*答[:：]|故答案为|结果(?:为|是)|(?:故|所以)(?:选|填)|【答案】",
        r"|(?-u:\b)respuesta(?:\s+final)?\s*(?:es|:)|(?-u:\b)réponse(?:\s+finale)?\s*(?:est|:)|(?-u:\b)(?:endgültige\s+)?antwort\s*(?:ist|lautet|:)",
        r"|ответ\s*[:—-]|(?:最終的な)?答えは|答え[:：]|정답(?:은|:)|답(?:은|:)|(?-u:\b)resposta(?:\s+final)?\s*(?:é|:)|(?-u:\b)risposta(?:\s+finale)?\s*(?:è|:))",
        r"(?:\s*(?:is|are|equals|es|est|ist|:|=|：|为|是))*[\s*_:：]*",
    ))
    .expect("the pattern is constant")
});

/// `Option C is correct`.
static CORRECT_OPTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)(?-u:\b)(?:option|choice|answer)\s+\(?((?-i:[A-J]))\)?\s+is\s+(?:the\s+)?(?:correct|right)(?-u:\b)",
    )
    .expect("the pattern is constant")
});

/// The texts that may be the final answer, surest first. What a trusted text announces is not doubted.
pub fn candidates<'t>(text: &'t str, trusted: bool) -> Vec<Candidate<'t>> {
    let text = without_special_tokens(text);
    // A reference answer was not cut off: it lacks a brace.
    if let Some(content) = open_box(text).filter(|_| trusted) {
        return vec![Candidate::new(Place::Boxed, content.into())];
    }
    if let Some(candidate) = boxed(text) {
        return vec![candidate];
    }
    let mut found = Vec::new();
    let mut add = |place, text: Cow<'t, str>| found.push(Candidate::new(place, text));
    if let Some(content) = tagged(text) {
        add(Place::Tagged, content.into());
        if content.len() <= SHORT && ANNOUNCEMENT.is_match(content) {
            // `<answer>The answer is 7</answer>`
            found.extend(candidates(content, trusted).into_iter().filter(|inner| inner.place == Place::Announced));
        }
        return found;
    }
    let tail = tail(text);
    if let Some((rest, doubted)) = announced(tail, trusted) {
        match direct(without_leading_words(rest)) {
            Some(answer) if doubted => {
                return vec![Candidate { doubted, ..Candidate::new(Place::Announced, answer) }];
            }
            Some(answer) => add(Place::Announced, answer),
            None => {
                // `The answer is divisible by 5`; but behind a colon stands a sentence of its own.
                let start = rest.as_ptr() as usize - tail.as_ptr() as usize;
                let lead = tail[..start].trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_'));
                let own = lead.ends_with(|c: char| !c.is_alphanumeric()) || tail[lead.len()..start].contains('\n');
                if let Some((place, value)) = last_value(rest) {
                    add(if own || trusted { place } else { Place::StrayValue }, value.into());
                }
            }
        }
    }
    if let Some(option) = CORRECT_OPTION.captures_iter(tail).last().and_then(|found| found.get(1)) {
        add(Place::Announced, option.as_str().into());
    }
    let short = text.len() <= SHORT;
    if text.len() <= MAX_ANSWER && !is_prose(text) {
        // `Thus $x = 5$.`
        if let [only] = formulas(text).as_slice()
            && let Some((before, after)) = text.split_once(only)
            && before.split(|c: char| !c.is_alphabetic()).any(|word| word.len() > 2)
            && !after.contains(char::is_alphanumeric)
            && is_asserted(text, only)
        {
            add(if short { Place::OnlyFormula } else { Place::LastValue }, (*only).into());
        }
        match labelled(text) {
            Some(value) => add(Place::Whole, value.into()),
            None if short || !text.contains('=') && !text.trim().contains('\n') => {
                add(Place::Whole, stance::asserted(text).trim().into());
            }
            // A derivation without words: its last side may be the answer, or not.
            None => add(Place::LastValue, text.trim().into()),
        }
    }
    if is_prose(tail) {
        let formulas = formulas(tail);
        if let ([only], true) = (formulas.as_slice(), tail.len() == text.len())
            && is_asserted(tail, only)
        {
            add(if short { Place::OnlyFormula } else { Place::LastValue }, (*only).into());
        }
        let sentence = last_sentence(tail);
        let end = sentence.as_ptr() as usize - tail.as_ptr() as usize + sentence.len();
        if !trusted && stance::takes_back(&tail[end..]) {
            // A later sentence says that this is not it.
        } else if let Some((place, value)) = last_value(sentence) {
            add(place, value.into());
        }
    }
    if found.is_empty() && text.len() <= MAX_WORDS && !text.contains('\n') {
        // Nothing but words: they may be the answer, or say that there is none.
        found.push(Candidate::new(Place::LastValue, text.trim().into()));
    }
    found
}

/// The end of the last sentence that announces the answer and is neither denied, quoted nor taken back, and whether another
/// one announces another final answer.
fn announced(tail: &str, trusted: bool) -> Option<(&str, bool)> {
    let mut last: Option<&str> = None;
    for found in ANNOUNCEMENT.find_iter(tail).collect::<Vec<_>>().into_iter().rev().take(8) {
        let rest = &tail[found.end()..];
        if rest.trim().is_empty() {
            continue;
        }
        let sentence = first_sentence(rest);
        let end = sentence.as_ptr() as usize - tail.as_ptr() as usize + sentence.len();
        let part = stance::asserted(sentence);
        let value = part.find(|c: char| c.is_ascii_digit() || matches!(c, '$' | '\\')).unwrap_or(part.len());
        let before = &tail[..found.end() + (part.as_ptr() as usize - rest.as_ptr() as usize)];
        let before = format!("{before}{}", &part[..value]);
        let denied = stance::is_denied_between(&part[..value]) || !stance::asserts(&before, &part[value..]);
        let asked = part.trim_end_matches(['$', '*', ' ', '.']).ends_with(['?', '？']);
        if !trusted && (denied || asked || stance::takes_back(&part[value..]) || stance::takes_back(&tail[end..])) {
            continue;
        }
        let is_final = found.as_str().to_lowercase().contains("final") || found.as_str().contains("最终");
        match last {
            None if trusted || !is_final => return Some((part, false)),
            None => last = Some(part),
            // Two final answers, one of them another.
            Some(last) if is_final && direct(part).is_some() => {
                let same = direct(last).is_none_or(|answer| part.contains(answer.as_ref()));
                return Some((last, !same));
            }
            Some(_) => {}
        }
    }
    last.map(|part| (part, false))
}

/// Without what a chat template or a run-on model adds after the answer.
fn without_special_tokens(text: &str) -> &str {
    let mut text = text;
    for token in ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|eot_id|>", "<｜end▁of▁sentence｜>", "</s>"] {
        // Only near the end: a whole text is not searched for each.
        let start = floor_boundary(text, text.len().saturating_sub(TAIL));
        if let Some(at) = text[start..].find(token) {
            text = &text[..start + at];
        }
    }
    text.trim_end()
}

fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn tail(text: &str) -> &str {
    &text[floor_boundary(text, text.len().saturating_sub(TAIL))..]
}

fn tagged(text: &str) -> Option<&str> {
    let start = last_of(&memmem::Finder::new("<answer>"), text.as_bytes())? + "<answer>".len();
    let rest = &text[start..];
    let content = rest.split("</answer>").next().unwrap_or(rest).trim();
    (!content.is_empty()).then_some(content)
}

/// The value after a label in words, as in `Area: 5`.
fn labelled(text: &str) -> Option<&str> {
    let (label, value) = text.split_once([':', '：'])?;
    let words = label.trim().trim_matches('*');
    let plain = words.chars().filter(|c| c.is_alphabetic()).count() >= 3
        && words.chars().all(|c| c.is_alphabetic() || c == ' ');
    let value = value.trim();
    (plain && value.contains(|c: char| c.is_ascii_digit() || c == '\\')).then_some(value)
}

/// What follows an announcement, up to the end of its sentence, or the next line when it ends its own.
fn first_sentence(rest: &str) -> &str {
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '*' | ':' | '：' | '_'));
    // A displayed formula may span lines.
    for (open, close) in [("\\[", "\\]"), ("$$", "$$")] {
        if let Some(inner) = rest.strip_prefix(open)
            && let Some(end) = inner.find(close)
        {
            return &rest[..open.len() + end + close.len()];
        }
    }
    if let Some(end) = rest.strip_prefix('$').and_then(|inner| inner.find('$')).filter(|end| *end <= SHORT)
        && rest[..=end].contains('\n')
    {
        return &rest[..end + 2];
    }
    let line_end = rest.find('\n').unwrap_or(rest.len());
    let line = &rest[..line_end];
    &line[..sentence_end(line)]
}

/// Where the first sentence of a line ends: a full stop that is followed by a space and is no decimal point.
fn sentence_end(line: &str) -> usize {
    let bytes = line.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let stop = *byte == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_whitespace);
        if stop && line[at + 1..].trim_start().starts_with(|c: char| c.is_alphabetic() || c == '[' || c == '#') {
            return at;
        }
    }
    line.find('。').unwrap_or(line.len())
}

/// Without the words between an announcement and its value that say nothing of it: `actually 5`, `just 5`.
fn without_leading_words(rest: &str) -> &str {
    static LEADING: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i)^(?:(?:actually|just|exactly|simply|clearly|indeed|in fact|thus|therefore|hence|then|now|also|given by|equal to|the number)(?-u:\b)[,\s]*)+")
            .expect("the pattern is constant")
    });
    LEADING.find(rest).map_or(rest, |found| &rest[found.end()..])
}

fn last_sentence(text: &str) -> &str {
    let text = text.trim_end();
    let line = text.lines().rev().find(|line| line.contains(|c: char| c.is_alphanumeric())).unwrap_or(text);
    let mut rest = line;
    loop {
        let end = sentence_end(rest);
        let next = rest.get(end + 1..).map_or("", str::trim);
        // `I hope it is correct.` and its like say nothing.
        if next.is_empty() || !next.contains(|c: char| c.is_ascii_digit() || c == '$' || c == '\\') {
            return &rest[..end];
        }
        rest = next;
    }
}

/// The answer directly after an announcement: the formula or formulas it begins with, or all of it when it is no prose.
fn direct(rest: &str) -> Option<Cow<'_, str>> {
    // `7**.`: the mark that closes an emphasis, with the full stop behind it.
    let rest = rest.trim();
    let rest = rest.strip_suffix('.').filter(|rest| rest.ends_with(['*', '_', '`', '"'])).unwrap_or(rest);
    let rest = rest.trim_matches(|c: char| matches!(c, '*' | '_' | '`' | '"')).trim();
    if rest.is_empty() {
        return None;
    }
    let formulas = formulas(rest);
    if let [only] = formulas.as_slice()
        && let Some(after) = rest.find(only).map(|at| &rest[at + only.len()..])
        && after.trim_matches(|c: char| matches!(c, '$' | '\\' | ')' | ']' | '.') || c.is_whitespace()).is_empty()
        && !rest[..rest.find(only)?].contains(char::is_alphanumeric)
    {
        return Some((*only).into());
    }
    if !is_prose(rest) {
        return Some(rest.into());
    }
    let first = formulas.first()?;
    let start = rest.find(first)?;
    if rest[..start].trim_matches(|c: char| matches!(c, '$' | '\\' | '(' | '[') || c.is_whitespace()).is_empty() {
        return Some((*first).into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> (Place, String) {
        let found = candidates(text, false);
        let first = found.first().unwrap_or_else(|| panic!("nothing in {text:?}"));
        (first.place, first.text.to_string())
    }

    #[test]
    fn the_last_balanced_box_wins() {
        for (text, expected) in [
            (r"\boxed{1} wait, no, \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
            (r"\boxed{\{1\}}", r"\{1\}"),
            (r"\boxed{-2} \quad \text{and} \quad \boxed{1}", "-2, 1"),
            (r"$y_1 = \boxed{a}\) and \( y_2 = \boxed{b}\)", "a, b"),
            (r"\boxed{2} ... \boxed{} ", "2"),
            (r"\boxed{004} and again \boxed{004}", "004"),
            (r"\boxed{\boxed{7}}", r"\boxed{7}"),
            (r"$x = -\boxed{3}$", "-(3)"),
            (r"-\boxed{3}", "-(3)"),
            (r"\[\pm\boxed{3}\]", "\\pm(3)"),
            (r"$2\boxed{\sqrt3}$", "2(\\sqrt3)"),
            (r"$\sqrt{\boxed{5}}$", "\\sqrt{(5)}"),
            (r"$\boxed{5}\text{ cm}$.", "(5)\\text{ cm}"),
            (r"$\boxed{5}\text{ ways}$", "5"),
            (r"**\boxed{5}**.", "5"),
            (r"\boxed 9", "9"),
        ] {
            assert_eq!(first(text), (Place::Boxed, expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn announcements_are_read_in_several_languages() {
        for (text, expected) in [
            ("The final answer is $(0, 1)$. I hope it is correct.", "(0, 1)"),
            ("Work.\n\n**Final Answer**\n\n**73**", "73"),
            ("Final Answer: The final answer is 7.78.", "7.78."),
            ("steps\n#### 1,234", "1,234"),
            ("因此，最终答案是 $x=3$。", "x=3"),
            ("所以答案为：12", "12"),
            ("La respuesta final es 42.", "42."),
            ("Also ist die Antwort: 3/4", "3/4"),
            ("Ответ: 15", "15"),
            ("答えは 8", "8"),
            ("**Answer:** \\[ \\frac{3}{4} \\]", "\\frac{3}{4}"),
        ] {
            assert_eq!(first(text), (Place::Announced, expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn bare_answers_and_prose_are_told_apart() {
        assert_eq!(first("28 percent"), (Place::Whole, "28 percent".into()));
        assert_eq!(first("3*sqrt(13)"), (Place::Whole, "3*sqrt(13)".into()));
        assert_eq!(first("Therefore $x \\geq 5$ is the solution."), (Place::OnlyFormula, "x \\geq 5".into()));
        assert_eq!(first("We see 10 and 20, so there are 30 of them."), (Place::LastValue, "30".into()));
        assert_eq!(first("it costs $5 and then $1,000.99 in all"), (Place::StrayValue, "$1,000.99".into()));
        assert_eq!(first("so there are 5 boys and the number of girls is 7"), (Place::LastValue, "7".into()));
        assert!(candidates("", false).is_empty() || candidates("", false).iter().all(|found| found.text.is_empty()));
    }
}
