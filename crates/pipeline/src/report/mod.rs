//! One-file HTML reports: a small document model, its rendering, and plots as inline SVG.
//!
//! A report needs no network and runs no script: folding is `<details>`, plots are SVG, and a content security policy
//! forbids everything else. The same report gives the same bytes.

mod document;
mod escape;
mod html;
pub mod plot;

pub use document::{Align, Block, Column, Figure, Report, Section, Table};
pub use html::render;
