//! Decimal numbers as exact rational numbers.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Num, One};

/// Digits of a number, its exponent included, above which it is not read: the limit before any work.
pub(crate) const MAX_DIGITS: usize = 4000;

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
}
