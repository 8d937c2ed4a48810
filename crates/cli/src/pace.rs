//! How fast work goes and how long the rest takes, told in few characters.

use crate::screen::about;
use indicatif::HumanCount;
use std::time::Duration;

/// How far one piece of work is. What an earlier run did counts as done, but never as fast.
#[derive(Debug, Default)]
pub struct Pace {
    /// Units of work, when that is known.
    pub total: Option<u64>,
    /// Units that are done.
    pub done: u64,
    /// Those of them that were there before this process began.
    pub found: u64,
}

impl Pace {
    /// Units a second since the work began, once there are any.
    fn per_second(&self, elapsed: Duration) -> Option<f64> {
        let made = self.done.saturating_sub(self.found);
        (made > 0 && !elapsed.is_zero()).then(|| made as f64 / elapsed.as_secs_f64())
    }

    /// `12.3/s`.
    pub fn rate(&self, elapsed: Duration) -> Option<String> {
        self.per_second(elapsed).map(rate)
    }

    /// Time that the rest takes at this pace.
    pub fn eta(&self, elapsed: Duration) -> Option<Duration> {
        let left = self.total?.checked_sub(self.done)?;
        Some(Duration::from_secs_f64((left as f64 / self.per_second(elapsed)?).min(1e9)))
    }

    /// One line of at most `width` columns: the stage, a bar, how many, how fast, how long still, and a remark. What does
    /// not fit is left out, the least important first.
    pub fn line(&self, width: usize, stage: &str, unit: &str, elapsed: Duration, remark: &str) -> String {
        let count = match self.total {
            Some(total) => format!("{}/{}", HumanCount(self.done), HumanCount(total)),
            None => format!("{} {unit}", HumanCount(self.done)),
        };
        let eta = self.eta(elapsed).map(|left| format!("ETA {}", about(left)));
        let stage = shortened(stage, width.saturating_sub(count.len() + 1));
        let mut left = width.saturating_sub(length(&stage) + 1 + count.len());
        // Each part takes its place and the space before it.
        let mut fitting = |part: Option<String>| part.filter(|part| take(&mut left, length(part) + 1));
        let eta = fitting(eta);
        let rate = fitting(self.rate(elapsed));
        let bar = self.total.filter(|_| left > MIN_BAR).map(|total| {
            // A remark that will be there anyway has the room it wants.
            let remark = if left > MIN_BAR + 1 + MIN_REMARK && !remark.is_empty() { length(remark) + 1 } else { 0 };
            let columns = (left - 1).saturating_sub(remark).clamp(MIN_BAR, MAX_BAR);
            left -= columns + 1;
            bar(columns, self.done, total)
        });
        let remark = (!remark.is_empty() && left > MIN_REMARK).then(|| shortened(remark, left - 1));
        let parts = [Some(stage), bar, Some(count), rate, eta, remark];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

const MIN_BAR: usize = 8;
const MAX_BAR: usize = 24;
const MIN_REMARK: usize = 8;

fn take(left: &mut usize, columns: usize) -> bool {
    let fits = *left >= columns;
    *left -= if fits { columns } else { 0 };
    fits
}

fn bar(columns: usize, done: u64, total: u64) -> String {
    let share = if total == 0 { 1.0 } else { done as f64 / total as f64 };
    let full = ((columns as f64 * share) as usize).min(columns);
    "█".repeat(full) + &"░".repeat(columns - full)
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn shortened(text: &str, columns: usize) -> String {
    if length(text) <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(std::iter::once('…')).collect()
}

/// `1.23k/s`, `12.3/s`, `4.56/min`: three digits, in the unit that has some before the point.
fn rate(per_second: f64) -> String {
    let (value, time) = match per_second {
        fast if fast >= 0.1 => (fast, "s"),
        slow if slow * 60.0 >= 0.1 => (slow * 60.0, "min"),
        slower => (slower * 3600.0, "h"),
    };
    format!("{}/{time}", three_digits(value))
}

/// `0.12`, `1.23`, `12.3`, `123`, `1.23k`, `1.23M`.
pub fn three_digits(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 999_500.0 => (value / 1e6, "M"),
        value if value >= 999.5 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let decimals = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn rates_have_three_digits() {
        for (value, shown) in [
            (0.1234, "0.12"),
            (1.234, "1.23"),
            (9.996, "10.0"),
            (12.34, "12.3"),
            (99.96, "100"),
            (123.4, "123"),
            (999.6, "1.00k"),
            (12_345.0, "12.3k"),
            (999_600.0, "1.00M"),
        ] {
            assert_eq!(three_digits(value), shown, "{value}");
        }
        assert_eq!([rate(12.34), rate(0.05), rate(0.001)], ["12.3/s", "3.00/min", "3.60/h"]);
    }

    #[test]
    fn only_new_work_counts_for_rate_and_eta() {
        let pace = Pace { total: Some(1000), done: 520, found: 400 };
        assert_eq!(pace.rate(MINUTE).as_deref(), Some("2.00/s"));
        assert_eq!(pace.eta(MINUTE), Some(Duration::from_mins(4)));
        let waiting = Pace { done: 400, ..pace };
        assert_eq!((waiting.rate(MINUTE), waiting.eta(MINUTE)), (None, None));
    }

    #[test]
    fn a_line_leaves_out_what_does_not_fit() {
        let pace = Pace { total: Some(9600), done: 2400, found: 0 };
        let line = |width| pace.line(width, "long-verdicts", "rows", MINUTE, "1,200 correct");
        let narrow = "long-verdicts 2,400/9,600 ETA 3 min 0 s";
        assert_eq!(line(40), narrow);
        assert_eq!(line(60), "long-verdicts ███░░░░░░░░░░ 2,400/9,600 40.0/s ETA 3 min 0 s");
        assert_eq!(line(80), "long-verdicts ████░░░░░░░░░░░░░░░ 2,400/9,600 40.0/s ETA 3 min 0 s 1,200 correct");
        assert_eq!(line(20), "long-ve… 2,400/9,600");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let counts = [None, Some(0), Some(7), Some(1_000_000_000)];
        for width in 12..130 {
            for (total, remark) in
                counts.into_iter().flat_map(|total| ["", "x", "loss 0.1234, 155 tokens/s"].map(|r| (total, r)))
            {
                for found in [0, 3] {
                    let pace = Pace { total, done: 5, found };
                    let line = pace.line(width, "a-stage-with-a-long-name", "rows", MINUTE, remark);
                    let most = width.max(length(&line).min(17));
                    assert!(length(&line) <= most, "{width}: {line}");
                }
            }
        }
    }
}
