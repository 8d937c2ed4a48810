//! `math`: mathematical equality of the final answer with the reference answer.
//!
//! A text goes through [`extract`] (where the answer stands), `clean` and `lexer` (how it is spelled), `parse` (what it
//! is) and `equal` (whether it is the same). Values are compared exactly or by proof where they can be.
#![allow(
    clippy::if_same_then_else,
    clippy::unused_self,
    clippy::explicit_counter_loop,
    clippy::unnecessary_wraps,
    clippy::manual_let_else,
    reason = "a decision is one arm a reason, and a family of operations has one signature"
)]

mod ball;
mod clean;
mod equal;
mod eval;
mod expr;
pub mod extract;
mod identity;
mod lexer;
mod limits;
mod matrix;
mod parse;
mod pieces;
mod polynomial;
mod prose;
mod relations;
mod sets;
mod settings;
mod units;
mod value;
mod words;

use retort_records::Verdict;

pub use settings::{ListOrder, MathSettings, Percent, UnitPolicy};

use self::{
    equal::Comparer,
    expr::Expr,
    extract::{Candidate, Place, candidates},
    identity::Same,
    parse::{Parsed, parse},
};
use crate::{Case, Outcome, Verifier, VerifyError};

impl MathSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        Ok(Box::new(Math { settings: self.clone() }))
    }
}

/// Bytes up to which a malformed answer is a wrong one: longer ones may hold more than the answer.
const MALFORMED: usize = 120;

struct Math {
    settings: MathSettings,
}

impl Verifier for Math {
    fn name(&self) -> &'static str {
        "math"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        match case.answer_and_reference() {
            Ok((answer, reference)) => verify(answer, reference, &self.settings),
            Err(outcome) => outcome,
        }
    }
}

/// Judges a prediction, whole completion or bare answer, against a reference answer, solution or bare answer.
pub fn verify(prediction: &str, reference: &str, settings: &MathSettings) -> Outcome {
    if !prediction.trim().is_empty() && prediction.trim() == reference.trim() && !settings.require_box {
        return Outcome::new(Verdict::Correct, "text", "written as the reference answer")
            .with_answer(prediction.trim());
    }
    let found = candidates(prediction);
    let found: Vec<_> =
        found.into_iter().filter(|found| !settings.require_box || found.place == Place::Boxed).collect();
    let Some(first) = found.first() else {
        let verdict = if settings.require_box { Verdict::Incorrect } else { Verdict::Undecided };
        return Outcome::new(verdict, "no_answer", "no final answer was found");
    };
    let Some(expected) = Expected::of(reference) else {
        return Outcome::new(Verdict::Undecided, "no_reference", "the reference answer is empty")
            .with_answer(first.text.clone());
    };
    // The first place that can be read decides; less sure places are asked only when it cannot.
    let mut outcome = None;
    for candidate in &found {
        let next = expected.judge(candidate, settings).with_answer(candidate.text.trim());
        let decided = next.method != "unreadable";
        if decided || outcome.is_none() {
            outcome = Some(next);
        }
        if decided {
            break;
        }
    }
    outcome.unwrap_or_else(|| Outcome::new(Verdict::Undecided, "no_answer", "no final answer was found"))
}

/// The value of an answer without variables, real and imaginary part, rounded: what the parser understood. With variables,
/// the value that the answer has everywhere, if it is constant. `None` when it has none.
pub fn value(answer: &str) -> Option<(f64, f64)> {
    let parsed = parse(answer, false).ok()?.expr;
    if identity::is_constant(&parsed) {
        return identity::approximate(&parsed);
    }
    [0, 1].into_iter().find_map(|constant| {
        let same = identity::identical(&parsed, &Expr::int(constant), false, &mut limits::Budget::default());
        same.is_equal().then_some((constant as f64, 0.0))
    })
}

/// A reference answer, read once.
struct Expected<'t> {
    text: std::borrow::Cow<'t, str>,
    parsed: Result<Parsed, &'static str>,
    /// Whether it certainly is the whole reference answer.
    sure: bool,
    /// Whether it is so likely the reference answer that an equal answer is correct: the only value of a short sentence.
    likely: bool,
}

impl<'t> Expected<'t> {
    fn of(reference: &'t str) -> Option<Self> {
        let found = candidates(reference);
        let mut first = None;
        for candidate in found {
            let parsed = parse(&candidate.text, false);
            let sure = candidate.place.is_sure();
            let likely = sure || candidate.place == Place::LastValue && reference.len() <= extract::SHORT;
            if parsed.is_ok() {
                return Some(Self { text: candidate.text, parsed, sure, likely });
            }
            first = first.or(Some(Self { text: candidate.text, parsed, sure, likely }));
        }
        let whole = reference.trim();
        first.or_else(|| {
            (!whole.is_empty()).then(|| Self {
                text: whole.into(),
                parsed: parse(whole, false),
                sure: true,
                likely: true,
            })
        })
    }

    fn judge(&self, candidate: &Candidate<'_>, settings: &MathSettings) -> Outcome {
        let outcome = self.as_text(&candidate.text).unwrap_or_else(|| self.as_answer(candidate, settings));
        if outcome.verdict == Verdict::Correct && (!self.likely || candidate.place == Place::StrayValue) {
            let reason = "equal to the reference answer, if both were found in the right place";
            return Outcome::new(Verdict::Undecided, outcome.method, reason);
        }
        if outcome.verdict == Verdict::Incorrect && !(self.sure && candidate.place.is_sure()) {
            let reason = format!("{}, but the answer may stand elsewhere", outcome.reason);
            return Outcome::new(Verdict::Undecided, outcome.method, reason);
        }
        outcome
    }

    fn as_answer(&self, candidate: &Candidate<'_>, settings: &MathSettings) -> Outcome {
        let expected = match &self.parsed {
            Ok(parsed) => parsed,
            Err(reason) => {
                return Outcome::new(
                    Verdict::Undecided,
                    "reference_unreadable",
                    format!("the reference answer cannot be read: {reason}"),
                );
            }
        };
        let found = match parse(&candidate.text, false) {
            Ok(parsed) => parsed,
            Err(reason) => {
                // What is no mathematics at all cannot be the value that is asked for; what is only unknown here may.
                let malformed = !reason.starts_with(parse::UNSUPPORTED);
                let value = !matches!(expected.expr, Expr::Text(_));
                let sure = candidate.place.is_sure() && malformed && value && candidate.text.len() <= MALFORMED;
                let verdict = if sure { Verdict::Incorrect } else { Verdict::Undecided };
                return Outcome::new(verdict, "unreadable", format!("the answer cannot be read: {reason}"));
            }
        };
        let mut same = Comparer::new(settings).answers(&found.expr, &expected.expr);
        if same.is_different()
            && let Some(other) = self.otherwise(candidate, &found, expected, settings)
        {
            same = other;
        }
        if same.is_different() && !candidate.parts.is_empty() {
            // Several boxes: the same answer in several forms, or one of them alone.
            let equal = |part: &&str| {
                parse(part, false)
                    .is_ok_and(|part| Comparer::brief(settings).answers(&part.expr, &expected.expr).is_equal())
            };
            if candidate.parts.iter().all(&equal) {
                same = Same::Equal("every box");
            } else if candidate.parts.iter().any(equal) {
                same = Same::Unknown("one of several boxes");
            }
        }
        let place = candidate.place.name();
        match same {
            Same::Equal(how) => Outcome::new(Verdict::Correct, how, format!("equal to the reference answer ({place})")),
            Same::Different(why) if candidate.place.is_sure() => Outcome::new(Verdict::Incorrect, "different", why),
            Same::Different(why) => Outcome::new(
                Verdict::Undecided,
                "different",
                format!("{why}, but the answer may stand elsewhere ({place})"),
            ),
            Same::Unknown(why) => Outcome::new(Verdict::Undecided, "undecided", why),
        }
    }

    /// Other readings of ambiguous writings, tried when the usual ones differ.
    fn otherwise(
        &self,
        candidate: &Candidate<'_>,
        found: &Parsed,
        expected: &Parsed,
        settings: &MathSettings,
    ) -> Option<Same> {
        // `(B) 12` as 12.
        let labelled = |text: &str| match option_value(text) {
            Some(value) => Some(value.to_owned()),
            // `B: 12`
            None => leading_letter(text).map(|(_, value)| value).filter(|value| !value.is_empty()),
        };
        for (labelled, other) in [(labelled(&candidate.text), expected), (labelled(&self.text), found)] {
            if let Some(value) = labelled
                && let Ok(value) = parse(&value, false)
                && Comparer::brief(settings).answers(&value.expr, &other.expr).is_equal()
            {
                return Some(Same::Equal("an option's value"));
            }
        }
        // `1/2x` as `1/(2x)`.
        if found.tight_slash != expected.tight_slash || found.tight_slash {
            let (a, b) = (parse(&candidate.text, true).ok()?, parse(&self.text, true).ok()?);
            let readings = [(&a.expr, &b.expr), (&a.expr, &expected.expr), (&found.expr, &b.expr)];
            if readings.into_iter().any(|(a, b)| Comparer::brief(settings).answers(a, b).is_equal()) {
                return Some(Same::Unknown("equal if a product after a slash stands below it"));
            }
        }
        // `1,22` as a decimal number.
        let (a, b) = (decimal_comma(&candidate.text), decimal_comma(&self.text));
        if a.is_some() != b.is_some() {
            let (number, sure, other) = match (a, b) {
                (Some((number, sure)), _) => (number, sure, &expected.expr),
                (_, Some((number, sure))) => (number, sure, &found.expr),
                _ => return None,
            };
            if Comparer::brief(settings).answers(&number, other).is_equal() {
                return Some(if sure {
                    Same::Equal("decimal comma")
                } else {
                    Same::Unknown("a decimal comma or a list")
                });
            }
        }
        // A single letter in another case: a choice, or another variable.
        let letter = |expr: &Expr| match expr {
            Expr::Var(name) if name.len() == 1 => name.chars().next(),
            Expr::Const(expr::Const::E) => Some('e'),
            Expr::Const(expr::Const::I) => Some('i'),
            _ => None,
        };
        if let (Some(a), Some(b)) = (letter(&found.expr), letter(&expected.expr))
            && a.eq_ignore_ascii_case(&b)
        {
            let marked = |text: &str| text.contains("\\text") || text.trim_start().starts_with('(');
            let choice = marked(&candidate.text) || marked(&self.text);
            return Some(if choice { Same::Equal("choice") } else { Same::Unknown("a letter in another case") });
        }
        None
    }

    /// Decides what needs no reading: the same writing, and choices by their letter.
    fn as_text(&self, found: &str) -> Option<Outcome> {
        if found.len() > limits::MAX_ANSWER || self.text.len() > limits::MAX_ANSWER {
            return None;
        }
        let (found_key, expected_key) = (key(found), key(&self.text));
        if !found_key.is_empty() && found_key == expected_key {
            return Some(Outcome::new(Verdict::Correct, "text", "written as the reference answer"));
        }
        if let (Some(found), Some(expected)) = (only_words(found), only_words(&self.text))
            && found == expected
        {
            return Some(Outcome::new(Verdict::Correct, "words", "the same words"));
        }
        if let (Some((found, found_marked)), Some((expected, expected_marked))) = (choices(found), choices(&self.text))
            && (found_marked || expected_marked)
        {
            let verdict = if found == expected { Verdict::Correct } else { Verdict::Incorrect };
            return Some(Outcome::new(verdict, "choice", "the letters of the options"));
        }
        let ((letter, rest), (expected, expected_rest)) = (leading_letter(found)?, leading_letter(&self.text)?);
        // A letter with its option's text against a letter alone: only then are the letters all that counts.
        if rest.is_empty() == expected_rest.is_empty() {
            return None;
        }
        let verdict = if letter == expected { Verdict::Correct } else { Verdict::Incorrect };
        Some(Outcome::new(verdict, "choice", "the option's letter before its text"))
    }
}

/// A writing without what does not show: white space (but not between two words or numbers), delimiters' sizes, styles.
fn key(text: &str) -> String {
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
        if space && c.is_alphanumeric() && key.ends_with(char::is_alphanumeric) {
            key.push(' ');
        }
        space = false;
        key.push(c);
    }
    key
}

/// A text of nothing but words, two letters at least, in lower case and without its `\text{…}`.
fn only_words(text: &str) -> Option<String> {
    let mut text = clean::trimmed(text).to_owned();
    for wrapper in ["\\text{", "\\textbf{", "\\mathrm{", "\\mbox{", "\\textit{"] {
        text = text.replace(wrapper, "{");
    }
    let text = text.replace(['{', '}', '~'], " ");
    let singular = |word: &str| {
        let word = word.to_lowercase();
        word.strip_suffix('s').filter(|stem| stem.len() > 3 && !stem.ends_with('s')).map_or(word.clone(), str::to_owned)
    };
    let words = text.split_whitespace().map(singular).collect::<Vec<_>>().join(" ");
    let letters = words.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\''));
    (letters && words.chars().count() > 1).then_some(words)
}

/// The letters of one or several options, and whether they certainly are that: `option B`, `A, C`, `A and C`. `AC` may be
/// two options or a segment.
fn choices(text: &str) -> Option<(Vec<char>, bool)> {
    let mut text = clean::trimmed(text).to_owned();
    for wrapper in ["\\textbf", "\\text", "\\mathrm", "\\mathbf"] {
        text = text.replace(wrapper, " ");
    }
    let text = text.replace(['{', '}', '~', '(', ')', '$'], " ");
    let (mut letters, mut marked) = (Vec::new(), false);
    let separator = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | '、' | '，' | '和' | '与');
    let words: Vec<&str> = text.split(separator).filter(|word| !word.is_empty()).collect();
    for word in &words {
        let option = matches!(
            word.to_ascii_lowercase().as_str(),
            "option" | "options" | "choice" | "choices" | "选项" | "答案" | "选"
        );
        if option && letters.is_empty() {
            marked = true;
        } else if !matches!(*word, "and" | "or") {
            let word = word.strip_suffix("选项").unwrap_or(word).trim_end_matches('.');
            if word.is_empty() || !word.bytes().all(|byte| (b'A'..=b'J').contains(&byte)) {
                return None;
            }
            letters.extend(word.chars());
        }
    }
    let listed = letters.len() > 1 && words.iter().filter(|word| word.len() == 1).count() == letters.len();
    letters.sort_unstable();
    let distinct = letters.windows(2).all(|pair| pair[0] != pair[1]);
    (!letters.is_empty() && distinct).then_some((letters, marked || listed))
}

/// What follows an option's letter in brackets, as in `\textbf{(B)}\ 12`.
fn option_value(text: &str) -> Option<&str> {
    let mut rest = clean::trimmed(text);
    let mut wrapped = false;
    for wrapper in ["\\textbf{", "\\text{", "\\mathrm{", "\\mathbf{"] {
        if let Some(inner) = rest.strip_prefix(wrapper) {
            (rest, wrapped) = (inner, true);
            break;
        }
    }
    let rest = rest.strip_prefix('(')?.trim_start();
    let rest = rest.strip_prefix(|c| ('A'..='J').contains(&c))?.trim_start().strip_prefix(')')?;
    let rest = if wrapped { rest.trim_start().strip_prefix('}')? } else { rest };
    let rest = rest.trim_start_matches(['~', ' ']).trim_start_matches("\\ ").trim();
    (!rest.is_empty()).then_some(rest)
}

/// `(B) 5`, `\text{(B)} 5`, `B. 5`, `B: 5`: the letter and what follows it.
fn leading_letter(text: &str) -> Option<(char, String)> {
    let mut text = clean::trimmed(text).to_owned();
    for wrapper in ["\\textbf{", "\\text{", "\\mathrm{", "\\mathbf{", "\\textbf", "\\text"] {
        text = text.replace(wrapper, "");
    }
    let text = text.replace(['{', '}', '~'], " ");
    let text = text.trim();
    let (open, text) = match text.strip_prefix('(') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let letter = text.chars().next().filter(|c| ('A'..='J').contains(c))?;
    let rest = text[1..].trim_start();
    let rest = match (open, rest.strip_prefix(')')) {
        (true | false, Some(rest)) => rest,
        (true, None) => return None,
        (false, None) if rest.is_empty() => rest,
        (false, None) => rest.strip_prefix(['.', ':', '、'])?,
    };
    Some((letter, rest.trim().to_owned()))
}

/// `1,22` as 1.22, and whether nothing else can be meant.
fn decimal_comma(text: &str) -> Option<(Expr, bool)> {
    let text = clean::trimmed(text);
    let text = text.trim_end_matches(|c: char| !c.is_ascii_digit()).trim_start_matches(['$', '€', ' ']);
    let (whole, fraction) = text.split_once(',')?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole.trim_start_matches('-')) || !digits(fraction) {
        return None;
    }
    let value = crate::number::decimal(&format!("{whole}.{fraction}"))?;
    // `1,000` is a thousand.
    if fraction.len() == 3 && fraction.ends_with('0') {
        return None;
    }
    let sure = fraction.len() != 3 && (fraction.len() > 1 || whole.trim_start_matches('-').len() > 3)
        || whole.trim_start_matches('-') == "0";
    Some((Expr::Num(value, fraction.len() as u32), sure))
}
