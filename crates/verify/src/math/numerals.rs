//! Numbers in words, in English and Chinese, and words that multiply a number.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};

/// Words below twenty.
const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
/// Tens from twenty.
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// Words that multiply what stands before them, singular.
const SCALES: &[(&str, i64)] = &[
    ("ten", 10),
    ("dozen", 12),
    ("score", 20),
    ("hundred", 100),
    ("gross", 144),
    ("thousand", 1_000),
    ("lakh", 100_000),
    ("million", 1_000_000),
    ("mln", 1_000_000),
    ("crore", 10_000_000),
    ("billion", 1_000_000_000),
    ("bn", 1_000_000_000),
    ("trillion", 1_000_000_000_000),
    ("十", 10),
    ("打", 12),
    ("百", 100),
    ("千", 1_000),
    ("万", 10_000),
    ("萬", 10_000),
    ("亿", 100_000_000),
    ("億", 100_000_000),
];
/// Parts of a whole: singular, plural and denominator.
const PARTS: &[(&str, &str, i64)] = &[
    ("half", "halves", 2),
    ("third", "thirds", 3),
    ("quarter", "quarters", 4),
    ("fourth", "fourths", 4),
    ("fifth", "fifths", 5),
    ("sixth", "sixths", 6),
    ("seventh", "sevenths", 7),
    ("eighth", "eighths", 8),
    ("ninth", "ninths", 9),
    ("tenth", "tenths", 10),
    ("eleventh", "elevenths", 11),
    ("twelfth", "twelfths", 12),
    ("sixteenth", "sixteenths", 16),
    ("twentieth", "twentieths", 20),
    ("hundredth", "hundredths", 100),
    ("thousandth", "thousandths", 1_000),
    ("millionth", "millionths", 1_000_000),
];
/// Words for a sign before a number.
const NEGATIVE: &[&str] =
    &["minus", "negative", "минус", "menos", "moins", "meno", "负", "負", "零下", "マイナス", "마이너스"];

fn integer(value: impl Into<BigInt>) -> BigRational {
    BigRational::from_integer(value.into())
}

/// Whether a word makes the number after it negative.
pub fn is_negative_sign(word: &str) -> bool {
    NEGATIVE.contains(&word.to_lowercase().as_str())
}

/// What a word behind a number multiplies it by: `million`, `dozens`, `thirds`, `万`, `成`.
pub fn multiplier(word: &str) -> Option<BigRational> {
    let word = word.to_lowercase();
    if word == "成" || word == "折" {
        return Some(BigRational::new(1.into(), 10.into()));
    }
    if let Some((.., parts)) = PARTS.iter().find(|(_, plural, _)| *plural == word) {
        return Some(BigRational::new(1.into(), (*parts).into()));
    }
    let singular = word.strip_suffix('s').filter(|word| !word.ends_with('s')).unwrap_or(&word);
    SCALES.iter().find(|(name, _)| *name == word || *name == singular).map(|(_, size)| integer(*size))
}

/// The number that words name: `seventeen`, `twenty-one`, `one hundred and five`, `two thirds`, `two and a half`,
/// `minus five`, `three million`, `十五`, `百分之五`, `负五`.
pub fn number_word(text: &str) -> Option<BigRational> {
    let text = text.trim().to_lowercase();
    if let Some((_, value)) = FOREIGN.iter().find(|(name, _)| *name == text) {
        return Some(integer(*value));
    }
    if let [half @ ("half" | "quarter"), "a" | "an", "dozen"] = text.split(' ').collect::<Vec<_>>().as_slice() {
        return Some(integer(if *half == "half" { 6 } else { 3 }));
    }
    if text.is_ascii() {
        let words: Vec<&str> = text.split([' ', '-', '\n', '\t']).filter(|word| !word.is_empty()).collect();
        let (negative, words) = match words.split_first()? {
            (first, rest) if is_negative_sign(first) => (true, rest),
            _ => (text.starts_with('-'), words.as_slice()),
        };
        let value = english(words)?;
        return Some(if negative { -value } else { value });
    }
    let positive = ["负", "負"].iter().find_map(|sign| text.strip_prefix(sign));
    let value = chinese(positive.unwrap_or(&text))?;
    Some(if positive.is_some() { -value } else { value })
}

/// Small numbers in German, French, Spanish, Italian and Portuguese.
const FOREIGN: &[(&str, i64)] = &[
    ("null", 0),
    ("eins", 1),
    ("zwei", 2),
    ("drei", 3),
    ("vier", 4),
    ("fünf", 5),
    ("sechs", 6),
    ("sieben", 7),
    ("acht", 8),
    ("neun", 9),
    ("zehn", 10),
    ("elf", 11),
    ("zwölf", 12),
    ("zwanzig", 20),
    ("hundert", 100),
    ("tausend", 1000),
    ("un", 1),
    ("deux", 2),
    ("trois", 3),
    ("quatre", 4),
    ("cinq", 5),
    ("sept", 7),
    ("huit", 8),
    ("neuf", 9),
    ("dix", 10),
    ("onze", 11),
    ("douze", 12),
    ("vingt", 20),
    ("cent", 100),
    ("mille", 1000),
    ("cero", 0),
    ("uno", 1),
    ("dos", 2),
    ("tres", 3),
    ("cuatro", 4),
    ("cinco", 5),
    ("seis", 6),
    ("siete", 7),
    ("ocho", 8),
    ("nueve", 9),
    ("diez", 10),
    ("once", 11),
    ("doce", 12),
    ("veinte", 20),
    ("cien", 100),
    ("mil", 1000),
    ("due", 2),
    ("tre", 3),
    ("quattro", 4),
    ("cinque", 5),
    ("sei", 6),
    ("sette", 7),
    ("otto", 8),
    ("nove", 9),
    ("dieci", 10),
    ("dodici", 12),
    ("venti", 20),
    ("cento", 100),
    ("um", 1),
    ("dois", 2),
    ("três", 3),
    ("quatro", 4),
    ("sete", 7),
    ("oito", 8),
    ("dez", 10),
    ("doze", 12),
    ("vinte", 20),
];

fn english(words: &[&str]) -> Option<BigRational> {
    let part = |word: &str, one: bool| {
        let of = |(singular, plural, parts): &(&str, &str, i64)| {
            (word == *plural || one && word == *singular).then(|| BigRational::new(1.into(), (*parts).into()))
        };
        PARTS.iter().find_map(of)
    };
    match words {
        ["a" | "an", last] => return part(last, true).or_else(|| multiplier(last).filter(|size| *size >= integer(10))),
        ["half"] => return part("half", true),
        _ => {}
    }
    let (value, read) = cardinal(words)?;
    match &words[read..] {
        [] => Some(value),
        ["point", digits @ ..] if !digits.is_empty() => {
            let mut place = BigRational::one();
            digits.iter().try_fold(value, |value, digit| {
                place /= integer(10);
                let digit = SMALL[..10].iter().position(|word| word == digit)?;
                Some(value + &place * integer(digit as i64))
            })
        }
        [last] => Some(&value * part(last, value.is_one())?),
        ["and", rest @ ..] => english(rest).filter(|part| *part < BigRational::one()).map(|part| value + part),
        _ => None,
    }
}

/// A whole number at the start of `words`, and how many of them it takes.
fn cardinal(words: &[&str]) -> Option<(BigRational, usize)> {
    let place = |list: &[&str], word: &str| list.iter().position(|known| *known == word).map(|at| at as i64);
    let (mut total, mut part, mut at) = (0_i64, 0_i64, 0);
    // What may follow: `twenty` takes a digit, a digit takes `hundred`, thousands follow millions.
    let (mut room, mut below) = (100, i64::MAX);
    while let Some(word) = words.get(at) {
        let continues = words.get(at + 1).is_some_and(|next| place(&SMALL, next).or(place(&TENS, next)).is_some());
        if let Some(value) = place(&SMALL, word).filter(|value| *value < room && (at == 0 || *value > 0)) {
            part += value;
            room = 0;
        } else if let Some(tens) = place(&TENS, word).filter(|_| room >= 100) {
            part += 20 + 10 * tens;
            room = 10;
        } else if *word == "hundred" && (1..10).contains(&part) {
            part *= 100;
            room = 100;
        } else if let Some((_, size)) = SCALES.iter().find(|(name, size)| name == word && *size > 10 && *size < below)
            && part > 0
        {
            total += part.checked_mul(*size)?;
            (part, room, below) = (0, 100, *size);
        } else if *word == "and" && at > 0 && continues && room == 100 {
        } else {
            break;
        }
        at += 1;
    }
    (at > 0).then(|| (integer(total + part), at))
}

/// A Chinese number: `十五`, `二百零三`, `三万`, `一点五`, `三分之二`, `百分之五`, `半`.
fn chinese(text: &str) -> Option<BigRational> {
    if let Some((below, above)) = text.split_once("分之") {
        let divisor = if below == "百" { integer(100) } else { chinese(below)? };
        return (!divisor.is_zero()).then(|| chinese(above).map(|above| above / divisor))?;
    }
    if text == "半" || text == "一半" {
        return Some(BigRational::new(1.into(), 2.into()));
    }
    if let Some((whole, fraction)) = text.split_once('点') {
        let mut place = BigRational::one();
        return fraction.chars().try_fold(chinese(whole)?, |value, digit| {
            place /= integer(10);
            Some(value + &place * integer(chinese_digit(digit)?))
        });
    }
    let digits: Option<Vec<i64>> = text.chars().map(chinese_digit).collect();
    if let Some(digits) = digits.filter(|digits| !digits.is_empty() && digits.len() <= 15) {
        return Some(integer(digits.into_iter().fold(0_i64, |value, digit| value * 10 + digit)));
    }
    let (mut total, mut section, mut digit) = (0_i64, 0_i64, None);
    let mut below = i64::MAX;
    for c in text.chars() {
        if let Some(value) = chinese_digit(c) {
            if digit.is_some_and(|digit| digit != 0) {
                return None;
            }
            digit = Some(value);
            continue;
        }
        let size = match c {
            '十' | '拾' => 10,
            '百' | '佰' => 100,
            '千' | '仟' => 1_000,
            '万' | '萬' => 10_000,
            '亿' | '億' => 100_000_000,
            _ => return None,
        };
        if size < 10_000 {
            if size >= below {
                return None;
            }
            section += digit.take().filter(|digit| *digit > 0).unwrap_or(1) * size;
            below = size;
        } else {
            section += digit.take().unwrap_or(0);
            if section == 0 {
                return None;
            }
            total = if size == 10_000 { total + section * size } else { (total + section) * size };
            (section, below) = (0, i64::MAX);
        }
    }
    // `一百五` is 150 in speech: what the last digit counts is said by a zero before it.
    let mut last = text.chars().rev();
    if last.next().is_some_and(|c| chinese_digit(c).is_some())
        && last.next().is_some_and(|c| "百佰千仟万萬亿億".contains(c))
    {
        return None;
    }
    let value = total + section + digit.unwrap_or(0);
    (!text.is_empty()).then(|| integer(value))
}

fn chinese_digit(c: char) -> Option<i64> {
    Some(match c {
        '零' | '〇' => 0,
        '一' | '壹' => 1,
        '二' | '两' | '貳' | '贰' => 2,
        '三' | '叁' => 3,
        '四' | '肆' => 4,
        '五' | '伍' => 5,
        '六' | '陆' => 6,
        '七' | '柒' => 7,
        '八' | '捌' => 8,
        '九' | '玖' => 9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(n: i64, d: i64) -> BigRational {
        BigRational::new(n.into(), d.into())
    }

    #[test]
    fn words_are_numbers() {
        for (text, n, d) in [
            ("seventeen", 17, 1),
            ("twenty-one", 21, 1),
            ("one hundred and five", 105, 1),
            ("two hundred and fifty", 250, 1),
            ("three thousand two hundred", 3200, 1),
            ("one million", 1_000_000, 1),
            ("two million three hundred thousand and one", 2_300_001, 1),
            ("two thirds", 2, 3),
            ("one-half", 1, 2),
            ("a half", 1, 2),
            ("half", 1, 2),
            ("three quarters", 3, 4),
            ("two and a half", 5, 2),
            ("five and three eighths", 43, 8),
            ("seven point five", 15, 2),
            ("negative seven", -7, 1),
            ("-five", -5, 1),
            ("a dozen", 12, 1),
            ("two dozen", 24, 1),
            ("十五", 15, 1),
            ("七", 7, 1),
            ("二百零三", 203, 1),
            ("二〇二四", 2024, 1),
            ("三万五千", 35_000, 1),
            ("一亿二千万", 120_000_000, 1),
            ("一点五", 3, 2),
            ("百分之五", 1, 20),
            ("三分之二", 2, 3),
            ("负五", -5, 1),
        ] {
            assert_eq!(number_word(text), Some(ratio(n, d)), "{text}");
        }
        for text in [
            "",
            "seven half",
            "twenty twenty",
            "one two",
            "and",
            "hundred five",
            "a",
            "five apples",
            "十个",
            "not five",
        ] {
            assert_eq!(number_word(text), None, "{text}");
        }
    }

    #[test]
    fn multipliers_have_values() {
        assert_eq!(multiplier("dozens"), Some(ratio(12, 1)));
        assert_eq!(multiplier("thirds"), Some(ratio(1, 3)));
        assert_eq!(multiplier("gross"), Some(ratio(144, 1)));
        assert_eq!(multiplier("成"), Some(ratio(1, 10)));
        assert_eq!(multiplier("apples"), None);
    }
}
