//! Properties of every pair of texts: no panic, an answer equals itself, the order of the arguments does not matter.

use proptest::{prelude::*, test_runner::Config};
use retort_records::Verdict;

use super::judge;

/// An answer built from the grammar.
fn answer() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (0..200i32).prop_map(|n| n.to_string()),
        (0..2000i32).prop_map(|n| format!("{}.{:02}", n / 100, n % 100)),
        prop::sample::select(vec!["x", "y", "n", "\\pi", "e", "i", "x_1", "\\alpha", "\\infty"])
            .prop_map(str::to_owned),
    ];
    let expression = leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}+{b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("\\frac{{{a}}}{{{b}}}")),
            (inner.clone(), 0..5u32).prop_map(|(a, n)| format!("({a})^{{{n}}}")),
            inner.clone().prop_map(|a| format!("\\sqrt{{{a}}}")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("\\sin({a})")),
            inner.prop_map(|a| format!("\\ln({a})")),
        ]
    });
    let items = prop::collection::vec(expression.clone(), 2..4);
    prop_oneof![
        4 => expression.clone(),
        1 => items.clone().prop_map(|items| items.join(", ")),
        1 => items.clone().prop_map(|items| format!("({})", items.join(", "))),
        1 => items.prop_map(|items| format!("\\{{{}\\}}", items.join(", "))),
        1 => (expression.clone(), expression.clone()).prop_map(|(a, b)| format!("({a}, {b}]")),
        1 => (expression.clone(), expression.clone()).prop_map(|(a, b)| format!("{a} = {b}")),
        1 => (expression.clone(), expression.clone()).prop_map(|(a, b)| format!("{a} \\le {b}")),
        1 => (expression.clone(), expression.clone()).prop_map(|(a, b)| format!("({a}, 3) \\cup [{b}, \\infty)")),
        1 => expression.clone().prop_map(|a| format!("{a} \\text{{ cm}}")),
        1 => expression.prop_map(|a| format!("{a}\\%")),
    ]
}

/// Pieces of answers in any order: mostly malformed.
fn scrambled() -> impl Strategy<Value = String> {
    let pieces = vec![
        "\\boxed{",
        "}",
        "{",
        "\\frac",
        "\\sqrt",
        "^",
        "_",
        "(",
        ")",
        "[",
        "]",
        "\\{",
        "\\}",
        "1",
        "23",
        "0.5",
        "x",
        "y",
        ",",
        ";",
        ":",
        "=",
        "<",
        "\\le",
        "+",
        "-",
        "*",
        "/",
        "!",
        "%",
        "'",
        "|",
        "\\|",
        "\\pm",
        "\\cup",
        "\\in",
        "\\infty",
        "\\pi",
        "\\text{",
        "cm",
        "and",
        " ",
        "\\\\",
        "&",
        "\\begin{pmatrix}",
        "\\end{pmatrix}",
        "\\sum_{k=1}^n",
        "\\sin",
        "\\log_2",
        "$",
        "\\[",
        "\\]",
        "answer is",
        "答案是",
        "°",
        "½",
        "\u{202e}",
        "\0",
        "e",
        "i",
        "\\binom",
        "\\mod",
        "\\left",
        "\\right.",
        "\\angle",
        "\\mathbb{R}",
        "\\operatorname{lcm}",
        "#",
        ".",
        "1e5",
        "\\int",
        "\\overline",
        "\\choose",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..24).prop_map(|pieces| pieces.concat())
}

fn config() -> Config {
    Config { cases: 1500, failure_persistence: None, ..Config::default() }
}

fn is_cut_off(text: &str) -> bool {
    judge(text, "a reference that no text is").method == "truncated"
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_answer_is_itself(a in answer()) {
        prop_assert_eq!(judge(&a, &a).verdict, Verdict::Correct);
        let boxed = format!("So it is $\\boxed{{{a}}}$.");
        prop_assert_eq!(judge(&boxed, &a).verdict, Verdict::Correct, "{}", judge(&boxed, &a).reason);
    }

    #[test]
    fn the_order_of_the_arguments_does_not_matter(a in answer(), b in answer()) {
        let (forth, back) = (judge(&a, &b), judge(&b, &a));
        prop_assert_eq!(forth.verdict, back.verdict, "{} / {}", forth.reason, back.reason);
    }

    #[test]
    fn a_completion_that_ends_inside_a_box_is_not_correct(a in scrambled(), b in answer(), c in answer()) {
        let completion = format!("{a} \\boxed{{{b}");
        prop_assume!(is_cut_off(&completion));
        prop_assert_eq!(judge(&completion, &b).verdict, Verdict::Incorrect);
        prop_assert_eq!(judge(&completion, &c).verdict, Verdict::Incorrect);
    }

    #[test]
    fn any_text_is_judged(a in scrambled(), b in scrambled(), c in answer(), d in any::<String>()) {
        judge(&format!("{a}</think>{b}<think>{c}"), &d);
        for (prediction, reference) in [(&a, &b), (&a, &c), (&d, &c), (&c, &d), (&a, &d)] {
            let (forth, back) = (judge(prediction, reference).verdict, judge(reference, prediction).verdict);
            // A prediction that ends inside a box was cut off, and is never correct; a reference answer was not, and lacks
            // a brace. Only there do the two sides differ.
            if [prediction, reference].iter().any(|text| is_cut_off(text)) {
                continue;
            }
            let opposite = matches!((forth, back), (Verdict::Correct, Verdict::Incorrect) | (Verdict::Incorrect, Verdict::Correct));
            prop_assert!(!opposite, "{prediction:?} {reference:?}: {forth:?}, {back:?}");
        }
    }
}

/// Pairs that a fuzzer found, each judged right one way round and wrong the other.
#[test]
fn the_order_of_the_arguments_does_not_matter_to_a_fuzzer() {
    for (a, b) in [("$$k = 4$", "$\\boxed{是d=$\\boxedy=4"), ("Answer \\(: (9+1) \\)", "swer\\(:(9+1)\\)test")] {
        let (forth, back) = (judge(a, b).verdict, judge(b, a).verdict);
        let opposite =
            matches!((forth, back), (Verdict::Correct, Verdict::Incorrect) | (Verdict::Incorrect, Verdict::Correct));
        assert!(!opposite, "{a:?} {b:?}: {forth:?}, {back:?}");
    }
}
