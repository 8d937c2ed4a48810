//! Rewards against the test cases of huggingface/open-r1 (Apache-2.0, `tests/test_rewards.py`), which are not in this
//! repository: set `RETORT_TEST_DATA`. open-r1 measures lengths in characters, so these tests give characters for tokens.

#![allow(clippy::print_stderr, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use retort_curate::rewards::{
    CosineEnds, cosine_reward, kimi_length_rewards, repetition_penalty, soft_overlong_punishment,
};
use serde_json::Value;

fn words(text: &str) -> Vec<String> {
    text.to_lowercase().split_whitespace().map(String::from).collect()
}

/// Our rewards for a case; `None` for functions that this crate does not have.
fn ours(case: &Value) -> Option<Vec<f64>> {
    let config = |key: &str| case["config"][key].as_f64().unwrap();
    let completions = case["completions"].as_array().unwrap();
    let texts = || completions.iter().map(|text| text.as_str().unwrap());
    let characters = |text: &str| text.chars().count() as u32;
    let solutions: Vec<&str> =
        case["solutions"].as_array().into_iter().flatten().map(|s| s.as_str().unwrap()).collect();
    let correct: Vec<bool> = texts()
        .zip(&solutions)
        .map(|(text, solution)| text.trim_end_matches([' ', 'x']) == format!("\\boxed{{{solution}}}"))
        .collect();
    Some(match case["function"].as_str().unwrap() {
        "len_reward" => {
            let samples: Vec<(u32, bool)> = texts().map(characters).zip(correct).collect();
            kimi_length_rewards(&samples)
        }
        "get_cosine_scaled_reward" => {
            let ends = CosineEnds {
                correct_short: config("max_value_correct"),
                correct_long: config("min_value_correct"),
                wrong_short: config("min_value_wrong"),
                wrong_long: config("max_value_wrong"),
            };
            let reward = |(text, right)| cosine_reward(characters(text), config("max_len") as u32, right, ends);
            texts().zip(correct).map(reward).collect()
        }
        "get_repetition_penalty_reward" => {
            let penalty = |text| repetition_penalty(&words(text), config("ngram_size") as usize, config("max_penalty"));
            texts().map(penalty).collect()
        }
        "get_soft_overlong_punishment" => {
            let (max, cache) = (config("max_completion_len") as u32, config("soft_punish_cache") as u32);
            let length = |ids: &Value| ids.as_array().unwrap().len() as u32;
            completions.iter().map(|ids| soft_overlong_punishment(length(ids), max, cache)).collect()
        }
        _ => return None,
    })
}

#[test]
fn rewards_are_those_of_open_r1() {
    let Some(folder) = std::env::var_os("RETORT_TEST_DATA") else {
        eprintln!("SKIPPED: open_r1_reward_cases.jsonl is not in the repository, set RETORT_TEST_DATA");
        return;
    };
    let path = PathBuf::from(folder).join("verifiers/open_r1_reward_cases.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut checked: BTreeMap<String, usize> = BTreeMap::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        // An answer that cannot be parsed counts as correct there and has no reward here.
        if case["test"].as_str().unwrap().ends_with("test_unparseable_solution") {
            continue;
        }
        let Some(rewards) = ours(&case) else { continue };
        let expected: Vec<f64> =
            case["rewards"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        assert_eq!(rewards.len(), expected.len());
        for (reward, expected) in rewards.iter().zip(expected) {
            assert!((reward - expected).abs() < 1e-12, "{reward}: {case}");
        }
        *checked.entry(case["function"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    let checked: Vec<(&str, usize)> = checked.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(
        checked,
        [
            ("get_cosine_scaled_reward", 4),
            ("get_repetition_penalty_reward", 17),
            ("get_soft_overlong_punishment", 2),
            ("len_reward", 4)
        ]
    );
}
