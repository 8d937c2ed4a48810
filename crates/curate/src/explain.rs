//! The text of each rule and filter, under the same headings as those of verifiers and stages.

const NAMES: &[&str] = &[
    "shortest-correct",
    "first-correct",
    "random-correct",
    "all-correct",
    "kimi-pairs",
    "conditions",
    "quota",
    "r1",
    "r1-truncated",
    "r1-missing-think-close",
    "r1-no-reasoning",
    "r1-mixed-language",
    "r1-long-paragraph",
    "r1-code-block",
    "r1-repetition",
    "r1-refusal",
    "r1-leaked-answer",
    "measures",
];

/// The names that [`explain`] knows: selection rules, the pair rule, filters, the mixture, the measures.
pub fn names() -> &'static [&'static str] {
    NAMES
}

/// The text of the rule or filter called `name` in Markdown, with the headings What it does, Why, Example, Limits and
/// References; `None` when there is none. R1's filters also answer to their drop reason (`mixed_language`), which is what
/// a reader of a dropped row has at hand.
pub fn explain(name: &str) -> Option<&'static str> {
    let name = name.replace('_', "-");
    text(&name).or_else(|| text(&format!("r1-{name}")))
}

fn text(name: &str) -> Option<&'static str> {
    Some(match name {
        "shortest-correct" => include_str!("explain/shortest-correct.md"),
        "first-correct" => include_str!("explain/first-correct.md"),
        "random-correct" => include_str!("explain/random-correct.md"),
        "all-correct" => include_str!("explain/all-correct.md"),
        "kimi-pairs" => include_str!("explain/kimi-pairs.md"),
        "conditions" => include_str!("explain/conditions.md"),
        "quota" => include_str!("explain/quota.md"),
        "r1" => include_str!("explain/r1.md"),
        "r1-truncated" => include_str!("explain/r1-truncated.md"),
        "r1-missing-think-close" => include_str!("explain/r1-missing-think-close.md"),
        "r1-no-reasoning" => include_str!("explain/r1-no-reasoning.md"),
        "r1-mixed-language" => include_str!("explain/r1-mixed-language.md"),
        "r1-long-paragraph" => include_str!("explain/r1-long-paragraph.md"),
        "r1-code-block" => include_str!("explain/r1-code-block.md"),
        "r1-repetition" => include_str!("explain/r1-repetition.md"),
        "r1-refusal" => include_str!("explain/r1-refusal.md"),
        "r1-leaked-answer" => include_str!("explain/r1-leaked-answer.md"),
        "measures" => include_str!("explain/measures.md"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_text_under_the_same_headings() {
        for name in names() {
            let text = explain(name).unwrap_or_else(|| panic!("{name} has no text"));
            let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
            assert_eq!(headings, ["## What it does", "## Why", "## Example", "## Limits", "## References"], "{name}");
        }
        assert_eq!(explain("unknown"), None);
    }

    #[test]
    fn rules_and_drop_reasons_have_texts() {
        for rule in crate::SelectRule::ALL {
            assert!(names().contains(&rule.name()));
        }
        for reason in [
            "truncated",
            "missing_think_close",
            "no_reasoning",
            "mixed_language",
            "long_paragraph",
            "code_block",
            "repetition",
            "refusal",
            "leaked_answer",
        ] {
            assert!(explain(reason).is_some(), "{reason}");
        }
    }
}
