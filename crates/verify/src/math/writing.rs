//! Answers as they are written: what shows, what is nothing but words, which comma is decimal.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

use super::{clean, expr::Expr, nouns};

/// Whether a text has anything that shows.
pub fn is_visible(text: &str) -> bool {
    if text.contains(|c: char| c.is_ascii_digit()) || text.contains("\\{") {
        return true;
    }
    let wrappers = ["\\textbf", "\\textrm", "\\text", "\\mathrm", "\\mathbf", "\\mbox", "\\boxed"];
    let mut text = Cow::from(text);
    for wrapper in wrappers {
        if text.contains(wrapper) {
            text = text.replace(wrapper, "").into();
        }
    }
    text.contains(|c: char| !c.is_whitespace() && !matches!(c, '{' | '}' | '$' | '~'))
}

/// A writing without what does not show: white space (but not between two words or numbers), delimiters' sizes, styles.
pub fn key(text: &str) -> String {
    let mut text = clean::trimmed(text).to_owned();
    for (from, to) in [
        ("\\left", ""),
        ("\\right", ""),
        ("\\dfrac", "\\frac"),
        ("\\tfrac", "\\frac"),
        ("\\!", ""),
        ("\\,", " "),
        ("\\ ", " "),
    ] {
        // `\leftarrow` and `\rightarrow` are no delimiters.
        if text.contains(from) && !text.contains("arrow") {
            text = text.replace(from, to);
        }
    }
    // The segment is written with and without its bar.
    while let Some(at) = text.find("\\overline{") {
        let inner = &text[at + "\\overline{".len()..];
        let Some(end) = inner.find('}').filter(|end| *end == 2 && inner[..2].bytes().all(|c| c.is_ascii_uppercase()))
        else {
            break;
        };
        text = format!("{}{}{}", &text[..at], &inner[..end], &inner[end + 1..]);
    }
    let mut key = String::with_capacity(text.len());
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() {
            space = true;
            continue;
        }
        // `100, 200` are two numbers, `1. 5` is none.
        let number = |text: &str| text.ends_with(|c: char| c.is_ascii_digit());
        let listed = c.is_ascii_digit() && key.strip_suffix([',', '.']).is_some_and(number)
            || matches!(c, ',' | '.') && number(&key);
        if space && (listed || c.is_alphanumeric() && key.ends_with(char::is_alphanumeric)) {
            key.push(' ');
        }
        space = false;
        key.push(c);
    }
    key
}

/// Whether a text has notation whose order or kind only its writing tells: quantifiers, products that do not commute,
/// compass bearings, matrices by their letters, square brackets that may round down, two lines that may be one difference.
pub fn by_writing(text: &str) -> bool {
    static NOTATION: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"\\(?:forall|exists|nexists|otimes|oplus|star|odot|ltimes|rtimes)(?:[^A-Za-z]|$)|^\s*(?:[NSEW]\s*[\d.]+\s*(?:°|\^)[^,;]*[NSEW])\s*$",
            r"|^[\s$]*[A-Z]{2,4}[\s$]*$|^(?:\\left)?\[[^\[\],;&]*[A-Za-z][^\[\],;&]*\]$|\d\s*\n\s*[-+]\s*\d",
        ))
        .expect("the pattern is constant")
    });
    text.len() <= 400 && NOTATION.is_match(text)
}

/// Whether a text has the modulus of a number that may be complex: `|z|^2` is not `z^2`.
pub fn has_modulus(text: &str) -> bool {
    ["|z|", "|w|", "\\left|z\\right|", "\\lvert z \\rvert", "\\lvert z\\rvert"]
        .iter()
        .any(|modulus| text.contains(modulus))
}

/// A text of nothing but words, two letters at least, in lower case and without its `\text{…}`.
pub fn only_words(text: &str) -> Option<String> {
    let mut text = clean::trimmed(text).to_owned();
    for wrapper in ["\\text{", "\\textbf{", "\\mathrm{", "\\mbox{", "\\textit{"] {
        text = text.replace(wrapper, "{");
    }
    let text = text.replace(['{', '}', '~'], " ");
    // A name has no plural.
    let singular = |word: &str| match word.starts_with(char::is_lowercase) {
        true if word.len() > 4 => nouns::singular(word),
        true => word.to_owned(),
        false => word.to_lowercase(),
    };
    let words = text.split_whitespace().map(singular).collect::<Vec<_>>().join(" ");
    let letters = words.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\''));
    (letters && words.chars().count() > 1).then_some(words)
}

/// `1,22` as 1.22, and whether nothing else can be meant.
pub fn decimal_comma(text: &str) -> Option<(Expr, bool)> {
    let text = clean::trimmed(text);
    let text = text.trim_end_matches(|c: char| !c.is_ascii_digit()).trim_start_matches(['$', '€', ' ']);
    let (whole, fraction) = text.split_once(',')?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole.trim_start_matches('-')) || !digits(fraction) {
        return None;
    }
    let value = crate::rational::decimal(&format!("{whole}.{fraction}"))?;
    // `1,000` is a thousand.
    if fraction.len() == 3 && fraction.ends_with('0') {
        return None;
    }
    let sure = fraction.len() != 3 && (fraction.len() > 1 || whole.trim_start_matches('-').len() > 3)
        || whole.trim_start_matches('-') == "0";
    Some((Expr::Num(value, fraction.len() as u32), sure))
}
