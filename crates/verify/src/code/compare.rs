//! Comparing what a program printed or returned with what was expected.

use std::collections::HashMap;

use num_bigint::BigInt;
use serde_json::Value;

use super::data::Data;
use crate::decimal::Decimal;

/// Whether `printed` is `expected` by LiveCodeBench's rule: surrounding white space removed, the same number of lines,
/// and each line equal or made of equal decimal numbers. Otherwise says where they differ.
pub(super) fn output(printed: &str, expected: &str) -> Result<(), String> {
    let lines = |text: &str| -> Vec<String> { text.trim().lines().map(|line| line.trim().to_owned()).collect() };
    let (printed, expected) = (lines(printed), lines(expected));
    let differing = printed.iter().zip(&expected).position(|(a, b)| a != b && !equal_decimals(a, b));
    if let Some(at) = differing {
        return Err(format!("line {}: got `{}`, expected `{}`", at + 1, short(&printed[at]), short(&expected[at])));
    }
    if printed.len() == expected.len() {
        Ok(())
    } else {
        Err(format!("got {} lines, expected {}", printed.len(), expected.len()))
    }
}

fn equal_decimals(a: &str, b: &str) -> bool {
    let decimals = |line: &str| line.split_whitespace().map(Decimal::parse).collect::<Option<Vec<_>>>();
    match (decimals(a), decimals(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// Whether a returned value, as the program's side of the wire encodes it, is the expected JSON value.
///
/// A tuple is a list, since JSON has no tuples. Numbers are equal by value, integers exactly; a truth value is no number.
pub(super) fn value<'a>(returned: &'a Value, expected: &Data) -> bool {
    match (returned, expected) {
        (Value::Number(number), Data::Number(expected)) => equal_numbers(&number.to_string(), expected),
        (Value::Null, Data::Null) => true,
        (Value::Bool(a), Data::Bool(b)) => a == b,
        (Value::String(a), Data::Text(b)) => a == b,
        (Value::Array(items), Data::List(expected)) => all_equal(items, expected),
        (Value::Object(tagged), expected) if tagged.len() == 1 => match (tagged.iter().next(), expected) {
            (Some((tag, Value::String(hexadecimal))), Data::Number(expected)) if tag == "i" => {
                long_integer(hexadecimal, expected).is_some_and(|long| equal_numbers(&long, expected))
            }
            (Some((tag, Value::Array(items))), Data::List(expected)) if tag == "t" || tag == "q" => {
                all_equal(items, expected)
            }
            (Some((tag, Value::Array(pairs))), Data::Map(expected)) if tag == "d" || tag == "O" || tag == "C" => {
                let entry = |pair: &'a Value| Some((pair.get(0)?.as_str()?, pair.get(1)?));
                let known: Option<HashMap<&str, &Value>> = pairs.iter().map(entry).collect();
                known.is_some_and(|known| {
                    let holds = |(key, expected): &(String, Data)| {
                        known.get(key.as_str()).is_some_and(|returned| value(returned, expected))
                    };
                    known.len() == pairs.len() && pairs.len() == expected.len() && expected.iter().all(holds)
                })
            }
            _ => false,
        },
        _ => false,
    }
}

fn all_equal(items: &[Value], expected: &[Data]) -> bool {
    items.len() == expected.len() && items.iter().zip(expected).all(|(a, b)| value(a, b))
}

/// The decimal digits of a long integer in hexadecimal ones (`0x…`, `-0x…`), unless it is too long or too short to be
/// `expected`: the program chooses its length, and changing the base takes longer than the digits are long.
fn long_integer(hexadecimal: &str, expected: &str) -> Option<String> {
    let (sign, digits) = match hexadecimal.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", hexadecimal),
    };
    let digits = digits.strip_prefix("0x")?;
    // A number of n decimal digits has at most n hexadecimal ones; one with an exponent is a double, below 2^1024.
    let longest = if expected.contains(['.', 'e', 'E']) { 256 } else { expected.len() };
    if digits.len() > longest {
        return None;
    }
    Some(format!("{sign}{}", BigInt::parse_bytes(digits.as_bytes(), 16)?))
}

/// Integers are compared digit by digit; as soon as one side has a point or an exponent, it is a double, as in Python.
fn equal_numbers(a: &str, b: &str) -> bool {
    let whole = |text: &str| !text.contains(['.', 'e', 'E']);
    match (whole(a), whole(b)) {
        (true, true) => Decimal::parse(a).is_some_and(|a| Some(a) == Decimal::parse(b)),
        (false, false) => matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if a == b),
        (true, false) => {
            b.parse::<f64>().is_ok_and(|b| Decimal::parse(a) == Decimal::parse(&format!("{b:.0}")) && b.fract() == 0.0)
        }
        (false, true) => equal_numbers(b, a),
    }
}

/// At most 200 characters of `text`, for a reason.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outputs_compare_as_livecodebench_does() {
        for (printed, expected) in [
            ("5 2 1 3 4\n", "5 2 1 3 4 \n"),
            ("1.50", "1.5"),
            ("  a  \n b ", "a\nb"),
            ("1e3 -0", "1000 0.0"),
            ("1\r\n2\r\n", "1\n2"),
            ("", "\n"),
        ] {
            assert_eq!(output(printed, expected), Ok(()), "{printed:?} {expected:?}");
        }
        for (printed, expected) in [
            ("1\n2", "1 2"),
            ("yes", "Yes"),
            ("1.5000001", "1.5"),
            ("a  b", "a b"),
            ("nan", "nan "),
            ("1 2 3", "1 2"),
            ("", "0"),
            ("1\n2\n3", "1\n2"),
            ("--1", "1"),
            (".", "0"),
        ] {
            if printed.trim() != expected.trim() {
                assert!(output(printed, expected).is_err(), "{printed:?} {expected:?}");
            }
        }
    }

    #[test]
    fn returned_values_compare_by_value() {
        let equal = |returned: Value, expected: &str| value(&returned, &Data::parse(expected).unwrap());
        assert!(equal(json!({"t": [1, 2]}), "[1, 2]"));
        assert!(equal(json!(1.0), "1"));
        assert!(equal(json!(0.1), "0.10000000000000001"));
        assert!(equal(json!({"i": "0x18ee90ff6c373e0ee4e3f0ad2"}), "123456789012345678901234567890"));
        assert!(equal(json!({"i": "-0x20000000000000"}), "-9007199254740992"));
        assert!(equal(json!({"d": [["a", {"t": []}]]}), "{\"a\": []}"));
        assert!(!equal(json!({"i": "0x18ee90ff6c373e0ee4e3f0ad3"}), "123456789012345678901234567890"));
        assert!(!equal(json!({"i": "0x20000000000001"}), "9007199254740992.0"));
        assert!(!equal(json!(true), "1"));
        assert!(!equal(json!(1), "true"));
        assert!(!equal(json!("1"), "1"));
        assert!(!equal(json!({"s": [1]}), "[1]"));
        assert!(!equal(json!({"d": [[1, 2]]}), "{\"1\": 2}"));
        assert!(!equal(json!({"h": 0, "n": "Always"}), "1"));
        assert!(!equal(json!({"f": "nan"}), "null"));
        assert!(!equal(json!([1, 2, 3]), "[1, 2]"));
        // What no program of ours sends.
        assert!(!equal(json!({"d": [["a", 1], ["a", 1]]}), "{\"a\": 1, \"b\": 2}"));
        assert!(!equal(json!({"d": [["a", 1], ["a", 1]]}), "{\"a\": 1}"));
        assert!(!equal(json!({"i": "0x1", "d": []}), "1"));
        let long = num_bigint::BigInt::from(3u8).pow(60_000);
        assert!(equal(json!({"i": format!("{long:#x}")}), &long.to_string()));
        assert!(!equal(json!({"i": format!("{:#x}", &long + 1)}), &long.to_string()));
        assert!(!equal(json!({"i": format!("0x{}", "f".repeat(4 << 20))}), "1"));
    }
}
