//! `choice`: multiple choice by letters or by the words of an option.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;
use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Case, Outcome, Verifier, VerifyError,
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

type Letters = BTreeSet<char>;

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
        let verdict = if found == expected { Verdict::Correct } else { Verdict::Incorrect };
        let list = |letters: &Letters| letters.iter().map(char::to_string).collect::<Vec<_>>().join(", ");
        Outcome::new(verdict, "letters", format!("chose {}, expected {}", list(&found), list(&expected)))
            .with_answer(list(&found))
    }
}

/// `answer is (B)`, `答案：B`, `故选 BD`: the letters after the anchor.
static ANCHOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:(?i:answers?|options?|choices?|choose|respuesta|réponse|antwort|ответ|答え)",
        r"|答案|正确选项|故选|应选|选择|选)",
        r"[\s*_]*(?i:is|are|would be|should be|option|choice|es|est|ist|は|是|为|為|项|[:：=]|[\s*_])*",
        r"[\s*_($\[{]*((?:\\(?:text|mathrm|mathbf|textbf|boxed)\{)*\(?[A-Z]\)?(?:\s*(?:,|and|&|、|和|，)?\s*\(?[A-Z]\)?)*)",
        r"(?:[^\p{L}\d]|$)",
    ))
    .expect("the pattern is constant")
});

/// `A) text`, `(A) text`, `A. text`, `A: text` or `A、text` at the start of a line.
static OPTION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^[\s*\-]*\(?([A-Z])[).:、．：]\s*(\S.*?)\s*$").expect("the pattern is constant"));

/// The options that a prompt lists, by letter.
fn options(prompt: &str) -> Vec<(char, String)> {
    let read = |captures: regex::Captures<'_>| Some((captures[1].chars().next()?, normalized(&captures[2])));
    OPTION.captures_iter(prompt).filter_map(read).collect()
}

impl Choice {
    /// The chosen letters of a completion: in its box, its answer tag, after its last anchor, alone on its last line,
    /// or as the words of one option.
    fn find(&self, text: &str, options: &[(char, String)]) -> Option<Letters> {
        let marked = [Extract::Box, Extract::AnswerTag].into_iter().find_map(|extract| extract.of(text));
        if let Some(marked) = marked {
            return self.bare(marked, options);
        }
        if let Some(letters) = self.bare(text, options) {
            return Some(letters);
        }
        let anchored = ANCHOR.captures_iter(text).filter_map(|captures| self.letters(&captures[1])).last();
        anchored.or_else(|| self.bare(Extract::LastLine.of(text)?, options))
    }

    /// The letters of a text that is nothing but letters, an option with its letter, or the words of one option.
    fn bare(&self, text: &str, options: &[(char, String)]) -> Option<Letters> {
        let text = unwrapped(text);
        if text.len() > LONGEST_BARE {
            return None;
        }
        if let Some(letters) = self.letters(text) {
            return Some(letters);
        }
        let words = normalized(text);
        let mut same = options.iter().filter(|(_, option)| *option == words);
        if let (Some((letter, _)), None) = (same.next(), same.next()) {
            return Some(Letters::from([*letter]));
        }
        let captures = OPTION.captures(text)?;
        let whole = captures.get(0)?;
        let alone = text[whole.end()..].trim().is_empty() && whole.start() == 0;
        self.letters(&captures[1]).filter(|_| alone)
    }

    /// `B`, `(b)`, `A, C`, `A and C`, `AC`: letters and separators only.
    fn letters(&self, text: &str) -> Option<Letters> {
        let mut text = text.replace("\\text", " ").replace("\\mathrm", " ").replace("\\mathbf", " ");
        text = text.replace("\\textbf", " ").replace("\\boxed", " ").replace(" and ", " , ");
        let letters: Vec<char> = text.chars().filter(|c| c.is_alphabetic() && !matches!(c, '和' | '与')).collect();
        let filler = |c: char| c.is_whitespace() || "()[]{}.,:;*_$&/、，。．：\\和与".contains(c);
        if letters.is_empty() || !text.chars().all(|c| c.is_alphabetic() || filler(c)) {
            return None;
        }
        let single = letters.len() == 1;
        let set: Letters =
            letters.iter().map(|letter| if single { letter.to_ascii_uppercase() } else { *letter }).collect();
        let known = set.iter().all(|letter| ('A'..=self.settings.last_letter).contains(letter));
        // `DAD` is a word, not three options: an option is named once.
        (known && set.len() == letters.len()).then_some(set)
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
