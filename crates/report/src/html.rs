//! Writes a report as one HTML file.

use std::{collections::BTreeSet, fmt::Write};

use crate::document::{Align, Element, Page, Section, Table};
use crate::escape::{anchor, escape, prose};

/// Forbids everything that the page does not need: it needs its own styles and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The report as one HTML page: no script, no network, light or dark as the reader's system prefers.
pub fn render(page: &Page) -> String {
    let mut html = Html(String::with_capacity(64 << 10));
    let anchors = unique_anchors(&page.sections);
    let title = escape(&page.title);
    html.add(&format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n",
        include_str!("page.css")
    ));
    if !page.subtitle.is_empty() {
        html.add(&format!("<p class=\"subtitle\">{}</p>\n", prose(&page.subtitle)));
    }
    html.add("</header>\n");
    if page.sections.len() > 1 {
        html.add("<nav aria-label=\"Contents\">\n<ol>\n");
        for (section, anchor) in page.sections.iter().zip(&anchors) {
            html.add(&format!("<li><a href=\"#{anchor}\">{}</a></li>\n", prose(&section.title)));
        }
        html.add("</ol>\n</nav>\n");
    }
    html.add("<main>\n");
    for (section, anchor) in page.sections.iter().zip(&anchors) {
        html.add(&format!("<section id=\"{anchor}\">\n<h2>{}</h2>\n", prose(&section.title)));
        html.elements(&section.elements);
        html.add("</section>\n");
    }
    html.add("</main>\n</body>\n</html>\n");
    html.0
}

/// The sections' anchors; a second one of the same name gets a number.
fn unique_anchors(sections: &[Section]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    sections
        .iter()
        .map(|section| {
            let name = anchor(if section.anchor.is_empty() { &section.title } else { &section.anchor });
            let mut unique = name.clone();
            let mut number = 2;
            while !taken.insert(unique.clone()) {
                unique = format!("{name}-{number}");
                number += 1;
            }
            unique
        })
        .collect()
}

struct Html(String);

impl Html {
    fn add(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn elements(&mut self, elements: &[Element]) {
        for element in elements {
            self.element(element);
        }
    }

    fn element(&mut self, element: &Element) {
        match element {
            Element::Paragraph(text) => self.add(&format!("<p>{}</p>\n", prose(text))),
            Element::Table(table) => self.table(table),
            Element::Figure(figure) => {
                self.add(&format!(
                    "<figure>\n<div class=\"plot\" role=\"img\" aria-label=\"{}\">{}</div>\n",
                    escape(&figure.alt),
                    figure.svg.as_str()
                ));
                self.add(&format!("<figcaption>{}</figcaption>\n</figure>\n", prose(&figure.caption)));
            }
            Element::Details { summary, elements } => {
                self.add(&format!("<details>\n<summary>{}</summary>\n<div class=\"folded\">\n", prose(summary)));
                self.elements(elements);
                self.add("</div>\n</details>\n");
            }
            // A line break right after `<pre>` is not part of the text; one is written so that the text's own is.
            Element::Text(text) => self.add(&format!("<pre>\n{}</pre>\n", escape(text))),
            Element::KeyValues(entries) => {
                self.add("<dl>\n");
                for (name, value) in entries {
                    self.add(&format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value)));
                }
                self.add("</dl>\n");
            }
        }
    }

    fn table(&mut self, table: &Table) {
        self.add("<div class=\"table\">\n<table>\n");
        if !table.caption.is_empty() {
            self.add(&format!("<caption>{}</caption>\n", prose(&table.caption)));
        }
        self.add("<thead>\n<tr>");
        for column in &table.columns {
            let _ = write!(self.0, "<th scope=\"col\"{}>{}</th>", class(column.align), escape(&column.title));
        }
        self.add("</tr>\n</thead>\n<tbody>\n");
        for row in &table.rows {
            self.add("<tr>");
            let cells = row.iter().map(String::as_str).chain(std::iter::repeat(""));
            for (column, cell) in table.columns.iter().zip(cells) {
                let _ = write!(self.0, "<td{}>{}</td>", class(column.align), escape(cell));
            }
            self.add("</tr>\n");
        }
        self.add("</tbody>\n</table>\n</div>\n");
    }
}

fn class(align: Align) -> &'static str {
    match align {
        Align::Left => "",
        Align::Right => " class=\"r\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Figure, TableColumn};
    use crate::plot;

    fn sample(text: &str) -> Page {
        let mut table = Table::new(text, [TableColumn::left(text), TableColumn::right("n")]);
        table.rows = vec![vec![text.into(), "1".into(), "beyond".into()], vec!["short".into()]];
        let svg = plot::waterfall(&plot::Waterfall {
            unit: text.into(),
            start: (text.into(), 10),
            drops: vec![(text.into(), 3)],
            end: text.into(),
        });
        Page {
            title: text.into(),
            subtitle: text.into(),
            sections: vec![
                Section {
                    title: text.into(),
                    anchor: "same".into(),
                    elements: vec![
                        Element::Paragraph(text.into()),
                        Element::Table(table),
                        Element::Figure(Figure { svg, caption: text.into(), alt: text.into() }),
                        Element::Details { summary: text.into(), elements: vec![Element::Text(text.into())] },
                        Element::KeyValues(vec![(text.into(), text.into())]),
                    ],
                },
                Section { title: "second".into(), anchor: "same".into(), elements: Vec::new() },
            ],
        }
    }

    #[test]
    fn hostile_text_stays_text_everywhere() {
        let hostile = "</pre></style><script>alert(1)</script>\" onload='x' \u{1b}[2J<img src=x>";
        let page = render(&sample(hostile));
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{1b}'), "{page}");
        assert!(!page.contains("\" onload"));
        assert_eq!(page.matches("</style>").count(), 1);
        assert_eq!(page.matches("</pre>").count(), 1);
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere() {
        let page = render(&sample("text"));
        for needle in ["http://", "https://", "url(", "@import", "<link", "src="] {
            assert!(!page.contains(needle), "{needle}");
        }
        assert!(page.contains(POLICY));
    }

    #[test]
    fn the_same_report_gives_the_same_bytes() {
        assert_eq!(render(&sample("text")), render(&sample("text")));
    }

    #[test]
    fn rows_fit_their_columns_and_anchors_are_unique() {
        let page = render(&sample("text"));
        assert!(page.contains("<tr><td>text</td><td class=\"r\">1</td></tr>"));
        assert!(page.contains("<tr><td>short</td><td class=\"r\"></td></tr>"));
        assert!(page.contains("id=\"same\"") && page.contains("id=\"same-2\"") && page.contains("href=\"#same-2\""));
    }
}
