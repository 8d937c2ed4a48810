//! Mixing a corpus: what a quota cannot take is said.

use crate::binary::succeed;
use serde_json::json;

const PIPELINE: &str = "
name: mix
seed: 1
stages:
  given: { import: { path: rows.jsonl, as: sft } }
  corpus: { compose: { data: [given], quota: { max_per_prompt: 1, take: { math: 4, code: 1, stem: 3 } } } }
";

#[test]
fn a_quota_that_cannot_be_filled_is_a_warning() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let row = |domain: &str, prompt: usize, answer: usize| {
        let asked = json!({"role": "user", "content": format!("{domain} {prompt}?")});
        json!({"messages": [asked, {"role": "assistant", "content": answer.to_string()}], "domain": domain}).to_string()
    };
    // Three prompts of mathematics with two answers each, two of programming with one each, none of science.
    let math = (0..6).map(|answer| row("math", answer / 2, answer));
    let rows: Vec<String> = math.chain((0..2).map(|prompt| row("code", prompt, 0))).collect();
    std::fs::write(folder.path().join("rows.jsonl"), rows.join("\n")).expect("rows");
    std::fs::write(folder.path().join("mix.yaml"), PIPELINE).expect("a pipeline");
    let (_, told) = succeed(folder.path(), &["run", "mix.yaml"]);
    let warnings: Vec<&str> =
        told.lines().filter_map(|line| line.split_once("warning: ").map(|(_, said)| said)).collect();
    assert_eq!(
        warnings,
        [
            "corpus: `quota.take.math` cannot be filled: 4 examples wanted, 3 found of 6 under `max_per_prompt`",
            "corpus: `quota.take.stem` cannot be filled: 3 examples wanted, 0 found",
        ],
        "{told}"
    );
}
