//! Curves over steps: losses, rates, lengths while training.

use super::canvas::{Svg, WIDTH, colour, dash};
use super::frame::{Frame, LegendMark};
use super::scale::{Axis, Scale};
use super::series::Series;

/// Curves over a common axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// What runs along, and its unit: `step`.
    pub x_name: String,
    /// What is measured, and its unit: `loss (nats per token)`.
    pub y_name: String,
    /// How the measured values are spread.
    pub y_scale: Scale,
    /// Points `(x, y)` with ascending `x`. A value that is not finite, or has no place on a log axis, breaks the curve.
    pub series: Vec<Series<(f64, f64)>>,
}

/// Draws one curve a series. Curves with more points than the screen has columns keep the extremes of each column.
pub fn curves(curves: &Curves) -> Svg {
    let shown = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && (curves.y_scale == Scale::Linear || *y > 0.0);
    let points = || curves.series.iter().flat_map(|series| &series.values).filter(|point| shown(point));
    let range = |value: fn(&(f64, f64)) -> f64| {
        points()
            .map(value)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
    let x = Axis::new(Scale::Linear, left, right, 8);
    let y = Axis::new(curves.y_scale, low, high, 5);
    let legend: Vec<String> = curves
        .series
        .iter()
        .map(|series| match series.values.iter().filter(|point| !shown(point)).count() {
            0 => series.name.clone(),
            hidden => format!("{} ({hidden} values not shown)", series.name),
        })
        .collect();
    let mut frame = Frame::new(x, y, (&curves.x_name, &curves.y_name), &legend, LegendMark::Curve);
    if points().next().is_none() {
        frame.nothing();
    }
    for (index, series) in curves.series.iter().enumerate() {
        for piece in series.values.split(|point| !shown(point)).filter(|piece| !piece.is_empty()) {
            let places: Vec<(f64, f64)> = piece.iter().map(|(x, y)| frame.at(*x, *y)).collect();
            if let [only] = places.as_slice() {
                frame.canvas.marker(index, *only, &series.name);
            } else {
                frame.canvas.path(&format!("curve {}", colour(index)), dash(index), &thinned(&places));
            }
        }
    }
    frame.finish()
}

/// The first, lowest, highest and last point of every column, in their order.
fn thinned(places: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if places.len() <= 2 * WIDTH as usize {
        return places.to_vec();
    }
    let mut out = Vec::new();
    for column in places.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        let by_height = |a: &(usize, &(f64, f64)), b: &(usize, &(f64, f64))| a.1.1.total_cmp(&b.1.1);
        let lowest = column.iter().enumerate().min_by(by_height).map_or(0, |(index, _)| index);
        let highest = column.iter().enumerate().max_by(by_height).map_or(0, |(index, _)| index);
        let mut keep = vec![0, lowest, highest, column.len() - 1];
        keep.sort_unstable();
        keep.dedup();
        out.extend(keep.into_iter().map(|index| column[index]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_keep_their_extremes() {
        let mut places: Vec<(f64, f64)> = (0..50_000).map(|index| (f64::from(index) / 100.0, 10.0)).collect();
        places[777].1 = 99.0;
        let thin = thinned(&places);
        assert!(thin.len() < 2000 && thin.contains(&(7.77, 99.0)));
        assert_eq!((thin.first(), thin.last()), (places.first(), places.last()));
    }

    #[test]
    fn a_loss_that_is_not_a_number_breaks_the_curve() {
        let values = vec![(0.0, 2.0), (1.0, 1.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 0.5)];
        let series = vec![Series { name: "sft".into(), values }, Series { name: "none".into(), values: vec![] }];
        let svg = curves(&Curves { x_name: "step".into(), y_name: "loss".into(), y_scale: Scale::Log, series });
        assert_eq!(svg.as_str().matches("class=\"curve c0\"").count(), 3, "two pieces and the legend");
        assert!(svg.as_str().contains("sft (1 values not shown)") && !svg.as_str().contains("NaN"));
    }
}
