//! Greedy tokens against transformers, and completions that do not depend on the batch, the threads or the way a prompt is
//! read.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // helpers of tests; skipping must be seen

use std::path::{Path, PathBuf};

use retort_student::{
    Architecture, Family, Finish, GenerateRequest, GenerateSettings, Generated, Generator, Student, Target, TokenRow,
    token_log_probs,
};
use retort_weights::Checkpoint;
use serde_json::Value;

fn test_data(part: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("RETORT_TEST_DATA") else {
        eprintln!("SKIPPED: needs {part}; set RETORT_TEST_DATA");
        return None;
    };
    Some(Path::new(&root).join(part))
}

fn load(path: &Path) -> Student {
    Student::load(&Checkpoint::open(path).unwrap(), Target::Cpu).unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn greedy(student: &Student, prompt: &[u32], max_tokens: usize) -> Vec<u32> {
    let settings = GenerateSettings { temperature: 0.0, max_tokens, ..GenerateSettings::default() };
    let request = GenerateRequest { prompt_ids: prompt.to_vec(), seed: 0 };
    Generator::new(student).unwrap().generate(&[request], &settings).unwrap().remove(0).ids
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn stories260k() {
    let Some(path) = test_data("models/stories260k-hf") else { return };
    let reference = read(&path.join("reference_output.json"));
    let expected = ids(&reference["greedy_ids_199"]);
    assert_eq!(greedy(&load(&path), &ids(&reference["prompt_ids"]), expected.len()), expected);
}

#[test]
fn greedy_tokens_of_the_references() {
    let Some(root) = test_data("reference") else { return };
    for family in ["llama", "qwen2"] {
        let json = read(&root.join("transformers").join(family).with_extension("json"));
        let student = load(&root.join("mergekit").join(family).join("base"));
        let expected = ids(&json["greedy"]);
        let prompt = expected.iter().zip(ids(&json["input_ids"][0])).take_while(|(a, b)| **a == *b).count();
        // The prompt is the longest common beginning or shorter; both continue to the same tokens.
        for prompt in [5, prompt] {
            assert_eq!(greedy(&student, &expected[..prompt], expected.len() - prompt), expected[prompt..], "{family}");
        }
    }
    for family in ["llama3", "qwen2", "qwen3"] {
        let path = root.join("transformers5").join(family);
        let student = load(&path.join("checkpoint"));
        for expected in read(&path.join("reference.json"))["greedy_from_first_8"].as_array().unwrap() {
            let expected = ids(expected);
            assert_eq!(greedy(&student, &expected[..8], 24), expected[8..], "{family}");
        }
    }
}

fn random_student(family: Family) -> Student {
    let architecture = Architecture {
        model_type: family,
        vocab_size: 40,
        hidden_size: 48,
        intermediate_size: 72,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: Some(2),
        head_dim: Some(40),
        max_position_embeddings: 700,
        rms_norm_eps: 1e-6,
        rope_theta: 10_000.0,
        tie_word_embeddings: family == Family::Qwen3,
        initializer_range: 0.2,
    };
    Student::random(&architecture, 5, Target::Cpu).unwrap()
}

fn requests() -> Vec<GenerateRequest> {
    let prompt = |i: u32| (0..=i * 37 % 61).map(|t| (t * 7 + i) % 40).collect();
    (0..23).map(|i| GenerateRequest { prompt_ids: prompt(i), seed: u64::from(i) }).collect()
}

#[test]
fn a_completion_does_not_depend_on_its_neighbours() {
    for family in [Family::Llama, Family::Qwen2, Family::Qwen3] {
        let student = random_student(family);
        let generator = Generator::new(&student).unwrap();
        let settings = GenerateSettings {
            max_tokens: 50,
            stop_token_ids: vec![3],
            log_probs: true,
            ..GenerateSettings::default()
        };
        let requests = requests();
        let together = generator.generate(&requests, &settings).unwrap();
        for batch_size in [1, 2, 5] {
            let settings = GenerateSettings { batch_size, ..settings.clone() };
            assert_eq!(generator.generate(&requests, &settings).unwrap(), together);
        }
        for threads in [1, 2, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| generator.generate(&requests, &settings).unwrap()), together);
        }
        let alone: Vec<Generated> = requests
            .iter()
            .map(|request| generator.generate(std::slice::from_ref(request), &settings).unwrap().remove(0))
            .collect();
        assert_eq!(alone, together);
        assert!(together.iter().any(|one| one.finish == Finish::Length));
        assert!(together.iter().any(|one| one.stop_token == Some(3)));
    }
}

/// A long prompt read at once gives the completion of the same tokens read one by one, and the trainer's forward pass
/// agrees with the generator's.
#[test]
fn prompts_log_probs_and_steps_agree() {
    let student = random_student(Family::Qwen3);
    let settings = GenerateSettings { max_tokens: 600, log_probs: true, ..GenerateSettings::default() };
    let request = GenerateRequest { prompt_ids: vec![1, 2], seed: 9 };
    let whole = Generator::new(&student).unwrap().generate(&[request], &settings).unwrap().remove(0);
    let mut prompt = vec![1, 2];
    prompt.extend(&whole.ids[..580]);
    let greedy_settings = GenerateSettings { temperature: 0.0, max_tokens: 20, log_probs: true, ..settings };
    let long = GenerateRequest { prompt_ids: prompt.clone(), seed: 0 };
    let first =
        Generator::new(&student).unwrap().generate(std::slice::from_ref(&long), &greedy_settings).unwrap().remove(0);
    for start in [1, 100, 579] {
        // The rest of the prompt is forced token by token through the seeds' choice being greedy on equal logits.
        let part = GenerateRequest { prompt_ids: prompt[..prompt.len() - start].to_vec(), seed: 0 };
        let settings = GenerateSettings { max_tokens: 1, ..greedy_settings.clone() };
        let one = Generator::new(&student).unwrap().generate(&[part], &settings).unwrap().remove(0);
        let row = TokenRow {
            loss: (0..=prompt.len() - start).map(|i| i == prompt.len() - start).collect(),
            input_ids: prompt[..prompt.len() - start].iter().chain(&one.ids).copied().collect(),
        };
        let trained = token_log_probs(&student, &[row]).unwrap()[0][0];
        assert!((trained - one.log_probs.unwrap()[0]).abs() < 1e-4);
    }
    let mut row = TokenRow { input_ids: vec![1, 2], loss: vec![false; 2] };
    row.input_ids.extend(&whole.ids);
    row.loss.resize(row.input_ids.len(), true);
    let trained = token_log_probs(&student, &[row]).unwrap().remove(0);
    for (a, b) in trained.iter().zip(whole.log_probs.unwrap()) {
        assert!((a - b).abs() < 1e-4, "{a} against {b}");
    }
    assert_eq!(first.finish, Finish::Length);
}

#[test]
fn callers_and_limits_stop() {
    let student = random_student(Family::Llama);
    let generator = Generator::new(&student).unwrap();
    let settings = GenerateSettings { max_tokens: 30, ..GenerateSettings::default() };
    let out = generator.generate_until(&requests(), &settings, &|index, ids| ids.len() > index).unwrap();
    for (index, one) in out.iter().enumerate() {
        assert_eq!((one.ids.len(), one.finish), (index + 1, Finish::Stop));
    }
    let long = GenerateRequest { prompt_ids: vec![1; 690], seed: 1 };
    let out = generator.generate(&[long], &settings).unwrap();
    assert_eq!((out[0].ids.len(), out[0].finish), (10, Finish::Length));
    let bad =
        |prompt_ids: Vec<u32>| generator.generate(&[GenerateRequest { prompt_ids, seed: 1 }], &settings).unwrap_err();
    assert!(bad(vec![40]).to_string().contains("`40`"));
    assert!(bad(vec![]).to_string().contains("0 tokens"));
    let hot = GenerateSettings { temperature: -1.0, ..settings.clone() };
    assert!(generator.generate(&requests(), &hot).unwrap_err().to_string().contains("temperature"));
}

/// Weights that are numbers but give logits that are none: an error, whatever the temperature, and not token 0.
#[test]
fn logits_that_are_no_numbers_are_an_error() {
    let mut student = random_student(Family::Llama);
    let elements = student.tensor("lm_head.weight").unwrap().1.len();
    // One token's logit alone overflows.
    let change: Vec<f32> = (0..elements).map(|i| if i / 48 == 7 { f32::MAX } else { 0.0 }).collect();
    student.add_to_tensor("lm_head.weight", &change).unwrap();
    for temperature in [0.0, 1.0] {
        let settings = GenerateSettings { max_tokens: 5, temperature, ..GenerateSettings::default() };
        let error = Generator::new(&student).unwrap().generate(&requests(), &settings).unwrap_err();
        assert!(matches!(error, retort_student::Error::Logits { .. }), "{error}");
    }
}
