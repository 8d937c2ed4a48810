//! One-file HTML reports: a small document model, its rendering, and plots as inline SVG.
//!
//! A report needs no network and runs no script: folding is `<details>`, plots are SVG, and a content security policy
//! forbids everything else. The same report gives the same bytes.
//!
//! This crate knows nothing about pipelines or tables at rest: numbers and text come in, one HTML file goes out.

mod document;
mod escape;
mod html;
pub mod plot;

pub use document::{Align, Element, Figure, Page, Section, Table, TableColumn};
pub use html::render;
