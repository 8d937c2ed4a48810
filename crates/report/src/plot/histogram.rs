//! Histograms, several over one another.

use super::canvas::{Svg, TextAnchor, colour, dash};
use super::frame::{Frame, LegendMark, short};
use super::scale::{Axis, Scale};
use super::series::Series;

/// Bins of a histogram.
const BINS: usize = 40;
/// Most series that are filled.
const AREAS: usize = 3;

/// How values are distributed: lengths, mostly.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// What is counted and its unit: `completion length (tokens)`.
    pub x_name: String,
    /// How the values are spread; lengths of reasoning ask for [`Scale::Log`], where values below 1 count as 1.
    pub scale: Scale,
    /// The distributions to compare. Values that are not finite are left out.
    pub series: Vec<Series<f64>>,
}

/// Draws shares of rows a bin, so that series of different sizes can be compared, and each series' median.
pub fn histogram(histogram: &Histogram) -> Svg {
    let kept: Vec<Vec<f64>> = histogram
        .series
        .iter()
        .map(|series| {
            let finite = series.values.iter().copied().filter(|value| value.is_finite());
            let mut values: Vec<f64> = match histogram.scale {
                Scale::Linear => finite.collect(),
                Scale::Log => finite.map(|value| value.max(1.0)).collect(),
            };
            values.sort_by(f64::total_cmp);
            values
        })
        .collect();
    let low = kept.iter().filter_map(|values| values.first().copied()).fold(f64::INFINITY, f64::min);
    let high = kept.iter().filter_map(|values| values.last().copied()).fold(f64::NEG_INFINITY, f64::max);
    let x = Axis::new(histogram.scale, low, high, 8);
    let edges = edges(histogram.scale, x.low(), x.high());
    let shares: Vec<Vec<f64>> = kept.iter().map(|values| shares(values, &edges)).collect();
    let most = shares.iter().flatten().copied().fold(0.0, f64::max);
    let y = Axis::new(Scale::Linear, 0.0, if most > 0.0 { most } else { 1.0 }, 5);
    let legend: Vec<String> = histogram
        .series
        .iter()
        .zip(&kept)
        .map(|(series, values)| match median(values) {
            Some(median) => format!("{} (n = {}, median {})", series.name, short(values.len() as f64), short(median)),
            None => format!("{} (none)", series.name),
        })
        .collect();
    let mut frame = Frame::new(x, y, (&histogram.x_name, "share of rows (%)"), &legend, LegendMark::Curve);
    if kept.iter().all(Vec::is_empty) {
        frame.nothing();
    }
    for (index, shares) in shares.iter().enumerate().filter(|(index, _)| !kept[*index].is_empty()) {
        let mut outline = vec![frame.at(edges[0], 0.0)];
        for (bin, share) in shares.iter().enumerate() {
            outline.push(frame.at(edges[bin], *share));
            outline.push(frame.at(edges[bin + 1], *share));
        }
        outline.push(frame.at(edges[BINS], 0.0));
        // Many areas over one another are mud: then only their outlines are drawn.
        if kept.len() <= AREAS {
            frame.canvas.path(&format!("area {}", colour(index)), "", &outline);
        }
        frame.canvas.path(&format!("curve {}", colour(index)), dash(index), &outline);
    }
    // Medians go over all areas; their letters tell them apart where lines come close.
    for (index, values) in kept.iter().enumerate() {
        if let Some(median) = median(values) {
            let (_, top, _, bottom) = frame.bounds;
            let at = frame.x.place(median);
            frame.canvas.path(&format!("median {}", colour(index)), dash(index), &[(at, top), (at, bottom)]);
            let row = top + 12.0 + index as f64 * 14.0;
            frame.canvas.text("halo", (at + 4.0, row), TextAnchor::Start, &short(median));
        }
    }
    frame.finish()
}

/// The borders of the bins.
fn edges(scale: Scale, low: f64, high: f64) -> Vec<f64> {
    (0..=BINS)
        .map(|index| {
            let part = index as f64 / BINS as f64;
            match scale {
                Scale::Linear => low + part * (high - low),
                Scale::Log => low * (high / low).powf(part),
            }
        })
        .collect()
}

/// The share of `sorted` in each bin, in percent. A value on a border belongs to the bin above, the last to the last.
fn shares(sorted: &[f64], edges: &[f64]) -> Vec<f64> {
    let total = sorted.len().max(1) as f64;
    let mut below = 0;
    (1..edges.len())
        .map(|bin| {
            let up_to =
                if bin + 1 == edges.len() { sorted.len() } else { sorted.partition_point(|value| *value < edges[bin]) };
            let count = up_to - below;
            below = up_to;
            100.0 * count as f64 / total
        })
        .collect()
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_one_bin() {
        let shares = shares(&[0.0, 1.0, 1.0, 2.0, 4.0], &[0.0, 1.0, 2.0, 4.0]);
        assert_eq!(shares, [20.0, 40.0, 40.0]);
    }

    #[test]
    fn medians_are_exact() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
    }

    #[test]
    fn empty_and_odd_series_are_drawn() {
        for scale in [Scale::Linear, Scale::Log] {
            for values in [vec![], vec![0.0], vec![f64::NAN, -3.0, 1e9], vec![5.0; 3]] {
                let series = vec![Series { name: "<a>".into(), values }];
                let svg = histogram(&Histogram { x_name: "x".into(), scale, series });
                assert!(!svg.as_str().contains("NaN") && !svg.as_str().contains("inf"), "{}", svg.as_str());
                assert!(svg.as_str().contains("&lt;a&gt;"));
            }
        }
    }
}
