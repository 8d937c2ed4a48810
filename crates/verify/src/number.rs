//! `number`: the last number of the answer against the reference answer.

use std::{borrow::Cow, sync::LazyLock};

use num_rational::BigRational;
use regex::Regex;
use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Case, Outcome, Verifier, VerifyError,
    digits::ascii_digit,
    math,
    rational::{MAX_DIGITS, decimal},
};

/// Settings of `number`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NumberSettings {
    /// Largest allowed difference from the reference answer, absolute; 0 asks for equality.
    #[schemars(range(min = 0.0))]
    pub tolerance: f64,
}

impl NumberSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        let tolerance = BigRational::from_float(self.tolerance).filter(|value| *value >= BigRational::default());
        let tolerance = tolerance.ok_or_else(|| VerifyError::Setting {
            verifier: "number",
            setting: "tolerance",
            given: self.tolerance.to_string(),
            allowed: "a finite number from 0".into(),
        })?;
        Ok(Box::new(Number { tolerance }))
    }
}

struct Number {
    tolerance: BigRational,
}

impl Verifier for Number {
    fn name(&self) -> &'static str {
        "number"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        let (answer, reference) = match case.answer_and_reference() {
            Ok(texts) => texts,
            Err(outcome) => return outcome,
        };
        let unreadable = |whose: &str| {
            let reason = format!("the last number of the {whose} cannot be read");
            Outcome::new(Verdict::Undecided, "unreadable", reason)
        };
        if math::is_cut_off(answer) {
            return Outcome::new(Verdict::Incorrect, "truncated", "a box is opened and never closed");
        }
        let Some(expected) = last_number(reference) else {
            return Outcome::new(Verdict::Undecided, "no_reference", "the reference answer has no number");
        };
        let Some(found) = last_number(answer) else {
            return Outcome::new(Verdict::Incorrect, "no_answer", "the answer has no number");
        };
        let Some(wanted) = &expected.value else { return unreadable("reference answer") };
        let Some(value) = &found.value else { return unreadable("answer").with_answer(found.text) };
        if let Some(why) = found.doubt.filter(|_| answer.trim() != reference.trim() && found.doubt != expected.doubt) {
            return Outcome::new(Verdict::Undecided, "changed", why).with_answer(found.text);
        }
        if (found.operand || expected.operand) && !found.same_expression(&expected) && answer.trim() != reference.trim()
        {
            let reason = "the last number is part of an expression, which is not evaluated";
            return Outcome::new(Verdict::Undecided, "expression", reason).with_answer(found.text);
        }
        let outcome = compare(value, wanted, &self.tolerance);
        match &found.last_group {
            // `Day 3 200 eggs`: perhaps no group of digits.
            Some(group)
                if outcome.verdict == Verdict::Incorrect
                    && compare(group, wanted, &self.tolerance).verdict == Verdict::Correct =>
            {
                Outcome::new(Verdict::Undecided, "groups", "a space in the last number may separate two numbers")
            }
            _ => outcome,
        }
        .with_answer(found.text)
    }
}

fn compare(found: &BigRational, expected: &BigRational, tolerance: &BigRational) -> Outcome {
    let difference = if found > expected { found - expected } else { expected - found };
    if difference <= *tolerance {
        Outcome::new(Verdict::Correct, "number", "the last number is the reference answer")
    } else {
        Outcome::new(Verdict::Incorrect, "number", "the last number is another one")
    }
}

/// A number in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// As it is written, with ASCII digits.
    pub text: String,
    /// Its value; `None` when it is no decimal number (`12,34`, `1.2.3`) or too long.
    pub value: Option<BigRational>,
    /// Whether an operator stands before it, as in `3/4`, `2^10` or `10-4`: it is not the value of the whole.
    operand: bool,
    /// Why what stands around the number may make another one of it.
    doubt: Option<&'static str>,
    /// The run of characters that ends with the number, and begins with an operand where the number is one.
    run: String,
    /// The value of the digits behind the last plain space, which may separate groups of digits or two numbers.
    last_group: Option<BigRational>,
}

impl Found {
    /// Whether the number stands for itself and can be compared.
    pub(crate) fn is_value(&self) -> bool {
        self.value.is_some() && !self.operand && self.doubt.is_none()
    }

    /// Why it may not be the number that is meant.
    pub(crate) fn doubt(&self) -> Option<&'static str> {
        self.doubt
    }

    /// Whether both are the last operand of one expression written without spaces, as in `3/4` and `2024-01-05`.
    fn same_expression(&self, other: &Self) -> bool {
        self.operand && other.operand && self.run == other.run && self.run.len() > self.text.len()
    }
}

/// Bytes at the end of a text in which its last number is looked for: more than a number that is read may have.
const TAIL: usize = 4 * MAX_DIGITS;

/// A number without its sign: a power of ten, or digits with groups, a fraction and an exponent.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"10\s*(?:\^|\*\*)\s*\{?\s*(?P<power>[-+]?[0-9]+)(?:\s*\})?",
        r"|(?P<mantissa>(?:[0-9]{1,3}(?: [0-9]{3})+(?-u:\b)|[0-9]+(?:(?:[,_\u{a0}\u{2007}\u{2009}\u{202f}]|\{,\}|\\[,;!])[0-9]+)*)",
        r"(?:\.[0-9]+)*|(?:\.[0-9]+)+)",
        r"(?:[eE](?P<exponent>[-+]?[0-9]+)(?-u:\b)",
        r"|\s*(?:[×x*·]|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*\{?\s*(?P<times>[-+]?[0-9]+)(?:\s*\})?)?",
    ))
    .expect("the pattern is constant")
});

/// What stands before a number: an operator that makes it an operand.
static OPERATOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?:[/^÷√±×·]|\\(?:sqrt|times|cdot|div|pm|mp)(?-u:\b)|\\frac\s*\{?[^{}]*\}?|[0-9)}\]!]\s*(?:[-+]|\*\*?))[\s{(]*$",
    )
    .expect("the pattern is constant")
});

/// The last number of a text.
pub(crate) fn last_number(text: &str) -> Option<Found> {
    let start = (text.len().saturating_sub(TAIL)..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let text = ascii_digits(&text[start..]);
    let found = NUMBER.captures_iter(&text).last()?;
    let whole = found.get(0)?;
    let before = &text[..whole.start()];
    let (sign, operand) = sign_and_operator(before);
    let exponent = ["power", "exponent", "times"].iter().find_map(|name| found.name(name)).map(|found| found.as_str());
    let mantissa = found.name("mantissa").map_or("1", |mantissa| mantissa.as_str());
    let groups = mantissa.replace("{,}", ",").replace(['\u{a0}', '\u{2007}', '\u{2009}', '\u{202f}', '\\'], "");
    let read = |mantissa: &str| {
        let value = decimal(&format!("{mantissa}e{}", exponent.unwrap_or("0")))?;
        Some(if sign.is_some() { -value } else { value })
    };
    let grouped = groups.replace([';', '!'], ",").replace(' ', "");
    Some(Found {
        text: format!("{}{}", sign.unwrap_or_default(), whole.as_str()),
        value: read(&grouped),
        operand,
        doubt: doubt(before, &text[whole.end()..]),
        run: text[run_start(before)..whole.end()].to_owned(),
        last_group: groups.rsplit_once(' ').and_then(|(_, group)| read(group)),
    })
}

/// Why the words and signs right around a number may make another one of it: `minus 5`, `5 million`, `5x`, `0x1F`, `5²`,
/// `5:3`, `less than 5`, `not 5`.
fn doubt(before: &str, after: &str) -> Option<&'static str> {
    static BEFORE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?:[A-Za-z|]|_\{?|\d[:~.,']|[–—]|(?i:(?-u:\b)(?:minus|negative|not|than|or|between|half|twice)\s+|\d\s+to\s+)",
            r"|[<≤≥≠~]=?\s*|(?:^|\s)>=?\s*|\\(?:lt|gt|le|ge|leq|geq|ne|neq|overline|dot|bar)\s*\{?|[-±]\\boxed\s*\{?|(?:负|不是|小于|大于)\s*)[$(]*$",
        ))
        .expect("the pattern is constant")
    });
    static AFTER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"^(?:[²³⁴⁵⁶⁷⁸⁹⁰¹⁻½⅓¼¾⅔_^|…]|\.\.\.|\\(?:pi|sqrt|ldots|dots|frac)|\s*(?:π|√)|[A-Za-z]\s*(?:[^A-Za-z\s]|$)|x\d)",
        )
        .expect("the pattern is constant")
    });
    let word = after.trim_start_matches([' ', '-']).split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
    if math::multiplies(word) || matches!(word, "k" | "K") {
        return Some("the word behind the last number multiplies it");
    }
    // `5m`, `$5`, `x=5`: a unit, a name that is given a value.
    let unit = after.chars().next().is_some_and(char::is_alphabetic) && math::is_unit(word);
    if BEFORE.is_match(before) || !unit && AFTER.is_match(after) {
        return Some("what touches the last number may make another one of it");
    }
    None
}

/// Where the run of characters begins that `before` ends with.
fn run_start(before: &str) -> usize {
    let separates = |c: char| c.is_whitespace() || matches!(c, '=' | ':' | '$' | '"' | ',' | '`');
    let start = before.char_indices().rfind(|(_, c)| separates(*c)).map_or(0, |(at, c)| at + c.len_utf8());
    start + before[start..].len() - before[start..].trim_start_matches(['*', '_', '(']).len()
}

/// The minus sign before a number, with what stands between, and whether the number is an operand.
fn sign_and_operator(before: &str) -> (Option<&str>, bool) {
    let bare = before.strip_suffix(['$', '€', '£', '¥']).unwrap_or(before);
    let bare = bare.strip_suffix('\\').unwrap_or(bare);
    if let Some(rest) = bare.strip_suffix('-') {
        let previous = rest.chars().next_back();
        return match previous {
            // A dash in a word: `GPT-4`.
            Some(c) if c.is_alphabetic() => (None, false),
            Some('0'..='9' | ')' | '}' | ']' | '!') => (None, true),
            _ => (Some(&before[rest.len()..]), OPERATOR.is_match(rest)),
        };
    }
    // `x = - 4`, but neither `12 - 4` nor the mark of a list.
    let spaced = bare.trim_end_matches(' ').strip_suffix('-');
    if let Some(rest) = spaced
        && rest.trim_end_matches(' ').ends_with(['=', ':', '(', '[', '{', '$', '≈'])
    {
        return (Some("-"), false);
    }
    (None, OPERATOR.is_match(bare))
}

/// The text with the decimal digits of every script and the other minus signs in ASCII.
fn ascii_digits(text: &str) -> Cow<'_, str> {
    let ascii = |c: char| match c {
        '−' | '－' => '-',
        c => ascii_digit(c).unwrap_or(c),
    };
    if text.chars().any(|c| ascii(c) != c) { text.chars().map(ascii).collect() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(numerator: i64, denominator: i64) -> BigRational {
        BigRational::new(numerator.into(), denominator.into())
    }

    #[test]
    fn the_last_number_is_found_in_a_sentence() {
        for (text, expected) in [
            ("so 3 eggs cost $4.50.", Some(("4.50", Some(ratio(9, 2))))),
            ("it is -$1,200!", Some(("-$1,200", Some(ratio(-1200, 1))))),
            ("10-4", Some(("4", Some(ratio(4, 1))))),
            ("x = -4", Some(("-4", Some(ratio(-4, 1))))),
            ("x = - 4", Some(("-4", Some(ratio(-4, 1))))),
            ("- 4", Some(("4", Some(ratio(4, 1))))),
            ("GPT-4", Some(("4", Some(ratio(4, 1))))),
            ("1, 2, .5", Some((".5", Some(ratio(1, 2))))),
            ("5e3", Some(("5e3", Some(ratio(5000, 1))))),
            ("about 5E-3 m", Some(("5E-3", Some(ratio(1, 200))))),
            ("1.5e+3", Some(("1.5e+3", Some(ratio(1500, 1))))),
            ("3 e", Some(("3", Some(ratio(3, 1))))),
            ("1.5 × 10^3 m", Some(("1.5 × 10^3", Some(ratio(1500, 1))))),
            (r"1.5\times 10^{-1}", Some((r"1.5\times 10^{-1}", Some(ratio(3, 20))))),
            ("10^3", Some(("10^3", Some(ratio(1000, 1))))),
            ("1 000", Some(("1 000", Some(ratio(1000, 1))))),
            (r"1{,}000{,}000", Some((r"1{,}000{,}000", Some(ratio(1_000_000, 1))))),
            (r"1\,000", Some((r"1\,000", Some(ratio(1000, 1))))),
            ("1\u{202f}234", Some(("1\u{202f}234", Some(ratio(1234, 1))))),
            ("１２", Some(("12", Some(ratio(12, 1))))),
            ("−٣", Some(("-3", Some(ratio(-3, 1))))),
            ("12,34", Some(("12,34", None))),
            ("v1.2.3", Some(("1.2.3", None))),
            ("1e99999", Some(("1e99999", None))),
            ("none", None),
        ] {
            let found = last_number(text);
            assert_eq!(found.as_ref().map(|found| (found.text.as_str(), found.value.clone())), expected, "{text}");
        }
    }

    #[test]
    fn an_operand_is_not_the_value_of_its_expression() {
        for operand in [
            "3/4",
            "2^10",
            "2**10",
            "10-4",
            "3 + 4",
            "2 * 3",
            "±5",
            r"\pm 5",
            "√5",
            r"\sqrt{5}",
            r"\frac{3}{4}",
            r"\frac34",
            "3 × 4",
        ] {
            assert!(last_number(operand).unwrap().operand, "{operand}");
        }
        for value in ["= 4", "it is **18**.", "3 + 4 = 7", "(4)", "\\boxed{4}", "$4$", "* 4", "- 4", "1.5e3", "10^3"] {
            assert!(!last_number(value).unwrap().operand, "{value}");
        }
        let verdict =
            |answer, reference| NumberSettings::default().build().unwrap().verify(&Case::of(answer, reference)).verdict;
        assert_eq!(verdict("3/4", "4"), Verdict::Undecided);
        assert_eq!(verdict("3/4", "0.75"), Verdict::Undecided);
        assert_eq!(verdict("3/4", "1/4"), Verdict::Undecided);
        assert_eq!(verdict("3/4", "3/4"), Verdict::Correct);
        assert_eq!(verdict("It is **3/4**.", "3/4"), Verdict::Correct);
        assert_eq!(verdict("so x = 3/4", "$3/4$"), Verdict::Correct);
        assert_eq!(verdict("on 2024-01-05", "2024-01-05"), Verdict::Correct);
        assert_eq!(verdict("on 2023-01-05", "2024-01-05"), Verdict::Undecided);
        assert_eq!(verdict("2 + 4", "3 + 4"), Verdict::Undecided);
        assert_eq!(verdict("1.5e3", "3"), Verdict::Incorrect);
        assert_eq!(verdict("6.02 × 10^23", "23"), Verdict::Incorrect);
        assert_eq!(verdict("on day 3 200 eggs", "200"), Verdict::Undecided);
        assert_eq!(verdict("3 200", "3200"), Verdict::Correct);
        for changed in [
            "minus 5",
            "5 million",
            "5k",
            "5x",
            "x_5",
            "5²",
            "3:5",
            "0x5",
            "4 or 5",
            "less than 5",
            "not 5",
            r"-\boxed{5}",
        ] {
            assert_eq!(verdict(changed, "5"), Verdict::Undecided, "{changed}");
        }
        for same in ["5 km", "5km", r"\boxed{5}", "x=5", "$5", "5%", "5!", "equal to 5", "共5个", "<answer>5</answer>"]
        {
            assert_eq!(verdict(same, "5"), Verdict::Correct, "{same}");
        }
        assert_eq!(verdict(r"so \boxed{5", "5"), Verdict::Incorrect);
        assert_eq!(verdict("12,34", "34"), Verdict::Undecided);
    }

    #[test]
    fn tolerance_is_absolute() {
        let verifier = NumberSettings { tolerance: 0.5 }.build().unwrap();
        assert_eq!(verifier.verify(&Case::of("about 3.25", "3")).verdict, Verdict::Correct);
        assert_eq!(verifier.verify(&Case::of("about 3.75", "3")).verdict, Verdict::Incorrect);
        assert!(NumberSettings { tolerance: f64::NAN }.build().is_err());
        assert!(NumberSettings { tolerance: -1.0 }.build().is_err());
    }
}
