//! Waterfalls: how many rows there were, what each reason took away, what remained.

use super::canvas::{Canvas, Svg, TEXT, TextAnchor, WIDTH, fitted, text_width};
use super::scale::grouped;

const ROW: f64 = 26.0;
const BAR: f64 = 16.0;
const LONGEST_LABEL: f64 = 250.0;

/// Rows on their way through a stage, or through a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waterfall {
    /// What is counted: `rollouts`.
    pub unit: String,
    /// What came in: a name and a count.
    pub start: (String, u64),
    /// What each reason took away, in the order in which it was taken.
    pub drops: Vec<(String, u64)>,
    /// The name of what remained.
    pub end: String,
}

/// Draws one bar a row: full bars for what came in and what remained, dashed pale ones for what each reason took away,
/// each beginning where the one before ended. Every bar carries its count and share.
pub fn waterfall(waterfall: &Waterfall) -> Svg {
    let (start, total) = (&waterfall.start.0, waterfall.start.1);
    let mut remaining = total;
    // Label, from, to, text, kept.
    let mut bars = vec![(start.clone(), 0, total, grouped(total as f64, 0), true)];
    for (reason, count) in &waterfall.drops {
        let after = remaining.saturating_sub(*count);
        bars.push((reason.clone(), after, remaining, format!("−{}", with_share(*count, total)), false));
        remaining = after;
    }
    bars.push((waterfall.end.clone(), 0, remaining, with_share(remaining, total), true));

    let label_width = bars.iter().map(|bar| text_width(&bar.0)).fold(0.0, f64::max).min(LONGEST_LABEL);
    let count_width = bars.iter().map(|bar| text_width(&bar.3)).fold(0.0, f64::max);
    let (left, right) = (label_width + 12.0, WIDTH - count_width - 10.0);
    let scale = (right - left) / total.max(1) as f64;
    let mut canvas = Canvas::new(bars.len() as f64 * ROW + 30.0);
    for (row, (label, from, to, text, kept)) in bars.iter().enumerate() {
        let top = row as f64 * ROW + 4.0;
        let baseline = top + BAR / 2.0 + TEXT * 0.36;
        let (low, high) = (left + *from as f64 * scale, left + *to as f64 * scale);
        let class = if *kept { "kept c0" } else { "lost c1" };
        canvas.text("", (left - 8.0, baseline), TextAnchor::End, &fitted(label, LONGEST_LABEL));
        // A bar thinner than a hair is drawn as a hair, so that it is seen.
        canvas.rectangle(class, (low, top), (high - low).max(1.0), BAR, &format!("{label}: {text} {}", waterfall.unit));
        canvas.text("halo", (high.max(low + 1.0) + 6.0, baseline), TextAnchor::Start, text);
        if row + 1 < bars.len() {
            // What is left after this row begins the next.
            let edge = if row == 0 { high } else { low };
            canvas.line("grid", (edge, top + BAR), (edge, top + ROW));
        }
    }
    let bottom = bars.len() as f64 * ROW + 4.0;
    canvas.line("axis", (left, 0.0), (left, bottom));
    canvas.text(
        "soft",
        (left, bottom + 18.0),
        TextAnchor::Start,
        &format!("{} (share of all that came in)", waterfall.unit),
    );
    canvas.finish()
}

fn with_share(count: u64, total: u64) -> String {
    let share = if total == 0 { 0.0 } else { 100.0 * count as f64 / total as f64 };
    let share = match share {
        tiny if count > 0 && tiny < 0.1 => "<0.1".to_owned(),
        most if count < total && most > 99.9 => ">99.9".to_owned(),
        middle if (10.0..=99.0).contains(&middle) => format!("{middle:.0}"),
        edge => format!("{edge:.1}"),
    };
    format!("{} ({share} %)", grouped(count as f64, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_shares_are_written_out() {
        let svg = waterfall(&Waterfall {
            unit: "rollouts".into(),
            start: ("sampled".into(), 8000),
            drops: vec![("incorrect".into(), 2000), ("truncated".into(), 3)],
            end: "kept".into(),
        });
        for text in ["8,000<", "−2,000 (25 %)", "−3 (&lt;0.1 %)", "5,997 (75 %)"] {
            assert!(svg.as_str().contains(text), "{text}");
        }
    }

    #[test]
    fn impossible_counts_do_not_break_it() {
        for (start, drop) in [(0, 0), (0, 5), (3, 5)] {
            let svg = waterfall(&Waterfall {
                unit: "rows".into(),
                start: ("in".into(), start),
                drops: vec![("gone".into(), drop)],
                end: "kept".into(),
            });
            assert!(!svg.as_str().contains("NaN") && !svg.as_str().contains("inf"), "{}", svg.as_str());
        }
    }
}
