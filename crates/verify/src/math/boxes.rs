//! Boxes: the last ones of a text, what they hold, and what touches them.

use std::{borrow::Cow, sync::LazyLock};

use memchr::memmem;
use regex::Regex;

use super::{
    candidate::{Candidate, Place},
    limits::MAX_ANSWER,
    numerals::multiplier,
    units, words,
};
use crate::stance;

/// Bytes between two boxes that may be one answer.
const MAX_GAP: usize = 80;

/// The content of the last `\boxed{…}` whose braces balance and that is not empty.
pub fn last_box(text: &str) -> Option<&str> {
    boxes_backward(text).map(|found| found.content).find(|content| !content.trim().is_empty())
}

/// Where the last of a searched word stands. Growing pieces from the end are searched forwards, because only forward
/// search compares many bytes at a time.
pub fn last_of(finder: &memmem::Finder<'_>, text: &[u8]) -> Option<usize> {
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
pub fn boxed(text: &str) -> Option<Candidate<'_>> {
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
    if contents.iter().all(|content| content.trim() == contents[0].trim()) {
        let found = touched(text, next_start, last.end, contents[0]);
        let doubted = doubted(text, next_start, last.end);
        let bare = found.as_ref().map(|_| contents[0]);
        let text = found.map_or(contents[0].into(), Cow::Owned);
        return Some(Candidate { bare, doubted, ..Candidate::new(Place::Boxed, text) });
    }
    let text = contents.join(", ").into();
    Some(Candidate { parts: contents, ..Candidate::new(Place::Boxed, text) })
}

/// Whether the sentence around a box denies what is in it, or a later one takes it back.
fn doubted(text: &str, start: usize, end: usize) -> bool {
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let rest = &text[end..];
    let line_end = rest.find('\n').unwrap_or(rest.len());
    let (before, after) = (&text[line..start], &rest[..line_end]);
    if is_part(before, after) {
        return true;
    }
    let marks = |c: char| matches!(c, '$' | '\\' | ')' | ']' | '*' | '(' | '[' | ' ');
    // Words in formulas are words of the sentence.
    let (before, after) = (WORDS.replace_all(before, "$1"), WORDS.replace_all(after, "$1"));
    let (before, after) = (before.trim_end_matches(marks), after.trim_start_matches(marks));
    stance::denies(before, after) || stance::takes_back_box(rest) || stance::changes_box(before, after)
}

/// `\text{…}` and its like.
static WORDS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\\(?:text|textbf|textit|textrm|mathrm|mbox)\{([^{}]*)\}").expect("the pattern is constant")
});

/// Whether the number in a box is a part of a longer number, of a tuple, of a ratio or of a relation: `\boxed{5},000`,
/// `(6, \boxed{5})`, `\boxed{5}:6`, `\boxed{5} < x`, `1\boxed{5}`.
fn is_part(before: &str, after: &str) -> bool {
    static BEFORE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?:\d\.?|\d\s?:|[\[({]\s*[-\d./{}\\\s]{1,20},\s*|\$[^$]*\d\s*:\s*)$")
            .expect("the pattern is constant")
    });
    static AFTER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"^(?:\d|(?:,|\{,\})\d{3}(?:\D|$)|\s*[:,;]\s*-?\d+(?:\.\d+)?\s*[\])$.]*\s*$|\s*:\s*\d",
            r"|\s*\$\s*(?:hundred|thousand|million|billion|dozen)(?-u:\b)|\s*(?:<(?:[^/A-Za-z]|$)|[>≤≥≠]|\\(?:lt|gt|le|leq|leqslant|ge|geq|geqslant|ne|neq)(?:[^A-Za-z]|$)))",
        ))
        .expect("the pattern is constant")
    });
    // `17 \equiv \boxed{2} \pmod{5}` names the modulus of the question.
    static MODULUS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\s*\\(?:bmod|pmod|mod)(?:[^A-Za-z]|$)").expect("the pattern is constant"));
    if MODULUS.is_match(after) && !before.contains("\\equiv") && !before.contains('≡') {
        return true;
    }
    let opened = before.trim_end();
    let first_of_several = opened.ends_with(['(', '[', '{'])
        && !opened.ends_with("\\[")
        && !opened.ends_with("\\(")
        && after.trim_start().starts_with(',');
    first_of_several || BEFORE.is_match(before) || AFTER.is_match(after)
}

/// Commands around a box that change nothing but its looks, or lead to it.
static LOOKS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\\(?:displaystyle|textstyle|[lL]arge|LARGE|huge|Huge|therefore|because|implies|Rightarrow|Longrightarrow|rightarrow|to|so|q?quad",
        r"|left|right|bf|ensuremath|checkmark|blacksquare|square|qed|big[lr]?|Big[lr]?|limits|nonumber|notag|hfill|boldsymbol|mathbf|underline)(?:[^A-Za-z]|$)",
        r"|\\(?:color|textcolor|tag\*?|label|hspace\*?|vspace\*?|begin|end)\{[^{}]*\}|[&.~*\s]|\$",
    ))
    .expect("the pattern is constant")
});

/// A command's name.
static COMMAND: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\[A-Za-z]+").expect("the pattern is constant"));
/// White space in formulas.
static SPACE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\[,;:! ]").expect("the pattern is constant"));

/// The box with what touches it in its formula, as in `-\boxed{5}`, `\boxed{5}\sqrt2` and `\boxed{5}\text{ cm}`; `None` when
/// nothing does.
fn touched(text: &str, start: usize, end: usize, content: &str) -> Option<String> {
    let (before, after) = (&text[..start], &text[end..]);
    // Most boxes stand alone: `$\boxed{5}$`, `x = \boxed{5}.`
    let ends = |part: &str| {
        let relation = part.ends_with("<=") || part.ends_with(">=") || part.ends_with("!=");
        let ratio = part.strip_suffix(':').is_some_and(|rest| rest.ends_with(|c: char| c.is_ascii_digit()));
        let opened =
            part.is_empty() || part.ends_with(['$', '=', ':', '\n']) || part.ends_with("\\[") || part.ends_with("\\(");
        opened && !relation && !ratio
    };
    let begins = |part: &str| {
        part.is_empty()
            || part.starts_with(['$', '\n'])
            || part.starts_with(".$")
            || part.starts_with("\\]")
            || part.starts_with("\\)")
    };
    let blank = |c: char| c == ' ';
    if ends(before.trim_end_matches(blank)) && begins(after.trim_start_matches(blank)) {
        return None;
    }
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let (mut before, mut after) = (&before[line..], &after[..after.find('\n').unwrap_or(after.len())]);
    let opening = ["$", "\\[", "\\("].into_iter().filter_map(|mark| Some((before.rfind(mark)?, mark.len()))).max();
    let closing = ["$", "\\]", "\\)"].into_iter().filter_map(|mark| after.find(mark)).min();
    // A display may set its formula on lines of its own.
    let mut from = start.saturating_sub(1500);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let opened = |open: &str, close: &str| text[from..start].rfind(open) > text[from..start].rfind(close);
    let spoken = |part: &str| {
        COMMAND.replace_all(part, " ").split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 1).count() > 1
    };
    let display = opened("\\begin{", "\\end{")
        || opened("\\[", "\\]")
        || !COMMAND.replace_all(before, "").contains(char::is_alphabetic) && !spoken(after);
    let formula = match (opening, closing) {
        (Some((at, width)), Some(close))
            if !before[at + width..].contains("\\]") && !before[at + width..].contains("\\)") =>
        {
            (before, after) = (&before[at + width..], &after[..close]);
            true
        }
        _ => display && opening.is_none(),
    };
    let spaced = |part: &str| SPACE.replace_all(part, " ").into_owned();
    let (spaced_before, spaced_after) = (spaced(before), spaced(after));
    (before, after) = (&spaced_before, &spaced_after);
    // A bullet, or the number of an item.
    static BULLET: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\s*(?:[-*+>•]|#{1,6}|\d+[.)])\s+$").expect("the pattern is constant"));
    if opening.is_none() && BULLET.is_match(before) {
        before = "";
    }
    if formula {
        before = after_relation(before);
        after = before_relation(after);
    } else {
        before = &before[before.rfind(char::is_whitespace).map_or(0, |at| at + 1)..];
        after = &after[..after.find(char::is_whitespace).unwrap_or(after.len())];
        before = before.trim_start_matches(|c: char| !matches!(c, '-' | '+' | '±') && !c.is_ascii_alphanumeric());
        after = after.trim_end_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '}' | ')' | '%' | '°'));
        if after.starts_with(['.', ',', ';', ':', '*', ')', ']', '。', '，', '"', '\'', '?', '-', '_', '`', '<']) {
            after = "";
        }
        if before.contains(['(', '[', '"', '*', ':']) {
            before = "";
        }
    }
    let after = after.split("\\end{").next().unwrap_or_default().split("\\boxed").next().unwrap_or_default();
    if has_words(before) {
        before = "";
    }
    let (before, after) = (LOOKS.replace_all(before, " "), unit_or_factor(after));
    let after = LOOKS.replace_all(after, " ");
    let unclosed = after.matches('{').count() > after.matches('}').count();
    let after = if unclosed { "".into() } else { after };
    let empty = |part: &str| part.trim().trim_matches(['{', '}', '(', ')', '[', ']']).trim().is_empty();
    if empty(&before) && empty(&after) {
        return None;
    }
    Some(format!("{}({content}){}", before.trim(), after.trim()))
}

/// Whether words stand in a formula that are no function's name.
fn has_words(formula: &str) -> bool {
    static WORD: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?:^|[^\\A-Za-z])([A-Za-z]{2,})").expect("the pattern is constant"));
    WORD.captures_iter(formula).any(|found| words::function(&found[1]).is_none())
}

/// The words after a box are its unit, or say nothing of its value.
fn unit_or_factor(after: &str) -> &str {
    let trimmed = after
        .trim_start_matches(|c: char| c.is_whitespace() || c == '~')
        .trim_start_matches("\\,")
        .trim_start_matches("\\ ");
    for command in ["\\text{", "\\mathrm{", "\\textrm{", "\\mbox{"] {
        if let Some(inner) = trimmed.strip_prefix(command) {
            let words = inner.split('}').next().unwrap_or_default();
            let first = words.trim().split([' ', '/', '.']).next().unwrap_or_default();
            let counts = units::is_known(first) || multiplier(first).is_some();
            return if counts { after } else { "" };
        }
    }
    if after.trim_start().starts_with("\\quad") || after.trim_start().starts_with("\\qquad") { "" } else { after }
}

/// Relations and separators that end the side of a formula that a box stands on.
static RELATION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\\(?:approx|le|leq|ge|geq|ne|neq|lt|gt|in|equiv|sim|implies|Rightarrow|Longrightarrow|rightarrow|to|iff|Leftrightarrow|therefore|q?quad|text\{[^{}]*\}|mathrm\{[^{}]*\}|textbf\{[^{}]*\})",
        r"(?:[^A-Za-z]|$)|[=:：<>≈≤≥→⇒,;，；&]|\\\\",
    ))
    .expect("the pattern is constant")
});

/// Relations that say other than that a value is the box's.
static INEQUALITY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:\\(?:le|leq|ge|geq|ne|neq|lt|gt)(?:[^A-Za-z]|$)|[<>≤≥])").expect("the pattern is constant")
});

fn after_relation(before: &str) -> &str {
    // An inequality belongs to what the box shows.
    let separates = |found: &regex::Match<'_>| !INEQUALITY.is_match(found.as_str());
    RELATION.find_iter(before).filter(separates).last().map_or(before, |found| {
        let kept = found
            .as_str()
            .ends_with(|c: char| !c.is_ascii_alphabetic() && matches!(c, '-' | '+' | '{' | '(') || c.is_ascii_digit());
        &before[found.end() - usize::from(kept)..]
    })
}

fn before_relation(after: &str) -> &str {
    // The unit right behind the box is no separator.
    let unit = unit_or_factor(after);
    if unit.trim_start().starts_with("\\text") || unit.trim_start().starts_with("\\mathrm") {
        let close = unit.find('}').map_or(unit.len(), |at| at + 1);
        let power = unit[close..].starts_with('^');
        let end = unit[close..]
            .find(|c: char| !(power && (c == '^' || c == '{' || c == '}' || c.is_ascii_digit() || c == '-')));
        return &unit[..end.map_or(unit.len(), |at| close + at)];
    }
    RELATION.find(after).map_or(after, |found| &after[..found.start()])
}

/// What an unclosed last box holds, up to the end of the text.
pub fn open_box(text: &str) -> Option<&str> {
    let at = last_of(&memmem::Finder::new("\\boxed{"), text.as_bytes())?;
    let rest = &text[at + "\\boxed{".len()..];
    let short = rest.len() <= 400 && !rest.contains('\n') && balanced(rest).is_none();
    short.then(|| rest.trim_end_matches(['$', ' ', '.'])).filter(|rest| !rest.is_empty())
}

/// Whether a box is opened last and never closed: the text was cut off inside it.
pub fn is_cut_off(text: &str) -> bool {
    let finder = memmem::Finder::new("\\boxed");
    let Some(at) = last_of(&finder, text.as_bytes()) else { return false };
    text[at + "\\boxed".len()..].trim_start().strip_prefix('{').is_some_and(|inner| balanced(inner).is_none())
}
