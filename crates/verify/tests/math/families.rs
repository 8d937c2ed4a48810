//! Pairs of every kind by which a verifier can be fooled, and pairs like them that it must not take for those.

use retort_records::Verdict;
use retort_verify::{Case, Verifier};

use super::{MATH, verifier};

fn check(verifier: &dyn Verifier, pairs: &[(&str, &str)], allowed: impl Fn(Verdict) -> bool) {
    let mut wrong = Vec::new();
    for (prediction, reference) in pairs {
        let outcome = verifier.verify(&Case::of(prediction, reference));
        if !allowed(outcome.verdict) {
            wrong.push(format!(
                "{prediction:?} against {reference:?}: {:?} by {} ({})",
                outcome.verdict, outcome.method, outcome.reason
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_and_breakpoints() {
    let pairs = [
        ("7 squared", "7"),
        ("7 to the fourth", "7"),
        ("7 score", "7"),
        ("7 tenths", "7"),
        ("\\boxed{7\\text{ or so}}", "7"),
        ("7 modulo 9", "7"),
        ("\\boxed{7\\text{ more}}", "7"),
        ("7 apiece less", "7"),
        ("\\boxed{7 \\text{ for } n>3}", "7"),
        ("7 nines", "7"),
        ("7 pairs of 2", "7"),
        ("\\boxed{7\\text{ twos}}", "7"),
        ("7 bags of 12", "7"),
        ("seven hundred", "7"),
        ("7 thousand", "7"),
        ("\\boxed{7K}", "7"),
        ("7k", "7"),
        ("7M", "7"),
        ("\\boxed{7\\text{k}}", "7"),
        ("7 ppm", "7"),
        ("7e", "7"),
        ("7 i", "7"),
        ("7 over 2", "7"),
        ("7 choose 2", "7"),
        ("7 half-lives", "7"),
        ("7 inverse", "7"),
        ("\\boxed{7\\text{ (approx)}}", "7.2"),
        ("about 7", "7.3"),
        ("7 in base 8", "7"),
        ("7 mod 3", "7"),
        ("n+1, n odd", "n+1"),
        ("2k (k odd)", "2k"),
        ("7 per cent", "7 per mille"),
        ("|x-3|+|x+3|", "6"),
        ("\\max(x,0)+\\min(x,0)+|x+10^7|-x-10^7", "x"),
        ("\\operatorname{sgn}(x)", "1"),
        ("\\sqrt{x^2+10^{12}x+25\\cdot 10^{22}}", "x+5\\cdot10^{11}"),
        ("\\arctan x+\\arctan(1/x)", "\\pi/2"),
        ("\\lfloor x\\rfloor", "x"),
        ("\\lfloor\\sqrt{x}\\rfloor^2", "x"),
        ("x \\bmod 1000", "x"),
        ("n \\bmod 100", "n"),
        ("\\lfloor n/100 \\rfloor", "0"),
        ("\\binom{n}{3}\\binom{n-40}{2}", "0"),
        ("(n)(n-1)\\cdots", "0"),
        ("\\prod_{k=1}^{n}(50-k)", "0"),
        ("\\sum_{k=0}^n (-1)^k\\binom{n}{k}", "0"),
        ("\\operatorname{lcm}(n,12)", "12n"),
        ("\\sqrt[4]{(x-7)^4}", "x-7"),
        ("(x^6)^{1/6}", "x"),
        ("((x+900)^2)^{1/2}", "x+900"),
        ("\\ln((x+500)^2)", "2\\ln(x+500)"),
        ("e^{|x|}", "e^x"),
        ("\\frac{|x|}{x}", "1"),
        ("\\frac{|x+9999|}{x+9999}", "1"),
        ("|x|^3", "x^3"),
        ("\\text{sign}(x)", "1"),
        ("\\max(x^2,-5)", "x^2+0|x|+\\max(0,-x-10^8)"),
        ("0^{n}", "0"),
        ("\\lceil 2x\\rceil", "2\\lceil x\\rceil"),
        ("\\arccos(\\cos x)", "x"),
        ("\\sin(\\arcsin x)+|x-5000|", "x+5000-x"),
    ];
    check(&**MATH, &pairs, |verdict| verdict != Verdict::Correct);
}

#[test]
fn functions_that_are_equal() {
    let pairs = [
        ("|x-3|", "|3-x|"),
        ("\\max(x,0)+\\min(x,0)", "x"),
        ("\\frac{|x|+x}{2}", "\\max(0,x)"),
        ("\\lfloor x+1\\rfloor", "\\lfloor x\\rfloor+1"),
        ("\\binom{n+1}{2}", "\\frac{n(n+1)}{2}"),
        ("\\frac{(n+2)!}{n!}", "(n+1)(n+2)"),
        ("\\sqrt{4x}", "2\\sqrt x"),
        ("\\ln\\frac{1}{x}", "-\\ln x"),
        ("\\sqrt{a^2+b^2}", "\\sqrt{b^2+a^2}"),
        ("2\\sqrt{a^2+b^2}", "\\sqrt{4a^2+4b^2}"),
        ("\\frac{1}{2}\\ln(x^2+1)+C", "\\ln\\sqrt{x^2+1}+C"),
        ("\\sqrt{x}\\cdot\\sqrt{x}", "(\\sqrt x)^2"),
        ("\\frac{1}{\\sqrt{x}}", "x^{-1/2}"),
        ("\\log_2 x", "\\frac{\\ln x}{\\ln 2}"),
        ("\\sum_{k=1}^n k^2", "\\frac{n(n+1)(2n+1)}{6}"),
        ("\\ln|x-1|-\\ln|x+1|", "\\ln\\left|\\frac{x-1}{x+1}\\right|"),
        ("\\sqrt{\\frac{x}{y}}", "\\sqrt{x/y}"),
        ("e^{-x}\\sqrt{x}", "\\frac{\\sqrt{x}}{e^x}"),
        ("2^{n+1}", "2\\cdot 2^n"),
        ("x^n x", "x^{n+1}"),
        ("\\frac{a^{n+1}-1}{a-1}", "\\frac{1-a^{n+1}}{1-a}"),
        ("\\sqrt{1-x^2}", "(1-x^2)^{1/2}"),
        ("\\frac{\\sqrt{3}}{3}\\sqrt{x^2+1}", "\\sqrt{\\frac{x^2+1}{3}}"),
    ];
    check(&**MATH, &pairs, |verdict| verdict == Verdict::Correct);
}

#[test]
fn names_and_universes() {
    let pairs = [
        ("a>2", "b>2"),
        ("\\{n\\in\\mathbb{Z}: n^2<5\\}", "(-\\sqrt5,\\sqrt5)"),
        ("x\\in\\mathbb{Z}", "\\mathbb{R}"),
        ("x\\in(0,1)", "y\\in(0,1)"),
        ("(x,y)\\in(0,1)", "x\\in(0,1)"),
        ("0<a<1", "0<r<1"),
        ("x>0 \\text{ or } x<-1", "x>0 \\text{ and } x<-1"),
        ("\\{(x,y): x+y>0\\}", "\\{(x,y): x-y>0\\}"),
        ("y''=2", "y'=2"),
        ("f'(2)=3", "f(2)=3"),
        ("f(1)=2, f(2)=3", "f(1)=3, f(2)=2"),
        ("E[X]=2", "E[Y]=2"),
        ("\\sin A = 0.5", "\\sin B=0.5"),
        ("a_1=3", "a_2=3"),
        ("x_1 = 2", "x_2=2"),
        ("f^{-1}(x)=2x", "f(x)=2x"),
        ("\\frac{df}{dx}", "\\frac{f}{x}"),
        ("\\frac{\\partial f}{\\partial x}", "\\frac{f}{x}"),
        ("\\frac{d^2y}{dx^2}", "\\frac{dy}{dx}"),
        ("y' = 2x", "y=2x"),
        ("\\mu = 5", "\\sigma=5"),
        ("P(A|B)=\\frac12", "P(B|A)=\\frac12"),
        ("\\triangle ABC", "\\triangle ACB"),
        ("\\angle ABC = 30", "\\angle BCA = 30"),
    ];
    check(&**MATH, &pairs, |verdict| verdict != Verdict::Correct);
}

#[test]
fn names_that_are_bound() {
    let pairs = [("y=2x", "f(x)=2x"), ("f(t)=t^2", "f(x)=x^2"), ("\\{t: t>3\\}", "(3,\\infty)")];
    check(&**MATH, &pairs, |verdict| verdict != Verdict::Incorrect);
}

#[test]
fn order_and_sentences() {
    let pairs = [
        ("\\vec{u}\\times\\vec{v}", "\\vec{u}\\cdot\\vec{v}"),
        ("AB^T", "B^TA"),
        ("A^{-1}B", "BA^{-1}"),
        ("p\\to q", "q\\to p"),
        ("\\neg p", "p"),
        ("p\\land(q\\lor r)", "(p\\land q)\\lor r"),
        ("2^{3^2}", "64"),
        ("3^3^3", "19683"),
        ("(1,2)", "[1,2]"),
        ("\\{(1,2)\\}", "\\{1,2\\}"),
        ("\\{\\emptyset\\}", "\\emptyset"),
        ("((1,2),3)", "(1,2,3)"),
        ("1\n2", "12"),
        ("1 2", "12"),
        ("3\n1/2", "3.5"),
        ("1,5", "15"),
        ("1;5", "1.5"),
        ("\\begin{pmatrix}1&2&3\\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\\\3\\end{pmatrix}"),
        ("A\\setminus B", "B\\setminus A"),
        ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}^T", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}"),
        ("A\\times B", "B\\times A"),
        ("f\\circ g", "g\\circ f"),
        ("f(g(x))", "g(f(x))"),
        ("a\\mid b", "b\\mid a"),
        ("A\\subset B", "B\\subset A"),
        ("The answer isn't 5.", "5"),
        ("It is false that the answer is 5.", "5"),
        ("I doubt the answer is 5.", "5"),
        ("Some would say the answer is 5.", "5"),
        ("One might think the answer is 5, but it is 6.", "5"),
        ("The answer is between 4 and 5.", "5"),
        ("The answer is at most 5.", "5"),
        ("The answer is at least 5.", "5"),
        ("The answer is roughly half of 5.", "5"),
        ("The answer is 5 more than x.", "5"),
        ("The answer is either 5 or 6.", "5"),
        ("The answer is 5 or 6.", "5"),
        ("Answer: 5?", "5"),
        ("The answer was supposed to be 5.", "5"),
        ("If the answer is 5, then x=2.", "5"),
        ("Assume the answer is 5.", "5"),
        ("Do not answer 5.", "5"),
        ("The answer is anything but 5.", "5"),
        ("The answer exceeds 5.", "5"),
        ("The answer is the sum of 5 and 3.", "5"),
        ("The answer is three times 5.", "5"),
        ("Student A says the answer is 5.", "5"),
        ("My first guess was 5, but the answer is unknown.", "5"),
        ("The answer is unknown, not 5.", "5"),
        ("\\boxed{5} is incorrect.", "5"),
        ("It is not \\boxed{5}.", "5"),
        ("A common mistake is \\boxed{5}.", "5"),
        ("\\boxed{5}? No, that fails.", "5"),
        ("The answer is 5. No, it is 6.", "5"),
        ("The answer is 5... no, 6.", "5"),
        ("\\boxed{\\text{not }5}", "5"),
        ("\\boxed{\\neq 5}", "5"),
        ("\\boxed{<5}", "5"),
        ("\\boxed{\\approx 5}", "5.3"),
        ("\\boxed{5?}", "5"),
        ("\\boxed{5 \\text{ or } 6}", "5"),
        ("\\boxed{5/6}", "5"),
        ("答案是5吗？不是。", "5"),
        ("答案可能是5。", "5"),
        ("我不认为答案是5。", "5"),
        ("答案大于5。", "5"),
        ("La respuesta no es 5.", "5"),
        ("La réponse n'est pas 5.", "5"),
        ("Ответ не 5.", "5"),
        ("answer: 5 is too small", "5"),
        ("The final answer is 5, assuming x=2; otherwise 7.", "5"),
        ("The answer is obtained by subtracting 5.", "5"),
        ("Final answer: none of these; 5 fails", "5"),
    ];
    check(&**MATH, &pairs, |verdict| verdict != Verdict::Correct);
}

#[test]
fn sentences_that_assert() {
    let pairs = [
        ("The answer is 7 (not 5).", "7"),
        ("Not 5 but 7.", "7"),
        ("The answer is 7 rather than 5.", "7"),
        ("The answer is 5 cm.", "5"),
        ("So the final answer is 7!", "7"),
        ("I think the answer is 7.", "7"),
        ("After some work, I get $x = 7$.", "7"),
        ("Since x cannot be negative, the answer is 7.", "7"),
        ("The least common multiple is 12.", "12"),
        ("The answer is not negative, so the answer is 7.", "7"),
    ];
    check(&**MATH, &pairs, |verdict| verdict != Verdict::Incorrect);
}

#[test]
fn what_touches_a_box() {
    let pairs = [
        ("$\\boxed{5}i$", "5"),
        ("$\\frac{\\boxed{5}}{2}$", "5"),
        ("$\\boxed{5}!$", "5"),
        ("$|\\boxed{-5}|$", "-5"),
        ("$\\boxed{5}+1$", "5"),
        ("$1-\\boxed{5}$", "5"),
        ("$\\log\\boxed{5}$", "5"),
        ("$\\boxed{5}\\pi$", "5"),
        ("\\boxed{5}\\%", "500"),
        ("$\\boxed{5}\\cdot 10^3$", "5"),
        ("$\\boxed{5}\\times 2$", "5"),
        ("$e^{\\boxed{5}}$", "5"),
        ("$\\sqrt[3]{\\boxed{5}}$", "5"),
        ("\\[\\boxed{5}x^2\\]", "5"),
        ("\\[ -\\boxed{5} \\]", "5"),
        ("$\\overline{\\boxed{5}}$", "5.5"),
        ("minus \\boxed{5}", "5"),
        ("twice \\boxed{5}", "5"),
        ("\\boxed{5} thousand", "5"),
        ("\\boxed{5} squared", "5"),
        ("\\boxed{5", "5"),
        ("\\boxed{5}\\boxed{6}", "6"),
        ("\\boxed{5} or \\boxed{6}", "5"),
    ];
    check(&**MATH, &pairs, |verdict| verdict != Verdict::Correct);
}

#[test]
fn what_only_surrounds_a_box() {
    let pairs = [
        ("$x = \\boxed{5}$", "5"),
        ("\\[\\boxed{5}\\]", "5"),
        ("$\\boxed{5}$ apples", "5"),
        ("$\\boxed{5}\\text{ cm}$", "5"),
        ("$\\therefore \\boxed{5}$", "5"),
        ("**\\boxed{5}**", "5"),
        ("The answer is $\\boxed{5}$, as required.", "5"),
        ("$$x=\\boxed{5}.$$", "5"),
        ("\\(\\boxed{5}\\)", "5"),
        ("Thus, \\boxed{5}.", "5"),
        ("- \\boxed{5}", "5"),
        ("Answer: \\boxed{5}", "5"),
        ("$f(x)=\\boxed{2x}$", "2x"),
        ("(\\boxed{5})", "5"),
        ("\\boxed{5}%", "5"),
        ("$\\boxed{5}^\\circ$", "5"),
        ("$\\displaystyle \\boxed{\\frac12}$", "1/2"),
        ("1. \\boxed{5}", "5"),
        ("> \\boxed{5}", "5"),
    ];
    check(&**MATH, &pairs, |verdict| verdict == Verdict::Correct);
}

#[test]
fn number_words() {
    let pairs = [
        ("one hundred five", "500"),
        ("fifty", "15"),
        ("三十", "13"),
        ("二分之三", "2/3"),
        ("百分之五十", "50.5"),
        ("minus seven", "7"),
        ("a third", "3"),
        ("one and a half", "1"),
        ("half a dozen", "12"),
    ];
    check(&**MATH, &pairs, |verdict| verdict != Verdict::Correct);
}

#[test]
fn number_words_and_units() {
    let pairs = [
        ("ninety-nine", "99"),
        ("two hundred", "200"),
        ("one thousand two hundred thirty-four", "1234"),
        ("three fourths", "3/4"),
        ("一百二十三", "123"),
        ("二十一", "21"),
        ("三分之二", "2/3"),
        ("百分之二十五", "25%"),
        ("half a dozen", "6"),
        ("3 million", "3000000"),
        ("zwölf", "12"),
        ("doce", "12"),
        ("12,5", "12.5"),
        ("3 1/2 hours", "210 minutes"),
        ("90 km/h", "25 m/s"),
        ("2 pounds", "32 oz"),
        ("1 hour 30 minutes", "90 minutes"),
        ("12:30 am", "0:30"),
        ("25 cents", "\\$0.25"),
        ("1.5 kg", "1500 g"),
        ("5 sq ft", "5 square feet"),
        ("100 °C", "212 °F"),
        ("1 mile", "5280 feet"),
        ("60 mph", "88 ft/s"),
        ("2 dozen eggs", "24 eggs"),
        ("5 people", "5 persons"),
        ("1 year", "12 months"),
        ("1 year", "365 days"),
        ("7 apples", "7"),
        ("5 kmh", "5 km/h"),
        ("10 N", "10 kg m/s^2"),
    ];
    check(&**MATH, &pairs, |verdict| verdict != Verdict::Incorrect);
}

#[test]
fn choices_that_are_denied() {
    let pairs = [
        ("Not B", "B"),
        ("B is wrong", "B"),
        ("Answer: B or C", "B"),
        ("I would rule out B.", "B"),
        ("The answer is not B.", "B"),
        ("The answer isn't B", "B"),
        ("Answer: Bob", "B"),
        ("Neither A nor B", "A"),
        ("Answer: A, B, or C", "A"),
        ("\\boxed{B}? No.", "B"),
        ("Choose A? No, choose C.", "A"),
        ("答案：不是B", "B"),
        ("排除A，选B", "A"),
        ("Option A is tempting but wrong.", "A"),
        ("The correct answer is not A", "A"),
        ("It cannot be A", "A"),
        ("Both A and B", "A"),
        ("Answer: E (error)", "A"),
        ("All except A", "A"),
        ("A. wrong\nB. right", "A"),
        ("Some say A. I say B.", "A"),
        ("If the answer is A, then 2=3.", "A"),
        ("The answer might be A.", "A"),
    ];
    check(&*verifier("\"choice\""), &pairs, |verdict| verdict != Verdict::Correct);
}

#[test]
fn choices_that_are_asserted() {
    let pairs = [
        ("Answer: (B)", "B"),
        ("The answer is B because 2+2=4.", "B"),
        ("B", "B"),
        ("Final Answer: B.", "B"),
        ("选B", "B"),
        ("因此选择B。", "B"),
        ("The correct option is (B) Rome.", "B"),
        ("**B**", "B"),
        ("\\boxed{\\mathbf{B}}", "B"),
        ("Answer - B", "B"),
        ("Option B is correct.", "B"),
        ("A is wrong. The answer is B.", "B"),
        ("The best answer is B, not A.", "B"),
        ("So the answer is **(B)**.", "B"),
        ("ANSWER: B", "B"),
        ("I choose B.", "B"),
    ];
    check(&*verifier("\"choice\""), &pairs, |verdict| verdict == Verdict::Correct);
}
