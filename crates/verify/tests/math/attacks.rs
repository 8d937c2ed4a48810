//! Inputs made to hang, crash or fill the memory of a grader.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use retort_records::Verdict;

use super::judge;

/// Texts to attack with, by name.
fn attacks() -> Vec<(&'static str, String)> {
    let mega = 1 << 20;
    let nest = |open: &str, middle: &str, close: &str, times: usize| open.repeat(times) + middle + &close.repeat(times);
    vec![
        ("power tower", "10^{10^{10}}".into()),
        ("plain power tower", "10^10^10".into()),
        ("nine tower", "9^{9^{9^9}}".into()),
        ("large factorial", "100000!".into()),
        ("factorial of factorial", "((2000!)!)!".into()),
        ("power of factorial", "(2000!)^{2000}".into()),
        ("many factorials", "2400!+".repeat(200) + "1"),
        ("opening braces", "{".repeat(mega)),
        ("closing braces", "}".repeat(mega)),
        ("braces in a box", format!("\\boxed{{{}", "{".repeat(mega))),
        ("balanced braces in a box", format!("\\boxed{{{}}}", nest("{", "1", "}", mega / 2))),
        ("many open boxes", "\\boxed{".repeat(mega / 7)),
        ("self-referential boxes", nest("\\boxed{", "5", "}", 10_000)),
        ("nested fractions", nest("\\frac{1}{", "2", "}", 10_000)),
        ("boxed nested fractions", format!("\\boxed{{{}}}", nest("\\frac{1}{", "2", "}", 10_000))),
        ("moderately nested fractions", nest("\\frac{1}{1+", "2", "}", 40)),
        ("nested roots", nest("\\sqrt{", "2", "}", 10_000)),
        ("nested brackets", nest("(", "x", ")", 300)),
        ("nested bars", "|".repeat(2000)),
        ("NUL bytes", "5\0\0\0".repeat(1000)),
        ("right-to-left marks", "\u{202e}\u{200f}5\u{202c}".repeat(100)),
        ("infinite product", "\\prod_{n=1}^{\\infty} (1+\\frac{1}{n})".into()),
        ("long sum", "\\sum_{k=1}^{1000000000} k".into()),
        ("nested sums", "\\sum_{a=1}^{400}\\sum_{b=1}^{400}\\sum_{c=1}^{400} abc".into()),
        ("a million digits", "7".repeat(mega)),
        ("boxed digits", format!("\\boxed{{{}}}", "7".repeat(3900))),
        ("a long fraction", format!("\\frac{{{}}}{{{}}}", "7".repeat(1900), "9".repeat(1900))),
        ("a million terms", "1+".repeat(mega / 2) + "1"),
        ("many terms", "x+".repeat(1900) + "1"),
        ("many elements", "1,".repeat(1900) + "2"),
        ("many different elements", (0..390).map(|n| format!("{n}x+1")).collect::<Vec<_>>().join(",")),
        ("large power", "(x+1)^{1000000}".into()),
        ("huge power of a variable", "x^{10^{9}}".into()),
        ("large binomial", "\\binom{1000000000}{500000000}".into()),
        ("tower of e", "e^{e^{e^{e^{10}}}}".into()),
        ("sine of a huge number", "\\sin(10^{5000})".into()),
        ("logarithm to a fraction", "\\log_{1/3}(10^{300})".into()),
        ("logarithm near one", "\\log_{1.0000001}(10^{300})".into()),
        ("determinant of powers", "\\begin{vmatrix}x^{99}&2^{999}\\\\9!&x\\end{vmatrix}".into()),
        ("congruence of towers", "9^{9^{9}} \\pmod{10^{10^{10}}}".into()),
        ("millions of millions", "7 \\text{ million million million}".into()),
        ("tiny number", "1e-3999".into()),
        ("out-of-range exponent", "1e999999999999999999999".into()),
        ("nested exponentials", nest("e^{\\sin(", "x", ")}", 20)),
        ("nested logarithms", nest("\\ln(2+", "x", ")", 40)),
        ("many roots", (2..120).map(|n| format!("\\sqrt{{{n}}}")).collect::<Vec<_>>().join("+")),
        ("many signs", "\\pm 1 ".repeat(300)),
        ("set of signs", format!("\\{{{}\\}}", "\\pm x,".repeat(100))),
        ("many minus signs", "-".repeat(3900) + "1"),
        ("white space", " ".repeat(mega)),
        ("dollar signs", "$".repeat(mega)),
        ("backslashes", "\\".repeat(mega)),
        ("announcements", "the answer is ".repeat(mega / 14)),
        ("hash marks", "#".repeat(mega)),
        ("nested text", nest("\\text{", "a", "}", 1000)),
        ("a large matrix", format!("\\begin{{pmatrix}}{}1\\end{{pmatrix}}", "1&".repeat(1500))),
        ("matrix products", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}".repeat(50)),
        ("unions", "(0,1)\\cup".repeat(300) + "(2,3)"),
        (
            "unions of roots",
            (2..60).map(|n| format!("(\\sqrt{{{n}}},\\sqrt{{{n}}}+0.1)")).collect::<Vec<_>>().join("\\cup "),
        ),
        ("unfinished commands", "\\frac\\sqrt\\binom^_".repeat(500)),
        ("think tags", "<think>".repeat(mega / 7)),
        ("answer tags", "<answer>".repeat(mega / 8)),
        ("four-byte characters", "𝟙".repeat(mega / 4)),
        ("prose", "so we get the value of it and the rest is 77 or so. ".repeat(mega / 50)),
    ]
}

/// Every attack as prediction, as reference answer, and against itself with one more term.
fn for_each(mut run: impl FnMut(&'static str, &str, &str)) {
    for (name, text) in attacks() {
        for answer in ["5", "x^2+1"] {
            run(name, &text, answer);
            run(name, answer, &text);
        }
        // What stands behind a box is no part of the answer.
        if !name.contains("box") {
            run(name, &text, &format!("{text} + 1"));
        }
    }
}

#[test]
fn every_attack_is_answered_in_time() {
    // Debug builds and machines at work on other things are slower: the best of three runs counts, in release builds.
    let limit = if cfg!(debug_assertions) { Duration::from_secs(5) } else { Duration::from_millis(50) };
    let mut slow = Vec::new();
    for_each(|name, prediction, reference| {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let start = Instant::now();
            let outcome = judge(prediction, reference);
            best = best.min(start.elapsed());
            assert_ne!(outcome.verdict, Verdict::Correct, "{name}: {}", outcome.reason);
            if best < limit / 2 {
                break;
            }
        }
        if best > limit / 2 {
            println!("{name}: {best:?}");
        }
        if best > limit {
            slow.push(format!("{name}: {best:?}"));
        }
    });
    assert!(slow.is_empty(), "{slow:?}");
}

/// The attacks in a process of their own, whose peak memory the kernel keeps.
#[test]
#[cfg(target_os = "linux")]
fn every_attack_fits_in_memory() {
    if std::env::var_os("ATTACKS_IN_CHILD").is_some() {
        for_each(|_, prediction, reference| {
            judge(prediction, reference);
        });
        let status = std::fs::read_to_string("/proc/self/status").expect("the kernel has /proc");
        let peak = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the kernel counts peaks");
        println!("{peak}");
        return;
    }
    let itself = std::env::current_exe().expect("the test is a program");
    let output = Command::new(itself)
        .args(["--exact", "attacks::every_attack_fits_in_memory", "--nocapture"])
        .env("ATTACKS_IN_CHILD", "1")
        .output()
        .expect("the test starts itself");
    let text = String::from_utf8_lossy(&output.stdout);
    let peak = text.lines().find_map(|line| line.split("VmHWM:").nth(1)).expect("the child says its peak");
    let kilobytes: u64 = peak.trim().trim_end_matches("kB").trim().parse().expect("a number of kB");
    println!("peak memory {kilobytes} kB, the attacks themselves included");
    assert!(kilobytes < 100 * 1024, "{kilobytes} kB");
}
