//! The common surroundings of plots with two axes: grid, ticks, axis names, legend.

use super::canvas::{Canvas, Svg, TEXT, TextAnchor, WIDTH, colour, dash, number, text_width};
use super::scale::{Axis, grouped};

const LEFT: f64 = 66.0;
const RIGHT: f64 = 18.0;
const BOTTOM: f64 = 46.0;
const LEGEND_LINE: f64 = 20.0;
const HEIGHT: f64 = 340.0;

/// How a series looks in the legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegendMark {
    Curve,
    Marker,
}

/// A plot with two axes in the making.
pub(super) struct Frame {
    pub(super) canvas: Canvas,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Left, top, right and bottom of the plot itself.
    pub(super) bounds: (f64, f64, f64, f64),
}

impl Frame {
    /// Draws the surroundings. The legend stands above the plot, in as many lines as it needs.
    pub(super) fn new(x: Axis, y: Axis, names: (&str, &str), legend: &[String], mark: LegendMark) -> Self {
        let lines = legend_lines(legend);
        let top = 14.0 + lines.len() as f64 * LEGEND_LINE;
        let height = HEIGHT + (lines.len().saturating_sub(1)) as f64 * LEGEND_LINE;
        let (left, right, bottom) = (LEFT, WIDTH - RIGHT, height - BOTTOM);
        let mut canvas = Canvas::new(height);
        draw_legend(&mut canvas, &lines, legend, mark);
        let (x, y) = (x.between(left, right), y.between(bottom, top));
        for tick in &y.ticks {
            let at = y.place(*tick);
            canvas.line("grid", (left, at), (right, at));
            canvas.text("soft", (left - 8.0, at + TEXT * 0.35), TextAnchor::End, &y.label(*tick));
        }
        let mut last_end = f64::NEG_INFINITY;
        for tick in &x.ticks {
            let (at, label) = (x.place(*tick), x.label(*tick));
            canvas.line("axis", (at, bottom), (at, bottom + 4.0));
            let half = text_width(&label) / 2.0;
            // Labels that would touch the one before are left out; their ticks stay.
            if at - half > last_end + 4.0 {
                let at = at.min(WIDTH - half);
                canvas.text("soft", (at, bottom + 18.0), TextAnchor::Middle, &label);
                last_end = at + half;
            }
        }
        canvas.line("axis", (left, bottom), (right, bottom));
        canvas.text("", (f64::midpoint(left, right), height - 8.0), TextAnchor::Middle, names.0);
        canvas.text_upwards("", (TEXT + 1.0, f64::midpoint(top, bottom)), names.1);
        Self { canvas, x, y, bounds: (left, top, right, bottom) }
    }

    /// Where the values `x` and `y` meet.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x.place(x), self.y.place(y))
    }

    /// Says that there is nothing to see.
    pub(super) fn nothing(&mut self) {
        let (left, top, right, bottom) = self.bounds;
        self.canvas.text(
            "soft",
            (f64::midpoint(left, right), f64::midpoint(top, bottom)),
            TextAnchor::Middle,
            "no data",
        );
    }

    pub(super) fn finish(self) -> Svg {
        self.canvas.finish()
    }
}

/// The series of each line of the legend, and where each begins.
fn legend_lines(names: &[String]) -> Vec<Vec<(usize, f64)>> {
    let mut lines: Vec<Vec<(usize, f64)>> = Vec::new();
    let mut at = f64::INFINITY;
    for (index, name) in names.iter().enumerate() {
        let width = 34.0 + text_width(name) + 16.0;
        if at + width > WIDTH - RIGHT {
            lines.push(Vec::new());
            at = LEFT;
        }
        if let Some(line) = lines.last_mut() {
            line.push((index, at));
        }
        at += width;
    }
    lines
}

fn draw_legend(canvas: &mut Canvas, lines: &[Vec<(usize, f64)>], names: &[String], mark: LegendMark) {
    for (row, line) in lines.iter().enumerate() {
        let middle = 12.0 + row as f64 * LEGEND_LINE;
        for (index, left) in line {
            match mark {
                LegendMark::Curve => {
                    let class = format!("curve {}", colour(*index));
                    canvas.path(&class, dash(*index), &[(*left, middle), (left + 28.0, middle)]);
                }
                LegendMark::Marker => canvas.marker(*index, (left + 16.0, middle), ""),
            }
            canvas.text("", (left + 34.0, middle + TEXT * 0.35), TextAnchor::Start, &names[*index]);
        }
    }
}

/// A value with as many decimals as its size deserves, for tooltips and labels.
pub(super) fn short(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 || value == value.trunc() => 0,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    if value.is_finite() { grouped(value, decimals) } else { number(value) }
}
