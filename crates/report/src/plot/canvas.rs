//! Shapes and text on an SVG of fixed size.

use std::fmt::Write;

use crate::escape::escape;

/// Width of every plot, in its own units (about CSS pixels).
pub(super) const WIDTH: f64 = 760.0;
/// Size of text, in the same units; the page's style sheet says the same.
pub(super) const TEXT: f64 = 12.5;
/// Colours of the page.
const COLOURS: usize = 6;
/// Dashes of curves, told apart without colour.
const DASHES: [&str; 5] = ["", "7 4", "2 3", "9 3 2 3", "14 5"];

/// A finished plot. Only this module makes them, so that a page never takes in foreign markup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Svg(String);

impl Svg {
    /// The `<svg>` element.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextAnchor {
    Start,
    Middle,
    End,
}

impl TextAnchor {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

pub(super) struct Canvas {
    body: String,
    height: f64,
}

impl Canvas {
    pub(super) fn new(height: f64) -> Self {
        Self { body: String::new(), height }
    }

    pub(super) fn finish(self) -> Svg {
        let (width, height) = (number(WIDTH), number(self.height));
        Svg(format!(
            "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n{}</svg>",
            self.body
        ))
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.path(class, "", &[from, to]);
    }

    /// A line through points, dashed as `dash` says.
    pub(super) fn path(&mut self, class: &str, dash: &str, points: &[(f64, f64)]) {
        let mut data = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let _ = write!(data, "{}{} {}", if index == 0 { "M" } else { "L" }, number(*x), number(*y));
        }
        let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
        let _ = writeln!(self.body, "<path class=\"{class}\"{dash} d=\"{data}\"/>");
    }

    pub(super) fn rectangle(&mut self, class: &str, corner: (f64, f64), width: f64, height: f64, title: &str) {
        let (x, y, width, height) = (number(corner.0), number(corner.1), number(width), number(height));
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"><title>{}</title></rect>",
            escape(title)
        );
    }

    /// A text whose baseline is at `at`.
    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: TextAnchor, text: &str) {
        let (x, y) = (number(at.0), number(at.1));
        let anchor = anchor.name();
        let text = escape(text);
        let _ =
            writeln!(self.body, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>");
    }

    /// A text that reads upwards, centred on `at`.
    pub(super) fn text_upwards(&mut self, class: &str, at: (f64, f64), text: &str) {
        let (x, y) = (number(at.0), number(at.1));
        let text = escape(text);
        let _ = writeln!(
            self.body,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" transform=\"rotate(-90 {x} {y})\">{text}</text>"
        );
    }

    /// The marker of series `index`, with a tooltip.
    pub(super) fn marker(&mut self, index: usize, at: (f64, f64), title: &str) {
        let radius = 5.0;
        let point = |angle: f64, radius: f64| {
            let angle = angle.to_radians();
            format!("{} {}", number(at.0 + radius * angle.sin()), number(at.1 - radius * angle.cos()))
        };
        let polygon = |angles: &[f64], radius: f64| {
            let corners: Vec<String> = angles.iter().map(|angle| point(*angle, radius)).collect();
            format!("M{}Z", corners.join("L"))
        };
        let data = match index % 6 {
            0 => {
                let (left, right) = (point(-90.0, radius), point(90.0, radius));
                format!("M{left}A{radius} {radius} 0 1 1 {right}A{radius} {radius} 0 1 1 {left}Z")
            }
            1 => polygon(&[45.0, 135.0, 225.0, 315.0], radius * 1.3),
            2 => polygon(&[0.0, 120.0, 240.0], radius * 1.4),
            3 => polygon(&[0.0, 90.0, 180.0, 270.0], radius * 1.4),
            4 => polygon(&[60.0, 180.0, 300.0], radius * 1.4),
            _ => polygon(&[0.0, 144.0, 288.0, 72.0, 216.0], radius * 1.6),
        };
        // Beyond six, the same shapes come back filled.
        let fill = if (index / 6).is_multiple_of(2) { "mark" } else { "mark solid" };
        let _ = writeln!(
            self.body,
            "<path class=\"{fill} {}\" d=\"{data}\"><title>{}</title></path>",
            colour(index),
            escape(title)
        );
    }
}

/// The colour class of series `index`.
pub(super) fn colour(index: usize) -> String {
    format!("c{}", index % COLOURS)
}

/// The dash of series `index`.
pub(super) fn dash(index: usize) -> &'static str {
    DASHES[index % DASHES.len()]
}

/// A coordinate with one decimal, which is finer than a screen.
pub(super) fn number(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    // Negative zero would be written with its sign.
    if rounded == 0.0 { "0".to_owned() } else { rounded.to_string() }
}

/// About how wide a text is. Without fonts this is an estimate, on the wide side.
pub(super) fn text_width(text: &str) -> f64 {
    let ems: f64 = text
        .chars()
        .map(|character| match character {
            'i' | 'l' | 'j' | 't' | 'f' | 'I' | ' ' | '.' | ',' | ':' | '\'' | '|' | '(' | ')' => 0.36,
            'm' | 'w' | 'M' | 'W' | '%' => 0.95,
            'A'..='Z' => 0.70,
            '\u{1100}'.. => 1.0,
            _ => 0.60,
        })
        .sum();
    ems * TEXT
}

/// The text, cut so that it fits into `width`.
pub(super) fn fitted(text: &str, width: f64) -> String {
    if text_width(text) <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    for character in text.chars() {
        out.push(character);
        if text_width(&out) + text_width("…") > width {
            out.pop();
            break;
        }
    }
    out.trim_end().to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short() {
        assert_eq!([1.0, 1.26, -0.04, 100.0].map(number), ["1", "1.3", "0", "100"]);
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(fitted("short", 100.0), "short");
        let cut = fitted("a rather long label of a stage", 100.0);
        assert!(cut.ends_with('…') && text_width(&cut) <= 100.0, "{cut}");
    }
}
