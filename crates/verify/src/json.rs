//! `json`: an answer that is JSON.
//!
//! Values are compared where they stand in their texts: no tree is built, so that memory stays that of the text.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use retort_records::Verdict;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::{Case, Outcome, Verifier, VerifyError, decimal::Decimal};

/// Lists and objects inside one another that are read.
const MAX_DEPTH: usize = 128;

/// Settings of `json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonSettings {
    /// Compare the value with the reference answer's instead of only asking for well-formed JSON. Keys may stand in any
    /// order; 1 and 1.0 are equal.
    pub compare: bool,
    /// Keys that the object must have.
    pub required_keys: Vec<String>,
}

impl JsonSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        Ok(Box::new(Json { settings: self.clone() }))
    }
}

struct Json {
    settings: JsonSettings,
}

impl Verifier for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        if case.truncated {
            return Outcome::new(Verdict::Incorrect, "truncated", "the completion was cut off");
        }
        let Some(answer) = case.answer_text() else {
            return Outcome::new(Verdict::Incorrect, "no_answer", "the completion has no answer");
        };
        let text = fenced(answer).unwrap_or(answer).trim();
        let value = match JsonText::read(text) {
            Ok(value) => value,
            Err((method, reason)) => return Outcome::new(Verdict::Incorrect, method, reason).with_answer(text),
        };
        let missing =
            |key: &&String| !value.entries().any(|(known, _)| known.text().is_some_and(|known| known == ***key));
        if let Some(key) = self.settings.required_keys.iter().find(missing) {
            return Outcome::new(Verdict::Incorrect, "missing_key", format!("key `{key}` is missing"))
                .with_answer(text);
        }
        if !self.settings.compare {
            return Outcome::new(Verdict::Correct, "json", "well-formed JSON").with_answer(text);
        }
        let Some(Ok(expected)) = case.reference_answer.map(|reference| JsonText::read(reference.trim())) else {
            return Outcome::new(Verdict::Undecided, "no_reference", "the reference answer is not JSON")
                .with_answer(text);
        };
        let (verdict, reason) = if value.equals(expected) {
            (Verdict::Correct, "equal to the reference answer")
        } else {
            (Verdict::Incorrect, "differs from the reference answer")
        };
        Outcome::new(verdict, "equal", reason).with_answer(text)
    }
}

/// The content of the last closed code fence.
fn fenced(text: &str) -> Option<&str> {
    let end = text.rfind("```")?;
    let open = text[..end].rfind("```")?;
    let content = &text[open + 3..end];
    Some(content.split_once('\n').map_or(content, |(_, rest)| rest))
}

/// Whether a text is JSON in which no key stands twice in one object.
pub(crate) fn is_unambiguous(text: &str) -> bool {
    JsonText::read(text.trim()).is_ok()
}

/// The text of one JSON value that is known to be well formed, without white space around it.
#[derive(Clone, Copy)]
struct JsonText<'t>(&'t str);

impl<'t> JsonText<'t> {
    /// The value of a text; else a word and a sentence for why it has none.
    fn read(text: &'t str) -> Result<Self, (&'static str, String)> {
        if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
            return Err(("not_json", error.to_string()));
        }
        if depth(text) > MAX_DEPTH {
            return Err(("not_json", format!("more than {MAX_DEPTH} lists and objects inside one another")));
        }
        let value = Self(text);
        match value.repeated_key() {
            Some(key) => Err(("duplicate_key", format!("key `{}` stands twice in one object", shown(&key)))),
            None => Ok(value),
        }
    }

    /// A key that stands twice in one object. What it means differs from reader to reader (RFC 8259, section 4).
    fn repeated_key(self) -> Option<Cow<'t, str>> {
        let mut known: HashSet<Cow<'t, str>> = HashSet::new();
        for (key, value) in self.entries() {
            let key = key.text().unwrap_or(Cow::Borrowed(key.0));
            if known.contains(&key) {
                return Some(key);
            }
            known.insert(key);
            if let Some(repeated) = value.repeated_key() {
                return Some(repeated);
            }
        }
        self.items().find_map(Self::repeated_key)
    }

    /// Equality in which 1 and 1.0 are the same number and keys stand in any order.
    fn equals(self, other: Self) -> bool {
        match (self.0.as_bytes().first(), other.0.as_bytes().first()) {
            (Some(b'['), Some(b'[')) => {
                let (mut items, mut others) = (self.items(), other.items());
                loop {
                    match (items.next(), others.next()) {
                        (None, None) => return true,
                        (Some(item), Some(other)) if item.equals(other) => {}
                        _ => return false,
                    }
                }
            }
            (Some(b'{'), Some(b'{')) => {
                let key = |key: JsonText<'t>| key.text().unwrap_or(Cow::Borrowed(key.0));
                let mut others: HashMap<Cow<'t, str>, JsonText<'t>> =
                    other.entries().map(|(name, value)| (key(name), value)).collect();
                self.entries().all(|(name, value)| others.remove(&key(name)).is_some_and(|other| value.equals(other)))
                    && others.is_empty()
            }
            (Some(b'"'), Some(b'"')) => match (self.text(), other.text()) {
                (Some(text), Some(other)) => text == other,
                // Half a surrogate pair is JSON, but no text.
                _ => self.0 == other.0,
            },
            (Some(b'-' | b'0'..=b'9'), Some(b'-' | b'0'..=b'9')) => equal_numbers(self.0, other.0),
            _ => self.0 == other.0,
        }
    }

    /// The content of a string, or `None` for other values and for strings that no text can hold.
    fn text(self) -> Option<Cow<'t, str>> {
        match self.0.strip_prefix('"')?.strip_suffix('"') {
            Some(plain) if !plain.contains('\\') => Some(plain.into()),
            _ => serde_json::from_str::<String>(self.0).ok().map(Cow::Owned),
        }
    }

    /// The items of a list; none of another value.
    fn items(self) -> impl Iterator<Item = JsonText<'t>> {
        let mut rest = self.0.strip_prefix('[').unwrap_or_default();
        std::iter::from_fn(move || next_value(&mut rest))
    }

    /// The keys and values of an object; none of another value.
    fn entries(self) -> impl Iterator<Item = (JsonText<'t>, JsonText<'t>)> {
        let mut rest = self.0.strip_prefix('{').unwrap_or_default();
        std::iter::from_fn(move || Some((next_value(&mut rest)?, next_value(&mut rest)?)))
    }
}

/// Takes the next value from the inside of a well-formed list or object; `None` at its end.
fn next_value<'t>(rest: &mut &'t str) -> Option<JsonText<'t>> {
    let text = rest.trim_start_matches([',', ':', ' ', '\n', '\r', '\t']);
    let bytes = text.as_bytes();
    let end = match bytes.first()? {
        b']' | b'}' => return None,
        b'"' => after_string(bytes, 0),
        b'[' | b'{' => {
            let (mut depth, mut at) = (0, 0);
            loop {
                match bytes.get(at)? {
                    b'"' => at = after_string(bytes, at),
                    byte => {
                        depth += usize::from(matches!(byte, b'[' | b'{'));
                        depth -= usize::from(matches!(byte, b']' | b'}'));
                        at += 1;
                    }
                }
                if depth == 0 {
                    break at;
                }
            }
        }
        _ => bytes.iter().position(|byte| b",]} \n\r\t".contains(byte)).unwrap_or(bytes.len()),
    };
    let (value, after) = text.split_at(end);
    *rest = after;
    Some(JsonText(value))
}

/// Where the string that begins at `start` is over.
fn after_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// How many lists and objects stand inside one another.
fn depth(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut deepest) = (0, 0usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = after_string(bytes, at);
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        at += 1;
    }
    deepest
}

/// Numbers are equal by their exact value. Two that are not whole are also equal when they are the same double: `0.1` is
/// what `0.10000000000000001` was before it was written.
fn equal_numbers(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match (Decimal::parse(a), Decimal::parse(b)) {
        (Some(exact), Some(other)) if exact == other => true,
        (Some(exact), Some(other)) if !exact.is_whole() && !other.is_whole() => {
            matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if a == b && a.is_normal())
        }
        // Another value, or an exponent beyond all bounds.
        _ => false,
    }
}

/// At most 100 characters of a key.
fn shown(key: &str) -> String {
    key.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_found_and_compared() {
        let plain = JsonSettings::default().build().unwrap();
        let of = |completion| Case { completion, ..Case::default() };
        assert_eq!(plain.verify(&of("{\"a\": 1}")).verdict, Verdict::Correct);
        assert_eq!(plain.verify(&of("Here:\n```json\n{\"a\": [1]}\n```")).verdict, Verdict::Correct);
        assert_eq!(plain.verify(&of("{\"a\": 1")).verdict, Verdict::Incorrect);
        let compare = JsonSettings { compare: true, required_keys: vec!["a".into()] }.build().unwrap();
        assert_eq!(compare.verify(&Case::of(r#"{"b":2,"a":1.0}"#, r#"{"a":1,"b":2}"#)).verdict, Verdict::Correct);
        assert_eq!(compare.verify(&Case::of(r#"{"a":1}"#, r#"{"a":2}"#)).verdict, Verdict::Incorrect);
        assert_eq!(compare.verify(&Case::of(r#"{"b":1}"#, r#"{"b":1}"#)).method, "missing_key");
        assert_eq!(compare.verify(&Case::of(r#"{"a":1}"#, "a")).verdict, Verdict::Undecided);
    }

    #[test]
    fn values_are_equal_by_what_they_are() {
        let equal = |a: &str, b: &str| {
            let (a, b) = (JsonText::read(a).unwrap(), JsonText::read(b).unwrap());
            assert_eq!(a.equals(b), b.equals(a));
            a.equals(b)
        };
        for (a, b) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("0.1", "0.10000000000000001"),
            ("-0", "0.0"),
            ("1e400", "10e399"),
            (r#""\u0061""#, r#""a""#),
            (r#"{ "a" : [ 1 , "]}" ] , "b\"" : { } }"#, r#"{"b\"":{},"a":[1.0,"]}"]}"#),
            ("[[],{},\"\\\\\"]", "[ [ ], { }, \"\\\\\" ]"),
            ("[ ]", "[]"),
        ] {
            assert!(equal(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("100000000000000000000", "100000000000000000001"),
            ("9007199254740993", "9007199254740992"),
            ("9007199254740993", "9007199254740992.0"),
            ("1e-400", "0"),
            ("1.0000000000000000001", "1"),
            ("1", "true"),
            ("1", "\"1\""),
            ("null", "false"),
            ("[1,2]", "[1]"),
            ("[1]", "[1,2]"),
            ("[1,2]", "[2,1]"),
            ("[]", "{}"),
            (r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
            (r#"{"a":1,"c":1}"#, r#"{"a":1,"b":1}"#),
            (r#""\ud800""#, r#""\ud801""#),
        ] {
            assert!(!equal(a, b), "{a} {b}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        let plain = JsonSettings { compare: true, ..Default::default() }.build().unwrap();
        for answer in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"[0,{"b":{"a":1,"c":0,"a":1}}]"#] {
            let outcome = plain.verify(&Case::of(answer, r#"{"a":1}"#));
            assert_eq!((outcome.verdict, outcome.method.as_ref()), (Verdict::Incorrect, "duplicate_key"), "{answer}");
        }
        assert_eq!(plain.verify(&Case::of("{}", r#"{"a":1,"a":1}"#)).verdict, Verdict::Undecided);
        assert_eq!(plain.verify(&Case::of(r#"{"a":{"a":1}}"#, r#"{"a":{"a":1}}"#)).verdict, Verdict::Correct);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(JsonText::read(&nested(128)).is_ok());
        assert!(JsonText::read(&nested(129)).is_err());
        assert!(JsonText::read(&nested(1 << 20)).is_err());
    }

    proptest::proptest! {
        /// What is written as JSON is read and equal to itself, whatever its white space.
        #[test]
        fn every_value_equals_itself(seed in 0u64..1 << 40) {
            let value = sample(seed, 0);
            let (dense, wide) = (value.to_string(), serde_json::to_string_pretty(&value).unwrap());
            proptest::prop_assert!(JsonText::read(&dense).unwrap().equals(JsonText::read(&wide).unwrap()));
        }
    }

    fn sample(seed: u64, depth: u64) -> serde_json::Value {
        let next = seed.wrapping_mul(6364136223846793005).wrapping_add(depth + 1);
        match (seed >> 7) % if depth > 3 { 4 } else { 6 } {
            0 => serde_json::Value::Null,
            1 => serde_json::json!(next as i64),
            2 => serde_json::json!(next as f64 / 7.0),
            3 => serde_json::json!(format!("\"\\{}\u{1}é😀{seed}", ["", "{", "]", "\n"][(seed % 4) as usize])),
            4 => (0..seed % 5).map(|i| sample(next.rotate_left(i as u32 + 9), depth + 1)).collect(),
            _ => {
                (0..seed % 5).map(|i| (format!("k\"{i}"), sample(next.rotate_left(i as u32 + 5), depth + 1))).collect()
            }
        }
    }
}
