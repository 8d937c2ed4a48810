//! Spelling of an answer before it is read: Unicode to LaTeX, full-width to ASCII, doubled backslashes, marks without
//! meaning removed.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

use crate::digits::ascii_digit;

/// `text` in the spelling that the lexer knows.
pub fn clean(text: &str) -> String {
    let text = trimmed(text);
    let text = &spelled_out(text);
    let mut halved = doubled_backslashes(text);
    // Closing points are gone: `4:30 p.m.` ends without its last.
    for (cut, whole) in [("p.m", "pm"), ("a.m", "am"), ("P.M", "PM"), ("A.M", "AM")] {
        if let Some(time) = halved.strip_suffix(cut).filter(|time| time.ends_with([' ', '0'])) {
            halved = format!("{time}{whole}").into();
            break;
        }
    }
    if halved.contains(".m.") || halved.contains(".M.") {
        let hours = halved.replace("a.m.", "am").replace("p.m.", "pm").replace("A.M.", "am").replace("P.M.", "pm");
        halved = hours.into();
    }
    let mut out = String::with_capacity(halved.len() + 16);
    let mut chars = halved.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_ascii() {
            match c {
                '\0' => {}
                // Numbers on two lines are two.
                '\n' | '\r' if out.ends_with(|c: char| c.is_ascii_digit()) && digit_follows(&chars) => {
                    out.push_str(", ");
                }
                // A damaged `\frac` or `\text`: the escape was read as a control character.
                '\x0c' if chars.peek() == Some(&'r') => out.push_str("\\f"),
                '\t' if text.contains("\text{") && chars.peek() == Some(&'e') => out.push_str("\\t"),
                _ => out.push(c),
            }
            continue;
        }
        if let Some(digit) = superscript(c) {
            out.push_str("^{");
            out.push(digit);
            while let Some(digit) = chars.peek().copied().and_then(superscript) {
                out.push(digit);
                chars.next();
            }
            out.push('}');
        } else if let Some(digit) = subscript(c) {
            out.push_str("_{");
            out.push(digit);
            while let Some(digit) = chars.peek().copied().and_then(subscript) {
                out.push(digit);
                chars.next();
            }
            out.push('}');
        } else {
            match spelled(c) {
                Some(spelling) => out.push_str(spelling),
                None if ascii_digit(c).is_some() => out.extend(ascii_digit(c)),
                None => match u32::from(c) {
                    // Full-width ASCII.
                    code @ 0xFF01..=0xFF5E => out.push(char::from_u32(code - 0xFEE0).unwrap_or(c)),
                    // Direction marks and zero-width characters do not show.
                    0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x2069 | 0xFEFF | 0xAD => {}
                    0x2000..=0x200A | 0x202F | 0x205F | 0x3000 | 0xA0 => out.push(' '),
                    _ => out.push(c),
                },
            }
        }
    }
    out
}

/// `1.5 x 10^3` with its sign of multiplication, `per cent` in one word, `5¢` as cents.
fn spelled_out(text: &str) -> Cow<'_, str> {
    static TIMES: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(\d)\s*[xX]\s*(10\s?(?:\^|\*\*))").expect("the pattern is constant"));
    let mut text = Cow::from(text);
    if text.contains("10") && TIMES.is_match(&text) {
        text = TIMES.replace_all(&text, "$1*$2").into_owned().into();
    }
    for (from, to) in [("per cent", "percent"), ("¢", " cents"), ("sq. ", "sq "), ("cu. ", "cu ")] {
        if text.contains(from) {
            text = text.replace(from, to).into();
        }
    }
    text
}

/// Whether the next character that shows is a digit.
fn digit_follows(rest: &std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    rest.clone().find(|c| !c.is_whitespace()).is_some_and(|c| c.is_ascii_digit())
}

/// Without white space, emphasis, mathematics marks and closing points around it.
pub fn trimmed(text: &str) -> &str {
    let mut text = text.trim();
    loop {
        let before = text;
        for (open, close) in
            [("**", "**"), ("__", "__"), ("`", "`"), ("$$", "$$"), ("\\(", "\\)"), ("\\[", "\\]"), ("$", "$")]
        {
            if text.len() >= open.len() + close.len()
                && let Some(inner) = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close))
                && !inner.contains(open)
                && !inner.contains(close)
            {
                text = inner.trim();
            }
        }
        // `3.14…` goes on.
        if !text.ends_with("..") {
            text = text.trim_end_matches(['.', ',', ';', '。', '，', '；', '、']).trim_end();
        }
        text = text.strip_suffix("\\\\").unwrap_or(text).trim_end();
        if text == before {
            return text;
        }
    }
}

/// `\\frac` written for `\frac`: halved where no row of a matrix can be meant.
fn doubled_backslashes(text: &str) -> Cow<'_, str> {
    let doubled = |command: &str| text.contains(&format!("\\\\{command}"));
    let rows = text.contains("\\begin") && !doubled("begin");
    if !text.contains("\\\\") || rows {
        return text.into();
    }
    let bytes: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let next = bytes.get(at + 2).copied().unwrap_or(' ');
        let pair = bytes[at] == '\\' && bytes.get(at + 1) == Some(&'\\');
        if pair && (next.is_ascii_alphabetic() || matches!(next, '{' | '}' | '%' | '$' | ',' | '!' | '(' | ')' | '\\'))
        {
            out.push('\\');
            at += 2;
            if next == '\\' {
                // Four stand for a row's end.
                out.push('\\');
                at += 1 + usize::from(bytes.get(at + 1) == Some(&'\\'));
            }
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out.into()
}

fn superscript(c: char) -> Option<char> {
    Some(match c {
        '⁰' => '0',
        '¹' => '1',
        '²' => '2',
        '³' => '3',
        '⁴' => '4',
        '⁵' => '5',
        '⁶' => '6',
        '⁷' => '7',
        '⁸' => '8',
        '⁹' => '9',
        '⁻' => '-',
        '⁺' => '+',
        'ⁿ' => 'n',
        'ˣ' => 'x',
        _ => return None,
    })
}

fn subscript(c: char) -> Option<char> {
    Some(match c {
        '₀' => '0',
        '₁' => '1',
        '₂' => '2',
        '₃' => '3',
        '₄' => '4',
        '₅' => '5',
        '₆' => '6',
        '₇' => '7',
        '₈' => '8',
        '₉' => '9',
        'ₙ' => 'n',
        'ᵢ' => 'i',
        'ₖ' => 'k',
        _ => return None,
    })
}

fn spelled(c: char) -> Option<&'static str> {
    Some(match c {
        '−' | '–' | '—' | '﹣' | '‐' | '‑' => "-",
        '×' | '✕' | '⋅' | '·' | '∙' | '•' | '∗' => "\\cdot ",
        '÷' | '∕' | '⁄' => "/",
        '±' => "\\pm ",
        '∓' => "\\mp ",
        '√' => "\\sqrt ",
        '∛' => "\\sqrt[3]",
        '∞' => "\\infty ",
        '≤' | '⩽' | '≦' => "\\le ",
        '≥' | '⩾' | '≧' => "\\ge ",
        '≠' => "\\ne ",
        '≈' | '≃' | '≒' => "\\approx ",
        '≡' => "\\equiv ",
        '∈' => "\\in ",
        '∉' => "\\notin ",
        '⊂' | '⊆' => "\\subseteq ",
        '⊃' | '⊇' => "\\supseteq ",
        '∪' | '⋃' => "\\cup ",
        '∩' | '⋂' => "\\cap ",
        '∖' => "\\setminus ",
        '∅' => "\\emptyset ",
        'ℝ' => "\\mathbb{R}",
        'ℤ' => "\\mathbb{Z}",
        'ℕ' => "\\mathbb{N}",
        'ℚ' => "\\mathbb{Q}",
        'ℂ' => "\\mathbb{C}",
        '∑' => "\\sum ",
        '∏' => "\\prod ",
        '∫' => "\\int ",
        '∠' => "\\angle ",
        '△' => "\\triangle ",
        '⊙' => "\\odot ",
        '→' | '⟶' => "\\to ",
        '⇒' | '⟹' => "\\implies ",
        '∥' => "\\parallel ",
        '⊥' => "\\perp ",
        '∧' => "\\land ",
        '∨' => "\\lor ",
        '′' | '’' | '‘' => "'",
        '″' | '“' | '”' | '「' | '」' => "\"",
        '、' => ", ",
        '。' => ".",
        '《' | '〈' => "⟨",
        '》' | '〉' => "⟩",
        '【' => "[",
        '】' => "]",
        '½' => "\\frac{1}{2}",
        '⅓' => "\\frac{1}{3}",
        '⅔' => "\\frac{2}{3}",
        '¼' => "\\frac{1}{4}",
        '¾' => "\\frac{3}{4}",
        '⅕' => "\\frac{1}{5}",
        '⅛' => "\\frac{1}{8}",
        'º' | '˚' => "°",
        '…' => "\\ldots ",
        '％' => "%",
        '￥' => "¥",
        '⌊' => "\\lfloor ",
        '⌋' => "\\rfloor ",
        '⌈' => "\\lceil ",
        '⌉' => "\\rceil ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_meet() {
        assert_eq!(clean("x² − 3×y₁₂"), "x^{2} - 3\\cdot y_{12}");
        assert_eq!(clean(" **73**. "), "73");
        assert_eq!(clean("（１，２）"), "(1,2)");
        assert_eq!(clean("\\\\left(\\\\frac{1}{5}\\\\right)"), "\\left(\\frac{1}{5}\\right)");
        assert_eq!(clean("\\begin{pmatrix}1\\\\2\\end{pmatrix}"), "\\begin{pmatrix}1\\\\2\\end{pmatrix}");
        assert_eq!(clean("$$ \\(9\\) $$"), "9");
        assert_eq!(clean("5\u{202e}\0"), "5");
    }
}
