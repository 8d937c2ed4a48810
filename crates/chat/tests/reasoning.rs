//! Rows as people have them: empty thinking, thoughts that never end, tags that are spoken of, the thinking switch.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and says aloud what it skips")]

use std::path::Path;

use proptest::prelude::*;
use retort_chat::{
    ChatError, ChatTemplate, Conversation, Encoded, RenderOptions, Tokenizer, encode_completion, encode_conversation,
    encode_conversation_prompt, encode_example,
};
use retort_records::SftMessage;
use serde_json::{Value, json};

/// Qwen3's way with reasoning, in our words: taken out of the content at `</think>`, written for turns behind the
/// last question, and for the last turn also when it is empty.
const QWEN3_LIKE: &str = "{%- set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}\
    {% set ns.last = loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}\
    {%- set text = m.content if m.content is string else '' %}{{ '<|im_start|>' + m.role + '\\n' }}\
    {%- if m.role == 'assistant' %}{% set thought = '' %}\
    {%- if m.reasoning_content is string %}{% set thought = m.reasoning_content %}\
    {%- elif '</think>' in text %}\
    {%- set thought = text.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}\
    {%- set text = text.split('</think>')[-1].lstrip('\\n') %}{% endif %}\
    {%- if loop.index0 > ns.last and (loop.last or thought) %}\
    {{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + text.lstrip('\\n') }}{% else %}{{ text }}{% endif %}\
    {%- else %}{{ text }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}\
    {%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}\
    {%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}";

/// A small tokenizer and its ChatML template. Tests start in their package's folder, wherever they were built.
const TINY: &str = "tests/fixtures/tiny";

fn tiny() -> (Tokenizer, ChatTemplate) {
    let folder = Path::new(TINY);
    (Tokenizer::load(folder).unwrap(), ChatTemplate::load(folder).unwrap().unwrap())
}

fn qwen3() -> ChatTemplate {
    ChatTemplate::from_source(QWEN3_LIKE, &[("eos_token", "<|im_end|>")]).unwrap()
}

fn trained(tokenizer: &Tokenizer, encoded: &Encoded) -> String {
    let counted = encoded.input_ids.iter().zip(&encoded.labels_mask).filter(|(_, counts)| **counts);
    tokenizer.decode(&counted.map(|(id, _)| *id).collect::<Vec<_>>(), false)
}

fn train(template: &ChatTemplate, answer: &str) -> Result<String, ChatError> {
    let (tokenizer, _) = tiny();
    let say = |role: &str, content: &str| SftMessage {
        role: role.into(),
        reasoning: None,
        content: content.into(),
        train: role == "assistant",
    };
    let encoded = encode_example(&tokenizer, Some(template), &[say("user", "q"), say("assistant", answer)])?;
    Ok(trained(&tokenizer, &encoded))
}

#[test]
fn empty_thinking_is_trained_as_the_template_renders_it() {
    let (_, chatml) = tiny();
    for (template, given, wanted) in [
        (&qwen3(), "<think>\n\n</think>\n\n4", "<think>\n\n</think>\n\n4<|im_end|>"),
        (&qwen3(), "<think></think>4", "<think>\n\n</think>\n\n4<|im_end|>"),
        (&qwen3(), "4", "<think>\n\n</think>\n\n4<|im_end|>"),
        (&chatml, "<think>\n\n</think>\n\n4", "<think>\n\n</think>\n\n4<|im_end|>"),
        (&chatml, "<think></think>4", "<think></think>4<|im_end|>"),
    ] {
        assert_eq!(train(template, given).unwrap(), wanted, "{given:?}");
    }
    let cuts = ChatTemplate::from_source(
        "{% for m in messages %}{{ '<|im_start|>' + m.content.split('</think>')[-1] + '<|im_end|>' }}{% endfor %}",
        &[],
    );
    assert_eq!(train(&cuts.unwrap(), "<think>\n\n</think>\n\n4").unwrap(), "\n\n4<|im_end|>");
}

#[test]
fn no_end_of_turn_stands_inside_a_thought() {
    let (tokenizer, chatml) = tiny();
    for template in [&chatml, &qwen3()] {
        for cut in ["<think>\nnever ends", "<think>", " <think> a <think> b"] {
            let error = train(template, cut).unwrap_err();
            assert!(matches!(error, ChatError::UnfinishedReasoning { index: 1 }), "{cut}: {error}");
            assert_eq!(error.drop_reason(), Some("unfinished_reasoning"));
        }
        // A thought that ends, with nothing behind it, keeps its closing tag.
        let alone = train(template, "<think>\nabc\n</think>").unwrap();
        assert_eq!(alone.replace('\n', ""), "<think>abc</think><|im_end|>");
        // Without an answer, a thought given apart is closed as well.
        let apart = Conversation::from_json(&json!({"messages": [{"role": "user", "content": "q"},
            {"role": "assistant", "content": "", "reasoning_content": "abc"}]}));
        let encoded = encode_conversation(&tokenizer, Some(template), &apart.unwrap()).unwrap();
        assert_eq!(trained(&tokenizer, &encoded).replace('\n', ""), "<think>abc</think><|im_end|>");
    }
    // A completion that begins inside its thought and never leaves it was cut off, too.
    let opens = ChatTemplate::from_source(
        "{% for m in messages %}{{ m.content + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}<think>\n{% endif %}",
        &[("eos_token", "<|im_end|>")],
    );
    let opens = opens.unwrap();
    assert!(opens.prefills_think());
    let prompt = Conversation::from_json(&json!({"messages": [{"role": "user", "content": "q"}]})).unwrap();
    let side = |text| trained(&tokenizer, &encode_completion(&tokenizer, Some(&opens), &prompt, text).unwrap());
    assert_eq!(side("still thinking"), "still thinking");
    assert_eq!(side("done</think>4"), "done</think>4<|im_end|>");
}

#[test]
fn several_tags_and_tags_spoken_of_stay_to_the_letter_or_are_dropped() {
    let (_, chatml) = tiny();
    for text in [
        "<think>a</think>b</think>c",
        "The tag </think> closes",
        "Write `</think>` last, `<think>` first.",
        "<think>a</think>The tag </think> closes",
        "I <think> so",
    ] {
        assert_eq!(train(&chatml, text).unwrap(), format!("{text}<|im_end|>"));
        match train(&qwen3(), text) {
            // Whatever is kept is kept whole.
            Ok(kept) => {
                let letters = |text: &str| text.split(['<', '>', '/', '\n', ' ']).collect::<String>();
                assert_eq!(
                    letters(&kept).replace("think", ""),
                    letters(&format!("{text}<|im_end|>")).replace("think", "")
                );
            }
            Err(error) => assert_eq!(error.drop_reason(), Some("template_rewrites"), "{text}"),
        }
    }
    assert!(train(&qwen3(), "The tag </think> closes").is_err());
    // The end of a thought whose beginning the prompt held is no spoken tag.
    assert_eq!(train(&chatml, "so</think>95").unwrap(), "<think>\nso\n</think>\n\n95<|im_end|>");
    assert_eq!(train(&chatml, "so\n</think>\n\n95").unwrap(), "<think>\nso\n</think>\n\n95<|im_end|>");
}

#[test]
fn thinking_is_switched_by_template_row_and_option() {
    let (tokenizer, _) = tiny();
    let off = "<|im_start|>assistant\n<think>\n\n</think>\n\n";
    let row = json!({"messages": [{"role": "user", "content": "q"}]});
    let plain = Conversation::from_json(&row).unwrap();
    let switched = json!({"messages": row["messages"], "chat_template_kwargs": {"enable_thinking": false}});
    let switched = Conversation::from_json(&switched).unwrap();
    let prompt = |template: &ChatTemplate, conversation: &Conversation| {
        tokenizer.decode(&encode_conversation_prompt(&tokenizer, Some(template), conversation).unwrap(), false)
    };
    assert!(prompt(&qwen3(), &plain).ends_with("<|im_start|>assistant\n"));
    assert!(prompt(&qwen3(), &switched).ends_with(off));
    let template = qwen3().with_thinking(false);
    assert!(prompt(&template, &plain).ends_with(off));
    assert_eq!(template.generation_prompt(), off);
    assert_ne!(template.id(), qwen3().id());
    // A row goes before the template, an option before both.
    assert!(prompt(&qwen3().with_thinking(true), &switched).ends_with(off));
    let options = RenderOptions { add_generation_prompt: true, enable_thinking: Some(true) };
    assert!(template.render_conversation(&switched, options).unwrap().ends_with("<|im_start|>assistant\n"));
    // With the empty thought in the prompt, only the answer is trained; without, the model must write it.
    let messages = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "4"}]);
    let train = |kwargs: Value| {
        let row = json!({"messages": messages, "chat_template_kwargs": kwargs});
        let conversation = Conversation::from_json(&row).unwrap();
        trained(&tokenizer, &encode_conversation(&tokenizer, Some(&qwen3()), &conversation).unwrap())
    };
    assert_eq!(train(json!({"enable_thinking": false})), "4<|im_end|>");
    assert_eq!(train(json!({})), "<think>\n\n</think>\n\n4<|im_end|>");
    let side = |conversation: &Conversation, text: &str| {
        trained(&tokenizer, &encode_completion(&tokenizer, Some(&qwen3()), conversation, text).unwrap())
    };
    assert_eq!(side(&switched, "4"), "4<|im_end|>");
    assert_eq!(side(&plain, "a</think>4"), "<think>\na</think>4<|im_end|>");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever a conversation says: a row is dropped with a reason, or every word that is trained was said by the
    /// assistant, every word that it said is trained, and each turn ends exactly once.
    #[test]
    fn masks_are_exact_or_rows_are_dropped(
        turns in prop::collection::vec(
            (prop::collection::vec(prop::sample::select(vec![
                "a", "b", " ", "\n", "\n\n", "<think>", "</think>", "<|im_end|>", "<|im_start|>", "é", "`", "x y",
            ]), 0..9), prop::option::of("[ab\n ]{0,6}")),
            1..5,
        ),
        which in 0..3usize,
    ) {
        let (tokenizer, chatml) = tiny();
        let trims = ChatTemplate::from_source(
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content | trim + '<|im_end|>' }}{% endfor %}\
             {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
            &[],
        ).unwrap();
        let like_qwen3 = qwen3();
        let template = [&chatml, &like_qwen3, &trims][which];
        let messages: Vec<_> = turns.iter().enumerate().flat_map(|(index, (words, reasoning))| {
            let answer = SftMessage {
                role: "assistant".into(), reasoning: reasoning.clone(), content: words.concat(), train: true,
            };
            let question = SftMessage {
                role: "user".into(), reasoning: None, content: format!("Q{index} {}", words.concat()), train: false,
            };
            [question, answer]
        }).collect();
        match encode_example(&tokenizer, Some(template), &messages) {
            Err(error) => prop_assert!(error.drop_reason().is_some(), "{}", error),
            Ok(encoded) => {
                let text = trained(&tokenizer, &encoded);
                let end = tokenizer.token_id("<|im_end|>").unwrap();
                let start = tokenizer.token_id("<|im_start|>").unwrap();
                let counted: Vec<u32> = encoded.input_ids.iter().zip(&encoded.labels_mask)
                    .filter(|(_, counts)| **counts).map(|(id, _)| *id).collect();
                let said = messages.iter().filter(|m| m.train && !(m.content.is_empty() && m.reasoning.is_none()));
                let ends = counted.iter().filter(|&&id| id == end).count();
                prop_assert!(ends <= said.clone().count() && ends > 0, "{} ends in {:?}", ends, text);
                prop_assert!(!counted.contains(&start) && !text.contains('Q'), "{:?}", text);
                // The letters, without tags, white space and the ends of turns, are the assistant's, in order.
                let letters = |text: &str| ["<think>", "</think>"].iter()
                    .fold(text.to_owned(), |text, tag| text.replace(tag, ""))
                    .split_whitespace().collect::<String>();
                let ends_of_turns = counted.iter().filter(|&&id| id != end).copied().collect::<Vec<_>>();
                let wanted: String = said.map(|m| {
                    letters(m.reasoning.as_deref().unwrap_or_default()) + &letters(&m.content)
                }).collect();
                prop_assert_eq!(letters(&tokenizer.decode(&ends_of_turns, false)), wanted);
            }
        }
    }
}
