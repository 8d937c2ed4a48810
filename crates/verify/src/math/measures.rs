//! Pairs of short answers that may be the same though their readings differ: measures in several units, times of day,
//! numerals and words of other customs. None of them is a sure mistake.

use std::{collections::BTreeSet, sync::LazyLock};

use num_rational::BigRational;
use num_traits::Zero;
use regex::Regex;

use super::{clean, identity::Same, numerals::multiplier, units};
use crate::rational;

/// Bytes of an answer that is one measure or one word.
const LONGEST: usize = 60;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is constant")
}

/// Whether two answers that were read as different are, or may be, the same; `None` where nothing speaks for it.
pub fn may_be_same(a: &str, b: &str) -> Option<Same> {
    let spoken = |text: &str| text.contains(|c: char| c.is_alphabetic() || matches!(c, ':' | '°' | '\'' | '∅'));
    if a.len() > LONGEST || b.len() > LONGEST || !spoken(a) && !spoken(b) {
        return None;
    }
    let (a, b) = (plain(a), plain(b));
    let either = |rule: fn(&str, &str) -> bool| rule(&a, &b) || rule(&b, &a);
    let why = match measures_agree(&a, &b) {
        Some(true) => return Some(Same::Equal("measures")),
        Some(false) => "a unit that is not known",
        None if either(clocks) => "a time of day in another writing",
        None if either(numerals) => "a number in another writing",
        None if either(dates) => "a date in another writing",
        None if is_nothing(&a) && is_nothing(&b) => "words that say that there is none",
        None if either(abbreviates) => "a word and a short form",
        None => return None,
    };
    Some(Same::Unknown(why))
}

/// A short answer without LaTeX's marks.
fn plain(text: &str) -> String {
    static WRAPPED: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"\\(?:text|mathrm|textrm|mbox|operatorname|textbf)\s*\{([^{}]*)\}"));
    let mut text = WRAPPED.replace_all(clean::trimmed(text), " $1 ").into_owned();
    for (from, to) in [
        ("^{\\circ}", "°"),
        ("^\\circ", "°"),
        ("\\circ", "°"),
        ("\\mu", "μ"),
        ("\\Omega", "Ω"),
        ("\\emptyset", "∅"),
        ("\\varnothing", "∅"),
        ("\\infty", "∞"),
        ("\\{\\}", "∅"),
        ("\\cdot", " "),
        ("\\,", " "),
        ("\\ ", " "),
        ("~", " "),
        ("\\$", "$"),
        ("µ", "μ"),
    ] {
        if text.contains(from) {
            text = text.replace(from, to);
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The numbers and units of `1 h 30 min`, `5'6"`, `25°30'` or `5 V`; `None` when it is anything else.
fn measure(text: &str) -> Option<Vec<(BigRational, String)>> {
    static PAIR: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"^(?:and )?([$€£₹¥]?)\s*(-?\d[\d,]*(?:\.\d+)?(?:[eE]-?\d+)?)( ?)((?:[\^{-]\d|\p{L}[23](?-u:\b)|[\p{L}'"′″°/ ^·.{}-])*)"#,
        )
    });
    let mut rest = text.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let pair = PAIR.captures(rest)?;
        let unit = format!("{}{}", &pair[1], pair[4].trim());
        // `2x` is an expression; a unit stands apart from its number, or is known.
        let letters = unit.chars().filter(|c| c.is_alphabetic()).count();
        let multiplies = unit.split(' ').next().is_some_and(|word| multiplier(word).is_some());
        if unit.is_empty() || multiplies || letters == 1 && pair[3].is_empty() && !units::is_known(unit.trim()) {
            return None;
        }
        found.push((rational::decimal(&pair[2])?, unit.trim_end_matches([' ', '.']).to_owned()));
        rest = &rest[pair.get(0)?.end()..];
    }
    (1..=4).contains(&found.len()).then_some(found)
}

/// The kinds and sizes that a unit has; degrees are a kind of their own, but for revolutions.
fn sizes(unit: &str) -> Vec<(String, BigRational)> {
    match unit {
        "°" => vec![("degree".to_owned(), BigRational::from_integer(1.into()))],
        revolutions if revolutions.starts_with("rev") => Vec::new(),
        other => units::sizes(&named(other)),
    }
}

/// A unit in the table's spelling.
fn named(unit: &str) -> String {
    let name = match unit {
        "$" => "dollar",
        "€" => "euro",
        "£" => "pound",
        "¥" => "yuan",
        "₹" => "rupee",
        other => other,
    };
    name.replace(['{', '}'], "")
}

/// Whether two measures are equal in known units, or may be because one of them has a unit that is not known.
fn measures_agree(a: &str, b: &str) -> Option<bool> {
    let (a, b) = (measure(a)?, measure(b)?);
    let written = |parts: &[(BigRational, String)]| parts.iter().map(|(_, unit)| unit.clone()).collect::<Vec<_>>();
    if written(&a) == written(&b) {
        return None;
    }
    if let ([(a, a_unit)], [(b, b_unit)]) = (a.as_slice(), b.as_slice()) {
        // Each unit in each of its meanings: a cent of a dollar, a ton of two sizes.
        let (a_sizes, b_sizes) = (sizes(a_unit), sizes(b_unit));
        let mut equal = Vec::new();
        for (kind, size) in &a_sizes {
            equal.extend(b_sizes.iter().filter(|(other, _)| other == kind).map(|(_, other)| a * size == b * other));
        }
        return match (a_sizes.is_empty() || b_sizes.is_empty(), equal.contains(&true), equal.contains(&false)) {
            (true, ..) | (_, true, true) => Some(false),
            (_, true, false) => Some(true),
            (_, false, _) => None,
        };
    }
    let total = |parts: &[(BigRational, String)]| {
        let mut kind = None;
        let mut sum = BigRational::zero();
        for (value, unit) in parts {
            let [(own, size)]: [(String, BigRational); 1] = sizes(unit).try_into().ok()?;
            if *kind.get_or_insert_with(|| own.clone()) != own {
                return None;
            }
            sum += value * size;
        }
        Some((kind, sum))
    };
    match (total(&a), total(&b)) {
        (Some(a), Some(b)) => (a == b).then_some(true),
        _ => Some(false),
    }
}

/// `16:30` against `16h30`, `1630` or `noon`; `1:30` against `90 minutes`.
fn clocks(clock: &str, other: &str) -> bool {
    static CLOCK: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\d{1,2}(?::\d\d)?(?: ?[apAP]\.?[mM]\.?)?$"));
    static OTHER: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:\d{1,2}[h.]\d\d|\d{4}|noon|midnight|正午|午夜)$"));
    if !CLOCK.is_match(clock) || !clock.contains([':', 'm', 'M']) {
        return false;
    }
    let time = |parts: &[(BigRational, String)]| {
        let seconds = units::sizes("s");
        let lasts = |unit: &str| units::sizes(unit).iter().any(|(kind, _)| seconds.iter().any(|(own, _)| own == kind));
        parts.iter().all(|(_, unit)| lasts(unit))
    };
    OTHER.is_match(&other.to_lowercase()) || clock.contains(':') && measure(other).is_some_and(|parts| time(&parts))
}

/// `XIV` against an integer, `1st` against `first`, `a couple` against 2.
fn numerals(number: &str, other: &str) -> bool {
    static ORDINAL: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\d+(?:st|nd|rd|th)$"));
    static NAMED: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:the )?[a-z -]*(?:first|second|third|th)$"));
    let lower = other.to_lowercase();
    if ORDINAL.is_match(number) {
        return NAMED.is_match(&lower);
    }
    let Ok(value) = number.parse::<u64>() else { return false };
    value == 2 && lower == "a couple" || roman(other) == Some(value)
}

/// A Roman numeral of two letters or more.
fn roman(text: &str) -> Option<u64> {
    static ROMAN: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})$"));
    if text.len() < 2 || !ROMAN.is_match(text) {
        return None;
    }
    let digit = |c: char| Some([1, 5, 10, 50, 100, 500, 1000]["IVXLCDM".find(c)?]);
    let digits = text.chars().map(digit).collect::<Option<Vec<u64>>>()?;
    let sum = digits.iter().enumerate().fold(0_i64, |sum, (at, digit)| {
        let smaller = digits.get(at + 1).is_some_and(|next| next > digit);
        if smaller { sum - *digit as i64 } else { sum + *digit as i64 }
    });
    u64::try_from(sum).ok()
}

/// `2024-01-05` against `January 5, 2024`.
fn dates(date: &str, other: &str) -> bool {
    static MONTH: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)^(?:\d{1,2}(?:st|nd|rd|th)? )?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?(?: \d|,|$)",
        )
    });
    static WRITTEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\d{1,4}[-/.]\d{1,2}(?:[-/.]\d{1,4})?$"));
    let numbers = |text: &str| {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect::<BTreeSet<u32>>()
    };
    let (a, b) = (numbers(date), numbers(other));
    MONTH.is_match(date) && (WRITTEN.is_match(other) || MONTH.is_match(other)) && (a.is_subset(&b) || b.is_subset(&a))
}

/// Words, and signs, for no value at all.
fn is_nothing(text: &str) -> bool {
    let text = text.to_lowercase();
    matches!(
        text.as_str(),
        "none" | "∅" | "dne" | "undefined" | "impossible" | "empty set" | "the empty set" | "无解" | "不存在"
    ) || ["no solution", "no real solution", "does not exist", "doesn't exist", "no such"]
        .iter()
        .any(|start| text.starts_with(start))
}

/// Short forms of days.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// `Mon` against `Monday`, `True` against `Yes`, `all reals` and `positive infinity` against their signs.
fn abbreviates(short: &str, long: &str) -> bool {
    let words = |text: &str| text.len() > 1 && text.chars().all(|c| c.is_alphabetic() || c == ' ');
    let (short, long) = (short.to_lowercase(), long.to_lowercase());
    let (yes, no) = (["yes", "true"], ["no", "false"]);
    let said = |pair: [&str; 2]| pair.contains(&short.as_str()) && pair.contains(&long.as_str());
    words(&short) && words(&long) && DAYS.contains(&short.as_str()) && long.starts_with(&short)
        || said(yes)
        || said(no)
        || matches!(short.as_str(), "diverges" | "divergent" | "positive infinity" | "plus infinity" | "all reals")
            && long.contains('∞')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_the_same_is_no_sure_mistake() {
        for (a, b) in [("1 h 30 min", "1.5 h"), ("3 m 20 cm", "320 cm"), ("1 kWh", "3.6 MJ")] {
            assert!(may_be_same(a, b).is_some_and(super::super::identity::Same::is_equal), "{a} {b}");
        }
        for (a, b) in [
            ("1 h 30 min", "1.5 h"),
            ("1h30m", "90 min"),
            ("3 m 20 cm", "320 cm"),
            (r"25^\circ 30'", r"25.5^\circ"),
            ("1 V", "1 J/C"),
            ("5 M", "5 mol/L"),
            ("noon", "12:00 pm"),
            ("90 minutes", "1:30"),
            ("XIV", "14"),
            ("1st", "first"),
            ("January 5, 2024", "2024-01-05"),
            (r"\emptyset", "no solution"),
            ("Mon", "Monday"),
        ] {
            assert!(may_be_same(a, b).is_some(), "{a} {b}");
        }
        for (a, b) in
            [("5 m", "5 s"), ("3 m 20 cm", "330 cm"), ("2x", "3y"), ("XIV", "15"), ("5", "6"), ("1:30", "2:30")]
        {
            assert!(may_be_same(a, b).is_none(), "{a} {b}");
        }
    }
}
