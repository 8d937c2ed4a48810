//! Writes a report as one HTML file.

use std::{collections::BTreeSet, fmt::Write};

use super::{
    document::{Align, Block, Report, Section, Table},
    escape::{anchor, escape, prose},
};

/// Forbids everything that the page does not need: it needs its own styles and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The report as one HTML page: no script, no network, light or dark as the reader's system prefers.
pub fn render(report: &Report) -> String {
    let mut page = Page(String::with_capacity(64 << 10));
    let anchors = unique_anchors(&report.sections);
    let title = escape(&report.title);
    page.add(&format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n",
        include_str!("page.css")
    ));
    if !report.subtitle.is_empty() {
        page.add(&format!("<p class=\"subtitle\">{}</p>\n", prose(&report.subtitle)));
    }
    page.add("</header>\n");
    if report.sections.len() > 1 {
        page.add("<nav aria-label=\"Contents\">\n<ol>\n");
        for (section, anchor) in report.sections.iter().zip(&anchors) {
            page.add(&format!("<li><a href=\"#{anchor}\">{}</a></li>\n", prose(&section.title)));
        }
        page.add("</ol>\n</nav>\n");
    }
    page.add("<main>\n");
    for (section, anchor) in report.sections.iter().zip(&anchors) {
        page.add(&format!("<section id=\"{anchor}\">\n<h2>{}</h2>\n", prose(&section.title)));
        page.blocks(&section.blocks);
        page.add("</section>\n");
    }
    page.add("</main>\n</body>\n</html>\n");
    page.0
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

struct Page(String);

impl Page {
    fn add(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn blocks(&mut self, blocks: &[Block]) {
        for block in blocks {
            self.block(block);
        }
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Paragraph(text) => self.add(&format!("<p>{}</p>\n", prose(text))),
            Block::Table(table) => self.table(table),
            Block::Figure(figure) => {
                self.add(&format!(
                    "<figure>\n<div class=\"plot\" role=\"img\" aria-label=\"{}\">{}</div>\n",
                    escape(&figure.alt),
                    figure.svg.as_str()
                ));
                self.add(&format!("<figcaption>{}</figcaption>\n</figure>\n", prose(&figure.caption)));
            }
            Block::Details { summary, blocks } => {
                self.add(&format!("<details>\n<summary>{}</summary>\n<div class=\"folded\">\n", prose(summary)));
                self.blocks(blocks);
                self.add("</div>\n</details>\n");
            }
            // A line break right after `<pre>` is not part of the text; one is written so that the text's own is.
            Block::Text(text) => self.add(&format!("<pre>\n{}</pre>\n", escape(text))),
            Block::KeyValues(entries) => {
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
    use super::super::{document::Column, plot};
    use super::*;

    fn sample(text: &str) -> Report {
        let mut table = Table::new(text, [Column::left(text), Column::right("n")]);
        table.rows = vec![vec![text.into(), "1".into(), "beyond".into()], vec!["short".into()]];
        let svg = plot::waterfall(&plot::Waterfall {
            unit: text.into(),
            start: (text.into(), 10),
            drops: vec![(text.into(), 3)],
            end: text.into(),
        });
        Report {
            title: text.into(),
            subtitle: text.into(),
            sections: vec![
                Section {
                    title: text.into(),
                    anchor: "same".into(),
                    blocks: vec![
                        Block::Paragraph(text.into()),
                        Block::Table(table),
                        Block::Figure(super::super::Figure { svg, caption: text.into(), alt: text.into() }),
                        Block::Details { summary: text.into(), blocks: vec![Block::Text(text.into())] },
                        Block::KeyValues(vec![(text.into(), text.into())]),
                    ],
                },
                Section { title: "second".into(), anchor: "same".into(), blocks: Vec::new() },
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
