//! `math`: mathematical equality of the final answer with the reference answer.
//!
//! A text goes through [`extract`] (where the answer stands), `clean` and `lexer` (how it is spelled), `parse` (what it
//! is) and `equal` (whether it is the same). Values are compared exactly or by proof where they can be.
mod ball;
mod boxes;
pub mod candidate;
mod clean;
mod equal;
mod eval;
mod expr;
pub mod extract;
mod identity;
mod lexer;
mod limits;
mod matrix;
mod measures;
mod nouns;
mod numerals;
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
mod writing;

use retort_records::Verdict;

pub(crate) use self::{
    boxes::{boxed, is_cut_off},
    candidate::Candidate,
};
pub use settings::{ListOrder, MathSettings, Percent, UnitPolicy};

use self::{
    candidate::Place,
    equal::Comparer,
    expr::Expr,
    extract::candidates,
    identity::Same,
    parse::{Parsed, parse},
    units::Question,
    writing::{by_writing, decimal_comma, has_modulus, is_visible, key, only_words},
};
use crate::{Case, Outcome, Verifier, VerifyError, options};

impl MathSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        Ok(Box::new(Math { settings: self.clone() }))
    }
}

/// Whether a word behind a number multiplies it: `million`, `dozen`, `万`.
pub(crate) fn multiplies(word: &str) -> bool {
    numerals::multiplier(word).is_some()
}

/// Whether a word is a unit of measure.
pub(crate) fn is_unit(word: &str) -> bool {
    units::is_known(word)
}

/// Bytes up to which a malformed answer is a wrong one: longer ones may hold more than the answer.
const MALFORMED: usize = 120;

/// The last letter that an option may have.
const LAST_OPTION: char = 'J';

struct Math {
    settings: MathSettings,
}

impl Verifier for Math {
    fn name(&self) -> &'static str {
        "math"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        match case.answer_and_reference() {
            Ok((answer, reference)) => {
                verify(answer, reference, case.prompt_text().unwrap_or_default(), &self.settings)
            }
            Err(outcome) => outcome,
        }
    }
}

/// Judges a prediction, whole completion or bare answer, against a reference answer, solution or bare answer. The
/// question, which may be empty, tells what is counted.
pub fn verify(prediction: &str, reference: &str, question: &str, settings: &MathSettings) -> Outcome {
    if is_visible(prediction) && prediction.trim() == reference.trim() && !settings.require_box {
        return Outcome::new(Verdict::Correct, "text", "written as the reference answer")
            .with_answer(prediction.trim());
    }
    if is_cut_off(prediction) {
        return Outcome::new(Verdict::Incorrect, "truncated", "a box is opened and never closed");
    }
    let found = candidates(prediction, false);
    let found: Vec<_> =
        found.into_iter().filter(|found| !settings.require_box || found.place == Place::Boxed).collect();
    let Some(first) = found.first() else {
        let verdict = if settings.require_box { Verdict::Incorrect } else { Verdict::Undecided };
        return Outcome::new(verdict, "no_answer", "no final answer was found");
    };
    let Some(expected) = Expected::of(reference, Question(question)) else {
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
    question: Question<'t>,
    text: std::borrow::Cow<'t, str>,
    parsed: Result<Parsed, &'static str>,
    /// Whether it certainly is the whole reference answer.
    sure: bool,
    /// Whether it is so likely the reference answer that an equal answer is correct: the only value of a short sentence.
    likely: bool,
    /// Whether it is the value of a sentence.
    spoken: bool,
}

impl<'t> Expected<'t> {
    fn of(reference: &'t str, question: Question<'t>) -> Option<Self> {
        if !is_visible(reference) {
            return None;
        }
        let found = candidates(reference, true);
        let mut first = None;
        for candidate in found {
            let parsed = parse(&candidate.text, false);
            let sure = candidate.place.is_sure();
            let spoken = candidate.place == Place::LastValue;
            let likely = sure || spoken && reference.len() <= extract::SHORT;
            if parsed.is_ok() {
                return Some(Self { question, text: candidate.text, parsed, sure, likely, spoken });
            }
            first = first.or(Some(Self { question, text: candidate.text, parsed, sure, likely, spoken }));
        }
        let whole = reference.trim();
        first.or_else(|| {
            (!whole.is_empty()).then(|| Self {
                question,
                text: whole.into(),
                parsed: parse(whole, false),
                sure: true,
                likely: true,
                spoken: false,
            })
        })
    }

    fn judge(&self, candidate: &Candidate<'_>, settings: &MathSettings) -> Outcome {
        let outcome = self.as_text(&candidate.text).unwrap_or_else(|| self.as_answer(candidate, settings));
        if candidate.doubted && outcome.verdict != Verdict::Undecided {
            return Outcome::new(Verdict::Undecided, "doubted", "a sentence around the answer denies it");
        }
        if outcome.verdict == Verdict::Correct && self.spoken && !candidate.place.is_sure() {
            // `a gain of 5` and `a loss of 5`
            return Outcome::new(Verdict::Undecided, outcome.method, "equal values of two sentences");
        }
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
            // `5?` is no sure 5, and no sure mistake.
            Err(_)
                if candidate.text.contains('?')
                    && parse(&candidate.text.replace('?', ""), false).is_ok_and(|calm| {
                        Comparer::brief(settings, self.question).answers(&calm.expr, &expected.expr).is_equal()
                    }) =>
            {
                return Outcome::new(Verdict::Undecided, "unreadable", "the answer is a question");
            }
            Err(reason) => {
                // What is no mathematics at all cannot be the value that is asked for; what is only unknown here may.
                let malformed = !reason.starts_with(parse::UNSUPPORTED)
                    && measures::may_be_same(&candidate.text, &self.text).is_none();
                let value = !matches!(expected.expr, Expr::Text(_));
                // Another place of the text may hold what an announcement or a formula does not.
                let sure = matches!(candidate.place, Place::Boxed | Place::Tagged | Place::Whole)
                    && (candidate.place == Place::Boxed || boxes::open_box(&candidate.text).is_none())
                    && malformed
                    && value
                    && candidate.bare.is_none()
                    && candidate.text.len() <= MALFORMED;
                let verdict = if sure { Verdict::Incorrect } else { Verdict::Undecided };
                return Outcome::new(verdict, "unreadable", format!("the answer cannot be read: {reason}"));
            }
        };
        let mut same = Comparer::new(settings, self.question).answers(&found.expr, &expected.expr);
        if same.is_different()
            && let Some(other) = self.otherwise(candidate, &found, expected, settings)
        {
            same = other;
        }
        // A sign before the box is part of the answer whatever is meant.
        let signed = |bare: &str| candidate.text == format!("-({bare})");
        if let (true, Some(bare)) = (same.is_different(), candidate.bare.filter(|bare| !signed(bare)))
            && let Ok(bare) = parse(bare, false)
            && !Comparer::brief(settings, self.question).answers(&bare.expr, &expected.expr).is_different()
        {
            same = Same::Unknown("what touches the box may change its value");
        }
        if same.is_different() && !candidate.parts.is_empty() {
            // Several boxes: the same answer in several forms, or one of them alone.
            let equal = |part: &&str| {
                parse(part, false).is_ok_and(|part| {
                    Comparer::brief(settings, self.question).answers(&part.expr, &expected.expr).is_equal()
                })
            };
            if candidate.parts.iter().all(&equal) {
                same = Same::Equal("every box");
            } else if candidate.parts.iter().any(equal) {
                same = Same::Unknown("one of several boxes");
            }
        }
        let (a, b) = (&candidate.text, &self.text);
        if same.is_equal() && (by_writing(a) || by_writing(b) || has_modulus(a) != has_modulus(b)) {
            same = Same::Unknown("equal, if the notation that both have means the same");
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
        let labelled = |text: &str| {
            options::labelled(clean::trimmed(text), LAST_OPTION)
                .map(|(_, value)| value)
                .filter(|value| !value.is_empty())
        };
        for (labelled, other) in [(labelled(&candidate.text), expected), (labelled(&self.text), found)] {
            if let Some(value) = labelled
                && let Ok(value) = parse(&value, false)
                && Comparer::brief(settings, self.question).answers(&value.expr, &other.expr).is_equal()
            {
                return Some(Same::Equal("an option's value"));
            }
        }
        // `1/2x` as `1/(2x)`.
        if found.tight_slash != expected.tight_slash || found.tight_slash {
            let (a, b) = (parse(&candidate.text, true).ok()?, parse(&self.text, true).ok()?);
            let readings = [(&a.expr, &b.expr), (&a.expr, &expected.expr), (&found.expr, &b.expr)];
            if readings.into_iter().any(|(a, b)| Comparer::brief(settings, self.question).answers(a, b).is_equal()) {
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
            if Comparer::brief(settings, self.question).answers(&number, other).is_equal() {
                return Some(if sure {
                    Same::Equal("decimal comma")
                } else {
                    Same::Unknown("a decimal comma or a list")
                });
            }
        }
        // `The answer is 5!`
        if let Some(calm) = candidate.text.trim().trim_end_matches(['$', '*']).strip_suffix('!')
            && candidate.place == Place::Announced
            && let Ok(calm) = parse(calm, false)
            && Comparer::brief(settings, self.question).answers(&calm.expr, &expected.expr).is_equal()
        {
            return Some(Same::Unknown("a factorial, or the end of a sentence"));
        }
        if settings.units != UnitPolicy::Ignore
            && let Some(same) = measures::may_be_same(&candidate.text, &self.text)
        {
            return Some(same);
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
        let letters = |text: &str| options::letters(clean::trimmed(text), LAST_OPTION);
        if let (Some(found), Some(expected)) = (letters(found), letters(&self.text))
            && (found.marked || expected.marked)
        {
            let verdict = match found.letters == expected.letters {
                true if found.alternatives != expected.alternatives => Verdict::Undecided,
                true => Verdict::Correct,
                false => Verdict::Incorrect,
            };
            return Some(Outcome::new(verdict, "choice", "the letters of the options"));
        }
        // A letter with its option's text against a letter alone: only then are the letters all that counts.
        let labelled = |text: &str| options::labelled(clean::trimmed(text), LAST_OPTION);
        let ((letter, rest), (expected, expected_rest)) = (labelled(found)?, labelled(&self.text)?);
        if rest.is_empty() == expected_rest.is_empty() {
            return None;
        }
        let verdict = if letter == expected { Verdict::Correct } else { Verdict::Incorrect };
        Some(Outcome::new(verdict, "choice", "the option's letter before its text"))
    }
}
