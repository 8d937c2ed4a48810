//! Answers with one thing changed that changes what they say: no changed answer is ever correct. Every generator takes
//! reference answers of the banks and of competition problems; the pairs are the same in every run.
//!
//! `RETORT_MATH_PAIRS` sets how many pairs are tried in all.

use std::collections::BTreeMap;

use retort_records::Verdict;
use retort_verify::math::value;

use super::{judge, rows, text};

/// Pairs of a run that does not ask for more.
const PAIRS: usize = 20_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn pick<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[(self.next() % items.len() as u64) as usize]
    }
}

/// A reference answer that is one real number.
struct Gold {
    text: String,
    value: f64,
}

impl Gold {
    fn is(&self, other: f64) -> bool {
        (self.value - other).abs() < 1e-9 * self.value.abs().max(1.0)
    }
}

/// Every reference answer that is one real number and nothing else.
fn golds() -> Vec<Gold> {
    let mut texts: Vec<String> = include_str!("variants.jsonl")
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|row| text(&row, "reference_answer").to_owned())
        .collect();
    for (file, key) in [
        ("verifiers/math_verify_cases.jsonl", "gold"),
        ("verifiers/real_pairs.jsonl", "gold"),
        ("datasets/math_test_5000.jsonl", "answer"),
    ] {
        texts.extend(rows(file).unwrap_or_default().iter().map(|row| text(row, key).trim_matches('$').to_owned()));
    }
    texts.sort();
    texts.dedup();
    let plain = |text: &String| {
        text.len() < 60
            && !text.contains(['=', ',', ':', '_', '%', '<', '>', '$', '#', '~'])
            && !text.contains("text")
            && !text.contains("boxed")
    };
    let gold = |text: String| match value(&text) {
        Some((value, im)) if value.is_finite() && im.abs() < 1e-12 => Some(Gold { text, value }),
        _ => None,
    };
    texts.into_iter().filter(plain).filter_map(gold).collect()
}

type Pair = Option<(String, String)>;

#[allow(clippy::unnecessary_wraps, reason = "every generator ends in it")]
fn pair(prediction: String, reference: String) -> Pair {
    Some((prediction, reference))
}

/// Two names swapped, or another name, argument or function.
fn swapped_names(a: &Gold, b: &Gold, random: &mut Random) -> Pair {
    let (g, h) = (&a.text, &b.text);
    match random.next() % 9 {
        0 if !a.is(b.value) => pair(format!("x = {g}, y = {h}"), format!("x = {h}, y = {g}")),
        1 => pair(format!("f(2) = {g}"), format!("f(3) = {g}")),
        2 => pair(format!("P(A) = {g}"), format!("P(B) = {g}")),
        3 => pair(format!("x > {g}"), format!("y > {g}")),
        4 => pair(format!("f'(x) = ({g})x"), format!("f''(x) = ({g})x")),
        5 => pair(format!("\\sin x = {g}"), format!("\\cos x = {g}")),
        6 => pair(format!("g(x) = ({g})x"), format!("f(x) = ({g})x")),
        7 if !a.is(b.value) => pair(format!("({g})x + ({h})y"), format!("({h})x + ({g})y")),
        8 => pair(format!("x > {g}, y > {g}"), format!("x > {g}")),
        _ => None,
    }
}

/// The same condition over other numbers.
fn changed_universe(a: &Gold, _: &Gold, random: &mut Random) -> Pair {
    let g = &a.text;
    let set = |universe: &str| format!("\\{{x \\in {universe} : x > {g}\\}}");
    let numbers = ["\\mathbb{Z}", "\\mathbb{Q}", "\\mathbb{N}"];
    match random.next() % 6 {
        0 => pair(set("\\mathbb{R}"), set(random.pick::<&str>(&numbers))),
        1 => pair(format!("x > {g}"), set(random.pick::<&str>(&numbers))),
        2 => pair(set(random.pick::<&str>(&numbers)), format!("({g}, \\infty)")),
        3 => pair(set(&format!("[{g}, {g} + 5]")), format!("({g}, \\infty)")),
        4 => pair(format!("x > {g}, x \\text{{ is an integer}}"), format!("x > {g}")),
        5 => pair(set("\\mathbb{Z}"), set("\\mathbb{Q}")),
        _ => None,
    }
}

/// A breakpoint added or moved, near or far.
fn moved_breakpoint(a: &Gold, _: &Gold, random: &mut Random) -> Pair {
    let sign = *random.pick(&["", "-"]);
    let c = format!("({sign}{}\\cdot 10^{{{}}})", 1 + random.next() % 9, random.next() % 21);
    let k = 10 + random.next() % 60;
    let g = format!("({})", a.text);
    match random.next() % 10 {
        0 => pair(format!("{g}x + |x-{c}| - (x-{c})"), format!("{g}x")),
        1 => pair(format!("\\sqrt{{(x-{c}+{g})^2}}"), format!("x-{c}+{g}")),
        2 => pair(format!("\\max(x+{g}, {c})"), format!("x+{g}")),
        3 => pair(format!("\\min(x, {c}) + {g}"), format!("x + {g}")),
        4 => pair(format!("{g}n + \\binom{{n}}{{{k}}}"), format!("{g}n")),
        5 => pair(format!("\\lceil x \\rceil + {g}"), format!("\\lfloor x \\rfloor + 1 + {g}")),
        6 => pair(format!("|x-{c}| + |x-{c}-1| + {g}"), format!("|2x-2{c}-1| + {g}")),
        7 => {
            pair(format!("\\gcd(n!, {}) + {g}", random.pick(&[11, 13, 17, 23, 47, 97, 101, 10007])), format!("1 + {g}"))
        }
        8 => pair(format!("\\sum_{{k=1}}^n \\max(0, k-{k}) + {g}"), g),
        9 => pair(format!("{g} + \\sqrt{{(x-{c})(x-{c}+1)(x-{c})(x-{c}+1)}}"), format!("{g} + (x-{c})(x-{c}+1)")),
        _ => None,
    }
}

/// An order turned round: of a relation, a tuple, an interval, a product.
fn flipped_order(a: &Gold, b: &Gold, random: &mut Random) -> Pair {
    let (low, high) = if a.value < b.value { (a, b) } else { (b, a) };
    if low.is(high.value) {
        return None;
    }
    let (g, h) = (&low.text, &high.text);
    let uneven = low.value.abs() > 1e-9 && high.value.abs() > 1e-9 && !low.is(-high.value);
    match random.next() % 9 {
        0 => pair(format!("x < {g}"), format!("x > {g}")),
        1 => pair(format!("{g} < x \\le {h}"), format!("{g} \\le x < {h}")),
        2 => pair(format!("({g}, {h})"), format!("({h}, {g})")),
        3 => pair(format!("({g}, {h}]"), format!("[{g}, {h})")),
        4 => pair(format!("({g})\\vec{{a}} \\times \\vec{{b}}"), format!("({g})\\vec{{b}} \\times \\vec{{a}}")),
        5 => pair(
            format!("\\begin{{pmatrix}} {g} & {h} \\end{{pmatrix}}"),
            format!("\\begin{{pmatrix}} {g} \\\\ {h} \\end{{pmatrix}}"),
        ),
        6 if uneven => pair(format!("{g} : {h}"), format!("{h} : {g}")),
        7 => pair(format!("x \\ge {g}"), format!("x > {g}")),
        8 => pair(format!("(\\pm {g}, \\mp {h})"), format!("(\\pm {g}, \\pm {h})")).filter(|_| uneven),
        _ => None,
    }
}

/// A factor, a sign or a power dropped, in the answer or around its box.
fn dropped_factor(a: &Gold, _: &Gold, random: &mut Random) -> Pair {
    let g = &a.text;
    if a.is(0.0) {
        return None;
    }
    let unit = a.is(1.0) || a.is(-1.0);
    let positive = a.value > 0.0;
    let changed = match random.next() % 12 {
        0 => format!("2({g})"),
        1 => format!("-({g})"),
        2 => format!("\\frac{{{g}}}{{3}}"),
        3 => format!("({g})\\sqrt{{2}}"),
        4 => format!("({g})x"),
        5 if !unit => format!("({g})^{{-1}}"),
        6 => format!("so it is $3\\boxed{{{g}}}$"),
        7 => format!("so it is $x = -\\boxed{{{g}}}$"),
        8 => format!("so it is $\\boxed{{{g}}}\\sqrt{{3}}$"),
        9 if !unit && positive => format!("so it is $\\sqrt{{\\boxed{{{g}}}}}$"),
        10 if !a.is(1.0) => format!("so it is $\\boxed{{{g}}}^2$"),
        11 => format!("so it is $\\pm\\boxed{{{g}}}$"),
        _ => return None,
    };
    pair(changed, g.clone())
}

/// Sentences that deny, doubt, quote or compare `#`.
const DENIALS: [&str; 36] = [
    "The answer is not $#$.",
    "The answer is definitely not $#$.",
    "The answer cannot be $#$.",
    "The answer is less than $#$.",
    "The answer is more than $#$.",
    "The answer is no more than $#$.",
    "The answer is at least twice $#$.",
    "The answer is the reciprocal of $#$.",
    "The answer is the negative of $#$.",
    "The answer is the square of $#$.",
    "The answer is close to $#$.",
    "The answer is different from $#$.",
    "The wrong answer is $#$.",
    "An incorrect answer is $#$.",
    "The book says the answer is $#$, but I disagree.",
    "The problem says the answer is $#$. But I get something else.",
    "$#$ is not the answer.",
    "$#$ is the wrong answer.",
    "Therefore x is not $#$.",
    "So it is not $#$.",
    "There is no solution, not even $#$.",
    "Answer: I don't know, perhaps $#$",
    "Answer: impossible; $#$ is a trap",
    "The answer is $#$. Wait, that is wrong.",
    "The answer is $#$.\n\nActually, I made an error. The value is something else.",
    "Is the answer $#$? No.",
    "The answer is not $\\boxed{#}$.",
    "The wrong answer is $\\boxed{#}$.",
    "$\\boxed{#}$ is not the answer.",
    "The book claims that it is $\\boxed{#}$.",
    "So $\\boxed{#}$. Wait, that is wrong.",
    "First \\boxed{#}, but on reflection the answer is \\boxed{1",
    "答案不是$#$。",
    "最后答案小于$#$。",
    "Die Antwort ist nicht $#$.",
    "The answer might be $#$ or something else.",
];

fn denied(a: &Gold, _: &Gold, random: &mut Random) -> Pair {
    pair(random.pick(&DENIALS).replace('#', &a.text), a.text.clone())
}

/// Words beside a number that make it another.
const WORDS: [&str; 36] = [
    "hundred",
    "dozen",
    "gross",
    "million",
    "bn",
    "lakh",
    "crore",
    "thirds",
    "halves",
    "quarters",
    "hundredths",
    "squared",
    "cubed",
    "factorial",
    "times",
    "percent off",
    "below zero",
    "plus",
    "plus 2",
    "minus 1",
    "or more",
    "or less",
    "less",
    "where n is odd",
    "for even n",
    "point five",
    "half",
    "to 7",
    "is wrong",
    "is false",
    "cannot be",
    "万",
    "百",
    "成",
    "倍",
    "打",
];

fn with_word(a: &Gold, _: &Gold, random: &mut Random) -> Pair {
    if a.is(0.0) {
        return None;
    }
    let (g, word) = (&a.text, random.pick(&WORDS));
    let changed = match random.next() % 3 {
        0 => format!("{g} \\text{{ {word}}}"),
        1 => format!("\\boxed{{{g}\\text{{ {word}}}}}"),
        _ => format!("\\boxed{{\\text{{minus }}{g}}}"),
    };
    pair(changed, g.clone())
}

type Generator = fn(&Gold, &Gold, &mut Random) -> Pair;

const GENERATORS: [(&str, Generator); 7] = [
    ("swapped names", swapped_names),
    ("changed universe", changed_universe),
    ("moved breakpoint", moved_breakpoint),
    ("flipped order", flipped_order),
    ("dropped factor", dropped_factor),
    ("denied sentence", denied),
    ("word beside", with_word),
];

#[test]
fn no_changed_answer_is_correct() {
    let golds = golds();
    let asked = std::env::var("RETORT_MATH_PAIRS").ok().and_then(|pairs| pairs.parse().ok());
    let each = asked.unwrap_or(PAIRS) / GENERATORS.len();
    let mut wrong = Vec::new();
    for (name, generator) in GENERATORS {
        let (mut tried, mut counts) = (0, BTreeMap::<String, usize>::new());
        for round in 0.. {
            if tried >= each || round >= 20 * each {
                break;
            }
            let mut random =
                Random(name.bytes().fold(round as u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into())));
            let a = &golds[round % golds.len()];
            let b = random.pick(&golds);
            let Some((changed, gold)) = generator(a, b, &mut random) else { continue };
            for (prediction, reference) in [(&changed, &gold), (&gold, &changed)] {
                // What denies is no reference answer.
                if reference == &changed && (name == "denied sentence" || changed.contains("boxed")) {
                    continue;
                }
                tried += 1;
                let outcome = judge(prediction, reference);
                *counts.entry(format!("{:?}", outcome.verdict)).or_default() += 1;
                if outcome.verdict == Verdict::Correct {
                    wrong.push(format!(
                        "{name}: {prediction:?} against {reference:?} by {} ({})",
                        outcome.method, outcome.reason
                    ));
                }
            }
        }
        println!("{name}: {tried} pairs of {} reference answers, {counts:?}", golds.len());
        assert!(tried * 2 >= each, "{name} made only {tried} pairs");
    }
    assert!(wrong.is_empty(), "{} correct:\n{}", wrong.len(), wrong[..wrong.len().min(200)].join("\n"));
}
