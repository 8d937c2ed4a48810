//! Real rollouts with known labels.

use retort_records::Verdict;
use retort_verify::Case;

use super::{MATH, rows, text, verifier};

#[test]
fn gsm8k_labels_are_reproduced() {
    let Some(rows) = rows("datasets/gsm8k_test_4model_solutions.jsonl") else { return };
    let verifier = verifier(r#"{"answer-pattern": {"prefix": "A:"}}"#);
    let mut count = 0;
    for row in &rows {
        for sample in row["samples"].as_array().expect("every prompt has samples") {
            let outcome = verifier.verify(&Case::of(text(sample, "text"), text(row, "answer")));
            let labelled = sample["is_correct"].as_bool().expect("every sample is labelled");
            assert_eq!(outcome.verdict == Verdict::Correct, labelled, "{}: {outcome:?}", text(row, "id"));
            count += 1;
        }
    }
    assert_eq!(count, 5276);
}

/// Rows whose right answer both graders miss, because it stands in no box.
const UNBOXED_RIGHT: [usize; 4] = [2, 4, 8, 24];

#[test]
fn r1_pilot_on_math500() {
    let Some(rows) = rows("rollouts/supershybrid_math500_r1_pilot.jsonl") else { return };
    let (mut correct, mut undecided, mut wrong) = (0, 0, Vec::new());
    for (at, row) in rows.iter().enumerate() {
        let truncated = row["tokens"].as_u64() == Some(32_768);
        let case = Case { truncated, ..Case::of(text(row, "full"), text(row, "answer")) };
        let split = Case { reasoning: row["thinking"].as_str(), answer: row["text"].as_str(), ..case };
        let outcome = MATH.verify(&case);
        assert_eq!(outcome.verdict, MATH.verify(&split).verdict, "row {at}");
        // Two graders find 58 right; reading found four more, without a box.
        let graded = ["mv_correct", "prm_correct"].iter().any(|grader| row[grader] == true);
        let right = UNBOXED_RIGHT.contains(&at) || graded && !truncated;
        match outcome.verdict {
            Verdict::Correct => correct += 1,
            Verdict::Undecided => undecided += 1,
            Verdict::Incorrect => {}
        }
        let graders_right = graded && !truncated && outcome.verdict != Verdict::Correct;
        let impossible = if right { Verdict::Incorrect } else { Verdict::Correct };
        if graders_right || outcome.verdict == impossible {
            wrong.push(format!("row {at}, right: {right}, {outcome:?}"));
        }
    }
    println!("{correct} correct, {undecided} undecided of {}", rows.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!((58..=62).contains(&correct));
}
