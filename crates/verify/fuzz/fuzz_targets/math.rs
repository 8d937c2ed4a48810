//! `math` on any two texts: no panic, no opposite verdicts when the arguments change places, no time above the budget's.
//! Run with `cargo +nightly fuzz run math` in `crates/verify`.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use retort_verify::math::{MathSettings, verify};

fuzz_target!(|texts: (&str, &str)| {
    let settings = MathSettings::default();
    let (prediction, reference) = texts;
    let start = Instant::now();
    let forth = verify(prediction, reference, "", &settings);
    let back = verify(reference, prediction, "", &settings);
    assert!(start.elapsed() < Duration::from_secs(2), "slower than any budget allows");
    let opposite = format!("{:?}{:?}", forth.verdict, back.verdict);
    assert!(!matches!(opposite.as_str(), "CorrectIncorrect" | "IncorrectCorrect"), "{forth:?} {back:?}");
});
