//! What the sections of a report have in common: their heads, numbers, and long texts cut short.

use retort_pipeline::Finished;
use retort_report::{Element, Section};

/// Rows whose texts a section shows.
pub const EXAMPLES: usize = 3;
/// Characters of a text that a section shows.
pub const EXAMPLE_CHARACTERS: usize = 6000;

/// The section about `stage`, its summary first.
pub fn section(title: &str, stage: &Finished, mut elements: Vec<Element>) -> Section {
    elements.insert(0, Element::Paragraph(stage.manifest.summary.clone()));
    Section { title: format!("{title}: {}", stage.name), anchor: stage.name.clone(), elements }
}

/// A count with its thousands apart.
pub fn grouped(count: u64) -> String {
    retort_report::plot::grouped(count as f64, 0)
}

/// The beginning and the end of a long text.
pub fn cut(text: &str, characters: usize) -> String {
    let length = text.chars().count();
    if length <= characters {
        return text.to_owned();
    }
    let (head, tail) = (characters * 2 / 3, characters / 3);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(length - tail).collect();
    format!("{start} […] {end}")
}
