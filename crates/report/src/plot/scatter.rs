//! Points with intervals and labels: accuracy against length.

use super::canvas::{Svg, TEXT, TextAnchor, colour, text_width};
use super::frame::{Frame, LegendMark, short};
use super::scale::{Axis, Scale};

/// A value with its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// The interval's lower end; the value itself where there is none.
    pub low: f64,
    /// The interval's upper end; the value itself where there is none.
    pub high: f64,
}

impl Estimate {
    /// A value without an interval.
    pub fn exact(value: f64) -> Self {
        Self { value, low: value, high: value }
    }

    fn is_finite(self) -> bool {
        self.value.is_finite() && self.low.is_finite() && self.high.is_finite()
    }
}

/// One checkpoint, method or teacher.
#[derive(Debug, Clone, PartialEq)]
pub struct ScatterPoint {
    /// The name that stands beside it.
    pub label: String,
    /// Along.
    pub x: Estimate,
    /// Up.
    pub y: Estimate,
}

/// Points to compare in two measures.
#[derive(Debug, Clone, PartialEq)]
pub struct Scatter {
    /// The measure along, and its unit: `mean completion length (tokens)`.
    pub x_name: String,
    /// The measure up, and its unit: `accuracy (%)`.
    pub y_name: String,
    /// How the measure along is spread.
    pub x_scale: Scale,
    /// The points; those with values that are not finite are left out.
    pub points: Vec<ScatterPoint>,
}

/// A rectangle that a label should keep clear of: left, top, right, bottom.
type Area = (f64, f64, f64, f64);

/// Draws each point with its own marker, its intervals both ways and its name beside it.
pub fn scatter(scatter: &Scatter) -> Svg {
    let points: Vec<&ScatterPoint> =
        scatter.points.iter().filter(|point| point.x.is_finite() && point.y.is_finite()).collect();
    let range = |interval: fn(&ScatterPoint) -> Estimate| {
        points.iter().map(|point| interval(point)).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), interval| {
            (low.min(interval.low), high.max(interval.high))
        })
    };
    let ((left, right), (low, high)) = (range(|point| point.x), range(|point| point.y));
    // A little room keeps markers off the frame.
    let (wide, tall) = ((right - left) * 0.06, (high - low) * 0.08);
    let x = match scatter.x_scale {
        Scale::Linear => Axis::new(Scale::Linear, (left - wide).max(left.min(0.0)), right + wide, 7),
        Scale::Log => Axis::new(Scale::Log, left, right, 8),
    };
    let y = Axis::new(Scale::Linear, (low - tall).max(low.min(0.0)), high + tall, 6);
    let mut frame = Frame::new(x, y, (&scatter.x_name, &scatter.y_name), &[], LegendMark::Marker);
    if points.is_empty() {
        frame.nothing();
    }
    let mut taken: Vec<Area> = Vec::new();
    let places: Vec<(f64, f64)> = points.iter().map(|point| frame.at(point.x.value, point.y.value)).collect();
    for (index, point) in points.iter().enumerate() {
        whiskers(&mut frame, index, point, &mut taken);
    }
    for (index, point) in points.iter().enumerate() {
        let at = places[index];
        taken.push((at.0 - 7.0, at.1 - 7.0, at.0 + 7.0, at.1 + 7.0));
        let title =
            format!("{}: {}; {}", point.label, spoken(&scatter.x_name, point.x), spoken(&scatter.y_name, point.y));
        frame.canvas.marker(index, at, &title);
    }
    for (index, point) in points.iter().enumerate() {
        let ((left, bottom), (right, top)) = (frame.at(point.x.low, point.y.low), frame.at(point.x.high, point.y.high));
        let reach = (
            left.min(places[index].0 - 7.0),
            top.min(places[index].1 - 7.0),
            right.max(places[index].0 + 7.0),
            bottom.max(places[index].1 + 7.0),
        );
        let (anchor, at, area) = label_place(&point.label, places[index], reach, &taken, frame.bounds);
        taken.push(area);
        // In the marker's colour, which helps where points crowd.
        frame.canvas.text(&format!("halo name {}", colour(index)), at, anchor, &point.label);
    }
    frame.finish()
}

/// A measure in words.
fn spoken(name: &str, interval: Estimate) -> String {
    let value = short(interval.value);
    if interval.low == interval.high {
        format!("{name} {value}")
    } else {
        format!("{name} {value} [{}, {}]", short(interval.low), short(interval.high))
    }
}

fn whiskers(frame: &mut Frame, index: usize, point: &ScatterPoint, taken: &mut Vec<Area>) {
    let class = format!("whisker {}", colour(index));
    let (x, y) = frame.at(point.x.value, point.y.value);
    let ((left, _), (right, _)) = (frame.at(point.x.low, point.y.value), frame.at(point.x.high, point.y.value));
    let ((_, bottom), (_, top)) = (frame.at(point.x.value, point.y.low), frame.at(point.x.value, point.y.high));
    if right > left {
        frame.canvas.line(&class, (left, y), (right, y));
        frame.canvas.line(&class, (left, y - 4.0), (left, y + 4.0));
        frame.canvas.line(&class, (right, y - 4.0), (right, y + 4.0));
        taken.push((left, y - 4.0, right, y + 4.0));
    }
    if bottom > top {
        frame.canvas.line(&class, (x, top), (x, bottom));
        frame.canvas.line(&class, (x - 4.0, top), (x + 4.0, top));
        frame.canvas.line(&class, (x - 4.0, bottom), (x + 4.0, bottom));
        taken.push((x - 4.0, top, x + 4.0, bottom));
    }
}

/// The place near a marker where a label covers the least of what is there already, and stays inside. `reach` is how
/// far the marker's whiskers go.
fn label_place(
    label: &str,
    at: (f64, f64),
    reach: Area,
    taken: &[Area],
    bounds: Area,
) -> (TextAnchor, (f64, f64), Area) {
    let width = text_width(label);
    let (left, top, right, bottom) = reach;
    let middle = at.1 + TEXT * 0.35;
    // Nearer places first: of two equally free ones the first is taken.
    let candidates = [
        (TextAnchor::Start, at.0 + 10.0, at.1 - 6.0),
        (TextAnchor::End, at.0 - 10.0, at.1 - 6.0),
        (TextAnchor::Start, at.0 + 10.0, at.1 + TEXT + 4.0),
        (TextAnchor::End, at.0 - 10.0, at.1 + TEXT + 4.0),
        (TextAnchor::Start, right + 8.0, middle),
        (TextAnchor::End, left - 8.0, middle),
        (TextAnchor::Middle, at.0, top - 6.0),
        (TextAnchor::Middle, at.0, bottom + TEXT + 2.0),
        (TextAnchor::Start, at.0 - 6.0, top - 6.0),
        (TextAnchor::End, at.0 + 6.0, top - 6.0),
        (TextAnchor::Start, at.0 - 6.0, bottom + TEXT + 2.0),
        (TextAnchor::End, at.0 + 6.0, bottom + TEXT + 2.0),
        (TextAnchor::Middle, at.0, top - 22.0),
        (TextAnchor::Middle, at.0, bottom + TEXT + 18.0),
    ];
    let placed = candidates.map(|(anchor, x, y)| {
        let left = match anchor {
            TextAnchor::Start => x,
            TextAnchor::Middle => x - width / 2.0,
            TextAnchor::End => x - width,
        };
        (anchor, (x, y), (left, y - TEXT * 0.85, left + width, y + TEXT * 0.25))
    });
    let cost = |area: Area| {
        let touched = taken.iter().map(|other| overlap(area, *other)).filter(|covered| *covered > 0.0);
        let outside = width * TEXT * 1.1 - overlap(area, bounds);
        // Every collision disturbs, a small one too; outside is worst, because it may be cut off.
        touched.map(|covered| covered + 60.0).sum::<f64>() + 10.0 * outside.max(0.0)
    };
    let mut best = placed[0];
    for candidate in &placed[1..] {
        if cost(candidate.2) < cost(best.2) - 1e-6 {
            best = *candidate;
        }
    }
    best
}

fn overlap(a: Area, b: Area) -> f64 {
    let width = a.2.min(b.2) - a.0.max(b.0);
    let height = a.3.min(b.3) - a.1.max(b.1);
    width.max(0.0) * height.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_clear_of_each_other_and_of_the_frame() {
        let bounds = (60.0, 10.0, 740.0, 300.0);
        let mut taken = Vec::new();
        for at in [(400.0, 150.0), (402.0, 152.0), (735.0, 20.0), (398.0, 148.0)] {
            let reach = (at.0 - 7.0, at.1 - 7.0, at.0 + 7.0, at.1 + 7.0);
            let (_, _, area) = label_place("a label", at, reach, &taken, bounds);
            assert!(taken.iter().all(|other| overlap(area, *other) == 0.0));
            assert!(area.0 >= bounds.0 && area.2 <= bounds.2 && area.1 >= bounds.1 && area.3 <= bounds.3);
            taken.push(area);
        }
    }

    #[test]
    fn odd_points_are_left_out() {
        let point =
            |value: f64| ScatterPoint { label: "p<".into(), x: Estimate::exact(value), y: Estimate::exact(0.5) };
        let of = |points| {
            scatter(&Scatter { x_name: "x".into(), y_name: "y".into(), x_scale: Scale::Linear, points })
                .as_str()
                .to_owned()
        };
        assert!(of(vec![point(f64::NAN)]).contains("no data"));
        let svg = of(vec![point(1.0), point(f64::INFINITY)]);
        assert_eq!(svg.matches("p&lt;</text>").count(), 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
