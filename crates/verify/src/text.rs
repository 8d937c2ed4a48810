//! `exact`, `normalized` and `regex`: answers compared as text.

use regex::Regex;
use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Case, Outcome, Verifier, VerifyError, error::last_line, math::extract::last_box};

/// Which part of the answer text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Extract {
    /// The last box if there is one, else the last `<answer>` tag, else the whole text.
    #[default]
    Auto,
    /// The whole text.
    Whole,
    /// The content of the last `\boxed{…}`.
    Box,
    /// The content of the last `<answer>…</answer>`.
    AnswerTag,
    /// The last line that is not empty.
    LastLine,
}

impl Extract {
    /// The part of `text` that this rule names; `None` when it has none.
    pub(crate) fn of(self, text: &str) -> Option<&str> {
        let tagged = || {
            let start = text.rfind("<answer>")? + "<answer>".len();
            let length = text[start..].find("</answer>")?;
            Some(&text[start..start + length])
        };
        let part = match self {
            Self::Auto => last_box(text).or_else(tagged).unwrap_or(text),
            Self::Whole => text,
            Self::Box => last_box(text)?,
            Self::AnswerTag => tagged()?,
            Self::LastLine => text.trim_end().lines().next_back()?,
        };
        Some(part.trim()).filter(|part| !part.is_empty())
    }
}

/// Settings of `exact`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExactSettings {
    /// Which part of the answer is compared.
    pub extract: Extract,
    /// Text between several accepted reference answers, such as `|`. Without it a reference answer that is a JSON list
    /// of texts is a list of accepted answers.
    pub alias_separator: Option<String>,
}

/// Settings of `normalized`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NormalizedSettings {
    /// Which part of the answer is compared.
    pub extract: Extract,
    /// Text between several accepted reference answers, such as `|`. Without it a reference answer that is a JSON list
    /// of texts is a list of accepted answers.
    pub alias_separator: Option<String>,
}

/// Settings of `regex`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegexSettings {
    /// The regular expression (syntax of the Rust `regex` crate).
    pub pattern: String,
    /// Which part of the answer is searched.
    #[serde(default)]
    pub extract: Extract,
    /// Whether the expression must match the whole part instead of occurring in it.
    #[serde(default)]
    pub whole: bool,
    /// Compare the first group with the reference answer instead of only asking for a match.
    #[serde(default)]
    pub compare_group: bool,
}

impl ExactSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        Ok(Box::new(Text { name: "exact", settings: self.clone(), key: |text| text.trim().to_owned() }))
    }
}

impl NormalizedSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        let settings = ExactSettings { extract: self.extract, alias_separator: self.alias_separator.clone() };
        Ok(Box::new(Text { name: "normalized", settings, key: normalized }))
    }
}

impl RegexSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        let source = if self.whole { format!("^(?:{})$", self.pattern) } else { self.pattern.clone() };
        let pattern = Regex::new(&source).map_err(|error| VerifyError::Pattern {
            verifier: "regex",
            setting: "pattern",
            given: self.pattern.clone(),
            message: last_line(&error.to_string()),
        })?;
        if self.compare_group && pattern.captures_len() < 2 {
            return Err(VerifyError::Setting {
                verifier: "regex",
                setting: "compare_group",
                given: "true".into(),
                allowed: "only with a group in `pattern`".into(),
            });
        }
        Ok(Box::new(Pattern { pattern, extract: self.extract, compare_group: self.compare_group }))
    }
}

/// Lower case, without punctuation at word borders, English articles and repeated white space: SQuAD's rule, for letters
/// of any script. A text of nothing but punctuation keeps it.
///
/// Only marks that structure a sentence are punctuation. A sign that says something of its word stays: `<5`, `±5`, `~5`,
/// `.5`, `C#`, `5'` and `5"`, `5!`.
pub(crate) fn normalized(text: &str) -> String {
    let words = text.trim().strip_prefix("\\text{").and_then(|text| text.strip_suffix('}'));
    let text = words.filter(|words| !words.contains(['{', '}'])).unwrap_or(text);
    let lower: String = text.chars().flat_map(char::to_lowercase).collect();
    let quoting = QUOTES.map(|closing| quotes(&lower, closing));
    let words = lower.split_whitespace().map(|word| without_marks(word, quoting));
    // Articles, a dash between words, a heading's or a table's mark.
    let says_nothing = |word: &&str| matches!(*word, "" | "a" | "an" | "the" | "–" | "#" | "##" | "###" | "|");
    let joined = words.filter(|word| !says_nothing(word)).collect::<Vec<_>>().join(" ");
    let joined = joined.strip_prefix("= ").unwrap_or(&joined);
    if joined.is_empty() { lower.split_whitespace().collect::<Vec<_>>().join(" ") } else { joined.to_owned() }
}

/// Marks that close a quotation, or stand for feet, inches, minutes and seconds behind a number.
const QUOTES: [char; 5] = ['\'', '"', '’', '”', '´'];

/// A word without the marks of its sentence around it; `quoting` says which of [`QUOTES`] are quotation marks here.
fn without_marks(word: &str, quoting: [bool; 5]) -> &str {
    const MARKS: &str = ".,;:!?¿¡…·、。，；：！？．｡।॥؟،؛۔\"'`´“”„‟‘’‚‛«»‹›「」『』《》〈〉【】〔〕()[]{}（）［］｛｝_—―*•▪◦‣™®©\
                         \u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2060}\u{feff}";
    let is_mark = |c: char| MARKS.contains(c) || c >= '\u{1f000}' && !c.is_alphanumeric();
    let mut word = word;
    while let Some(first) = word.chars().next().filter(|c| is_mark(*c)) {
        let rest = &word[first.len_utf8()..];
        // `.5` and `.NET`, `!=` and `!x`, `*p`: such a mark belongs to its word. Emphasis and brackets come in pairs.
        let belongs = match first {
            '.' | '!' => rest.starts_with(|c: char| c.is_alphanumeric() || first == '!' && c == '='),
            '*' => !word.ends_with(['*', '.', ',', '!', '?', ':']) && !rest.starts_with('*'),
            _ => false,
        };
        if belongs || is_interval(word) {
            break;
        }
        word = rest;
    }
    while let Some(last) = word.chars().next_back().filter(|c| is_mark(*c)) {
        let rest = &word[..word.len() - last.len_utf8()];
        let interval = is_interval(word);
        let unit =
            interval || last == '!' || QUOTES.iter().zip(quoting).any(|(quote, quoting)| last == *quote && !quoting);
        if interval || unit && rest.ends_with(char::is_numeric) {
            break;
        }
        word = rest;
    }
    word
}

/// Whether a word's brackets hold several elements, so that their kind counts: `(0,1)`, `[0,1)`.
fn is_interval(word: &str) -> bool {
    let marks = |c: char| matches!(c, '.' | ';' | ':' | '!' | '?' | '*');
    let word = word.trim_matches(marks);
    word.starts_with(['(', '[']) && word.ends_with([')', ']']) && word.contains(',')
}

/// Whether the quotation mark `closing` has one in the text that opens for it.
fn quotes(text: &str, closing: char) -> bool {
    match closing {
        '’' => text.contains(['‘', '‚']),
        '”' => text.contains(['“', '„']),
        _ => text.matches(closing).count().is_multiple_of(2),
    }
}

/// The accepted reference answers.
fn aliases(reference: &str, separator: Option<&str>) -> Vec<String> {
    match separator {
        Some(separator) if !separator.is_empty() => {
            reference.split(separator).map(str::trim).filter(|alias| !alias.is_empty()).map(str::to_owned).collect()
        }
        _ => match serde_json::from_str::<Vec<String>>(reference) {
            Ok(list) if !list.is_empty() => list,
            _ => vec![reference.to_owned()],
        },
    }
}

struct Text {
    name: &'static str,
    settings: ExactSettings,
    key: fn(&str) -> String,
}

impl Verifier for Text {
    fn name(&self) -> &'static str {
        self.name
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        let (answer, reference) = match case.answer_and_reference() {
            Ok(texts) => texts,
            Err(outcome) => return outcome,
        };
        let Some(part) = self.settings.extract.of(answer) else {
            return Outcome::new(Verdict::Incorrect, "no_answer", "the answer lacks the part to compare");
        };
        let found = (self.key)(part);
        let accepted = aliases(reference, self.settings.alias_separator.as_deref());
        let equal = accepted.iter().any(|alias| (self.key)(alias) == found);
        let (verdict, reason) = if equal {
            (Verdict::Correct, "equal to the reference answer")
        } else {
            (Verdict::Incorrect, "differs from the reference answer")
        };
        Outcome::new(verdict, self.name, reason).with_answer(part)
    }
}

struct Pattern {
    pattern: Regex,
    extract: Extract,
    compare_group: bool,
}

impl Verifier for Pattern {
    fn name(&self) -> &'static str {
        "regex"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        // Without a comparison only the form of the answer is judged, and no reference answer is needed.
        let (answer, reference) = match case.answer_and_reference() {
            Ok(texts) => texts,
            Err(outcome) if !self.compare_group && outcome.method == "no_reference" => match case.answer_text() {
                Some(answer) => (answer, ""),
                None => return Outcome::new(Verdict::Incorrect, "no_answer", "the completion has no answer"),
            },
            Err(outcome) => return outcome,
        };
        let part = self.extract.of(answer).unwrap_or_default();
        let Some(captures) = self.pattern.captures_iter(part).last() else {
            return Outcome::new(Verdict::Incorrect, "regex", "the expression does not match").with_answer(part);
        };
        if !self.compare_group {
            return Outcome::new(Verdict::Correct, "regex", "the expression matches").with_answer(&captures[0]);
        }
        let group = captures.get(1).map_or("", |group| group.as_str()).trim();
        let equal = !group.is_empty() && group == reference;
        let verdict = if equal { Verdict::Correct } else { Verdict::Incorrect };
        Outcome::new(verdict, "regex", "the first group was compared with the reference answer").with_answer(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalised_text_forgets_case_articles_and_marks() {
        assert_eq!(normalized("  The \"Eiffel\" Tower. "), "eiffel tower");
        assert_eq!(normalized("Łódź!"), "łódź");
        assert_eq!(normalized("-5%"), "-5%");
        assert_eq!(normalized("?!"), "?!");
        for (a, b) in [
            ("-5", "5"),
            ("<5", "5"),
            (">5", "5"),
            ("≤ 5", "5"),
            ("±5", "5"),
            ("~5", "5"),
            ("≈5", "5"),
            ("C#", "C"),
            ("C++", "C"),
            ("5'", "5\""),
            ("5'", "5"),
            ("5!", "5"),
            ("√2", "2"),
            ("x²", "x"),
            ("#1", "1"),
            ("€5", "5"),
            ("!=", "="),
            ("5°", "5"),
            ("@home", "home"),
            ("¬p", "p"),
            ("→", "←"),
            ("5‰", "5"),
            ("^2", "2"),
            (".NET", "NET"),
            ("!x", "x"),
            ("*p", "p"),
            ("(0,1)", "[0,1]"),
            ("[0,1)", "(0,1]"),
        ] {
            assert_ne!(normalized(a), normalized(b), "{a} {b}");
        }
        for (a, b) in [
            ("(Paris)", "paris"),
            ("**Paris**.", "Paris"),
            (r"\text{Paris}", "Paris"),
            ("‘Paris’", "paris"),
            ("《红楼梦》", "红楼梦"),
            ("\"5\"", "5"),
            ("it's", "It's"),
        ] {
            assert_eq!(normalized(a), normalized(b), "{a} {b}");
        }
    }

    #[test]
    fn aliases_are_accepted() {
        let exact = ExactSettings::default().build().unwrap();
        assert_eq!(exact.verify(&Case::of("Paris", r#"["Paris", "City of Light"]"#)).verdict, Verdict::Correct);
        assert_eq!(exact.verify(&Case::of("paris", "Paris")).verdict, Verdict::Incorrect);
        let normalized =
            NormalizedSettings { alias_separator: Some("|".into()), ..Default::default() }.build().unwrap();
        assert_eq!(normalized.verify(&Case::of("the city of light.", "Paris|City of Light")).verdict, Verdict::Correct);
        assert_eq!(normalized.verify(&Case::of("London", "Paris|City of Light")).verdict, Verdict::Incorrect);
    }

    #[test]
    fn parts_are_found() {
        assert_eq!(Extract::Auto.of(r"so \boxed{a} then \boxed{b{c}}."), Some("b{c}"));
        assert_eq!(Extract::Auto.of("x <answer> 3 </answer>"), Some("3"));
        assert_eq!(Extract::LastLine.of("a\nb\n\n"), Some("b"));
        assert_eq!(Extract::Box.of("a"), None);
    }

    #[test]
    fn a_pattern_may_compare_its_group() {
        let plain: RegexSettings = serde_json::from_str(r#"{"pattern": "^\\d+$"}"#).unwrap();
        let verifier = plain.build().unwrap();
        assert_eq!(verifier.verify(&Case { completion: "42", ..Case::default() }).verdict, Verdict::Correct);
        assert_eq!(verifier.verify(&Case { completion: "x", ..Case::default() }).verdict, Verdict::Incorrect);
        let group: RegexSettings = serde_json::from_str(r#"{"pattern": "=(\\w+)", "compare_group": true}"#).unwrap();
        let verifier = group.build().unwrap();
        assert_eq!(verifier.verify(&Case::of("a=1 a=2", "2")).verdict, Verdict::Correct);
        assert_eq!(verifier.verify(&Case::of("a=1 a=2", "1")).verdict, Verdict::Incorrect);
        assert!(
            RegexSettings { pattern: "a".into(), extract: Extract::Auto, whole: false, compare_group: true }
                .build()
                .is_err()
        );
    }
}
