//! Each verifier's own text, kept beside its code.

use crate::settings::NAMES;

/// The names of all verifiers.
pub fn names() -> &'static [&'static str] {
    NAMES
}

/// The text of the verifier called `name` in Markdown, with the headings What it does, Why, Example, Limits and
/// References; `None` when there is no such verifier.
pub fn explain(name: &str) -> Option<&'static str> {
    Some(match name {
        "math" => include_str!("math.md"),
        "exact" => include_str!("exact.md"),
        "normalized" => include_str!("normalized.md"),
        "regex" => include_str!("regex.md"),
        "number" => include_str!("number.md"),
        "answer-pattern" => include_str!("answer_pattern.md"),
        "choice" => include_str!("choice.md"),
        "format" => include_str!("format.md"),
        "code" => include_str!("code/code.md"),
        "json" => include_str!("json.md"),
        "language" => include_str!("language.md"),
        "repetition" => include_str!("repetition.md"),
        "length" => include_str!("length.md"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verifier_explains_itself_under_the_same_headings() {
        for name in names() {
            let text = explain(name).unwrap_or_else(|| panic!("{name} has no text"));
            for heading in ["What it does", "Why", "Example", "Limits", "References"] {
                assert!(text.contains(&format!("## {heading}\n")), "{name} has no heading {heading}");
            }
        }
        assert_eq!(explain("unknown"), None);
    }
}
