//! Named points at which a test may kill the process, to show that a run resumes from any of them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Aborts the process at once if the environment asks for it: `RETORT_ABORT_AT=after-fsync:3` kills it the third time
/// it passes the point `after-fsync`. Nothing is flushed and no destructor runs, as in a power cut.
pub fn abort_point(name: &str) {
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Ok(wanted) = std::env::var("RETORT_ABORT_AT") else { return };
    let (point, count) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if point == name && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == count.parse().unwrap_or(1) {
        std::process::abort();
    }
}
