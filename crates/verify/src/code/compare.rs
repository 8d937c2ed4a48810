//! Comparing what a program printed or returned with what was expected.

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
pub(super) fn value(returned: &Value, expected: &Data) -> bool {
    if let Some(text) = number(returned) {
        return matches!(expected, Data::Number(expected) if equal_numbers(&text, expected));
    }
    match (returned, expected) {
        (Value::Null, Data::Null) => true,
        (Value::Bool(a), Data::Bool(b)) => a == b,
        (Value::String(a), Data::Text(b)) => a == b,
        (Value::Array(items), Data::List(expected)) => all_equal(items, expected),
        (Value::Object(tagged), expected) => match (tagged.iter().next(), expected) {
            (Some((tag, Value::Array(items))), Data::List(expected)) if tag == "t" || tag == "q" => {
                all_equal(items, expected)
            }
            (Some((tag, Value::Array(pairs))), Data::Map(expected)) if tag == "d" || tag == "O" || tag == "C" => {
                pairs.len() == expected.len()
                    && pairs.iter().all(|pair| match (pair.get(0).and_then(Value::as_str), pair.get(1)) {
                        (Some(key), Some(returned)) => {
                            expected.iter().any(|(known, expected)| known == key && value(returned, expected))
                        }
                        _ => false,
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

/// The text of a returned number: as JSON writes it, or `{"i": "0x…"}` for a long integer. Infinities are no numbers.
fn number(returned: &Value) -> Option<String> {
    const LONGEST: usize = 20_000;
    match returned {
        Value::Number(number) => Some(number.to_string()),
        Value::Object(tagged) => {
            let hexadecimal = tagged.get("i")?.as_str().filter(|text| text.len() <= LONGEST)?;
            let (sign, digits) = match hexadecimal.strip_prefix('-') {
                Some(rest) => ("-", rest),
                None => ("", hexadecimal),
            };
            let value = BigInt::parse_bytes(digits.strip_prefix("0x")?.as_bytes(), 16)?;
            Some(format!("{sign}{value}"))
        }
        _ => None,
    }
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
    }
}
