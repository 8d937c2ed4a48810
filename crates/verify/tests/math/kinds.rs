//! `math` on hand-made cases of every kind of answer, in both argument orders.

use retort_records::Verdict::{self, Correct, Incorrect, Undecided};
use retort_verify::Case;

use super::{MATH, verifier};

fn verdict_with(settings: &str, prediction: &str, reference: &str) -> (Verdict, String) {
    let outcome = verifier(settings).verify(&Case::of(prediction, reference));
    (outcome.verdict, format!("{}: {}; found {:?}", outcome.method, outcome.reason, outcome.extracted_answer))
}

/// Every pair has the verdict, with the arguments in either order.
fn all(expected: Verdict, pairs: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (a, b) in pairs {
        for (prediction, reference) in [(a, b), (b, a)] {
            let (verdict, why) = verdict_with("\"math\"", prediction, reference);
            if verdict != expected {
                wrong.push(format!("{prediction:?} against {reference:?}: {verdict:?} ({why})"));
            }
        }
    }
    assert!(wrong.is_empty(), "expected {expected:?}:\n{}", wrong.join("\n"));
}

#[test]
fn wrong_verdicts_of_peers_are_judged_right() {
    all(
        Incorrect,
        &[
            // huggingface/Math-Verify issues 14 and 60.
            ("\\frac{1}{2^{99}}", "\\frac{1}{2^{98}}"),
            ("1/2^99", "1/2^98"),
            ("$\\frac{1}{2004!}$", "$\\frac{1}{2006!}$"),
            ("1/2004!", "1/2006!"),
            ("D=(0,1)", "D=(0,1.5)"),
            ("$D=(0,1)$", "$D=(0,1.5)$"),
            ("3*x-1*y+13=0", "3x+4y+14=0"),
            ("$3x-y+13=0$", "$3x+4y+14=0$"),
            // modelscope/easydistill's scorer.
            ("\\boxed{\\frac{1}{2}}", "\\boxed{\\frac{1}{3}}"),
            ("-5", "5"),
        ],
    );
    all(
        Correct,
        &[
            // huggingface/Math-Verify issue 76.
            ("Some work.\n\n## Final Answer\n\n**73**", "73"),
            ("**Final Answer**: **73**", "73"),
            ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
            ("\\boxed{1} and later \\boxed{2}. So it is \\boxed{3}.", "3"),
            // Issues 69, 37, 2 and 26: equal forms.
            ("\\frac{3}{2}", "1.5"),
            ("x \\in (2, 3)", "2 < x < 3"),
            ("\\{1, 2\\}", "x = 1 \\text{ or } x = 2"),
            ("(x-1)(x+2)", "x^2+x-2"),
        ],
    );
}

#[test]
fn numbers() {
    all(
        Correct,
        &[
            ("1,000,000", "1000000"),
            ("1{,}000", "1000"),
            ("10\\,000", "10000"),
            ("1.5\\times 10^3", "1500"),
            ("1.5e3", "1500"),
            ("3\\frac{1}{2}", "\\frac{7}{2}"),
            ("3 1/2", "3.5"),
            ("-2\\frac12", "-2.5"),
            ("\\frac{2}{4}", "1/2"),
            ("0.5", ".50"),
            ("0.333333", "\\frac13"),
            ("3.141593", "\\pi"),
            ("1.41421356", "\\sqrt{2}"),
            ("２５", "25"),
            ("−5", "-5"),
            ("5.", "5"),
            ("+5", "5"),
            ("007", "7"),
            ("½", "0.5"),
            ("2^{10}", "1024"),
            ("5!", "120"),
            ("\\binom{5}{2}", "10"),
            ("\\sqrt{50}", "5\\sqrt2"),
            ("√50", "5√2"),
            ("\\frac{1}{\\sqrt2}", "\\frac{\\sqrt{2}}{2}"),
            ("\\log_2 8", "3"),
            ("\\ln e^2", "2"),
            ("\\sin\\frac{\\pi}{6}", "1/2"),
            ("seven", "7"),
            ("\\frac{7!}{16}", "315"),
            ("\\sqrt[3]{27}", "3"),
            ("\\frac{\\pi}{180}", "1^\\circ \\cdot \\frac{\\pi}{180}"),
            ("2 + 3i", "3i + 2"),
            ("\\frac{1}{i}", "-i"),
            ("12345678901234567890", "1.2345678901234567890 \\times 10^{19}"),
        ],
    );
    all(
        Incorrect,
        &[
            ("1/3", "0.333"),
            ("5", "5.001"),
            ("100", "1000"),
            ("3.14", "\\pi"),
            ("1\\frac{4}{5}", "14/5"),
            ("2^{10}", "2^{11}"),
            ("e^\\pi - \\pi", "20"),
            ("\\sqrt{2}", "1.414"),
            ("12345678901234567890", "12345678901234567891"),
            ("2 + 3i", "2 - 3i"),
            ("10^{100}", "10^{100} + 1"),
            ("0.1", "0.01"),
        ],
    );
}

#[test]
fn percent_units_and_money() {
    all(
        Correct,
        &[
            ("28\\%", "28"),
            ("28 percent", "28\\%"),
            ("28%", "0.28"),
            ("5 \\text{ cm}", "5"),
            ("5 cm", "5\\text{ centimeters}"),
            ("100 cm", "1 m"),
            ("\\$5.50", "5.50"),
            ("\\$1.50", "150 cents"),
            ("90^\\circ", "90"),
            ("90°", "90 degrees"),
            ("180^\\circ", "\\pi"),
            ("15\\text{ cm}^2", "15 \\text{ square cm}"),
            ("3 hours", "180 minutes"),
            ("12^{\\text{th}}", "12"),
            ("8 apples", "8"),
            ("5元", "5"),
            ("3厘米", "3 cm"),
            ("£20", "20"),
        ],
    );
    all(
        Incorrect,
        &[
            ("28\\%", "29\\%"),
            ("28/100", "28"),
            ("5 cm", "6 cm"),
            ("5 m", "5 cm"),
            ("5 cm", "5 seconds"),
            ("\\$5", "5 cents"),
            ("90^\\circ", "\\pi"),
            ("0.28\\%", "28\\%"),
        ],
    );
    all(Undecided, &[("8 apples", "8 oranges")]);
}

#[test]
fn expressions() {
    all(
        Correct,
        &[
            ("(x+1)^2", "x^2+2x+1"),
            ("2x", "x \\cdot 2"),
            ("\\frac{x^2-1}{x-1}", "x+1"),
            ("\\frac{a}{b}+\\frac{c}{d}", "\\frac{ad+bc}{bd}"),
            ("e^{2x}", "(e^x)^2"),
            ("\\sin(2x)", "2\\sin x\\cos x"),
            ("\\cos^2 x", "1-\\sin^2 x"),
            ("\\sqrt{x^2}", "|x|"),
            ("\\tan x", "\\frac{\\sin x}{\\cos x}"),
            ("x^{1/2}", "\\sqrt{x}"),
            ("\\ln(x^3)", "3\\ln x"),
            ("3*x**2", "3x^2"),
            ("y = 2x+1", "2x + 1"),
            ("f(x) = 2x+1", "y = 2x+1"),
            ("n(n+1)/2", "\\frac{n^2+n}{2}"),
            ("\\binom{n}{2}", "\\frac{n(n-1)}{2}"),
            ("\\alpha\\beta", "\\beta \\alpha"),
            ("x_1 + x_2", "x_2 + x_{1}"),
            ("(1,2) ", "(1, 2)"),
        ],
    );
    all(
        Incorrect,
        &[
            ("x+1", "x-1"),
            ("x^2", "x^3"),
            ("\\sqrt{x^2}", "x"),
            ("2x", "2y^2"),
            ("x+2n+1", "x+1"),
            ("\\sin x", "\\cos x"),
            ("\\frac{a+b}{2}", "a+\\frac{b}{2}"),
            ("p - q", "q - p"),
            ("x_1", "x_2"),
        ],
    );
    all(
        Undecided,
        &[
            ("\\ln x^2", "2\\ln x"),
            ("2k", "2n"),
            ("1/2x", "\\frac{1}{2x}"),
            ("\\log 2", "\\ln 2"),
            ("52_8", "52"),
            ("52_8", "42"),
        ],
    );
}

#[test]
fn lists_sets_tuples_and_intervals() {
    all(
        Correct,
        &[
            ("1, 2, 3", "3, 2, 1"),
            ("\\{1, 2\\}", "\\{2, 1\\}"),
            ("\\{1, 1, 2\\}", "\\{1, 2\\}"),
            ("1 \\text{ and } 2", "1, 2"),
            ("x = 1, 2", "x=2 \\text{ or } x=1"),
            ("\\pm 3", "3, -3"),
            ("1 \\pm \\sqrt{2}", "1+\\sqrt2, 1-\\sqrt2"),
            ("x = \\pm 1", "\\{-1, 1\\}"),
            ("(1, 2), (3, 4)", "(3, 4), (1, 2)"),
            ("(x, y) = (1, 2)", "(1, 2)"),
            ("x=1, y=2", "y=2, x=1"),
            ("x=1, y=2", "(1, 2)"),
            ("[0, \\infty)", "x \\ge 0"),
            ("(-\\infty, 1) \\cup (1, \\infty)", "x \\ne 1"),
            ("(-\\infty, 1) \\cup (1, \\infty)", "\\mathbb{R} \\setminus \\{1\\}"),
            ("(0,9) \\cup (9,36)", "(0,36) \\setminus \\{9\\}"),
            ("x < -1 \\text{ or } x > 1", "(-\\infty,-1) \\cup (1,\\infty)"),
            ("[1, 2) \\cup (0, 1]", "(0, 2)"),
            ("\\{x \\mid x > 3\\}", "(3, \\infty)"),
            ("-2 \\le x \\le 7", "[-2, 7]"),
            ("\\emptyset", "\\{\\}"),
            ("\\langle 1, 2\\rangle", "(1, 2)"),
            ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{bmatrix} 1 \\\\ 2 \\end{bmatrix}"),
            ("\\begin{pmatrix} 1/2 & 0 \\end{pmatrix}", "\\begin{pmatrix} 0.5 & 0 \\end{pmatrix}"),
            ("(1; 2)", "(1, 2)"),
            ("1和2", "2, 1"),
            ("（1，2）", "(1,2)"),
        ],
    );
    all(
        Incorrect,
        &[
            ("1, 2", "1, 3"),
            ("1, 2", "1"),
            ("1, 2, 2", "1, 2"),
            ("(1, 2)", "(2, 1)"),
            ("(3, 4]", "[3, 4]"),
            ("(0, 1)", "[0, 1)"),
            ("\\{1, 3\\}", "(1, 3)"),
            ("\\pm 2021", "2021"),
            ("x > 5", "x < 5"),
            ("x \\ge 5", "x > 5"),
            ("(2, \\infty)", "(-\\infty, 2)"),
            ("(5,\\infty)", "(-\\infty, 5) \\cup (5, \\infty)"),
            ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 & 2 \\end{pmatrix}"),
            ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 2 \\\\ 1 \\end{pmatrix}"),
            ("x=1, y=2", "x=2, y=1"),
            ("x=1, y=2", "(2, 1)"),
        ],
    );
    // Three numbers in square brackets are no interval, but hardly the tuple either.
    all(Undecided, &[("(6, 31, -1)", "[6, 31, -1]")]);
}

#[test]
fn relations() {
    all(
        Correct,
        &[
            ("x = 5", "5"),
            ("5 = x", "x = 5"),
            ("x = 2 + 3 = 5", "5"),
            ("2x + 4y - 3 = 0", "y = -\\frac{1}{2}x + \\frac{3}{4}"),
            ("x^2 + y^2 = 4", "y^2 = 4 - x^2"),
            ("x < 1", "-x > -1"),
            ("a < b", "b > a"),
            ("f(2) < f(1) < f(4)", "f(4) > f(1) > f(2)"),
            ("x \\approx 1.5", "1.5"),
            ("\\frac{\\sqrt{3}}{3} \\approx 0.577", "\\frac{\\sqrt{3}}{3}"),
            ("P(A) = 1/2", "1/2"),
            ("AB = 5", "5"),
            ("\\angle ABC = 30^\\circ", "30"),
            ("x \\in \\{1, 2\\}", "\\{1, 2\\}"),
            ("7:32", "7 : 32"),
            ("1:2", "2:4"),
            ("12:00", "12:00"),
        ],
    );
    all(
        Incorrect,
        &[
            ("x + y = 1", "x + y = 2"),
            ("x^2 + y^2 = 4", "x^2 + y^2 = 9"),
            ("y = 2x + 3", "y = 3x + 2"),
            ("a + 3z = 0", "0"),
            ("x = 5", "x \\ne 5"),
            ("f(2) < f(1) < f(4)", "f(1) < f(2) < f(4)"),
            ("7:32", "32:7"),
            ("12:00", "1:00"),
            ("3x - y + 13 = 0", "3x + y + 13 = 0"),
        ],
    );
}

#[test]
fn words_and_choices() {
    all(
        Correct,
        &[
            ("\\text{Evelyn}", "evelyn"),
            ("\\text{(C)}", "C"),
            ("\\textbf{(C)}", "C"),
            ("\\text{east}", "East."),
            ("no", "\\text{No}"),
            ("\\text{odd}", "odd"),
        ],
    );
    all(
        Incorrect,
        &[
            ("\\text{even}", "\\text{odd}"),
            ("B", "C"),
            ("\\text{Evelyn}", "Angela"),
            ("\\text{even}", "2"),
            ("(B)", "(C)"),
        ],
    );
    assert_eq!(verdict_with("\"math\"", "(C) 5", "C").0, Correct);
    assert_eq!(verdict_with("\"math\"", "(B) 5", "C").0, Incorrect);
}

#[test]
fn settings_change_the_verdict() {
    for (settings, prediction, reference, expected) in [
        (r#"{"math": {"percent": "strict"}}"#, "28%", "28", Incorrect),
        (r#"{"math": {"percent": "strict"}}"#, "28%", "0.28", Correct),
        (r#"{"math": {"units": "strict"}}"#, "5", "5 cm", Incorrect),
        (r#"{"math": {"units": "ignore"}}"#, "5 m", "5 cm", Correct),
        (r#"{"math": {"list_order": "fixed"}}"#, "1, 2", "2, 1", Incorrect),
        (r#"{"math": {"decimal_places": 2}}"#, "0.33", "1/3", Correct),
        (r#"{"math": {"decimal_places": null}}"#, "0.33333333", "1/3", Incorrect),
        (r#"{"math": {"require_box": true}}"#, "5", "5", Incorrect),
        (r#"{"math": {"require_box": true}}"#, "\\boxed{5}", "5", Correct),
    ] {
        let (verdict, why) = verdict_with(settings, prediction, reference);
        assert_eq!(verdict, expected, "{settings} {prediction} {reference}: {why}");
    }
}

#[test]
fn what_cannot_be_judged_is_said() {
    let verifier = &*MATH;
    let no_reference = Case { completion: "5", ..Case::default() };
    assert_eq!(verifier.verify(&no_reference).verdict, Undecided);
    let cut = Case { truncated: true, ..Case::of("\\boxed{5}", "5") };
    assert_eq!((verifier.verify(&cut).verdict, &*verifier.verify(&cut).method), (Incorrect, "truncated"));
    let unfinished = Case::of("<think>so \\boxed{5}", "5");
    assert_eq!((verifier.verify(&unfinished).verdict, &*verifier.verify(&unfinished).method), (Incorrect, "no_answer"));
    assert_eq!(verdict_with("\"math\"", "5", "\\frac{").0, Undecided);
    assert_eq!(verdict_with("\"math\"", "\\boxed{\\frac{}", "5").0, Incorrect);
    assert_eq!(verdict_with("\"math\"", "I am not sure how to solve this problem at all", "5").0, Undecided);
    // An answer in the reasoning only is no answer.
    assert_ne!(verdict_with("\"math\"", "<think>\\boxed{5}</think>The answer is 6.", "5").0, Correct);
}
