//! Plots as inline SVG. Colours are CSS classes of the page (six that colour-blind readers can tell apart, light and
//! dark), and no plot relies on colour: series also differ by dash and by marker.
//!
//! The SVG is written directly: that gives dashes, tooltips and classes, and needs neither fonts nor dependencies.

mod canvas;
mod frame;
mod histogram;
mod lines;
mod scale;
mod scatter;
mod waterfall;

pub use histogram::{Histogram, histogram};
pub use lines::{Lines, lines};
pub use scale::Scale;
pub(crate) use scale::grouped;
pub use scatter::{Interval, Point, Scatter, scatter};
pub use waterfall::{Waterfall, waterfall};

/// A finished plot. Only this module makes them, so that a page never takes in foreign markup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Svg(String);

impl Svg {
    /// The `<svg>` element.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Values under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Series<T> {
    /// The name in the legend.
    pub name: String,
    /// The values.
    pub values: Vec<T>,
}
