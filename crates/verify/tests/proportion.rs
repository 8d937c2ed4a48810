//! Memory and time grow no faster than the text.
#![allow(unsafe_code, reason = "counting memory needs an allocator")]
#![allow(clippy::print_stderr, reason = "the numbers are of interest")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use retort_verify::json::JsonSettings;
use retort_verify::{Case, VerifierSettings};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// One test at a time: what another one holds would count too.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

// SAFETY: every call goes to the system's allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes at the peak for each byte of text, and seconds.
fn costs(settings: &VerifierSettings, completion: &str, reference: &str) -> (f64, f64) {
    let verifier = settings.build().expect("a verifier");
    // Patterns are compiled once.
    verifier.verify(&Case::of("warm", reference));
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let start = Instant::now();
    let outcome = verifier.verify(&Case::of(completion, reference));
    let seconds = start.elapsed().as_secs_f64();
    let bytes = (PEAK.load(Ordering::Relaxed) - before) as f64 / completion.len() as f64;
    eprintln!(
        "{} on {} MB: {bytes:.2} bytes a byte, {seconds:.2} s, {:?} by {}",
        settings.name(),
        completion.len() / 1_000_000,
        outcome.verdict,
        outcome.method
    );
    (bytes, seconds)
}

fn of(yaml: &str) -> VerifierSettings {
    serde_json::from_str(yaml).expect("settings")
}

#[test]
fn json_of_twenty_megabytes() {
    let _alone = alone();
    let list = format!("[{}0]", "0,".repeat(10_000_000));
    let keys = format!("{{{}}}", (0..1_200_000).map(|key| format!("\"key{key}\":0")).collect::<Vec<_>>().join(","));
    let compare = VerifierSettings::Json(JsonSettings { compare: true, required_keys: Vec::new() });
    for (text, reference, most) in [(&list, "[]", 1.5), (&list, list.as_str(), 1.5), (&keys, "{}", 8.0)] {
        let (bytes, seconds) = costs(&compare, text, reference);
        assert!(bytes < most, "{bytes}");
        assert!(seconds < 20.0, "{seconds}");
    }
    assert!(costs(&of("\"json\""), &list, "").0 < 1.5);
    // Depth is paid for once a level at most.
    let deep = format!("{}{}{}", "[".repeat(128), "0,".repeat(2_000_000) + "0", "]".repeat(128));
    assert!(costs(&compare, &deep, "[]").1 < 20.0);
}

#[test]
fn answers_of_thirty_megabytes() {
    let _alone = alone();
    let words = "the answer is not here, so we go on and on; ".repeat(700_000);
    let letters = "A, B ".repeat(6_000_000);
    let mut random = String::new();
    for n in 0..4_000_000_u64 {
        random.push_str(&(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).to_string());
        random.push(' ');
    }
    for (settings, most) in [("\"choice\"", 4.0), ("\"number\"", 0.5), ("\"repetition\"", 10.0), ("\"format\"", 0.5)] {
        let settings = of(settings);
        for text in [&words, &letters, &random] {
            let (bytes, seconds) = costs(&settings, text, "B");
            assert!(bytes < most, "{bytes}");
            assert!(seconds < 20.0, "{seconds}");
        }
    }
}

#[test]
fn repetition_takes_four_times_as_long_for_four_times_the_text() {
    let _alone = alone();
    let settings = of("\"repetition\"");
    let text = |periods: usize| {
        // The end repeats itself with many periods, each for long.
        let part = format!("{}b ", "a ".repeat(500));
        format!("{}{}", part.repeat(periods), "a ".repeat(400))
    };
    let (_, once) = costs(&settings, &text(2000), "");
    let (_, fourfold) = costs(&settings, &text(8000), "");
    assert!(fourfold < 12.0 * once.max(0.01), "{once} s, {fourfold} s");
}
