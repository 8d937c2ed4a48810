//! When a request may be sent: evenly spread requests a minute, the server's own wish to be left alone, and the waits
//! between retries.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use reqwest::header::HeaderMap;
use tokio::time::Instant;

/// The shortest and longest window of a retry's random wait.
const FIRST_WINDOW: Duration = Duration::from_millis(500);
const LAST_WINDOW: Duration = Duration::from_mins(1);
/// A server that wants a longer rest than this is not waited for.
pub(crate) const LONGEST_REST: Duration = Duration::from_mins(10);

/// Lets requests to one endpoint begin no earlier than allowed.
#[derive(Debug)]
pub(crate) struct Pace {
    spacing: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The next free place in the row of evenly spread requests.
    next: Option<Instant>,
    /// When the rest that the server asked for is over.
    rested: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(requests_per_minute: Option<u32>) -> Self {
        let spacing = requests_per_minute.map(|rate| Duration::from_mins(1) / rate.max(1));
        Self { spacing, state: Mutex::default() }
    }

    /// Waits for this request's turn.
    pub(crate) async fn turn(&self) {
        let now = Instant::now();
        if let Some(spacing) = self.spacing {
            let place = {
                let mut state = self.lock();
                let place = state.next.map_or(now, |next| next.max(now));
                state.next = Some(place + spacing);
                place
            };
            tokio::time::sleep_until(place).await;
        }
        // A rest may be asked for, or prolonged, while this request waits.
        loop {
            let rested = self.lock().rested;
            match rested {
                Some(rested) if rested > Instant::now() => tokio::time::sleep_until(rested).await,
                _ => return,
            }
        }
    }

    /// Keeps every request back for `rest`: the server asked for it.
    pub(crate) fn rest(&self, rest: Duration) {
        let until = Instant::now() + rest.min(LONGEST_REST);
        let mut state = self.lock();
        state.rested = Some(state.rested.map_or(until, |rested| rested.max(until)));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wait before retry number `retry` (from 0): a random part of a window that doubles each time ("full jitter").
/// The randomness comes from the sample's seed; it only has to differ between requests.
pub(crate) fn backoff(seed: u64, retry: u32) -> Duration {
    let window = FIRST_WINDOW.saturating_mul(1 << retry.min(16)).min(LAST_WINDOW);
    let part = SplitMix64::seed_from_u64(seed ^ u64::from(retry).rotate_left(32)).next_u64() >> 11;
    window.mul_f64(part as f64 / (1_u64 << 53) as f64)
}

/// How long the server asks to be left alone: `retry-after-ms`, or `Retry-After` as seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    if let Some(milliseconds) = text("retry-after-ms").and_then(number) {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    let after = text("retry-after")?;
    match number(after) {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => httpdate::parse_http_date(after).ok().map(|date| date.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_differ() {
        let longest = |retry| (0..1000).map(|seed| backoff(seed, retry)).max().unwrap();
        assert!(longest(0) <= FIRST_WINDOW && longest(0) > FIRST_WINDOW / 2);
        assert!(longest(3) <= FIRST_WINDOW * 8 && longest(3) > FIRST_WINDOW * 4);
        assert!(longest(40) <= LAST_WINDOW);
        assert_ne!(backoff(1, 0), backoff(2, 0));
        assert_ne!(backoff(1, 2), backoff(1, 3));
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let read = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770))
        };
        assert_eq!(read("retry-after", "2"), Some(Duration::from_secs(2)));
        assert_eq!(read("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(read("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(read("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(read("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        for nonsense in ["soon", "-1", "inf", "NaN"] {
            assert_eq!(read("retry-after", nonsense), None, "{nonsense}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_spread_and_rests_kept() {
        let pace = Pace::new(Some(60));
        let start = Instant::now();
        for _ in 0..3 {
            pace.turn().await;
        }
        assert_eq!(start.elapsed().as_secs(), 2);
        pace.rest(Duration::from_secs(10));
        pace.turn().await;
        assert_eq!(start.elapsed().as_secs(), 12);
        let free = Pace::new(None);
        let start = Instant::now();
        free.turn().await;
        free.turn().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        free.rest(Duration::from_secs(1));
        free.turn().await;
        free.turn().await;
        assert_eq!(start.elapsed().as_secs(), 1);
    }
}
