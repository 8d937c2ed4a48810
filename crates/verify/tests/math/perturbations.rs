//! Reference answers with one thing changed are never correct.

use retort_records::Verdict;

use super::{judge, rows, text};

/// The part of a reference answer to change: the content of its last box, or all of it when it is short.
fn part(reference: &str) -> std::ops::Range<usize> {
    match reference.rfind("\\boxed{") {
        Some(at) => at + "\\boxed{".len()..reference.len(),
        None => 0..reference.len(),
    }
}

/// Whether the number that contains the byte at `at` is zero as a whole.
fn is_zero(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    let number = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let start = bytes[..at].iter().rposition(|byte| !number(byte)).map_or(0, |before| before + 1);
    let end = bytes[at..].iter().position(|byte| !number(byte)).map_or(bytes.len(), |after| at + after);
    bytes[start..end].iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// A bracketed pair of a text: where it opens, the places of its commas, where it closes.
fn first_pair(text: &str, from: usize) -> Option<(usize, Vec<usize>, usize)> {
    let bytes = text.as_bytes();
    let open = (from..bytes.len()).find(|at| matches!(bytes[*at], b'(' | b'['))?;
    let (mut depth, mut commas) = (0, Vec::new());
    #[allow(clippy::needless_range_loop, reason = "the place is what is looked for")]
    for at in open..bytes.len() {
        match bytes[at] {
            b'(' | b'[' | b'{' => depth += 1,
            b',' if depth == 1 => commas.push(at),
            b')' | b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return if commas.is_empty() { first_pair(text, at) } else { Some((open, commas, at)) };
                }
            }
            _ => {}
        }
    }
    None
}

/// At least ten changes of an answer, where it has so much to change, that cannot keep its value.
fn perturbed(reference: &str) -> Vec<(&'static str, String)> {
    let mut changes = Vec::new();
    let part = part(reference);
    let bytes = reference.as_bytes();
    let replaced = |at: usize, with: &str| format!("{}{with}{}", &reference[..at], &reference[at + 1..]);
    let digits: Vec<usize> = part.clone().filter(|at| bytes[*at].is_ascii_digit()).collect();
    for (count, at) in digits.iter().enumerate() {
        if count >= 4 && count + 4 < digits.len() {
            continue;
        }
        let digit = bytes[*at] - b'0';
        for step in [1, 5] {
            changes.push(("digit", replaced(*at, &((digit + step) % 10).to_string())));
        }
    }
    if let Some(first) = digits.first() {
        // The sign of a number, unless it is zero or stands after another sign, a script or another digit.
        let before = reference[part.start..*first].trim_end().chars().last();
        let free = before.is_none_or(|c| matches!(c, '(' | '[' | '=' | '$' | '{' | ',' | '<' | '>'));
        let scripted = reference[part.start..*first].trim_end_matches('{').ends_with(['^', '_'])
            || reference.contains("\\begin{array");
        let signs = reference.contains("\\pm") || reference.contains("\\cos") || reference.contains("^2 =");
        if free && !scripted && !signs && !is_zero(reference, *first) {
            changes.push(("sign", format!("{}-{}", &reference[..*first], &reference[*first..])));
        }
    }
    for at in part.clone() {
        let operator = match bytes[at] {
            b'+' => "-",
            b'-' if at > 0 && !bytes[at - 1].is_ascii_alphabetic() => "+",
            _ => continue,
        };
        let zero = reference[at + 1..].trim_start().starts_with('0');
        if !zero && !reference[at..].starts_with("+\\infty") && !reference.contains("\\pm") {
            changes.push(("operator", replaced(at, operator)));
        }
    }
    if let Some((open, commas, close)) = first_pair(reference, part.start) {
        let comma = commas[0];
        let end = commas.get(1).copied().unwrap_or(close);
        let (first, second) = (&reference[open + 1..comma], &reference[comma + 1..end]);
        let bare = |part: &str| part.replace("\\right", "").trim().to_owned();
        if bare(first) != bare(second) && bytes[open] == b'(' && bytes[close] == b')' && !reference.contains("\\{") {
            changes.push(("swapped", format!("{}{second},{first}{}", &reference[..=open], &reference[end..])));
        }
        changes.push(("dropped", format!("{}{}", &reference[..comma], &reference[end..])));
        let (other_open, other_close) =
            (if bytes[open] == b'(' { "[" } else { "(" }, if bytes[close] == b')' { "]" } else { ")" });
        changes.push(("bracket", replaced(open, other_open)));
        changes.push(("bracket", replaced(close, other_close)));
        let both = replaced(open, other_open);
        changes.push(("bracket", format!("{}{other_close}{}", &both[..close], &both[close + 1..])));
    }
    if reference[part.clone()].contains("\\{") {
        changes.push(("bracket", reference.replace("\\{", "(").replace("\\}", ")")));
    }
    changes.retain(|(_, changed)| changed != reference);
    changes
}

fn check(references: &[String]) {
    let (mut count, mut wrong) = (0, Vec::new());
    for reference in references {
        for (kind, changed) in perturbed(reference) {
            for (prediction, reference) in [(&changed, reference), (reference, &changed)] {
                count += 1;
                let outcome = judge(prediction, reference);
                if outcome.verdict == Verdict::Correct {
                    wrong.push(format!("{kind}: {prediction:?} against {reference:?} by {}", outcome.method));
                }
            }
        }
    }
    println!("{count} perturbations of {} reference answers, {} called correct", references.len(), wrong.len());
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Reference answers whose changed part says nothing about their value.
fn irrelevant(reference: &str) -> bool {
    // A whole solution without a box: the change may fall anywhere. `\zzz` is a chain of equal sides, `W(n)` a label.
    reference.len() > 300 && !reference.contains("\\boxed") || reference.contains("\\boxed{1}\\boxed{2}")
}

fn distinct(rows: &[serde_json::Value], key: &str) -> Vec<String> {
    let mut references: Vec<String> =
        rows.iter().map(|row| text(row, key).to_owned()).filter(|text| !irrelevant(text)).collect();
    references.sort();
    references.dedup();
    references
}

#[test]
fn of_the_banks() {
    let Some(first) = rows("verifiers/math_verify_cases.jsonl") else { return };
    let Some(second) = rows("verifiers/real_pairs.jsonl") else { return };
    check(&distinct(&first, "gold"));
    check(&distinct(&second, "gold"));
}

#[test]
fn of_competition_answers() {
    let Some(rows) = rows("datasets/math_test_5000.jsonl") else { return };
    check(&distinct(&rows, "answer"));
}
