//! R1's filters from the shipped pipeline: every drop has a reason and a measure, and the report shows them.

use crate::binary::{root, succeed, test_data};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

const FILE: &str = "pipelines/distill/filter-report.yaml";

/// Rows kept and dropped by reason, as the filter's record says.
fn filtered(out: &Path, more: &[&str]) -> (u64, BTreeMap<String, u64>) {
    let out_text = out.to_string_lossy().into_owned();
    succeed(&root(), &[&["run", FILE, "--out", &out_text], more].concat());
    let manifest = std::fs::read(out.join("runs/filter-report/kept/manifest.json")).expect("a manifest");
    let facts = serde_json::from_slice::<Value>(&manifest).expect("JSON")["facts"].clone();
    let dropped = serde_json::from_value(facts["dropped"].clone()).expect("counts");
    (facts["kept"].as_u64().expect("a count"), dropped)
}

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
}

#[test]
fn the_pilot_set_loses_nine_rows_for_stated_reasons() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let (kept, dropped) = filtered(out.path(), &[]);
    assert_eq!((kept, dropped), (61, counts(&[("long_paragraph", 8), ("truncated", 1)])));
    let folder = out.path().join("runs/filter-report/kept").to_string_lossy().into_owned();
    let (rows, _) = succeed(&root(), &["show", &folder, "--table", "dropped", "--json"]);
    assert_eq!(rows.lines().count(), 9);
    for row in rows.lines() {
        let row: Value = serde_json::from_str(row).expect("a row");
        assert!(row["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "a drop without its measure: {row}");
    }
    let html = std::fs::read_to_string(out.path().join("runs/filter-report/report/report.html")).expect("a report");
    for word in ["Dropped: kept", "long_paragraph", "8 of 8 rows to read", "words, at most 300", "fail it at all"] {
        assert!(html.contains(word), "the report lacks `{word}`");
    }
}

#[test]
fn thresholds_can_be_set() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let more = ["--set", "kept.keep.r1={max_paragraph_words: 700, drop_truncated: false, repetition: null}"];
    let (_, dropped) = filtered(out.path(), &more);
    assert_eq!(dropped, counts(&[("long_paragraph", 2)]));
}

#[test]
fn trick_puzzles_are_filtered_as_read() {
    let Some(data) = test_data("trick_puzzles_are_filtered_as_read") else { return };
    let out = tempfile::tempdir().expect("a temporary folder");
    let path = data.join("rollouts/misguided_attention_open_weights_3x.jsonl");
    let (path, tokenizer) = (format!("rollouts.path={}", path.display()), data.join("tokenizers/smollm2"));
    let tokenizer = format!("tokenizer={}", tokenizer.display());
    // The file has no token counts, so the limit of the pipeline cannot be applied.
    let no_limit = ["--set", "rollouts.max_tokens=null"];
    let arguments = [&["--set", &path, "--set", &tokenizer, "--allow-path"], &no_limit[..]].concat();
    let (kept, dropped) = filtered(out.path(), &arguments);
    // 27 texts open their reasoning and never close it; 67 rows have reasoning in a column of its own and nothing after it.
    let expected = counts(&[("long_paragraph", 166), ("missing_think_close", 27 + 67), ("repetition", 1)]);
    assert_eq!((kept, dropped), (1614, expected));
}
