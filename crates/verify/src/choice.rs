//! `choice`: multiple choice by letters or by the words of an option.

use std::sync::LazyLock;

use regex::Regex;
use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Case, Outcome, Verifier, VerifyError,
    math::{Candidate, boxed, is_cut_off},
    options::{self, Letters, Named},
    stance,
    text::{Extract, normalized},
};

/// Settings of `choice`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChoiceSettings {
    /// The last letter that an option may have, from `B` to `Z`.
    pub last_letter: char,
    /// Read the options of the prompt, so that an answer may also be an option's words.
    pub option_words: bool,
}

impl Default for ChoiceSettings {
    fn default() -> Self {
        Self { last_letter: 'J', option_words: true }
    }
}

impl ChoiceSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        if !('B'..='Z').contains(&self.last_letter) {
            return Err(VerifyError::Setting {
                verifier: "choice",
                setting: "last_letter",
                given: self.last_letter.to_string(),
                allowed: "a letter from `B` to `Z`".into(),
            });
        }
        Ok(Box::new(Choice { settings: self.clone() }))
    }
}

/// Bytes of a text that may be nothing but letters or an option's words; of a longer one only the anchors are read.
const LONGEST_BARE: usize = 16 << 10;
/// Anchors at the end of a text that are looked at.
const MAX_ANCHORS: usize = 64;
/// Characters behind an anchor that are looked at.
const MAX_SENTENCE: usize = 200;

struct Choice {
    settings: ChoiceSettings,
}

impl Verifier for Choice {
    fn name(&self) -> &'static str {
        "choice"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        let (answer, reference) = match case.answer_and_reference() {
            Ok(texts) => texts,
            Err(outcome) => return outcome,
        };
        let options =
            if self.settings.option_words { options(case.prompt_text().unwrap_or_default()) } else { Vec::new() };
        let Some(expected) = self.bare(reference, &options).or_else(|| self.find(reference, &options)) else {
            return Outcome::new(Verdict::Undecided, "no_reference", "the reference answer names no option");
        };
        let Some(found) = self.find(answer, &options) else {
            return Outcome::new(Verdict::Undecided, "no_answer", "no option was found in the answer");
        };
        let list = |named: &Named| named.letters.iter().map(char::to_string).collect::<Vec<_>>().join(", ");
        if found.alternatives != expected.alternatives {
            return Outcome::new(Verdict::Undecided, "letters", format!("chose {} one or the other", list(&found)))
                .with_answer(list(&found));
        }
        let verdict = if found.letters == expected.letters { Verdict::Correct } else { Verdict::Incorrect };
        Outcome::new(verdict, "letters", format!("chose {}, expected {}", list(&found), list(&expected)))
            .with_answer(list(&found))
    }
}

/// `answer is (B)`, `答案：B`, `故选 BD`: what stands before the letters.
static ANCHOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:(?i:answers?|ans\.?|options?|choices?|letter|choose|pick|go with|correct\s*:|respuesta|réponse|antwort|resposta|risposta|ответ|答え|정답)|####",
        r"|(?i:(?-u:\b)(?:therefore|thus|hence),?\s)|答案|正确选项|正确的是|故选|应选|选择|选)",
        r"[\s*_]*(?i:(?:is|are|would be|should be|option|choice|correcta|es|la|est|ist)(?-u:\b)|[éèは은]|是|应为|为|為|项|[:：=–—-]|[\s*_])*",
    ))
    .expect("the pattern is constant")
});

/// Letters behind an anchor, with their separators and marks.
static CHOSEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^[\s*_($\[{（【'\x22“]*((?:\\(?:text|textbf|textrm|mathrm|mathbf|boxed)\s*\{)*[(\[]?[A-Z][)\]]?(?:\s*(?:,|\band\b|\bor\b|&|、|和|或|，|/)?\s*\(?[A-Z]\b\)?)*",
        r"|(?:\\(?:text|textbf|mathrm|mathbf)\{)*[(\[]?[a-z][)\]]?)[)\]}*_$）】'\x22”]*",
    ))
    .expect("the pattern is constant")
});

/// What may follow a chosen letter: an end, or words that speak of the choice. `A dog` names no option.
static CLOSED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:$|[.,;:!?)\]}*_$。，；：！、）<\\\n\r]|\s*$|\s*\n|\s+[-–—(]|\s*[—–]|选项|项|\s+(?i:because|since|as|due|which|given|option|only|with|from|is (?:the |my )?(?:correct|right|true|best|answer|final|option|choice))\b",
        r"|\s*(?:因为|由于|是|错|不|正确|对|です|입니다))",
    ))
    .expect("the pattern is constant")
});

/// `B is correct`, `B选项正确`.
static CORRECT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b([A-Z])\)?(?:\s+is\s+(?:the\s+|my\s+)?(?:correct|right|true|(?:final\s+|best\s+)?answer)\b|(?:选项|项)?(?:是)?正确)")
        .expect("the pattern is constant")
});

/// `A) text`, `(A) text`, `A. text`, `A: text` or `A、text` at the start of a line.
static OPTION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^[\s*\-]*\(?([A-Z])[).:、．：]\s*(\S.*?)\s*$").expect("the pattern is constant"));

/// Words behind a letter that are no option's text but say that it is wrong: `C: wrong`, `(C) is incorrect`.
static DENIED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^\W*(?:is\s+(?:wrong|incorrect|false|not|out)(?-u:\b)|(?:isn['’]t|cannot be|can['’]t be)(?-u:\b)|(?:wrong|incorrect)\W*$)")
        .expect("the pattern is constant")
});

/// The options that a prompt lists, by letter.
fn options(prompt: &str) -> Vec<(char, String)> {
    let read = |captures: regex::Captures<'_>| Some((captures[1].chars().next()?, normalized(&captures[2])));
    OPTION.captures_iter(prompt).filter_map(read).collect()
}

impl Choice {
    /// The chosen letters of a completion: in its box, its answer tag, after its last anchor that asserts them, alone on
    /// its last line, or as the words of one option.
    fn find(&self, text: &str, options: &[(char, String)]) -> Option<Named> {
        if is_cut_off(text) {
            return None;
        }
        if let Some(found) = boxed(text) {
            if found.doubted {
                return None;
            }
            if let Some(named) = self.in_boxes(text, &found, options) {
                return Some(named);
            }
        }
        if let Some(tagged) = Extract::AnswerTag.of(text)
            && let Some(named) = self.bare(tagged, options)
        {
            return Some(named);
        }
        if let Some(named) = self.bare(text, options) {
            return Some(named);
        }
        self.anchored(text, options).or_else(|| self.bare(Extract::LastLine.of(text)?, options))
    }

    /// The letters in the last boxes; several boxes are several letters.
    fn in_boxes(&self, text: &str, found: &Candidate<'_>, options: &[(char, String)]) -> Option<Named> {
        let [first, .., last] = found.parts.as_slice() else {
            return self.bare(found.bare.unwrap_or(&found.text), options);
        };
        let mut all = Named { letters: Letters::new(), marked: true, alternatives: false };
        for part in &found.parts {
            all.letters.extend(self.bare(part, options)?.letters);
        }
        let at = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
        let between = &text[at(first)..at(last)];
        all.alternatives =
            between.contains('或') || between.split(|c: char| !c.is_alphabetic()).any(|word| word == "or");
        Some(all)
    }

    /// The letters after the last anchor whose sentence asserts them.
    fn anchored(&self, text: &str, options: &[(char, String)]) -> Option<Named> {
        let mut anchors: Vec<_> = ANCHOR.find_iter(text).map(|anchor| anchor.end()).collect();
        let first = anchors.len().saturating_sub(MAX_ANCHORS);
        let chosen = anchors.drain(first..).rev().find_map(|end| Some((end, self.behind(text, end, options)?)));
        let mut correct: Vec<_> =
            CORRECT.captures_iter(text).filter_map(|found| Some((found.get(1)?, found.get(0)?.end()))).collect();
        let first = correct.len().saturating_sub(MAX_ANCHORS);
        let called = correct.drain(first..).rev().find_map(|(letter, end)| {
            let reach = text[end..].char_indices().nth(MAX_SENTENCE).map_or(text.len(), |(at, _)| end + at);
            let after = &text[end..reach];
            let asserted = stance::asserts(&text[..letter.start()], after) && !stance::takes_back_box(after);
            let named = options::letters(letter.as_str(), self.settings.last_letter)?;
            asserted.then_some((letter.start(), named))
        });
        chosen.into_iter().chain(called).max_by_key(|(at, _)| *at).map(|(_, named)| named)
    }

    /// The letters or the option's words behind an anchor, when its sentence asserts them.
    fn behind(&self, text: &str, anchor: usize, options: &[(char, String)]) -> Option<Named> {
        let rest = &text[anchor..];
        let reach = rest.char_indices().nth(MAX_SENTENCE).map_or(rest.len(), |(at, _)| at);
        // `not B but C`
        let part = stance::asserted(rest[..reach].split(['\n', '。']).next().unwrap_or_default());
        let rest = &rest[part.as_ptr() as usize - rest.as_ptr() as usize..];
        let reach = rest.char_indices().nth(MAX_SENTENCE).map_or(rest.len(), |(at, _)| at);
        let captures = CHOSEN.captures(part);
        let letters = captures.and_then(|found| Some((found.get(0)?.end(), found.get(1)?.as_str())));
        let named = match letters {
            Some((end, letters)) if part[..end].ends_with(')') || CLOSED.is_match(&part[end..]) => {
                let asserted = stance::asserts(&text[..anchor], &part[end..])
                    && !stance::takes_back_box(&rest[part.len().min(reach)..reach])
                    && !stance::takes_back_box(&part[end..]);
                options::letters(letters, self.settings.last_letter).filter(|_| asserted)
            }
            _ => None,
        };
        // `ANSWER: none of these`
        named.or_else(|| self.by_words(part, options).filter(|_| stance::asserts(&text[..anchor], "")))
    }

    /// The letters of a text that is nothing but letters, an option with its letter, or the words of one option.
    fn bare(&self, text: &str, options: &[(char, String)]) -> Option<Named> {
        let text = unwrapped(text);
        if text.len() > LONGEST_BARE {
            return None;
        }
        if let Some(named) = options::letters(text, self.settings.last_letter) {
            return Some(named);
        }
        let labelled = options::labelled(text, self.settings.last_letter).filter(|_| !text.contains('\n'));
        let Some((letter, words)) = labelled.filter(|(_, words)| !words.is_empty()) else {
            return self.by_words(text, options);
        };
        match self.by_words(&words, options) {
            // `A. friction` where friction is B: either may be meant.
            Some(named) if !named.letters.contains(&letter) => return None,
            None if DENIED.is_match(&words) => return None,
            _ => {}
        }
        Some(Named { letters: Letters::from([letter]), marked: true, alternatives: false })
    }

    /// The letter of the one option that has these words.
    fn by_words(&self, text: &str, options: &[(char, String)]) -> Option<Named> {
        let words = normalized(unwrapped(&options::bare(text)).trim_matches(['{', '}', ' ']));
        let mut same = options.iter().filter(|(_, option)| *option == words);
        match (same.next(), same.next()) {
            (Some((letter, _)), None) if *letter <= self.settings.last_letter => {
                Some(Named { letters: Letters::from([*letter]), marked: true, alternatives: false })
            }
            _ => None,
        }
    }
}

/// Without emphasis and mathematics marks around it.
fn unwrapped(text: &str) -> &str {
    text.trim().trim_matches(|c: char| matches!(c, '*' | '$' | '_' | '`') || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use retort_records::Message;

    fn verdict(answer: &str, reference: &str, prompt: &str) -> Verdict {
        let messages = [Message::user(prompt)];
        let case = Case { messages: &messages, ..Case::of(answer, reference) };
        ChoiceSettings::default().build().unwrap().verify(&case).verdict
    }

    #[test]
    fn letters_are_found() {
        for answer in [
            "B",
            "(b)",
            "**B**",
            "B. Rome",
            r"\boxed{B}",
            r"\boxed{\text{(B)}}",
            "The answer is (B).",
            "Not A. The correct answer is **B**",
            "因此答案是 B。",
            "故选B",
            "<answer>B</answer>",
            "I weigh both.\n\nB",
            "Answer: B) Rome",
        ] {
            assert_eq!(verdict(answer, "B", ""), Verdict::Correct, "{answer}");
            assert_eq!(verdict(answer, "C", ""), Verdict::Incorrect, "{answer}");
        }
        assert_eq!(verdict("A dog is an animal", "A", ""), Verdict::Undecided);
        assert_eq!(verdict("The answer is Apple", "A", ""), Verdict::Undecided);
        assert_eq!(verdict("K", "A", ""), Verdict::Undecided);
    }

    #[test]
    fn several_letters_are_a_set() {
        for answer in ["A, C", "AC", "C and A", r"\boxed{A,C}", "The answers are A and C.", "故选 AC。"] {
            assert_eq!(verdict(answer, "A,C", ""), Verdict::Correct, "{answer}");
            assert_eq!(verdict(answer, "A", ""), Verdict::Incorrect, "{answer}");
        }
    }

    #[test]
    fn words_stand_for_their_option() {
        let prompt = "Capital of Italy?\nA) Paris\nB) Rome\nC) the Hague";
        assert_eq!(verdict(r"\boxed{Rome}", "B", prompt), Verdict::Correct);
        assert_eq!(verdict("Rome.", "B", prompt), Verdict::Correct);
        assert_eq!(verdict("B", "Rome", prompt), Verdict::Correct);
        assert_eq!(verdict("Hague", "B", prompt), Verdict::Incorrect);
        assert_eq!(verdict("Berlin", "B", prompt), Verdict::Undecided);
    }
}
