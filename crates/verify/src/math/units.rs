//! Words beside a number: units of measure and what they convert to, things that are counted, directions, and words that
//! multiply. Any other word may change the value: `7 squared`, `7 off`, `7 for odd n`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::LazyLock,
};

use num_rational::BigRational;
use num_traits::One;

use super::{
    nouns::{self, Words, words_of},
    numerals::multiplier,
};

/// How two units stand to each other.
#[derive(Debug, Clone, PartialEq)]
pub enum Units {
    /// The same, or one is missing.
    Agree,
    /// One of the first is so many of the second.
    Factor(BigRational),
    /// Of different kinds, such as metres and seconds.
    Differ,
    /// Of one kind, but without a factor that everybody takes, such as degrees of two scales.
    Inexact,
    /// Nobody here knows.
    Unclear,
}

/// Names, singular, and how many of what they are; a base unit is one of itself.
const TABLE: &[(&str, i64, i64, &str)] = &[
    ("m meter metre 米", 1, 1, "m"),
    ("um μm", 1, 1_000_000, "m"),
    ("nm nanometer nanometre 纳米", 1, 1_000_000_000, "m"),
    ("micron micrometer micrometre 微米", 1, 1_000_000, "m"),
    ("mm millimeter millimetre 毫米", 1, 1000, "m"),
    ("cm centimeter centimetre 厘米 公分", 1, 100, "m"),
    ("dm decimeter decimetre 分米", 1, 10, "m"),
    ("km kilometer kilometre 千米 公里", 1000, 1, "m"),
    ("in inch 英寸", 254, 10000, "m"),
    ("ft foot 英尺", 3048, 10000, "m"),
    ("yd yard 码", 9144, 10000, "m"),
    ("mi mile 英里", 1_609_344, 1000, "m"),
    ("里", 500, 1, "m"),
    ("公顷 hectare", 10000, 1, "m^2"),
    ("acre", 40_468_564_224, 10_000_000, "m^2"),
    ("平方米 平米", 1, 1, "m^2"),
    ("平方厘米", 1, 10000, "m^2"),
    ("平方分米", 1, 100, "m^2"),
    ("平方千米 平方公里", 1_000_000, 1, "m^2"),
    ("立方米", 1, 1, "m^3"),
    ("立方厘米 cc", 1, 1_000_000, "m^3"),
    ("立方分米", 1, 1000, "m^3"),
    ("l L liter litre 升", 1, 1000, "m^3"),
    ("ml mL milliliter millilitre 毫升", 1, 1_000_000, "m^3"),
    ("cl centiliter centilitre", 1, 100_000, "m^3"),
    ("kl kL kiloliter kilolitre", 1, 1, "m^3"),
    ("gal gallon", 3_785_411_784, 1_000_000_000_000, "m^3"),
    ("qt quart", 1, 4, "gallon"),
    ("pt pint", 1, 8, "gallon"),
    ("cup", 1, 16, "gallon"),
    ("tbsp tablespoon", 1, 256, "gallon"),
    ("tsp teaspoon", 1, 768, "gallon"),
    ("g gm gram gramme 克", 1, 1, "g"),
    ("mg milligram 毫克", 1, 1000, "g"),
    ("kg kilogram kilo 千克 公斤", 1000, 1, "g"),
    ("斤", 500, 1, "g"),
    ("t tonne 吨", 1_000_000, 1, "g"),
    ("ton", 1_000_000, 1, "g"),
    ("lb lbs pound", 45_359_237, 100_000, "g"),
    ("ton", 2000, 1, "lb"),
    ("oz ounce", 1, 16, "lb"),
    ("s sec second 秒 秒钟", 1, 1, "s"),
    ("ms millisecond 毫秒", 1, 1000, "s"),
    ("min minute 分钟 分", 60, 1, "s"),
    ("h hr hour 小时 时", 3600, 1, "s"),
    ("day 天 日", 86400, 1, "s"),
    ("week wk 周 星期", 604_800, 1, "s"),
    ("fortnight", 1_209_600, 1, "s"),
    ("month 个月 月", 1, 1, "month"),
    ("yr year 年", 12, 1, "month"),
    ("decade", 120, 1, "month"),
    ("century", 1200, 1, "month"),
    ("dollar usd buck 美元", 1, 1, "dollar"),
    ("cent ¢ 美分", 1, 100, "dollar"),
    ("nickel", 5, 100, "dollar"),
    ("dime", 10, 100, "dollar"),
    ("euro eur 欧元", 1, 1, "euro"),
    ("cent", 1, 100, "euro"),
    ("pound gbp 英镑", 1, 1, "gbp"),
    ("pence penny", 1, 100, "gbp"),
    ("penny", 1, 100, "dollar"),
    ("yuan rmb cny 元 块钱 块", 1, 1, "yuan"),
    ("jiao 角", 1, 10, "yuan"),
    ("fen 分", 1, 100, "yuan"),
    ("rupee inr", 1, 1, "rupee"),
    ("yen jpy 日元 円", 1, 1, "yen"),
    ("ruble rouble rub", 1, 1, "ruble"),
    ("unit", 1, 1, "unit"),
    ("radian rad rads", 1, 1, "radian"),
    ("revolution rev", 1, 1, "revolution"),
    ("celsius centigrade", 1, 1, "celsius"),
    ("fahrenheit", 1, 1, "fahrenheit"),
    ("kelvin K", 1, 1, "kelvin"),
    ("A amp ampere 安培", 1, 1, "A"),
    ("mA milliampere", 1, 1000, "A"),
    ("mol mole 摩尔", 1, 1, "mol"),
    ("mmol millimole", 1, 1000, "mol"),
    ("N newton 牛 牛顿", 1, 1, "kg m/s^2"),
    ("kN kilonewton", 1000, 1, "N"),
    ("J joule 焦耳", 1, 1, "N m"),
    ("kJ kilojoule", 1000, 1, "J"),
    ("cal calorie", 4184, 1000, "J"),
    ("kcal kilocalorie", 4184, 1, "J"),
    ("MJ megajoule", 1_000_000, 1, "J"),
    ("mJ millijoule", 1, 1000, "J"),
    ("Wh", 3600, 1, "J"),
    ("MWh", 3_600_000_000, 1, "J"),
    ("eV electronvolt", 1, 1, "eV"),
    ("W watt 瓦 瓦特", 1, 1, "J/s"),
    ("mW milliwatt", 1, 1000, "W"),
    ("kW kilowatt 千瓦", 1000, 1, "W"),
    ("MW megawatt", 1_000_000, 1, "W"),
    ("kWh", 3_600_000, 1, "J"),
    ("Pa pascal 帕", 1, 1, "N/m^2"),
    ("kPa kilopascal", 1000, 1, "Pa"),
    ("atm atmosphere", 101_325, 1, "Pa"),
    ("bar", 100_000, 1, "Pa"),
    ("psi", 1, 1, "psi"),
    ("C coulomb 库仑", 1, 1, "A s"),
    ("V volt 伏 伏特", 1, 1, "J/C"),
    ("kV kilovolt", 1000, 1, "V"),
    ("mV millivolt", 1, 1000, "V"),
    ("ohm Ω 欧姆", 1, 1, "V/A"),
    ("Hz hertz 赫兹", 1, 1, "1/s"),
    ("kHz kilohertz", 1000, 1, "Hz"),
    ("MHz megahertz", 1_000_000, 1, "Hz"),
    ("GHz gigahertz", 1_000_000_000, 1, "Hz"),
    ("rpm", 1, 1, "revolution/minute"),
    ("mph", 1, 1, "mile/hour"),
    ("kph kmh kmph", 1, 1, "km/hour"),
    ("bit", 1, 1, "bit"),
    ("byte", 8, 1, "bit"),
    ("am a.m. AM", 1, 1, "am"),
    ("pm p.m. PM", 1, 1, "pm"),
];

/// Base units and their powers.
type Dimensions = BTreeMap<&'static str, i32>;

/// The table by names; a name may have several meanings, as `pound`.
static KNOWN: LazyLock<HashMap<&'static str, Vec<(Dimensions, BigRational)>>> = LazyLock::new(|| {
    let mut known: HashMap<&'static str, Vec<(Dimensions, BigRational)>> = HashMap::new();
    for (names, numer, denom, of) in TABLE {
        let size = BigRational::new((*numer).into(), (*denom).into());
        let meanings = match names {
            names if names.split(' ').any(|name| name == *of) => vec![(Dimensions::from([(*of, 1)]), size)],
            _ => measures(&pieces(of), &known).into_iter().map(|(dims, one)| (dims, one * &size)).collect(),
        };
        for name in names.split(' ') {
            known.entry(name).or_default().extend(meanings.iter().cloned());
        }
    }
    known
});

/// Words of the question, in which counted things are named.
#[derive(Debug, Clone, Copy, Default)]
pub struct Question<'q>(pub &'q str);

/// A part of a phrase.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Word(String),
    Over,
    Power(i32),
}

fn pieces(phrase: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut chars = phrase.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphabetic() || matches!(c, '¢' | '%' | '°') {
            let mut word = String::from(c);
            while let Some(next) = chars.next_if(|next| next.is_alphabetic() || matches!(next, '-' | '\'')) {
                word.push(next);
            }
            found.push(if word == "per" { Piece::Over } else { Piece::Word(word) });
        } else if c == '/' {
            found.push(Piece::Over);
        } else if c == '^' {
            let mut digits = String::new();
            while let Some(next) = chars.next_if(|next| next.is_ascii_digit() || *next == '-') {
                digits.push(next);
            }
            found.push(Piece::Power(digits.parse().unwrap_or(0)));
        } else if c.is_ascii_digit() && c != '1' {
            found.push(Piece::Word(c.to_string()));
        }
    }
    found
}

/// The meanings of one name, in any case if it is no short symbol.
fn meanings<'k>(
    name: &str,
    known: &'k HashMap<&'static str, Vec<(Dimensions, BigRational)>>,
) -> Option<&'k Vec<(Dimensions, BigRational)>> {
    // A megagram is no milligram.
    let cased = |name: &str| name.len() == 2 && name.starts_with('M');
    let lower = || (name.chars().count() > 1 && !cased(name)).then(|| name.to_lowercase());
    known.get(name).or_else(|| known.get(lower()?.as_str())).or_else(|| known.get(nouns::singular(&lower()?).as_str()))
}

/// The measures that a phrase of nothing but units stands for; none when it has another word.
fn measures(
    phrase: &[Piece],
    known: &HashMap<&'static str, Vec<(Dimensions, BigRational)>>,
) -> Vec<(Dimensions, BigRational)> {
    let mut found = vec![(Dimensions::new(), BigRational::one())];
    let (mut over, mut prefix, mut at, mut named) = (false, 1, 0, false);
    while let Some(piece) = phrase.get(at) {
        at += 1;
        let word = match piece {
            Piece::Over => {
                over = true;
                continue;
            }
            Piece::Power(_) => return Vec::new(),
            Piece::Word(word) => word.to_lowercase(),
        };
        match word.as_str() {
            "square" | "sq" | "平方" => {
                prefix = 2;
                continue;
            }
            "cubic" | "cu" | "立方" => {
                prefix = 3;
                continue;
            }
            _ => {}
        }
        let Piece::Word(word) = piece else { continue };
        let Some(meanings) = meanings(word, known) else { return Vec::new() };
        let power = match phrase.get(at) {
            Some(Piece::Power(power)) => Some(*power),
            Some(Piece::Word(word)) if word == "squared" => Some(2),
            Some(Piece::Word(word)) if word == "cubed" => Some(3),
            _ => None,
        };
        at += usize::from(power.is_some());
        let power = power.unwrap_or(prefix) * if over { -1 } else { 1 };
        (prefix, named) = (1, true);
        let with = |(dims, size): &(Dimensions, BigRational)| {
            let all = meanings.iter().map(|(unit, one)| {
                let mut dims = dims.clone();
                for (base, times) in unit {
                    *dims.entry(base).or_default() += times * power;
                }
                dims.retain(|_, times| *times != 0);
                (dims, size * one.pow(power))
            });
            all.collect::<Vec<_>>()
        };
        found = found.iter().flat_map(with).collect();
    }
    if named && prefix == 1 { found } else { Vec::new() }
}

/// Base units that convert, but not by a factor that everybody takes.
const INEXACT: [&[&str]; 2] = [&["celsius", "fahrenheit", "kelvin"], &["s", "month"]];

/// Words that say where to or on which side: they tell `5 feet above` from `5 feet below`.
static DIRECTIONS: LazyLock<Words> = LazyLock::new(|| {
    words_of(
        "above below left right up down north south east west northeast northwest southeast southwest before after \
         earlier later ahead behind under over forward backward forwards backwards clockwise counterclockwise \
         anticlockwise gain loss profit deficit increase decrease older younger faster slower taller shorter farther \
         nearer inside outside upward downward ago",
    )
});

/// Whether a word of a sentence tells the side on which a measure lies.
pub fn is_side(word: &str) -> bool {
    let sides = ["above", "below", "north", "south", "east", "west", "clockwise", "counterclockwise", "under"];
    sides.contains(&word.to_lowercase().as_str())
}

/// Words that add nothing to a measure or a count.
static FILLERS: LazyLock<Words> = LazyLock::new(|| {
    words_of(
        "of the a an in total altogether each approximately about exactly only all long wide tall high deep thick \
         away apart old such possible different distinct whole です でした である 입니다 이다 full complete any some",
    )
});

/// What the words beside a number mean.
#[derive(Debug, Clone, Default)]
pub struct Phrase {
    /// What they multiply the number by.
    pub multiplier: Option<BigRational>,
    measures: Vec<(Dimensions, BigRational)>,
    counted: BTreeSet<String>,
    directions: Vec<String>,
    unclear: bool,
    written: Vec<Piece>,
}

impl Phrase {
    /// Reads the words beside a number; `question` names what may be counted.
    pub fn read(phrase: &str, question: Question<'_>) -> Self {
        // `25^\circ C` is parsed as degrees of a scale.
        let scales = [("degree C", "celsius"), ("degree F", "fahrenheit"), ("degree K", "kelvin")];
        let phrase = scales.iter().fold(phrase.to_owned(), |phrase, (written, name)| phrase.replace(written, name));
        let mut all = pieces(&phrase);
        // `$5 million` has its currency first.
        if let [Piece::Word(first), Piece::Word(second), ..] = all.as_slice()
            && multiplier(second).is_some()
            && multiplier(first).is_none()
        {
            all.swap(0, 1);
        }
        let mut read = Self::default();
        while let Some(Piece::Word(word)) = all.first().cloned() {
            let known = meanings(&word, &KNOWN).is_some();
            let head = word.chars().next().filter(|c| !c.is_ascii()).map(String::from).unwrap_or_default();
            let (size, rest) = match multiplier(&word) {
                Some(size) => (size, String::new()),
                // `万元`
                None => match multiplier(&head).filter(|_| !known && word != head) {
                    Some(size) => (size, word[head.len()..].to_owned()),
                    None => break,
                },
            };
            read.multiplier = Some(read.multiplier.unwrap_or_else(BigRational::one) * size);
            all.remove(0);
            if !rest.is_empty() {
                all.insert(0, Piece::Word(rest));
            }
        }
        read.written.clone_from(&all);
        let end =
            (0..=all.len()).rev().find(|end| *end == 0 || !measures(&all[..*end], &KNOWN).is_empty()).unwrap_or(0);
        read.measures = if end == 0 { Vec::new() } else { measures(&all[..end], &KNOWN) };
        let mut of = false;
        for piece in &all[end..] {
            match piece {
                Piece::Word(word) => {
                    let lower = word.to_lowercase();
                    if DIRECTIONS.contains(lower.as_str()) {
                        read.directions.push(lower);
                    } else if FILLERS.contains(lower.as_str()) {
                        of |= lower == "of";
                    } else if nouns::is_counted(word, question.0) || of && nouns::is_asked(&lower, question.0) {
                        read.counted.insert(nouns::singular(&lower));
                    } else {
                        read.unclear = true;
                    }
                }
                Piece::Over | Piece::Power(_) => read.unclear = true,
            }
        }
        read
    }

    /// Whether there is no word but those that multiply.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// Whether a number without these words may be meant.
    pub fn is_forgiven(&self) -> bool {
        // `5 left` remain, `20% increase` is 20% more.
        let harmless = |word: &String| {
            matches!(word.as_str(), "left" | "increase" | "gain" | "profit" | "older" | "taller" | "faster")
        };
        !self.unclear && self.directions.iter().all(harmless)
    }

    /// Whether it has a unit of the table.
    pub fn is_measure(&self) -> bool {
        !self.measures.is_empty()
    }

    /// Compares two phrases, neither of them empty.
    pub fn compare(&self, other: &Self) -> Units {
        if self.written == other.written {
            return Units::Agree;
        }
        if self.unclear || other.unclear || self.directions != other.directions {
            return Units::Unclear;
        }
        if self.measures.is_empty() && other.measures.is_empty() {
            let same = self.counted.is_subset(&other.counted) || other.counted.is_subset(&self.counted);
            return if same { Units::Agree } else { Units::Unclear };
        }
        if self.measures.is_empty() || other.measures.is_empty() {
            return Units::Unclear;
        }
        let mut all = self.measures.iter().flat_map(|a| other.measures.iter().map(move |b| (a, b)));
        match all.find(|((a, _), (b, _))| a == b) {
            Some(((_, a), (_, b))) if a == b => Units::Agree,
            // A ton is 1000 kilograms or 2000 pounds.
            Some(((dims, _), _)) if self.has_sizes(dims) || other.has_sizes(dims) => Units::Unclear,
            Some(((_, a), (_, b))) => Units::Factor(a / b),
            // Any unit may be meant by `square units`.
            None if self.is_of(&["unit"]) != other.is_of(&["unit"]) => Units::Unclear,
            None if INEXACT.iter().any(|bases| self.is_of(bases) && other.is_of(bases)) => Units::Inexact,
            None => Units::Differ,
        }
    }

    /// Whether its units have several sizes of one kind.
    fn has_sizes(&self, dims: &Dimensions) -> bool {
        let mut sizes = self.measures.iter().filter(|(own, _)| own == dims).map(|(_, size)| size);
        sizes.next().is_some_and(|first| sizes.any(|size| size != first))
    }

    fn is_of(&self, bases: &[&str]) -> bool {
        self.measures.iter().any(|(dims, _)| dims.len() == 1 && dims.keys().all(|base| bases.contains(base)))
    }
}

/// Whether a word names a unit of the table.
pub fn is_known(word: &str) -> bool {
    meanings(word, &KNOWN).is_some()
}

/// The kinds and sizes that a phrase of nothing but units of the table may have.
pub fn sizes(phrase: &str) -> Vec<(String, BigRational)> {
    measures(&pieces(phrase), &KNOWN).into_iter().map(|(dims, size)| (format!("{dims:?}"), size)).collect()
}

/// Compares two phrases of units.
pub fn compare(a: &str, b: &str) -> Units {
    Phrase::read(a, Question::default()).compare(&Phrase::read(b, Question::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_convert_or_differ() {
        let factor = |n: i64, d: i64| Units::Factor(BigRational::new(n.into(), d.into()));
        for (a, b, expected) in [
            ("meters", "m", Units::Agree),
            ("cm", "m", factor(1, 100)),
            ("square cm", "cm ^2", Units::Agree),
            ("sq in", "square inches", Units::Agree),
            ("cm ^2", "m ^2", factor(1, 10000)),
            ("cm ^2", "cm", Units::Differ),
            ("cents", "dollar", factor(1, 100)),
            ("hours", "km", Units::Differ),
            ("apples", "oranges", Units::Unclear),
            ("in", "inches", Units::Agree),
            ("lb", "pounds", Units::Agree),
            ("day", "hours", factor(24, 1)),
            ("m per second", "m/s", Units::Agree),
            ("g/cm ^3", "kg /m ^3", factor(1000, 1)),
            ("N m", "J", Units::Agree),
            ("kg m /s ^2", "N", Units::Agree),
            ("MW", "mW", factor(1_000_000_000, 1)),
            ("S", "s", Units::Unclear),
            ("feet above sea level", "feet below sea level", Units::Unclear),
            ("celsius", "fahrenheit", Units::Inexact),
            ("km/h", "m/s", factor(5, 18)),
            ("feet per second squared", "ft/s ^2", Units::Agree),
        ] {
            assert_eq!(compare(a, b), expected, "{a}, {b}");
        }
    }

    #[test]
    fn only_known_words_are_forgiven() {
        let forgiven = |phrase: &str, question: &str| Phrase::read(phrase, Question(question)).is_forgiven();
        for phrase in ["cm", "apples", "square units", "元", "个苹果", "cm of wire", "million dollars"] {
            assert!(forgiven(phrase, "苹果 wire"), "{phrase}");
        }
        assert!(forgiven("widgets", "How many widgets are left?"));
        for phrase in ["squared", "off", "times", "for odd n", "feet below zero", "plus", "widgets", "for", "factorial"]
        {
            assert!(!forgiven(phrase, "Two widget plus times for all"), "{phrase}");
        }
    }
}
