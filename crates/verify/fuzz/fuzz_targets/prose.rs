//! The rules that read sentences, under every verifier that compares an answer: a prompt, a completion and a reference
//! answer, all any text, unit separators between them. No panic, no time out of proportion, and the same verdict when asked again.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use retort_records::Message;
use retort_verify::{Case, Verifier, VerifierSettings};

const TOO_LONG: Duration = Duration::from_secs(5);

static VERIFIERS: LazyLock<Vec<Box<dyn Verifier>>> = LazyLock::new(|| {
    let names = ["math", "choice", "number", "exact", "normalized", "answer-pattern", "json", "format", "language", "repetition"];
    let settings = names.iter().map(|name| serde_json::from_value::<VerifierSettings>((*name).into()));
    settings.map(|settings| settings.expect("a name").build().expect("a verifier")).collect()
});

fuzz_target!(|texts: &str| {
    let mut texts = texts.splitn(3, '\u{1f}').map(Some).chain(std::iter::repeat(None));
    let mut next = |otherwise| texts.next().flatten().unwrap_or(otherwise);
    let (completion, reference, prompt) = (next(""), next("1"), next("What is it?"));
    let messages = [Message::user(prompt)];
    let case = Case { messages: &messages, ..Case::of(completion, reference) };
    for verifier in VERIFIERS.iter() {
        let start = Instant::now();
        let outcome = verifier.verify(&case);
        assert!(start.elapsed() < TOO_LONG, "{} is slower than any text allows", verifier.name());
        assert_eq!(verifier.verify(&case), outcome, "{} is not sure of itself", verifier.name());
    }
});
