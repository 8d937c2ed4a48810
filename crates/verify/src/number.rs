//! `number`: the last number of the answer against the reference answer; and the reading of decimal numbers.

use std::sync::LazyLock;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Num, One};
use regex::Regex;
use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Case, Outcome, Verifier, VerifyError, math::ascii_digit};

/// Digits of a number, its exponent included, above which it is not read: the limit before any work.
const MAX_DIGITS: usize = 4000;

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
        let Some((_, expected)) = last_number(reference) else {
            return Outcome::new(Verdict::Undecided, "no_reference", "the reference answer has no number");
        };
        let Some((text, found)) = last_number(answer) else {
            return Outcome::new(Verdict::Incorrect, "no_answer", "the answer has no number");
        };
        compare(&found, &expected, &self.tolerance).with_answer(text)
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

/// Bytes before the last digit of a text in which its last number begins.
const WINDOW: usize = MAX_DIGITS + 500;

/// A number: grouped by commas, underscores or blanks, decimal, with an exponent.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?:_\d{3})+|\d{1,3}(?:[ \u{a0}\u{202f}]\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?",
        r"|\.\d+(?:[eE][+-]?\d+)?",
    ))
    .expect("the pattern is constant")
});

/// The last number of a text, as written and as a value. Digits of all scripts count.
pub(crate) fn last_number(text: &str) -> Option<(String, BigRational)> {
    let digit = |c: char| c.is_ascii_digit() || !c.is_ascii() && ascii_digit(c).is_some();
    let mut end = text.len();
    loop {
        let at = text[..end].rfind(digit)?;
        let stop = at + text[at..].chars().next().map_or(1, char::len_utf8);
        let mut start = at.saturating_sub(WINDOW);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        let window: String = text[start..stop].chars().map(|c| ascii_digit(c).unwrap_or(c)).collect();
        let last = NUMBER.find_iter(&window).last()?;
        let digits = last.as_str();
        let before = &window[..last.start()];
        // A digit right before a group, as in `1234,567`, or a run of numbers and points, is no number of this kind.
        let broken = digits.contains([',', '_']) && before.ends_with(|c: char| c.is_ascii_digit() || c == '.')
            || !digits.starts_with('.')
                && before
                    .strip_suffix(['.', ',', '_'])
                    .is_some_and(|rest| rest.ends_with(|c: char| c.is_ascii_digit()));
        if let Some(value) = decimal(&digits.replace([' ', '\u{a0}', '\u{202f}'], "")).filter(|_| !broken) {
            let unsigned = before.strip_suffix('$').unwrap_or(before);
            let signed = unsigned
                .strip_suffix(['-', '−'])
                .is_some_and(|rest| !rest.ends_with(|c: char| c.is_ascii_alphanumeric()));
            if signed {
                let sign = unsigned.chars().next_back().map_or(0, char::len_utf8);
                return Some((window[unsigned.len() - sign..].to_owned(), -value));
            }
            return Some((digits.to_owned(), value));
        }
        // The whole run of digits and separators is no number.
        end = text[..stop].trim_end_matches(|c| digit(c) || matches!(c, '.' | ',' | '_')).len();
    }
}

/// A decimal number, optionally signed, with `,` or `_` between groups of three digits and an optional exponent.
/// `None` when it is anything else or has too many digits.
pub(crate) fn decimal(text: &str) -> Option<BigRational> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix(['-', '−']) {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = ungrouped(whole)?;
    if whole.len() + fraction.len() == 0 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = whole + fraction;
    if digits.len() + exponent.unsigned_abs() as usize > MAX_DIGITS {
        return None;
    }
    let value = BigInt::from_str_radix(&digits, 10).ok()?;
    let value = if negative { -value } else { value };
    let scale = exponent - fraction.len() as i64;
    let power = num_traits::pow(BigInt::from(10), scale.unsigned_abs() as usize);
    Some(if scale < 0 { BigRational::new(value, power) } else { BigRational::new(value * power, BigInt::one()) })
}

/// Digits without their group separators; `None` when groups are not of three digits.
fn ungrouped(text: &str) -> Option<String> {
    let mut groups = text.split([',', '_']);
    let first = groups.next()?;
    let mut digits = String::from(first);
    for group in groups {
        if group.len() != 3 || first.is_empty() || first.len() > 3 {
            return None;
        }
        digits.push_str(group);
    }
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(numerator: i64, denominator: i64) -> BigRational {
        BigRational::new(numerator.into(), denominator.into())
    }

    #[test]
    fn decimals_are_exact() {
        for (text, expected) in [
            ("0.5", Some(ratio(1, 2))),
            (".5", Some(ratio(1, 2))),
            ("-1,234.50", Some(ratio(-2469, 2))),
            ("2.5e-1", Some(ratio(1, 4))),
            ("1_000", Some(ratio(1000, 1))),
            ("12,34", None),
            ("1e99999", None),
            ("", None),
            (".", None),
            ("x", None),
        ] {
            assert_eq!(decimal(text), expected, "{text}");
        }
    }

    #[test]
    fn the_last_number_is_found_in_a_sentence() {
        for (text, expected) in [
            ("so 3 eggs cost $4.50.", Some(("4.50", ratio(9, 2)))),
            ("it is -$1,200!", Some(("-$1,200", ratio(-1200, 1)))),
            ("10-4", Some(("4", ratio(4, 1)))),
            ("x = -4", Some(("-4", ratio(-4, 1)))),
            ("1, 2, .5", Some((".5", ratio(1, 2)))),
            ("none", None),
            ("it is 6.02e3", Some(("6.02e3", ratio(6020, 1)))),
            ("about 5E-3", Some(("5E-3", ratio(1, 200)))),
            ("1 000 in all", Some(("1 000", ratio(1000, 1)))),
            ("１２", Some(("12", ratio(12, 1)))),
            ("-٥", Some(("-5", ratio(-5, 1)))),
        ] {
            assert_eq!(last_number(text), expected.map(|(text, value)| (text.to_owned(), value)), "{text}");
        }
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
