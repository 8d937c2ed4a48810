//! Tokenizers of real models that need something of their own.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and says aloud what it skips")]

use std::path::{Path, PathBuf};

use retort_chat::{ChatTemplate, Tokenizer, encode_example, encode_prompt};
use retort_records::{Message, SftMessage};

fn model(name: &str) -> Option<PathBuf> {
    let Some(data) = std::env::var_os("RETORT_TEST_DATA") else {
        eprintln!("SKIPPED: tokenizer of {name}; set RETORT_TEST_DATA");
        return None;
    };
    Some(Path::new(&data).join("models").join(name))
}

#[test]
fn a_llama_without_a_template_begins_with_one_bos() {
    let Some(folder) = model("stories260k-hf") else { return };
    let tokenizer = Tokenizer::load(&folder).unwrap();
    assert!(ChatTemplate::load(&folder).unwrap().is_none());
    let ids = encode_prompt(&tokenizer, None, &[Message::user("Once upon a time")]).unwrap();
    assert_eq!(ids[0], tokenizer.token_id("<s>").unwrap());
    assert_eq!(ids[1..], tokenizer.encode("Once upon a time"));
    assert_eq!(tokenizer.decode(&ids, true), "Once upon a time");
    let messages = [
        SftMessage { role: "user".into(), reasoning: None, content: "Once upon".into(), train: false },
        SftMessage { role: "assistant".into(), reasoning: None, content: " a time".into(), train: true },
    ];
    let encoded = encode_example(&tokenizer, None, &messages).unwrap();
    assert_eq!(tokenizer.decode(&encoded.input_ids, true), "Once upon a time");
    assert_eq!(encoded.input_ids.last(), tokenizer.token_id("</s>").as_ref());
    let counted = encoded.input_ids[encoded.prompt_tokens()..].to_vec();
    assert_eq!(tokenizer.decode(&counted, false).trim_start(), "a time</s>");
}

#[test]
fn a_list_of_characters_is_a_tokenizer() {
    let Some(folder) = model("verl_arith") else { return };
    let tokenizer = Tokenizer::load(&folder).unwrap();
    let template = ChatTemplate::load(&folder).unwrap().unwrap();
    assert_eq!(tokenizer.vocab_size(), 16);
    // verl's CharTokenizer: S E P U, then the characters `0123456789,:` from 4.
    assert_eq!(tokenizer.encode("0,9:"), [4, 14, 13, 15]);
    assert_eq!(tokenizer.decode(&[4, 14, 13, 15, 1], true), "0,9:");
    let messages = [
        SftMessage { role: "user".into(), reasoning: None, content: "1,2:".into(), train: false },
        SftMessage { role: "assistant".into(), reasoning: None, content: "3".into(), train: true },
    ];
    let encoded = encode_example(&tokenizer, Some(&template), &messages).unwrap();
    assert_eq!(
        (encoded.input_ids, encoded.labels_mask),
        (vec![5, 14, 6, 15, 7, 1], [[false; 4].to_vec(), vec![true; 2]].concat())
    );
    assert_eq!(encode_prompt(&tokenizer, Some(&template), &[Message::user("1")]).unwrap(), [5, 0]);
}
