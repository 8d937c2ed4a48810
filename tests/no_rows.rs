//! Pipelines of which nothing is left.

use crate::binary::{run, succeed, text};
use serde_json::json;

/// No rows at the end are said and are exit code 1, whether a stage fails for it or the last one is left without.
#[test]
fn a_pipeline_that_ends_with_no_rows_says_so() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let row = |said: &str| json!({"prompt": "1+1?", "answer": "2", "completion": said, "tokens": 1}).to_string();
    std::fs::write(work.path().join("a.jsonl"), [row("3"), row("4"), row("5"), row("6")].join("\n")).expect("rollouts");
    std::fs::write(work.path().join("none.jsonl"), "{}\n[]\nx\n{}\n").expect("a file");
    let import = "  in: { import: { path: a.jsonl, as: rollouts } }\n  v: { verify: { rollouts: in, verifiers: [math] } }\n  s: { select: { verdicts: v, rule: all-correct } }\n";
    for (stages, says) in [
        (
            "  in: { import: { path: none.jsonl, as: rollouts } }\n".to_owned(),
            &[
                "none of 4 rows could be read, 4 dropped (2 no_prompt, 1 not_json, 1 not_object), first row `none.jsonl:1`: no_prompt",
                "`none.jsonl:2`",
                "`none.jsonl:3`",
            ][..],
        ),
        (import.to_owned(), &["`s` ends with no rows", "--table dropped", "no row is left, 4 dropped"][..]),
        (
            format!("{import}  out: {{ export: {{ data: s }} }}\n  r: {{ report: {{ of: [s, out] }} }}\n"),
            &["`out` ends with no rows", "there are no rows to export"][..],
        ),
    ] {
        std::fs::write(work.path().join("p.yaml"), format!("name: c\nstages:\n{stages}")).expect("a pipeline");
        let output = run(work.path(), &["run", "p.yaml"]);
        let err: String = text(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(1), "{err}");
        for said in says {
            assert!(err.contains(said), "`{said}` is missing: {err}");
        }
    }
    // It stays so when everything is fresh, and the dropped rows can be looked at.
    assert_eq!(run(work.path(), &["run", "p.yaml"]).status.code(), Some(1));
    let (rows, _) = succeed(work.path(), &["show", "runs/c/s", "--table", "dropped", "--json"]);
    assert_eq!(rows.lines().count(), 4, "{rows}");
}
