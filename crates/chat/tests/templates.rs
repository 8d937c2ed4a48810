//! Public chat templates on many kinds of conversations: what `transformers` renders, or a refusal by name, and loss
//! masks under all of them (`templates/make.py` made the fixtures and can show any rendering in full).

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and prints its tables")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use retort_chat::{
    ChatError, ChatMessage, ChatTemplate, Conversation, Encoded, RenderOptions, Tokenizer, Warning,
    encode_conversation, encode_conversation_prompt,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The folder of the fixtures; `RETORT_CHAT_TEMPLATES` names another that `make.py` made, of other templates.
fn folder() -> PathBuf {
    // Tests start in their package's folder, wherever they were built.
    std::env::var_os("RETORT_CHAT_TEMPLATES").map_or_else(|| "tests/templates".into(), PathBuf::from)
}

const SPECIAL: [(&str, &str); 4] =
    [("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")];

struct Fixtures {
    templates: Vec<(String, Result<ChatTemplate, ChatError>)>,
    cases: Vec<Value>,
    results: Value,
    tokenizer: Tokenizer,
}

fn fixtures() -> Fixtures {
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap() };
    let mut expected = read("expected.json");
    let templates = read("templates.json");
    let compiled = templates.as_array().unwrap().iter().map(|entry| {
        let name = entry["name"].as_str().unwrap().to_owned();
        (name, ChatTemplate::from_source(entry["template"].as_str().unwrap(), &SPECIAL))
    });
    Fixtures {
        templates: compiled.collect(),
        cases: expected["cases"].as_array().unwrap().clone(),
        results: expected["results"].take(),
        tokenizer: Tokenizer::load(&folder()).unwrap(),
    }
}

fn conversation(case: &Value) -> Conversation {
    let mut case = case.clone();
    let kwargs = case["kwargs"].take();
    case["chat_template_kwargs"] = kwargs;
    Conversation::from_json(&case).unwrap()
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn id_digest(ids: &[u32]) -> String {
    digest(&ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

fn table(title: &str, counts: &BTreeMap<String, BTreeMap<&'static str, usize>>) {
    eprintln!("{title}");
    let mut totals: BTreeMap<&str, usize> = BTreeMap::new();
    for (case, outcomes) in counts {
        let row: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        eprintln!("  {case:24} {}", row.join(", "));
        for (outcome, count) in outcomes {
            *totals.entry(outcome).or_default() += count;
        }
    }
    eprintln!("  {:24} {totals:?}", "all");
}

#[test]
fn renderings_are_those_of_transformers_or_refused_by_name() {
    let Fixtures { templates, cases, results, tokenizer } = fixtures();
    assert!(templates.len() >= 100 || std::env::var_os("RETORT_CHAT_TEMPLATES").is_some());
    let mut counts: BTreeMap<String, BTreeMap<&'static str, usize>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, template) in &templates {
        for (case, expected) in cases.iter().zip(results[name].as_array().unwrap()) {
            let label = case["name"].as_str().unwrap();
            let options = RenderOptions {
                add_generation_prompt: case["generate"].as_bool().unwrap_or_default(),
                enable_thinking: None,
            };
            let conversation = conversation(case);
            let rendered = match template {
                Ok(template) => template.render_conversation(&conversation, options),
                Err(error) => Err(ChatError::TemplateSyntax { reason: error.to_string() }),
            };
            let outcome =
                match (rendered, expected[1].as_str()) {
                    (Ok(text), Some(ids)) if digest(&text) == expected[0] => {
                        if id_digest(&tokenizer.encode(&text)) == ids { "equal" } else { "other ids" }
                    }
                    (Ok(_), Some(_)) => "other text",
                    (Err(_), None) => "both fail",
                    (Err(ChatError::TemplateRefused { .. } | ChatError::TemplateSyntax { .. }), Some(_)) => "refused",
                    (Err(_), Some(_)) => "fails here only",
                    (Ok(_), None) => "fails there only",
                };
            if !["equal", "both fail", "refused"].contains(&outcome) {
                wrong.push(format!("{name}, {label}: {outcome} ({})", expected[0]));
            }
            *counts.entry(label.to_owned()).or_default().entry(outcome).or_default() += 1;
        }
    }
    table(&format!("{} templates, text and ids against transformers:", templates.len()), &counts);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The text of the tokens that count, stretch by stretch.
fn trained(tokenizer: &Tokenizer, encoded: &Encoded) -> Vec<String> {
    assert_eq!(encoded.input_ids.len(), encoded.labels_mask.len());
    let mut stretches: Vec<Vec<u32>> = Vec::new();
    let mut inside = false;
    for (&id, &counts) in encoded.input_ids.iter().zip(&encoded.labels_mask) {
        if counts && !inside {
            stretches.push(Vec::new());
        }
        if counts {
            stretches.last_mut().unwrap().push(id);
        }
        inside = counts;
    }
    stretches.iter().map(|ids| tokenizer.decode(ids, false)).collect()
}

/// Whether a template shows a message's `reasoning_content`.
fn reads_reasoning(template: &ChatTemplate) -> bool {
    let say = |role: &str, content: &str, reasoning: Option<&str>| ChatMessage {
        role: role.into(),
        content: content.into(),
        reasoning: reasoning.map(Into::into),
    };
    let messages = [say("user", "a", None), say("assistant", "b", Some("REASON1"))];
    template.render(&messages, RenderOptions::default()).is_ok_and(|text| text.contains("REASON1"))
}

/// Everything that the trained messages of a case say, word by word: words in capitals are unique in a case.
fn words(case: &Value, role_is_assistant: bool) -> Vec<String> {
    let messages = case["messages"].as_array().unwrap();
    let said = messages.iter().filter(|message| (message["role"] == "assistant") == role_is_assistant);
    let text = said.map(ToString::to_string).collect::<String>();
    let unique = ["QUESTION1", "QUESTION2", "SYSTEM", "ANSWER1", "ANSWER2", "REASON1", "REASON2"];
    unique.into_iter().filter(|word| text.contains(word)).map(ToOwned::to_owned).collect()
}

#[test]
fn masks_hold_the_assistants_words_and_the_end_of_its_turn() {
    let Fixtures { templates, cases, results, tokenizer } = fixtures();
    let (bos, eos) = (tokenizer.bos().unwrap().id, tokenizer.eos().unwrap().id);
    let mut counts: BTreeMap<String, BTreeMap<&'static str, usize>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, template) in &templates {
        let Ok(template) = template else { continue };
        for (case, expected) in cases.iter().zip(results[name].as_array().unwrap()) {
            let label = case["name"].as_str().unwrap();
            let mut complain = |what: &str, got: &dyn std::fmt::Debug| {
                wrong.push(format!("{name}, {label}: {what}: {got:?}"));
            };
            let conversation = conversation(case);
            if case["generate"] == true {
                if let Ok(ids) = encode_conversation_prompt(&tokenizer, Some(template), &conversation)
                    && ids.starts_with(&[bos, bos])
                {
                    complain("two beginnings", &ids);
                }
                continue;
            }
            let encoded = match encode_conversation(&tokenizer, Some(template), &conversation) {
                Ok(encoded) => encoded,
                Err(error) => {
                    let reason = error.drop_reason();
                    if reason.is_none() {
                        complain("not a reason to drop a row", &error.to_string());
                    }
                    *counts.entry(label.to_owned()).or_default().entry(reason.unwrap_or("error")).or_default() += 1;
                    continue;
                }
            };
            let stretches = trained(&tokenizer, &encoded);
            let all = stretches.concat();
            if encoded.input_ids.starts_with(&[bos, bos]) {
                complain("two beginnings", &encoded.input_ids);
            }
            for word in words(case, true) {
                if all.matches(&word).count() != 1 {
                    complain(&format!("`{word}` is not trained once"), &stretches);
                }
            }
            for word in words(case, false) {
                if all.contains(&word) {
                    complain(&format!("`{word}` is trained"), &stretches);
                }
            }
            let turns = conversation.turns.iter().filter(|turn| turn.train).count();
            if stretches.len() != turns {
                complain(&format!("{turns} turns"), &stretches);
            }
            let restored = encoded.warnings.iter().any(|warning| matches!(warning, Warning::ReasoningRestored { .. }));
            let endless = encoded.warnings.contains(&Warning::NoEndOfTurn);
            let supplied = encoded.input_ids.last() == Some(&eos);
            // The text is the template's own. Only reasoning that it does not show, or not in the usual form, is written
            // another way.
            let text = tokenizer.decode(&encoded.input_ids, false);
            let own = template.render_conversation(&conversation, RenderOptions::default()).unwrap();
            let own = own.strip_prefix("<s><s>").map_or(own.clone(), |rest| format!("<s>{rest}"));
            let hides = words(case, true).iter().any(|word| !own.contains(word));
            // (Templates that read `reasoning_content` are given it so, and write it in their own markup.)
            let apart = ["prefilled", "inline thinking", "inline thinking twice"].contains(&label);
            let reshapes = hides || (apart && (label == "prefilled" || reads_reasoning(template)));
            let same = |text: &str| text.trim_end_matches("</s>").trim_end() == own.trim_end();
            if !reshapes && text != own && !(supplied && same(&text)) {
                complain("other text than transformers", &text);
            }
            // Where the template says itself what is generated: nothing outside of it is trained, and inside only what
            // opens and what follows the turn is not.
            let mut outcome = if restored { "trained, reasoning restored" } else { "trained" };
            if let Some(spans) = expected[2].as_array().filter(|_| expected[1] == id_digest(&encoded.input_ids)) {
                outcome = "trained, checked by generation tags";
                let mut generated = vec![false; encoded.input_ids.len()];
                for span in spans {
                    let bound = |at: usize| (span[at].as_u64().unwrap() as usize).min(generated.len());
                    let (from, to) = (bound(0), bound(1));
                    generated[from..to].fill(true);
                    let first = (from..to).find(|&at| encoded.labels_mask[at]).unwrap_or(to);
                    let last = (from..to).rfind(|&at| encoded.labels_mask[at]).map_or(from, |at| at + 1);
                    if encoded.labels_mask[first..last.max(first)].contains(&false) {
                        complain("a hole in a turn", &stretches);
                    }
                    let tail = tokenizer.decode(&encoded.input_ids[last.max(first)..to], false);
                    let head = tokenizer.decode(&encoded.input_ids[from..first], false);
                    // (Some templates write the end of the text behind the end of the last turn.)
                    if !["", "</s>"].contains(&tail.trim()) || head.contains("ANSWER") || head.contains("REASON") {
                        complain("less than the generation tags", &(head, tail));
                    }
                }
                // (Or the token that hands over to a tool, behind a call.)
                let outside = encoded.labels_mask.iter().zip(&generated).zip(&encoded.input_ids);
                let more = outside.filter(|((counts, generated), _)| **counts && !**generated).map(|(_, id)| *id);
                if !["", "<|tool_response>"].contains(&tokenizer.decode(&more.collect::<Vec<_>>(), false).as_str()) {
                    complain("more than the generation tags", &stretches);
                }
            }
            let ends = |text: &String| text.ends_with(['>', ']']);
            if endless || !stretches.last().is_some_and(ends) {
                outcome = "trained, no end of turn";
            } else if !stretches.iter().all(ends) {
                outcome = "trained, an earlier turn has no token that ends it";
            }
            *counts.entry(label.to_owned()).or_default().entry(outcome).or_default() += 1;
        }
    }
    table(&format!("{} templates, loss masks:", templates.len()), &counts);
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
