//! Plots as inline SVG. Colours are CSS classes of the page (six that colour-blind readers can tell apart, light and
//! dark), and no plot relies on colour: series also differ by dash and by marker.
//!
//! The SVG is written directly: that gives dashes, tooltips and classes, and needs neither fonts nor dependencies.

mod canvas;
mod curves;
mod frame;
mod histogram;
mod scale;
mod scatter;
mod series;
mod waterfall;

pub use canvas::Svg;
pub use curves::{Curves, curves};
pub use histogram::{Histogram, histogram};
pub use scale::{Scale, grouped};
pub use scatter::{Estimate, Scatter, ScatterPoint, scatter};
pub use series::Series;
pub use waterfall::{Waterfall, waterfall};
