//! Files as people have them: each comes in with its right rows, and whatever does not come in says why.
//!
//! A case is a small file, the settings of its `import` stage and what must come of it. `cases/` of the project's data holds
//! the files after which these were made; here are their like in other words.

use crate::binary::{root, run, succeed, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

mod beyond_text;
mod layouts;
mod texts;

/// A file and what must come of it.
pub struct Case {
    /// What kind of case it is; they are counted by kind.
    pub kind: &'static str,
    pub name: &'static str,
    /// The file's name.
    pub file: &'static str,
    pub content: Vec<u8>,
    /// The settings behind `path`, as YAML.
    pub settings: &'static str,
    /// The table that is looked at.
    pub table: &'static str,
    /// What the rows of the table must hold; other columns are not looked at.
    pub rows: Vec<Value>,
    /// What the terminal must say.
    pub says: &'static [&'static str],
}

impl Case {
    pub fn new(kind: &'static str, name: &'static str, content: impl Into<Vec<u8>>, settings: &'static str) -> Self {
        let table = if settings.contains("as: rollouts") {
            "rollouts"
        } else if settings.contains("as: pairs") {
            "pairs"
        } else if settings.contains("as: prompts") {
            "prompts"
        } else {
            "sft"
        };
        let rows = Vec::new();
        Self { kind, name, file: "a.jsonl", content: content.into(), settings, table, rows, says: &[] }
    }

    /// One row of JSON.
    pub fn row(kind: &'static str, name: &'static str, row: &Value, settings: &'static str) -> Self {
        Self::new(kind, name, row.to_string(), settings)
    }

    pub fn content(self, content: impl Into<Vec<u8>>) -> Self {
        Self { content: content.into(), ..self }
    }

    pub fn file(self, file: &'static str) -> Self {
        Self { file, ..self }
    }

    pub fn table(self, table: &'static str) -> Self {
        Self { table, ..self }
    }

    pub fn rows(self, rows: impl Into<Vec<Value>>) -> Self {
        Self { rows: rows.into(), ..self }
    }

    pub fn says(self, says: &'static [&'static str]) -> Self {
        Self { says, ..self }
    }

    /// Runs the import and compares; gives what is wrong.
    fn problem(&self) -> Option<String> {
        let work = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(work.path().join(self.file), &self.content).expect("a file");
        let comma = if self.settings.is_empty() { "" } else { ", " };
        let stage = format!("{{ import: {{ path: {}{comma}{} }} }}", self.file, self.settings);
        std::fs::write(work.path().join("p.yaml"), format!("name: c\nstages:\n  data: {stage}\n")).expect("a pipeline");
        let output = run(work.path(), &["run", "p.yaml"]);
        let err: String = text(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "");
        if let Some(missing) = self.says.iter().find(|said| !err.contains(**said)) {
            return Some(format!("does not say `{missing}`: {err}"));
        }
        if output.status.success() == self.rows.is_empty() {
            return Some(format!("ended with {}: {err}", output.status));
        }
        if self.rows.is_empty() {
            return None;
        }
        let rows = shown(work.path(), self.table);
        if rows.len() != self.rows.len() {
            return Some(format!("{} rows, not {}: {rows:#?}\n{err}", rows.len(), self.rows.len()));
        }
        for (row, wanted) in rows.iter().zip(&self.rows) {
            for (column, value) in wanted.as_object().expect("columns") {
                if row[column] != *value {
                    return Some(format!("`{column}` is {}, not {value}\n{err}", row[column]));
                }
            }
        }
        None
    }
}

fn shown(folder: &Path, table: &str) -> Vec<Value> {
    let (out, _) = succeed(folder, &["show", "runs/c/data", "--table", table, "--json", "--limit", "99"]);
    out.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

/// Runs all cases, prints their number by kind, and names every one that is not as it must be.
fn hold(cases: &[Case]) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut problems = Vec::new();
    for case in cases {
        *counts.entry(case.kind).or_default() += 1;
        problems.extend(case.problem().map(|problem| format!("{} / {}: {problem}", case.kind, case.name)));
    }
    let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let _ = writeln!(std::io::stderr(), "{} files of people: {}", cases.len(), counts.join(", "));
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), cases.len(), problems.join("\n"));
}

#[test]
fn every_layout_is_read() {
    hold(&layouts::cases());
}

#[test]
fn tools_and_pictures_are_carried_through() {
    hold(&beyond_text::cases());
}

#[test]
fn every_form_of_text_is_read() {
    hold(&texts::cases());
}

/// The fixtures of `tables` are what seven writers make of the same three rows.
#[test]
fn every_writers_parquet_and_arrow_is_read() {
    let fixtures = root().join("crates/tables/tests/fixtures");
    let names = [
        "pyarrow-none.parquet",
        "pyarrow-snappy.parquet",
        "pyarrow-gzip.parquet",
        "pyarrow-brotli.parquet",
        "pyarrow-lz4.parquet",
        "pyarrow-zstd.parquet",
        "pyarrow-v2-pages.parquet",
        "pandas.parquet",
        "pandas.feather",
        "polars.parquet",
        "polars.arrow",
        "duckdb.parquet",
        "datasets.parquet",
        "spark.parquet",
        "saved",
    ];
    let work = tempfile::tempdir().expect("a temporary folder");
    for name in names {
        let path = fixtures.join(name);
        let stage = format!("{{ import: {{ path: {}, as: prompts }} }}", path.display());
        std::fs::write(work.path().join("p.yaml"), format!("name: c\nstages:\n  data: {stage}\n")).expect("a pipeline");
        let (_, err) = succeed(work.path(), &["run", "p.yaml", "--allow-path"]);
        assert!(err.contains("2 prompts, 1 dropped (1 no_prompt)"), "{name}: {err}");
        assert!(err.contains("`ok`, `score`, `teacher`"), "{name}: the columns that were not used: {err}");
        let rows = shown(work.path(), "prompts");
        assert_eq!(
            (&rows[0]["messages"][0]["content"], &rows[0]["reference_answer"]),
            (&json!("What is 1+1?"), &json!("2")),
            "{name}"
        );
        assert_eq!(
            (&rows[1]["messages"][0]["content"], &rows[1]["reference_answer"]),
            (&json!("Line\nbreak 数学"), &Value::Null),
            "{name}"
        );
    }
    for (name, reason) in [
        ("damaged.parquet", "damaged.parquet"),
        ("cut-short.parquet", "cut-short.parquet"),
        ("empty.parquet", "the file is empty"),
        ("pointer.parquet", "git lfs pull"),
        ("splits", "name one"),
    ] {
        let path = fixtures.join(name);
        let stage = format!("{{ import: {{ path: {}, as: prompts }} }}", path.display());
        std::fs::write(work.path().join("p.yaml"), format!("name: c\nstages:\n  data: {stage}\n")).expect("a pipeline");
        let output = run(work.path(), &["run", "p.yaml", "--allow-path"]);
        assert!(!output.status.success(), "{name}");
        let err = text(&output.stderr);
        assert!(err.contains(reason), "{name}: {err}");
        assert!(!err.contains("dropped"), "a file that cannot be read is no dropped row: {err}");
    }
}

/// Runs `stages`, exports each stage of `forms` in its format as JSON lines and Parquet, reads those again (`p` as pairs, others
/// as examples) and exports them once more: the same bytes.
fn round_trip(folder: &Path, stages: &str, forms: &[(&str, &str)]) {
    let files = || forms.iter().flat_map(|form| ["jsonl", "parquet"].map(|file| (form.0, form.1, file)));
    let (mut first, mut second) = (format!("name: one\nstages:\n{stages}"), String::from("name: two\nstages:\n"));
    for (of, format, file) in files() {
        let (name, becomes) = (format!("{of}-{format}-{file}"), if of == "p" { "pairs" } else { "sft" });
        let _ = writeln!(first, "  {name}: {{ export: {{ data: {of}, format: {format}, file: {file} }} }}");
        let _ = writeln!(
            second,
            "  in-{name}: {{ import: {{ path: runs/one/{name}/train.{file}, as: {becomes} }} }}\n  {name}: {{ export: {{ data: in-{name}, format: {format}, file: {file} }} }}"
        );
    }
    for (name, pipeline) in [("p.yaml", first), ("q.yaml", second)] {
        std::fs::write(folder.join(name), pipeline).expect("a pipeline");
        succeed(folder, &["run", name]);
    }
    for (of, format, file) in files() {
        let path = |run: &str| folder.join(format!("runs/{run}/{of}-{format}-{file}/train.{file}"));
        let read = |run: &str| std::fs::read(path(run)).expect("rows");
        assert!(read("one") == read("two"), "{of} as {format} in {file} came back otherwise");
    }
}

/// Exported rows come in again and leave as the same bytes.
#[test]
fn exports_come_back_and_leave_the_same() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let rollouts = json!({"prompt": "6*7?", "answer": "42", "samples": [
        {"text": "<think>\nsix sevens\n</think>\n\n\\boxed{42}", "tokens": 9},
        {"text": "<think>\nsix sevens, which is many\n</think>\n\n\\boxed{42}", "tokens": 30},
        {"text": "<think>a</think>first<think>b</think>\\boxed{41}", "tokens": 31}]});
    std::fs::write(work.path().join("r.jsonl"), rollouts.to_string()).expect("rollouts");
    let stages = "  data: { import: { path: r.jsonl, as: rollouts } }\n  v: { verify: { rollouts: data, verifiers: [math] } }\n  s: { select: { verdicts: v, rule: all-correct } }\n  p: { pair: { verdicts: v } }\n";
    let forms = [("s", "trl"), ("s", "messages"), ("s", "sharegpt"), ("p", "trl"), ("p", "sharegpt")];
    round_trip(work.path(), stages, &forms);
    let pairs = std::fs::read_to_string(work.path().join("runs/one/p-trl-jsonl/train.jsonl")).expect("pairs");
    assert!(
        pairs.contains("<think>a</think>first<think>b</think>"),
        "nothing between two think blocks is lost: {pairs}"
    );
}

/// Rollouts that `show --json` writes out with their prompts come in again as the same rows.
#[test]
fn shown_rollouts_come_back_and_are_shown_the_same() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let row = |prompt: &str, said: &str, model: &str, tokens: u32, finish: &str| json!({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": prompt}], "answer": "42", "completion": said, "model": model, "tokens": tokens, "finish_reason": finish});
    let rows = [
        row("6*7?", "<think>\nsix sevens\n</think>\n\n\\boxed{42}", "a", 9, "stop"),
        row("2*21?", "<think>cut", "a", 7, "length"),
        row("6*7?", "a</think>\u{6570} \"q\"\n", "b", 5, "stop"),
        row("6*7?", "<think>a</think>first<think>b</think>\\boxed{41}", "a", 31, "stop"),
    ];
    let lines: String = rows.iter().map(|row| row.to_string() + "\n").collect();
    std::fs::write(work.path().join("a.jsonl"), lines).expect("rollouts");
    let shown = |file: &str| {
        let stage = format!("{{ import: {{ path: {file}, as: rollouts }} }}");
        std::fs::write(work.path().join("p.yaml"), format!("name: c\nstages:\n  data: {stage}\n")).expect("a pipeline");
        succeed(work.path(), &["run", "p.yaml"]);
        succeed(work.path(), &["show", "runs/c/data", "--table", "rollouts", "--json", "--join", "--limit", "99"]).0
    };
    let first = shown("a.jsonl");
    assert_eq!(first.lines().count(), 4, "{first}");
    std::fs::write(work.path().join("b.jsonl"), &first).expect("rollouts");
    assert_eq!(shown("b.jsonl"), first);
}

/// Where only the reasoning tells two sides apart, no pair is left without it.
#[test]
fn identical_sides_never_leave_an_export() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let row = |chosen: &str, rejected: &str| json!({"prompt": "q", "chosen": chosen, "rejected": rejected}).to_string();
    let rows = [row("<think>\na\n</think>\n\n4", "<think>\nb b\n</think>\n\n4"), row("<think>\na\n</think>\n\n4", "5")];
    std::fs::write(work.path().join("a.jsonl"), rows.join("\n")).expect("pairs");
    std::fs::write(
        work.path().join("p.yaml"),
        "name: c\nstages:\n  data: { import: { path: a.jsonl, as: pairs } }\n  out: { export: { data: data, reasoning: drop } }\n",
    )
    .expect("a pipeline");
    let (_, err) = succeed(work.path(), &["run", "p.yaml"]);
    assert!(err.contains("1 dropped (1 identical_sides)"), "{err}");
    let rows = std::fs::read_to_string(work.path().join("runs/c/out/train.jsonl")).expect("rows");
    assert_eq!(rows.lines().count(), 1);
    let first = std::fs::read_to_string(work.path().join("a.jsonl")).expect("pairs");
    std::fs::write(work.path().join("a.jsonl"), first.lines().next().expect("a row")).expect("pairs");
    let output = run(work.path(), &["run", "p.yaml"]);
    assert!(!output.status.success() && text(&output.stderr).contains("identical_sides"), "{}", text(&output.stderr));
}

/// README, "Rollouts that exist already": rows without token counts are told at once, with the way out.
#[test]
fn own_rollouts_without_counts_run_as_the_readme_says() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let row = |said: &str| json!({"prompt": "8/2?", "answer": "4", "text": said}).to_string();
    let rows = [
        row("<think>halves</think>\\boxed{4}"),
        row("\\boxed{4}"),
        row("<think>eight, so half of it</think>\\boxed{5}"),
    ];
    std::fs::write(work.path().join("mine.jsonl"), rows.join("\n")).expect("rollouts");
    let path = format!("rollouts.path={}", work.path().join("mine.jsonl").display());
    let out = work.path().to_string_lossy().into_owned();
    let mut arguments = vec!["run", "pipelines/long2short/from-rollouts.yaml", "--out", &out, "--allow-path"];
    arguments.extend(["--set", &path, "--set", "rollouts.columns.completion=text"]);
    let output = run(&root(), &arguments);
    let err = text(&output.stderr);
    assert!(!output.status.success() && err.contains("`max_tokens: 32768` cannot be applied"), "{err}");
    arguments.extend(["--set", "tokenizer=pipelines/quickstart/student", "--set", "rollouts.max_tokens=null"]);
    succeed(&root(), &arguments);
    let rows = std::fs::read_to_string(work.path().join("runs/from-rollouts/sft/train.jsonl")).expect("rows");
    let row: Value = serde_json::from_str(rows.trim()).expect("one row");
    assert_eq!(row["completion"][0]["content"], "\\boxed{4}", "the shortest correct one");
}

/// A list of reference answers holds alternatives.
#[test]
fn any_of_several_reference_answers_is_right() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let row = |said: &str| json!({"prompt": format!("half? {said}"), "answer": ["0.5", "\\frac{2}{4}", "half"], "completion": format!("\\boxed{{{said}}}")});
    let rows = ["0.5", "\\frac{1}{2}", "7"].map(|said| row(said).to_string());
    std::fs::write(work.path().join("a.jsonl"), rows.join("\n")).expect("rollouts");
    std::fs::write(
        work.path().join("p.yaml"),
        "name: c\nstages:\n  in: { import: { path: a.jsonl, as: rollouts } }\n  data: { verify: { rollouts: in, verifiers: [math] } }\n",
    )
    .expect("a pipeline");
    let (_, err) = succeed(work.path(), &["run", "p.yaml"]);
    assert!(err.contains("3 rows have several reference answers"), "{err}");
    let verdicts: Vec<Value> = shown(work.path(), "verdicts").iter().map(|row| row["verdict"].clone()).collect();
    assert_eq!(verdicts, ["correct", "correct", "incorrect"]);
}
