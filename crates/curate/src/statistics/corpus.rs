//! A corpus in the form of the table in which DeepSeek-R1 described its own (arXiv 2501.12948v2, Table 5).

use std::collections::BTreeMap;

use retort_records::SftExample;

/// Samples, rounds and tokens by domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CorpusTable {
    domains: BTreeMap<String, Totals>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Totals {
    samples: u64,
    rounds: u64,
    counted: u64,
    tokens: u64,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.rounds += other.rounds;
        self.counted += other.counted;
        self.tokens += other.tokens;
    }
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct CorpusRow {
    /// Name of the domain as shown, or `Total`.
    pub domain: String,
    /// Examples.
    pub num_samples: u64,
    /// Mean number of user turns in an example.
    pub avg_rounds: f64,
    /// Mean tokens of the trained completion, over the examples whose length is known; `None` when it is of none.
    pub avg_tokens: Option<f64>,
}

impl CorpusTable {
    /// Counts one example: `rounds` user turns, `tokens` of the completion where known.
    pub fn add(&mut self, domain: &str, rounds: u32, tokens: Option<u32>) {
        let one = Totals {
            samples: 1,
            rounds: u64::from(rounds),
            counted: u64::from(tokens.is_some()),
            tokens: u64::from(tokens.unwrap_or(0)),
        };
        self.domains.entry(domain.to_owned()).or_default().add(&one);
    }

    /// Counts one training example; its rounds are its user messages.
    pub fn add_example(&mut self, example: &SftExample) {
        let rounds = example.messages.iter().filter(|message| message.role == "user").count();
        self.add(&example.domain, rounds as u32, example.completion_tokens);
    }

    /// The rows: R1's domains in R1's order, then others by name, then `Total`.
    pub fn rows(&self) -> Vec<CorpusRow> {
        let place = |domain: &str| SHOWN.iter().position(|&(name, _)| name == domain).unwrap_or(SHOWN.len());
        let mut domains: Vec<(&String, &Totals)> = self.domains.iter().collect();
        domains.sort_by_key(|&(domain, _)| (place(domain), domain.clone()));
        let mut total = Totals::default();
        let mut rows = Vec::new();
        for (domain, totals) in domains {
            total.add(totals);
            let shown = SHOWN.get(place(domain)).map_or(domain.as_str(), |&(_, shown)| shown);
            rows.push(row(shown, totals));
        }
        rows.push(row("Total", &total));
        rows
    }

    /// The table as text, with the paper's columns and roundings.
    pub fn to_text(&self) -> String {
        let mut lines = vec![["Domain", "Num Samples", "Avg Rounds", "Avg Tokens"].map(String::from).to_vec()];
        for row in self.rows() {
            let tokens = row.avg_tokens.map_or_else(|| String::from("unknown"), |mean| format!("{mean:.1}"));
            lines.push(vec![row.domain, row.num_samples.to_string(), format!("{:.1}", row.avg_rounds), tokens]);
        }
        layout(&lines)
    }
}

/// R1's domains, as they stand in our tables and as the paper prints them.
const SHOWN: [(&str, &str); 5] =
    [("math", "Math"), ("code", "Code"), ("stem", "STEM"), ("logic", "Logic"), ("general", "General")];

fn row(domain: &str, totals: &Totals) -> CorpusRow {
    CorpusRow {
        domain: domain.to_owned(),
        num_samples: totals.samples,
        avg_rounds: if totals.samples == 0 { 0.0 } else { totals.rounds as f64 / totals.samples as f64 },
        avg_tokens: (totals.counted > 0).then(|| totals.tokens as f64 / totals.counted as f64),
    }
}

/// Lays out rows of cells as text: columns padded to their widest cell and joined by ` | `, a rule under the first row.
/// The first column is set to the left, the others to the right.
fn layout(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            let padding = " ".repeat(width - cell.chars().count());
            if column == 0 { format!("{cell}{padding}") } else { format!("{padding}{cell}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join(" | ").trim_end());
        text.push('\n');
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
            text.push_str(&rule.join("-|-"));
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the paper, from sums that its rounded means allow.
    #[test]
    fn the_paper_s_table_comes_out_as_printed() {
        let mut table = CorpusTable::default();
        for (domain, samples, rounds, mean) in [
            ("general", 177_812, 1.1, 1419.8),
            ("math", 395_285, 1.0, 6094.2),
            ("stem", 10_124, 1.0, 4928.8),
            ("code", 211_129, 1.1, 7435.7),
            ("logic", 10_395, 1.0, 2739.0),
        ] {
            let rows = f64::from(samples);
            let totals = Totals {
                samples: samples as u64,
                rounds: (rows * rounds) as u64,
                counted: samples as u64,
                tokens: (rows * mean) as u64,
            };
            table.domains.insert(domain.into(), totals);
        }
        assert_eq!(
            table.to_text(),
            "Domain  | Num Samples | Avg Rounds | Avg Tokens\n\
             --------|-------------|------------|-----------\n\
             Math    |      395285 |        1.0 |     6094.2\n\
             Code    |      211129 |        1.1 |     7435.7\n\
             STEM    |       10124 |        1.0 |     4928.8\n\
             Logic   |       10395 |        1.0 |     2739.0\n\
             General |      177812 |        1.1 |     1419.8\n\
             Total   |      804745 |        1.0 |     5355.3\n"
        );
    }

    #[test]
    fn rows_are_counted() {
        let mut table = CorpusTable::default();
        table.add("poetry", 1, None);
        table.add("math", 1, Some(10));
        table.add("math", 2, Some(21));
        let rows = table.rows();
        assert_eq!(rows.iter().map(|row| row.domain.as_str()).collect::<Vec<_>>(), ["Math", "poetry", "Total"]);
        assert_eq!((rows[0].num_samples, rows[0].avg_rounds, rows[0].avg_tokens), (2, 1.5, Some(15.5)));
        assert_eq!((rows[1].num_samples, rows[1].avg_tokens), (1, None));
        assert_eq!(rows[2].avg_tokens, Some(15.5), "over the rows whose length is known");
    }
}
