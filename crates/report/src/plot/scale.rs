//! Axes: from values to places, and where the ticks stand.

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm; only values above zero have a place.
    Log,
}

/// An axis: the values it covers, its ticks, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// Ticks, ascending.
    pub(super) ticks: Vec<f64>,
    start: f64,
    end: f64,
}

impl Axis {
    /// An axis over `low..=high`, widened to round numbers, with about `count` ticks. With nothing to show it covers
    /// zero to one.
    pub(super) fn new(scale: Scale, low: f64, high: f64, count: usize) -> Self {
        let (low, high) = if low.is_finite() && high.is_finite() && low <= high { (low, high) } else { (0.0, 1.0) };
        let (low, high, ticks) = match scale {
            Scale::Linear => linear(low, high, count),
            Scale::Log => logarithmic(low, high, count),
        };
        Self { scale, low, high, ticks, start: 0.0, end: 1.0 }
    }

    /// The same axis from place `start` (its lowest value) to place `end`.
    pub(super) fn between(mut self, start: f64, end: f64) -> Self {
        (self.start, self.end) = (start, end);
        self
    }

    /// Where `value` stands; outside values stand at the ends.
    pub(super) fn place(&self, value: f64) -> f64 {
        let inside = value.clamp(self.low, self.high);
        let part = match self.scale {
            Scale::Linear => (inside - self.low) / (self.high - self.low),
            Scale::Log => (inside / self.low).ln() / (self.high / self.low).ln(),
        };
        self.start + part * (self.end - self.start)
    }

    pub(super) fn low(&self) -> f64 {
        self.low
    }

    pub(super) fn high(&self) -> f64 {
        self.high
    }

    /// The text of a tick.
    pub(super) fn label(&self, tick: f64) -> String {
        let step = match (self.scale, self.ticks.as_slice()) {
            (Scale::Linear, [first, second, ..]) => second - first,
            _ => tick,
        };
        grouped(tick, decimals(step))
    }
}

/// The decimals that `step` needs to be told from its neighbours.
fn decimals(step: f64) -> usize {
    if step <= 0.0 || !step.is_finite() { 0 } else { (-(step * 1.0001).log10().floor()).clamp(0.0, 9.0) as usize }
}

/// A number with commas between groups of three digits.
pub fn grouped(value: f64, decimals: usize) -> String {
    let plain = format!("{value:.decimals$}");
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain.as_str()), |rest| ("−", rest));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let mut out = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

fn linear(low: f64, high: f64, count: usize) -> (f64, f64, Vec<f64>) {
    let span = if high > low { high - low } else { high.abs().max(1.0) };
    let rough = span / count.max(1) as f64;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|factor| factor * magnitude).find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * magnitude);
    let first = (low / step + 1e-9).floor();
    let last = (high / step - 1e-9).ceil().max(first + 1.0);
    let steps = (last - first) as usize;
    // Products, not sums, so that 0.3 is 3 * 0.1 and not a little more.
    let ticks: Vec<f64> = (0..=steps).map(|index| (first + index as f64) * step).collect();
    (first * step, last * step, ticks)
}

fn logarithmic(low: f64, high: f64, count: usize) -> (f64, f64, Vec<f64>) {
    let low = if low > 0.0 { low } else { 1.0_f64.min(if high > 0.0 { high } else { 1.0 }) };
    let high = high.max(low);
    let (first, last) = ((low.log10() - 1e-9).floor() as i32 - 1, (high.log10() + 1e-9).ceil() as i32 + 1);
    let round: Vec<f64> =
        (first..=last).flat_map(|power| [1.0, 2.0, 5.0].map(|factor| factor * 10_f64.powi(power))).collect();
    let start = round.iter().rev().find(|tick| **tick <= low * 1.0001).copied().unwrap_or(low);
    let end = round.iter().find(|tick| **tick >= high * 0.9999 && **tick > start).copied().unwrap_or(high * 2.0);
    let inside = |tick: &f64| *tick >= start * 0.9999 && *tick <= end * 1.0001;
    let mut ticks: Vec<f64> = round.into_iter().filter(inside).collect();
    if ticks.len() > count + count / 2 {
        ticks = (first..=last).map(|power| 10_f64.powi(power)).filter(inside).collect();
    }
    (start, end, ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let axis = Axis::new(Scale::Linear, 0.0, 0.73, 5);
        assert_eq!(
            axis.ticks.iter().map(|tick| axis.label(*tick)).collect::<Vec<_>>(),
            ["0.0", "0.2", "0.4", "0.6", "0.8"]
        );
        let axis = Axis::new(Scale::Linear, 130.0, 11_900.0, 6);
        assert_eq!(axis.ticks.last().map(|tick| axis.label(*tick)).as_deref(), Some("12,000"));
        let axis = Axis::new(Scale::Log, 90.0, 32_000.0, 9);
        assert_eq!(axis.ticks, [50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0, 50_000.0]);
        let axis = Axis::new(Scale::Log, 0.002, 0.4, 9);
        assert_eq!(axis.label(0.002), "0.002");
    }

    #[test]
    fn places_run_from_end_to_end() {
        let axis = Axis::new(Scale::Linear, 0.0, 10.0, 5).between(100.0, 0.0);
        assert_eq!([0.0, 5.0, 10.0, 99.0].map(|value| axis.place(value)), [100.0, 50.0, 0.0, 0.0]);
        let axis = Axis::new(Scale::Log, 1.0, 100.0, 5).between(0.0, 2.0);
        assert_eq!(axis.place(10.0), 1.0);
    }

    #[test]
    fn degenerate_ranges_have_an_axis() {
        for scale in [Scale::Linear, Scale::Log] {
            for (low, high) in [
                (0.0, 0.0),
                (5.0, 5.0),
                (-3.0, -3.0),
                (f64::NAN, 1.0),
                (f64::INFINITY, f64::NEG_INFINITY),
                (-1.0, 0.0),
                (1e-12, 1e12),
            ] {
                let axis = Axis::new(scale, low, high, 6).between(0.0, 100.0);
                assert!(axis.low < axis.high && axis.ticks.len() >= 2, "{scale:?} {low} {high}: {axis:?}");
                assert!(axis.place(low.max(axis.low)).is_finite());
            }
        }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1234567.0, 0), "1,234,567");
        assert_eq!(grouped(-1234.5, 1), "−1,234.5");
        assert_eq!(grouped(999.0, 0), "999");
    }
}
