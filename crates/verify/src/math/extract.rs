//! Where in a text the final answer stands: in the last box, after a phrase that announces it, or in the last sentence.
//!
//! Only the end of a long text is read: one backward search finds the last box, and phrases are looked for in the last
//! few thousand bytes.

use std::{borrow::Cow, sync::LazyLock};

use memchr::memmem;
use regex::Regex;

use super::{
    limits::MAX_ANSWER,
    prose::{formulas, is_prose, last_value},
};

/// Bytes at the end of a text in which announcing phrases and last sentences are looked for.
const TAIL: usize = 3000;
/// Bytes of a text that says no more than its answer.
pub const SHORT: usize = 300;
/// Bytes of words that may be an answer themselves.
const MAX_WORDS: usize = 60;
/// Bytes between two boxes that may be one answer.
const MAX_GAP: usize = 80;

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
}

/// The content of the last `\boxed{…}` whose braces balance and that is not empty.
pub fn last_box(text: &str) -> Option<&str> {
    boxes_backward(text).map(|found| found.content).find(|content| !content.trim().is_empty())
}

/// Where the last of a searched word stands. Growing pieces from the end are searched forwards, because only forward
/// search compares many bytes at a time.
fn last_of(finder: &memmem::Finder<'_>, text: &[u8]) -> Option<usize> {
    let overlap = finder.needle().len().saturating_sub(1);
    let (mut end, mut size) = (text.len(), 4096);
    while end > 0 {
        let start = end.saturating_sub(size);
        let piece = &text[start..(end + overlap).min(text.len())];
        if let Some(at) = finder.find_iter(piece).last() {
            return Some(start + at);
        }
        (end, size) = (start, 4 * size);
    }
    None
}

/// A box: its content, and where it begins and ends.
struct Boxed<'t> {
    content: &'t str,
    start: usize,
    end: usize,
}

/// All balanced boxes from the last to the first. The work is linear: once a box never closes, no earlier one is
/// tried, unless it ends before that one begins.
fn boxes_backward(text: &str) -> impl Iterator<Item = Boxed<'_>> {
    let finder = memmem::Finder::new("\\boxed");
    let mut end = text.len();
    let mut attempts = 0;
    std::iter::from_fn(move || {
        loop {
            let at = last_of(&finder, &text.as_bytes()[..end])?;
            // A box inside the one found before belongs to it: only what begins earlier counts.
            let limit = text.len();
            end = at;
            attempts += 1;
            if attempts > 64 {
                return None;
            }
            let rest = &text[at + "\\boxed".len()..limit];
            let trimmed = rest.trim_start();
            let skipped = rest.len() - trimmed.len();
            if let Some(inner) = trimmed.strip_prefix('{') {
                if let Some(content) = balanced(inner) {
                    let stop = at + "\\boxed".len() + skipped + 1 + content.len() + 1;
                    // Doubled backslashes belong to the command.
                    let start = text[..at].trim_end_matches('\\').len();
                    return Some(Boxed { content, start, end: stop });
                }
            } else if let Some(symbol) = trimmed.chars().next().filter(char::is_ascii_digit) {
                // `\boxed 5`
                let stop = at + "\\boxed".len() + skipped + symbol.len_utf8();
                return Some(Boxed { content: &trimmed[..symbol.len_utf8()], start: at, end: stop });
            }
        }
    })
}

/// The text up to the brace that closes the one before it, if it closes within an answer's length.
fn balanced(text: &str) -> Option<&str> {
    let mut depth = 0usize;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().take(4 * MAX_ANSWER) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(&text[..at]),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What may stand between two boxes of one answer: signs, joining words, a label.
static GAP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:[\s$,;，；、&+*]|\\[()\[\],;! ]|\\q?quad|and|or|和|或|与|for part \([a-z]\)|part \([a-z]\)",
        r"|\\(?:text|mbox|mathrm)\{[\s,;]*(?:for part \([a-z]\))?[\s,;]*(?:and|or|和|或)?[\s,;]*\}",
        r"|[A-Za-z](?:_\{?\w{1,3}\}?)?\s*(?:=|:))*$",
    ))
    .expect("the pattern is constant")
});

/// The content of the last box, with those of the boxes right before it that belong to the same answer.
fn boxed(text: &str) -> Option<Candidate<'_>> {
    let mut boxes = boxes_backward(text).filter(|found| !found.content.trim().is_empty());
    let last = boxes.next()?;
    let mut contents = vec![last.content];
    let mut next_start = last.start;
    for earlier in boxes {
        if earlier.end > next_start {
            // It encloses the later one: the outer box is the answer.
            if contents.len() == 1 && earlier.end >= last.end {
                contents[0] = earlier.content;
                next_start = earlier.start;
                continue;
            }
            break;
        }
        let gap = &text[earlier.end..next_start];
        if gap.len() > MAX_GAP || !GAP.is_match(gap) {
            break;
        }
        contents.push(earlier.content);
        next_start = earlier.start;
        if contents.len() > 20 {
            break;
        }
    }
    contents.reverse();
    let candidate = |text, parts| Some(Candidate { place: Place::Boxed, text, parts });
    if contents.iter().all(|content| content.trim() == contents[0].trim()) {
        // `x = -\boxed{5}`: the sign stands outside.
        let before = text[..next_start].trim_end();
        let negative = before.strip_suffix('-').is_some_and(|rest| {
            let rest = rest.trim_end_matches(' ');
            rest.is_empty() || rest.ends_with(['=', '$', '(', '[', ':', '\n', '≈'])
        });
        let text = if negative { format!("-({})", contents[0]).into() } else { contents[0].into() };
        return candidate(text, Vec::new());
    }
    candidate(contents.join(", ").into(), contents)
}

/// A box that is opened and never closed, at the end of a text without any other.
fn open_box(text: &str) -> Option<&str> {
    let at = last_of(&memmem::Finder::new("\\boxed{"), text.as_bytes())?;
    let rest = &text[at + "\\boxed{".len()..];
    (rest.len() <= 400 && !rest.contains('\n'))
        .then(|| rest.trim_end_matches(['$', ' ', '.']))
        .filter(|rest| !rest.is_empty())
}

/// Phrases that announce the final answer, in several languages. Their word boundaries are those of ASCII: with Unicode's
/// the search is a hundred times slower in any text that has another letter.
static ANNOUNCEMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:(?-u:\b)final\s+(?:answer|result)(?-u:\b)|(?-u:\b)(?:correct\s+)?answers?\s*(?:\(s\))?[*_]*\s*(?:is|are|would be|will be|must be|comes to|:|=|：)",
        r"|(?-u:\b)(?:correct|right)\s+(?:option|choice)s?\s*(?:is|are|:)",
        r"|(?-u:\b)answers?\s+(?:to|in|for|of)\s[^.\n$\\]{1,60}?\s(?:is|are)(?-u:\b)",
        r"|^\W*answer(?-u:\b)|(?-u:\b)hence,? the (?:result|value) is(?-u:\b)|####",
        r"|(?:最终|正确)?答案(?:应?为|应?是|应?选|[:：])|(?:^|\n)\s*答[:：]|故答案为|结果(?:为|是)|(?:故|所以)(?:选|填)|【答案】",
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

/// The texts that may be the final answer, surest first.
pub fn candidates<'t>(text: &'t str) -> Vec<Candidate<'t>> {
    let text = without_special_tokens(text);
    if let Some(candidate) = boxed(text) {
        return vec![candidate];
    }
    let mut found = Vec::new();
    let mut add = |place, text: Cow<'t, str>| found.push(Candidate { place, text, parts: Vec::new() });
    if let Some(content) = open_box(text) {
        add(Place::Boxed, content.into());
        return found;
    }
    if let Some(content) = tagged(text) {
        add(Place::Tagged, content.into());
        if content.len() <= SHORT && ANNOUNCEMENT.is_match(content) {
            // `<answer>The answer is 7</answer>`
            found.extend(candidates(content).into_iter().filter(|inner| inner.place == Place::Announced));
        }
        return found;
    }
    let tail = tail(text);
    if let Some(announced) = ANNOUNCEMENT.find_iter(tail).filter(|found| !tail[found.end()..].trim().is_empty()).last()
    {
        let rest = first_sentence(&tail[announced.end()..]);
        match direct(rest) {
            Some(answer) => add(Place::Announced, answer),
            None => {
                if let Some((place, value)) = last_value(rest) {
                    add(place, value.into());
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
        {
            add(if short { Place::OnlyFormula } else { Place::LastValue }, (*only).into());
        }
        match labelled(text) {
            Some(value) => add(Place::Whole, value.into()),
            None if short || !text.contains('=') && !text.trim().contains('\n') => {
                add(Place::Whole, text.trim().into());
            }
            // A derivation without words: its last side may be the answer, or not.
            None => add(Place::LastValue, text.trim().into()),
        }
    }
    if is_prose(tail) {
        let formulas = formulas(tail);
        if let ([only], true) = (formulas.as_slice(), tail.len() == text.len()) {
            add(if short { Place::OnlyFormula } else { Place::LastValue }, (*only).into());
        }
        if let Some((place, value)) = last_value(last_sentence(tail)) {
            add(place, value.into());
        }
    }
    if found.is_empty() && text.len() <= MAX_WORDS && !text.contains('\n') {
        // Nothing but words: they may be the answer, or say that there is none.
        found.push(Candidate { place: Place::LastValue, text: text.trim().into(), parts: Vec::new() });
    }
    found
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
        let found = candidates(text);
        let first = found.first().unwrap_or_else(|| panic!("nothing in {text:?}"));
        (first.place, first.text.to_string())
    }

    #[test]
    fn the_last_balanced_box_wins() {
        for (text, expected) in [
            (r"\boxed{1} wait, no, \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
            (r"\boxed{\{1\}}", r"\{1\}"),
            (r"so \boxed{5} and \boxed{", "5"),
            (r"\boxed{-2} \quad \text{and} \quad \boxed{1}", "-2, 1"),
            (r"$y_1 = \boxed{a}\) and \( y_2 = \boxed{b}\)", "a, b"),
            (r"\boxed{2} ... \boxed{} ", "2"),
            (r"\boxed{004} and again \boxed{004}", "004"),
            (r"\boxed{\boxed{7}}", r"\boxed{7}"),
            (r"x = -\boxed{3}", "-(3)"),
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
        assert!(candidates("").is_empty() || candidates("").iter().all(|found| found.text.is_empty()));
    }
}
