//! Decimal numbers compared digit by digit, whatever their size.

/// An exact decimal number in one form: digits without zeros at either end, times a power of ten. No arithmetic is ever
/// done on it, so that `1e999999999` costs no more than `1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads what Python's `Decimal` reads, but for NaN (equal to nothing), infinities and underscores.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !all(whole) || !all(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        let trailing = digits.len() - digits.trim_end_matches('0').len();
        let exponent = exponent.checked_sub(fraction.len() as i64)?.checked_add(trailing as i64)?;
        Some(Self { negative, digits: significant.to_owned(), exponent })
    }

    /// Whether it is a whole number.
    pub(crate) fn is_whole(&self) -> bool {
        self.exponent >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_whatever_their_size() {
        let equal = |a, b| Decimal::parse(a).unwrap() == Decimal::parse(b).unwrap();
        assert!(equal("1e999999999", "10e999999998"));
        assert!(equal("-0.0", "0"));
        assert!(equal("+001.2300", "1.23"));
        assert!(!equal("100000000000000000001", "100000000000000000000"));
        assert!(!equal("-1", "1"));
        for text in ["", "-", ".", "e5", "1e", "1_000", "inf", "nan", "0x10", "1.2.3", "1e99999999999999999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}
