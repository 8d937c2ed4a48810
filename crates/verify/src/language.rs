//! `language`: DeepSeek-R1's language consistency, the share of words in the target language.

use std::sync::LazyLock;

use regex::Regex;
use retort_records::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Case, Outcome, Verifier, VerifyError, length::Part};

/// Settings of `language`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LanguageSettings {
    /// Target language (ISO 639-1). Without it the prompt's own language, as its row says or its script shows.
    pub target: Option<String>,
    /// Smallest share of words in the target language, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_ratio: f64,
    /// Which part of the completion is read.
    pub part: Part,
}

impl Default for LanguageSettings {
    fn default() -> Self {
        Self { target: None, min_ratio: 0.95, part: Part::Reasoning }
    }
}

impl LanguageSettings {
    /// The verifier.
    pub fn build(&self) -> Result<Box<dyn Verifier>, VerifyError> {
        if !(0.0..=1.0).contains(&self.min_ratio) {
            return Err(VerifyError::Setting {
                verifier: "language",
                setting: "min_ratio",
                given: self.min_ratio.to_string(),
                allowed: "a number from 0 to 1".into(),
            });
        }
        Ok(Box::new(Language { settings: self.clone() }))
    }
}

/// A group of languages that share a script. Languages of one group are not told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Script {
    /// English, German, French, Spanish and all others in Latin letters.
    Latin,
    /// Chinese: Han without kana in the text.
    Chinese,
    /// Japanese: kana, and Han beside it.
    Japanese,
    /// Korean.
    Hangul,
    /// Russian and its neighbours.
    Cyrillic,
    /// Arabic, Persian, Urdu.
    Arabic,
    /// Greek.
    Greek,
    /// Hebrew.
    Hebrew,
    /// Hindi and its neighbours.
    Devanagari,
    /// Thai.
    Thai,
    /// Any other script.
    Other,
}

const SCRIPTS: usize = Script::Other as usize + 1;

impl Script {
    /// The script of a language.
    pub fn of_language(code: &str) -> Self {
        match code.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "zh" => Self::Chinese,
            "ja" => Self::Japanese,
            "ko" => Self::Hangul,
            "ru" | "uk" | "be" | "bg" | "sr" | "mk" | "kk" | "mn" => Self::Cyrillic,
            "ar" | "fa" | "ur" => Self::Arabic,
            "el" => Self::Greek,
            "he" | "yi" => Self::Hebrew,
            "hi" | "mr" | "ne" | "sa" => Self::Devanagari,
            "th" => Self::Thai,
            _ => Self::Latin,
        }
    }

    fn of(c: char) -> Self {
        match u32::from(c) {
            0x41..=0x24F | 0x1E00..=0x1EFF => Self::Latin,
            0x370..=0x3FF | 0x1F00..=0x1FFF => Self::Greek,
            0x400..=0x52F => Self::Cyrillic,
            0x590..=0x5FF => Self::Hebrew,
            0x600..=0x6FF | 0x750..=0x77F | 0xFB50..=0xFEFF => Self::Arabic,
            0x900..=0x97F => Self::Devanagari,
            0xE00..=0xE7F => Self::Thai,
            0x3040..=0x30FF | 0x31F0..=0x31FF => Self::Japanese,
            0x1100..=0x11FF | 0x3130..=0x318F | 0xAC00..=0xD7AF => Self::Hangul,
            0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x2FFFF => Self::Chinese,
            _ => Self::Other,
        }
    }
}

/// How many words of a text are in the target language.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Consistency {
    /// Words of the text: runs of letters, and each Han, kana and Hangul character by itself.
    pub words: u64,
    /// Those in the target language.
    pub target_words: u64,
}

impl Consistency {
    /// `Num(words_target) / Num(words)`, from 0 to 1; 1 for a text without words.
    pub fn ratio(&self) -> f64 {
        if self.words == 0 { 1.0 } else { self.target_words as f64 / self.words as f64 }
    }
}

/// Mathematics, code, addresses and commands: not words of any language.
static NOT_WORDS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?s)```.*?(?:```|\z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|\\\(.*?\\\)|\\\[.*?\\\]",
        r"|\\boxed\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}|\\[a-zA-Z]+|https?://\S+|</?[a-z]+>",
    ))
    .expect("the pattern is constant")
});

/// Words by script.
fn count(text: &str) -> [u64; SCRIPTS] {
    let mut counts = [0; SCRIPTS];
    let mut kana = false;
    let mut last: Option<Script> = None;
    let stripped = NOT_WORDS.replace_all(text, " ");
    for c in stripped.chars() {
        if !c.is_alphabetic() {
            // Marks inside a word, such as an apostrophe or a vowel sign, do not end it.
            if !matches!(c, '\'' | '’') && !matches!(u32::from(c), 0x300..=0x36F | 0x900..=0x97F | 0xE00..=0xE7F) {
                last = None;
            }
            continue;
        }
        let script = Script::of(c);
        kana |= script == Script::Japanese;
        let single = matches!(script, Script::Chinese | Script::Japanese | Script::Hangul);
        if single || last != Some(script) {
            counts[script as usize] += 1;
        }
        last = (!single).then_some(script);
    }
    if kana {
        counts[Script::Japanese as usize] += std::mem::take(&mut counts[Script::Chinese as usize]);
    }
    counts
}

/// The share of `text` that is written in the script `target`.
pub fn consistency(text: &str, target: Script) -> Consistency {
    let counts = count(text);
    Consistency { words: counts.iter().sum(), target_words: counts[target as usize] }
}

/// The script of most words of a text; `None` for a text without words.
pub fn main_script(text: &str) -> Option<Script> {
    use Script::{Arabic, Chinese, Cyrillic, Devanagari, Greek, Hangul, Hebrew, Japanese, Latin, Other, Thai};
    let counts = count(text);
    let all = [Latin, Chinese, Japanese, Hangul, Cyrillic, Arabic, Greek, Hebrew, Devanagari, Thai, Other];
    // The first of equals wins, so that ties do not depend on anything but the order above.
    let best = all.into_iter().rev().max_by_key(|script| counts[*script as usize])?;
    (counts[best as usize] > 0).then_some(best)
}

struct Language {
    settings: LanguageSettings,
}

impl Verifier for Language {
    fn name(&self) -> &'static str {
        "language"
    }

    fn verify(&self, case: &Case<'_>) -> Outcome {
        let named = self.settings.target.as_deref().or(case.language).map(Script::of_language);
        let Some(target) = named.or_else(|| main_script(case.prompt_text()?)) else {
            return Outcome::new(Verdict::Undecided, "no_target", "the language of the prompt is unknown");
        };
        let found = consistency(self.settings.part.of(case).unwrap_or_default(), target);
        if found.words == 0 {
            return Outcome::new(Verdict::Correct, "no_words", "there are no words to judge");
        }
        let ratio = found.ratio();
        let verdict = if ratio >= self.settings.min_ratio { Verdict::Correct } else { Verdict::Incorrect };
        let reason = format!("{} of {} words in the target language ({ratio:.3})", found.target_words, found.words);
        Outcome::new(verdict, "ratio", reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_by_script() {
        let ratio = |text, code| consistency(text, Script::of_language(code)).ratio();
        assert_eq!(ratio("two plus two 是四", "en"), 3.0 / 5.0);
        assert_eq!(ratio("我们得到 $x=2$ 和 \\boxed{y}", "zh"), 1.0);
        assert_eq!(ratio("これは漢字です", "ja"), 1.0);
        assert_eq!(ratio("это don't", "ru"), 0.5);
        assert_eq!(ratio("`code` 12 + 3", "zh"), 1.0);
        assert_eq!(main_script("Сколько будет 2?"), Some(Script::Cyrillic));
        assert_eq!(main_script("12 + 3"), None);
    }

    #[test]
    fn the_target_comes_from_settings_row_or_prompt() {
        let verifier = LanguageSettings::default().build().unwrap();
        let prompt = [retort_records::Message::user("求 1+1")];
        let case = Case { messages: &prompt, completion: "<think>let us see</think>2", ..Case::default() };
        assert_eq!(verifier.verify(&case).verdict, Verdict::Incorrect);
        assert_eq!(verifier.verify(&Case { language: Some("en"), ..case }).verdict, Verdict::Correct);
        let fixed = LanguageSettings { target: Some("en".into()), ..Default::default() }.build().unwrap();
        assert_eq!(fixed.verify(&Case { language: Some("zh"), ..case }).verdict, Verdict::Correct);
        assert_eq!(verifier.verify(&Case { completion: "2", ..Case::default() }).verdict, Verdict::Undecided);
    }
}
