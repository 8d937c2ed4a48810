//! `math` on any two texts with a unit separator between them: the parser, the extractor and the comparison. No panic, no opposite verdicts when the arguments
//! change places, no time above the budget's.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use retort_records::Verdict;
use retort_verify::math::{MathSettings, verify};

/// What no budget of the verifier allows, on a machine that does other things beside.
const TOO_LONG: Duration = Duration::from_secs(5);

fuzz_target!(|texts: &str| {
    let settings = MathSettings::default();
    let (prediction, reference) = texts.split_once('\u{1f}').unwrap_or((texts, "1"));
    let start = Instant::now();
    let forth = verify(prediction, reference, "", &settings);
    let back = verify(reference, prediction, "", &settings);
    assert!(start.elapsed() < TOO_LONG, "slower than any budget allows");
    // A prediction that ends inside a box was cut off; a reference answer was not, and lacks a brace.
    let is_cut_off = |text| verify(text, "a reference that no text is", "", &settings).method == "truncated";
    let opposite = matches!(
        (forth.verdict, back.verdict),
        (Verdict::Correct, Verdict::Incorrect) | (Verdict::Incorrect, Verdict::Correct)
    );
    assert!(!opposite || is_cut_off(prediction) || is_cut_off(reference), "{forth:?} {back:?}");
});
