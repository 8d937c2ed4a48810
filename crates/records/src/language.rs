//! Language consistency: the share of words in the target language (DeepSeek-R1's language reward, arXiv 2501.12948,
//! §2.3.2: `Num(words_target) / Num(words)`). The paper gives the ratio; what a word is, and whose, is ours.
//!
//! A word is a run of letters of one script; in Chinese, Japanese and Korean each character counts as one. LaTeX, code,
//! addresses and tags hold no words, nor do symbols: single Greek letters, phonetic signs, subscripts, and, where the target
//! is not written in Latin letters, Latin runs of one or two letters, short capitals and names of functions (`x`, `kg`,
//! `DNA`, `sin`). Foreign words that stand in the prompt are quotations and count for neither side, and so do those that
//! stand alone between quotation marks: the reasoning speaks of them. Languages of one script are not told apart: German
//! in English reasoning goes unseen.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// A writing system: as much of a language as characters alone tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Script {
    /// English, German, French, Spanish and all others in Latin letters.
    Latin,
    /// Chinese characters, in Japanese and Korean too.
    Han,
    /// Hiragana and katakana; as a target, Japanese: kana and Han.
    Kana,
    /// Korean; as a target, Hangul and Han.
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

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Latin => "latin",
            Self::Han => "chinese",
            Self::Kana => "japanese",
            Self::Hangul => "korean",
            Self::Cyrillic => "cyrillic",
            Self::Arabic => "arabic",
            Self::Greek => "greek",
            Self::Hebrew => "hebrew",
            Self::Devanagari => "devanagari",
            Self::Thai => "thai",
            Self::Other => "of the other scripts",
        })
    }
}

impl Script {
    /// The script of a language, named as in ISO 639-1 with or without a region; Latin for all that are not listed.
    pub fn of_language(language: &str) -> Self {
        match language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "zh" => Self::Han,
            "ja" => Self::Kana,
            "ko" => Self::Hangul,
            "ru" | "uk" | "be" | "bg" | "sr" | "mk" | "kk" | "ky" | "mn" | "tg" => Self::Cyrillic,
            "ar" | "fa" | "ur" | "ps" => Self::Arabic,
            "el" => Self::Greek,
            "he" | "yi" => Self::Hebrew,
            "hi" | "mr" | "ne" | "sa" => Self::Devanagari,
            "th" => Self::Thai,
            "bn" | "ta" | "te" | "ka" | "hy" | "am" | "km" | "lo" | "my" | "si" | "kn" | "ml" | "gu" | "pa" => {
                Self::Other
            }
            _ => Self::Latin,
        }
    }

    /// The script of a letter; see `is_letter` for what is none.
    pub fn of(letter: char) -> Self {
        match u32::from(letter) {
            0x41..=0x24F | 0x1E00..=0x1EFF | 0xFF21..=0xFF5A => Self::Latin,
            0x370..=0x3FF | 0x1F00..=0x1FFF => Self::Greek,
            0x400..=0x52F => Self::Cyrillic,
            0x590..=0x5FF => Self::Hebrew,
            0x600..=0x6FF | 0x750..=0x77F | 0xFB50..=0xFDFF | 0xFE70..=0xFEFF => Self::Arabic,
            0x900..=0x97F => Self::Devanagari,
            0xE00..=0xE7F => Self::Thai,
            0x3040..=0x30FF | 0x31F0..=0x31FF | 0xFF66..=0xFF9D => Self::Kana,
            0x1100..=0x11FF | 0x3130..=0x318F | 0xAC00..=0xD7AF => Self::Hangul,
            0x3005 | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF => Self::Han,
            _ => Self::Other,
        }
    }

    /// Whether text in this script belongs to the target language.
    fn belongs_to(self, target: Self) -> bool {
        self == target || (self == Self::Han && matches!(target, Self::Kana | Self::Hangul))
    }
}

/// How many words of a text are in the target language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// Words of the text.
    pub words: u64,
    /// Those in the target language.
    pub target_words: u64,
    /// The first run of foreign words, at most 20 characters of it.
    pub first_foreign: Option<String>,
}

impl Consistency {
    /// `Num(words_target) / Num(words)`, from 0 to 1; 1 for a text without words.
    pub fn ratio(&self) -> f64 {
        if self.words == 0 { 1.0 } else { self.target_words as f64 / self.words as f64 }
    }

    /// Words in another language.
    pub fn foreign_words(&self) -> u64 {
        self.words - self.target_words
    }
}

/// Whether a character can be part of a word: a letter, but not a phonetic sign, a raised or lowered letter, a letter-like
/// sign such as ℝ, a Roman or circled number or a mathematical alphabet.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic()
        || (c.is_alphabetic()
            && !matches!(u32::from(c), 0xAA | 0xBA | 0x250..=0x2FF | 0x1D00..=0x1DBF | 0x2070..=0x24FF | 0x1D400..=0x1D7FF))
}

/// Whether any letter of `text` is of another script than the target's: a quick look before words are counted.
pub fn has_foreign_letters(text: &str, target: Script) -> bool {
    let all_latin = target == Script::Latin && text.is_ascii();
    !all_latin && text.chars().any(|c| is_letter(c) && !Script::of(c).belongs_to(target))
}

/// Counts the words of `text` in and outside the language `target`, the foreign words of `prompt` and those between quotation
/// marks left out.
pub fn consistency(text: &str, target: Script, prompt: &str) -> Consistency {
    let stripped = strip(text);
    let mut found = Consistency { words: 0, target_words: 0, first_foreign: None };
    let mut quoted: Option<BTreeSet<String>> = None;
    let mut mentions: Option<Vec<Range<usize>>> = None;
    for word in words(&stripped) {
        if word.is_symbol(target) {
            continue;
        }
        if word.script.belongs_to(target) {
            found.words += 1;
            found.target_words += 1;
            continue;
        }
        // Most reasoning has no foreign word, so the prompt is read when the first turns up.
        let quoted = quoted.get_or_insert_with(|| {
            let prompt = strip(prompt);
            let foreign = words(&prompt).filter(|word| !word.script.belongs_to(target));
            foreign.map(|word| word.text.to_lowercase()).collect()
        });
        let spans = mentions.get_or_insert_with(|| mentioned(&stripped, target));
        if quoted.contains(&word.text.to_lowercase()) || spans.iter().any(|span| span.contains(&word.start)) {
            continue;
        }
        found.words += 1;
        if found.first_foreign.is_none() {
            let same_script = |&c: &char| is_letter(c) && !Script::of(c).belongs_to(target);
            found.first_foreign = Some(stripped[word.start..].chars().take_while(same_script).take(20).collect());
        }
    }
    found
}

/// Text between quotation marks, in one line.
static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#""[^"\n]{1,300}"|“[^”\n]{1,300}”|‘[^’\n]{1,300}’|「[^」\n]{1,300}」|『[^』\n]{1,300}』|«[^»\n]{1,300}»|《[^》\n]{1,300}》"#)
        .expect("the pattern is constant")
});

/// Where `text` quotes foreign words and none of the target's, as in: the word "你好" means hello.
fn mentioned(text: &str, target: Script) -> Vec<Range<usize>> {
    let foreign = |quoted: &str| {
        let mut words = words(quoted).filter(|word| !word.is_symbol(target)).peekable();
        words.peek().is_some() && words.all(|word| !word.script.belongs_to(target))
    };
    QUOTED.find_iter(text).filter(|found| foreign(found.as_str())).map(|found| found.range()).collect()
}

/// The script of most words of `text`: Japanese when kana make up a tenth of its Chinese and Japanese characters or more.
/// `None` for a text without words.
pub fn main_script(text: &str) -> Option<Script> {
    let stripped = strip(text);
    let mut counts = [0u64; Script::Other as usize + 1];
    for word in words(&stripped).filter(|word| !word.is_single_or_function()) {
        counts[word.script as usize] += 1;
    }
    let (han, kana) = (counts[Script::Han as usize], counts[Script::Kana as usize]);
    if kana > 0 && kana * 10 >= kana + han {
        counts[Script::Kana as usize] += std::mem::take(&mut counts[Script::Han as usize]);
    }
    // The first of equals, in this order.
    let mut best = None;
    for script in [
        Script::Latin,
        Script::Han,
        Script::Kana,
        Script::Hangul,
        Script::Cyrillic,
        Script::Arabic,
        Script::Greek,
        Script::Hebrew,
        Script::Devanagari,
        Script::Thai,
        Script::Other,
    ] {
        let count = counts[script as usize];
        if count > best.map_or(0, |(_, most)| most) {
            best = Some((script, count));
        }
    }
    best.map(|(script, _)| script)
}

/// Mathematics, code, commands, addresses and tags: no words of any language. Dollar signs are taken for mathematics only
/// when both stand in one line and close together, because they are also money.
static NOT_WORDS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?s)```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]{1,200}\$|\\\(.*?\\\)|\\\[.*?\\\]",
        r"|\\boxed\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}|\\[a-zA-Z]+|https?://\S+|</?[a-z_]+>",
    ))
    .expect("the pattern is constant")
});

fn strip(text: &str) -> std::borrow::Cow<'_, str> {
    NOT_WORDS.replace_all(text, " ")
}

/// A run of letters of one script, or one character of those that count alone.
struct Word<'a> {
    start: usize,
    text: &'a str,
    script: Script,
}

impl Word<'_> {
    /// Whether it is mathematics or a unit rather than a word, where `target` is written.
    fn is_symbol(&self, target: Script) -> bool {
        // In the target's own script a symbol counted as a word does no harm.
        self.script != target
            && match self.script {
                Script::Greek => self.text.chars().count() == 1,
                Script::Latin => {
                    let letters = self.text.chars().count();
                    let capitals = self.text.chars().all(char::is_uppercase);
                    letters <= 2 || (letters <= 5 && capitals) || FUNCTIONS.contains(&self.text)
                }
                _ => false,
            }
    }

    /// Whether it says nothing of a prompt's language: a single Latin or Greek letter or the name of a function.
    fn is_single_or_function(&self) -> bool {
        matches!(self.script, Script::Latin | Script::Greek)
            && (self.text.chars().count() == 1 || FUNCTIONS.contains(&self.text))
    }
}

/// Names that stand in formulas of every language.
const FUNCTIONS: [&str; 32] = [
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "ln", "lg",
    "exp", "lim", "max", "min", "sup", "inf", "mod", "gcd", "lcm", "det", "sqrt", "abs", "arg", "deg", "dim", "ker",
    "rad",
];

fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = chars.by_ref().find(|&(_, c)| is_letter(c))?;
        let script = Script::of(first);
        let mut end = start + first.len_utf8();
        if !matches!(script, Script::Han | Script::Kana | Script::Hangul) {
            while let Some(&(at, c)) = chars.peek() {
                // Accents, vowel signs and apostrophes stand inside words.
                let inside = (is_letter(c) && Script::of(c) == script)
                    || matches!(c, '\'' | '’')
                    || matches!(u32::from(c), 0x300..=0x36F | 0x5B0..=0x5C7 | 0x64B..=0x65F | 0x900..=0x97F | 0xE00..=0xE7F);
                if !inside {
                    break;
                }
                end = at + c.len_utf8();
                chars.next();
            }
        }
        Some(Word { start, text: text[start..end].trim_end_matches(['\'', '’']), script })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str, language: &str) -> (u64, u64) {
        let found = consistency(text, Script::of_language(language), "");
        (found.target_words, found.words)
    }

    #[test]
    fn words_by_hand() {
        assert_eq!(counts("two plus two 是四", "en"), (3, 5));
        assert_eq!(counts("我们得到 $x=2$ 和 \\boxed{two}", "zh"), (5, 5));
        assert_eq!(counts("これは漢字です", "ja"), (7, 7));
        assert_eq!(counts("これは漢字です", "zh"), (2, 7));
        assert_eq!(counts("это don't", "ru"), (1, 2));
        assert_eq!(counts("`some code` 12 + 3, see https://example.org/a/b", "en"), (1, 1));
        assert_eq!(counts("한국어 漢字", "ko"), (5, 5));
        assert_eq!(counts("it costs $5 and that's $6 in all", "en"), (4, 4), "money may hide a few words");
        assert_eq!(counts("", "en"), (0, 0));
        assert_eq!(consistency("", Script::Latin, "").ratio(), 1.0);
    }

    #[test]
    fn symbols_are_no_words() {
        assert_eq!(counts("设 x 为 θ, sin x 取 5 kg 和 DNA", "zh"), (4, 4));
        assert_eq!(counts("设 because 为", "zh"), (2, 3));
        assert_eq!(counts("the angle θ, πr and ʃ, xₙ, ℝ", "en"), (5, 5));
        assert_eq!(counts("ἐν ἀρχῇ ἦν", "en"), (0, 3));
        assert_eq!(counts("\\frac{a}{b} \\alpha", "zh"), (0, 0));
    }

    #[test]
    fn quotations_of_the_prompt_count_for_neither_side() {
        let found = consistency("The word 你好 means hello, 再见 does not", Script::Latin, "Translate: 你好");
        assert_eq!((found.target_words, found.words, found.first_foreign.as_deref()), (6, 8, Some("再见")));
    }

    #[test]
    fn words_that_are_spoken_of_count_for_neither_side() {
        assert_eq!(counts("the word \"你好\" means hello", "en"), (4, 4));
        assert_eq!(counts("the phrase “每天增加一倍” means doubling, 对吗", "en"), (4, 6));
        assert_eq!(counts("he said \"so 二加二\" and left", "en"), (5, 8), "a mixture in quotation marks is a mixture");
        assert_eq!(counts("成语“hello world”的意思", "zh"), (5, 5));
    }

    #[test]
    fn the_language_of_a_prompt() {
        for (text, script) in [
            ("What is 2 + 2?", Some(Script::Latin)),
            ("求 x 的值: sin x = 1", Some(Script::Han)),
            ("漢字を読みます", Some(Script::Kana)),
            ("Сколько будет 2?", Some(Script::Cyrillic)),
            ("2 + x = 3", None),
            ("\\frac{1}{2} $y$", None),
        ] {
            assert_eq!(main_script(text), script, "{text}");
        }
    }
}
