//! What a report is made of.

use crate::plot::Svg;

/// The whole page: a title and sections.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The heading.
    pub title: String,
    /// One line under the heading: what was run, on what.
    pub subtitle: String,
    /// The sections, in order; the table of contents lists them.
    pub sections: Vec<Section>,
}

/// A part of a report under its own heading.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// The name by which links find it; made unique and safe when rendered.
    pub anchor: String,
    /// The content.
    pub elements: Vec<Element>,
}

/// A piece of content.
///
/// Paragraphs, captions and summaries show text between backticks as code; everything else is shown as it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Element {
    /// Running text.
    Paragraph(String),
    /// A table.
    Table(Table),
    /// A plot.
    Figure(Figure),
    /// Content that is folded away until the reader opens it.
    Details {
        /// The line that is always seen.
        summary: String,
        /// What it hides.
        elements: Vec<Element>,
    },
    /// Text as it is, such as a prompt or a rollout: line breaks kept, escape sequences and control characters removed.
    Text(String),
    /// Names and their values.
    KeyValues(Vec<(String, String)>),
}

/// A table with a heading row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// What the table shows.
    pub caption: String,
    /// The columns.
    pub columns: Vec<TableColumn>,
    /// The cells, row by row. Short rows are filled with empty cells; cells beyond the columns are left out.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(caption: impl Into<String>, columns: impl IntoIterator<Item = TableColumn>) -> Self {
        Self { caption: caption.into(), columns: columns.into_iter().collect(), rows: Vec::new() }
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// Its heading, with the unit in brackets where there is one.
    pub title: String,
    /// On which side its cells stand.
    pub align: Align,
}

impl TableColumn {
    /// A column of words.
    pub fn left(title: impl Into<String>) -> Self {
        Self { title: title.into(), align: Align::Left }
    }

    /// A column of numbers.
    pub fn right(title: impl Into<String>) -> Self {
        Self { title: title.into(), align: Align::Right }
    }
}

/// On which side of its column a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers; their digits line up.
    Right,
}

/// A plot with its caption.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The plot, from [`crate::plot`].
    pub svg: Svg,
    /// What it shows and how to read it.
    pub caption: String,
    /// What it shows, in words, for readers who cannot see it.
    pub alt: String,
}
