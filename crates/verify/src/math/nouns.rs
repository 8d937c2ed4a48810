//! Nouns for what is counted, and for what an answer is the value of.

use std::{collections::HashSet, sync::LazyLock};

/// A list of words.
pub type Words = HashSet<&'static str>;

/// The words of a list that blanks separate.
pub fn words_of(list: &'static str) -> Words {
    list.split_ascii_whitespace().collect()
}

/// Counted things, singular.
static COUNTED: LazyLock<Words> = LazyLock::new(|| {
    words_of(
        "adult angle animal answer apple arrangement bag ball banana bean bird block boat book bottle bowl box boy \
         bus cake candy car card case cat chair chicken child choice class coin color combination cookie cow cube \
         customer cut diagonal digit divisor dog duck edge egg employee event face factor family fish flower friend \
         function game girl goal guest hat horse house integer item kid lap letter line man marble match meal member \
         multiple muffin number object orange outcome page painting pair pancake part passenger path pen pencil \
         people permutation person piece pizza plant player point possibility prime problem question rabbit rectangle root \
         rose route row sandwich seat set sheep shirt shoe side slice solution square step sticker stone student \
         subset teacher team term text ticket tile toy tree triangle trip value vertex way win woman word worker zero \
         个 只 支 本 张 人 名 岁 枚 条 件 次 种 辆 棵 盒 瓶 袋 位 头 匹 朵 页 颗 层 场 组 筐 箱 台 座 间 道 片 根 把 艘 架 步 排 题 班 桶 杯",
    )
});

/// Nouns that an answer is the value of, as in `Area: 5`.
static MEASURED: LazyLock<Words> = LazyLock::new(|| {
    words_of(
        "answer final the a an is are result value values total area volume perimeter circumference length width \
         height radius diameter distance time speed rate cost price probability sum product domain range solution \
         solutions number of terms slope intercept vertex center centre equation expression simplified form maximum \
         minimum remainder quotient average mean median mode so we get have thus therefore hence then and x y in for \
         this that exact correct amount count age weight mass ratio fraction degree angle interval set coordinates \
         point surface side it",
    )
});

/// The same in Chinese, where words are not set apart.
const CHINESE_LABELS: [&str; 11] = ["答案", "最终", "面积", "体积", "周长", "结果", "所以", "因此", "总数", "值", "解"];

/// Words that change the value of the number they stand beside, whatever the question says.
static CHANGING: LazyLock<Words> = LazyLock::new(|| {
    words_of(
        "plus minus less off squared cubed not for if where when mod modulo percent half double triple twice power \
         factorial pi 倍 to or and wrong false is was this its yes has does inverse reciprocal opposite negative times \
         point",
    )
});

/// The singular of an English noun in lower case.
pub fn singular(word: &str) -> String {
    let irregular = match word {
        "feet" => "foot",
        "men" => "man",
        "women" => "woman",
        "children" => "child",
        "people" => "person",
        "vertices" => "vertex",
        "indices" => "index",
        "dice" => "die",
        "mice" => "mouse",
        "geese" => "goose",
        "lbs" => "lb",
        "centuries" => "century",
        _ => "",
    };
    if !irregular.is_empty() {
        return irregular.to_owned();
    }
    if let Some(stem) = word.strip_suffix("ies").filter(|stem| stem.len() > 2) {
        return format!("{stem}y");
    }
    for ending in ["ches", "shes", "sses", "xes", "zes", "oes"] {
        if word.ends_with(ending) {
            return word[..word.len() - 2].to_owned();
        }
    }
    let plural = word.ends_with('s') && !["ss", "us", "is"].iter().any(|ending| word.ends_with(ending));
    if plural && word.len() > 2 { word[..word.len() - 1].to_owned() } else { word.to_owned() }
}

/// Whether a word beside a number says what is counted: a noun of the table, or one that the question has in the plural.
pub fn is_counted(word: &str, question: &str) -> bool {
    let lower = word.to_lowercase();
    if !lower.is_ascii() {
        return is_counted_chinese(&lower, question);
    }
    let stem = singular(&lower);
    if CHANGING.contains(lower.as_str()) {
        // `How many times` counts them.
        return lower == "times" && question.to_lowercase().contains("how many times");
    }
    COUNTED.contains(stem.as_str())
        || stem.len() > 2
            && words(question).any(|other| {
                other.len() > stem.len() && other.is_ascii() && {
                    let other = other.to_lowercase();
                    other != lower && singular(&other) == stem || other == lower && other != stem
                }
            })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphabetic() && c != '-').filter(|word| !word.is_empty())
}

/// A measure word, a noun of the question, or both: `个`, `苹果`, `个苹果`.
fn is_counted_chinese(word: &str, question: &str) -> bool {
    if COUNTED.contains(word) {
        return true;
    }
    let changing = [
        '不', '非', '成', '倍', '分', '点', '半', '百', '千', '万', '亿', '打', '多', '余', '减', '加', '负', '前',
        '后', '上', '下', '左', '右', '或', '错', '以', '次', '方', '外', '内',
    ];
    let measure = word.char_indices().map(|(at, _)| at).rev().find(|at| COUNTED.contains(&word[..*at]));
    let rest = &word[measure.unwrap_or(0)..];
    !rest.is_empty() && !rest.contains(changing) && question.contains(rest)
}

/// Whether a word of the question only says of what a measure is: `5 cm of wire`.
pub fn is_asked(word: &str, question: &str) -> bool {
    !CHANGING.contains(word) && words(question).any(|other| singular(&other.to_lowercase()) == singular(word))
}

/// Whether a word changes the value of the number before it, whatever is counted.
pub fn is_changing(word: &str) -> bool {
    CHANGING.contains(word.to_lowercase().as_str())
        && !matches!(
            word,
            "is" | "was" | "for" | "and" | "or" | "to" | "when" | "if" | "this" | "where" | "times" | "percent"
        )
}

/// Whether a label before a value only names what it is the value of: `Area`, `The answer is`.
pub fn is_label(label: &str, question: &str) -> bool {
    let changing = |word: &str| CHANGING.contains(word) && !MEASURED.contains(word);
    let known = |word: &str| {
        if !word.is_ascii() {
            return CHINESE_LABELS.iter().fold(word.to_owned(), |word, noun| word.replace(noun, "")).is_empty()
                || question.contains(word);
        }
        let lower = word.to_lowercase();
        let named =
            !question.is_empty() && words(question).any(|other| singular(&other.to_lowercase()) == singular(&lower));
        !changing(&lower) && (MEASURED.contains(lower.as_str()) || COUNTED.contains(singular(&lower).as_str()) || named)
    };
    words(label).all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_have_a_singular() {
        for (plural, one) in [
            ("apples", "apple"),
            ("inches", "inch"),
            ("cherries", "cherry"),
            ("boxes", "box"),
            ("gas", "ga"),
            ("class", "class"),
        ] {
            assert_eq!(singular(plural), one);
        }
    }

    #[test]
    fn labels_name_and_do_not_deny() {
        for label in ["Area: ", "The answer is ", "Number of terms", "最终答案"] {
            assert!(is_label(label, ""), "{label}");
        }
        assert!(is_label("Widgets left", "How many widgets are left?"));
        for label in ["wrong: ", "not", "trap", "minus"] {
            assert!(!is_label(label, ""), "{label}");
        }
    }
}
