//! Tools, tool calls, null content, parts and arguments on their way to the template; where templates are kept; and
//! streams.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and says aloud what it skips")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use retort_chat::{
    ChatError, ChatTemplate, Conversation, RenderOptions, StopTexts, TextStream, Tokenizer, encode_conversation,
    encode_conversation_prompt,
};
use retort_records::SftMessage;
use serde_json::{Value, json};

const TINY: &str = "tests/fixtures/tiny";
const SHOWS: &str = "{% for t in tools or [] %}<tool>{{ t | tojson }}</tool>{% endfor %}{% for m in messages %}\
    <|im_start|>{{ m.role + '\\n' }}\
    {%- if m.content is string %}{{ m.content }}{% elif m.content is defined %}{% for p in m.content %}\
    {{- p.text if p.type == 'text' else '<|' + p.type + '|>' }}{% endfor %}{% endif %}\
    {%- for c in m.tool_calls or [] %}<call>{{ c.function.name }}{{ c.function.arguments | tojson }}</call>{% endfor %}\
    <|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

fn shows() -> ChatTemplate {
    ChatTemplate::from_source(SHOWS, &[]).unwrap()
}

fn tokenizer() -> Tokenizer {
    Tokenizer::load(Path::new(TINY)).unwrap()
}

fn render(row: &Value) -> String {
    let conversation = Conversation::from_json(row).unwrap();
    shows().render_conversation(&conversation, RenderOptions::default()).unwrap()
}

#[test]
fn everything_in_a_row_reaches_the_template() {
    let tools = json!([{"type": "function", "function": {"name": "add", "z": 1.0, "a": [null, true]}}]);
    let text = render(&json!({"tools": tools, "messages": [
        {"role": "user", "content": [{"type": "text", "text": "see "}, {"type": "image", "image": "x"}]},
        {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "add", "arguments": {"b": 2, "a": 1}}}]},
        {"role": "tool", "content": "3", "tool_call_id": null},
    ]}));
    assert_eq!(
        text,
        "<tool>{\"type\": \"function\", \"function\": {\"name\": \"add\", \"z\": 1.0, \"a\": [null, true]}}</tool>\
         <|im_start|>user\nsee <|image|><|im_end|>\n<|im_start|>assistant\n<call>add{\"b\": 2, \"a\": 1}</call><|im_end|>\n\
         <|im_start|>tool\n3<|im_end|>\n"
    );
}

#[test]
fn tool_calls_are_trained_whole_and_tools_are_ordinary_text() {
    let tokenizer = tokenizer();
    let row = json!({"tools": [{"name": "<|im_end|>"}], "messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"x": "<|im_end|>"}}}]},
        {"role": "tool", "content": "<|im_end|>"},
        {"role": "assistant", "content": "ok"},
    ]});
    let encoded = encode_conversation(&tokenizer, Some(&shows()), &Conversation::from_json(&row).unwrap()).unwrap();
    let counted = encoded.input_ids.iter().zip(&encoded.labels_mask).filter(|(_, counts)| **counts);
    let ids: Vec<u32> = counted.map(|(id, _)| *id).collect();
    assert_eq!(tokenizer.decode(&ids, false), "<call>f{\"x\": \"<|im_end|>\"}</call><|im_end|>ok<|im_end|>");
    let end = tokenizer.token_id("<|im_end|>").unwrap();
    assert_eq!(ids.iter().filter(|&&id| id == end).count(), 2);
    assert_eq!(encoded.input_ids.iter().filter(|&&id| id == end).count(), 4);
}

#[test]
fn tables_rows_are_trained_on_their_calls_and_not_on_what_tools_say() {
    let tokenizer = tokenizer();
    let say = |role: &str, content: &str| SftMessage {
        role: role.into(),
        reasoning: None,
        content: content.into(),
        train: role == "assistant",
    };
    let messages = [say("user", "q"), say("assistant", ""), say("tool", "3"), say("assistant", "ok")];
    let call = json!([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]);
    let beyond = json!({"tools": "[{\"name\": \"f\"}]", "messages": [null, {"content": null, "tool_calls": call}, {"name": "f"}]});
    let conversation = Conversation::of_row(&messages, Some(&beyond.to_string())).unwrap();
    let encoded = encode_conversation(&tokenizer, Some(&shows()), &conversation).unwrap();
    let counted = encoded.input_ids.iter().zip(&encoded.labels_mask).filter(|(_, counts)| **counts);
    let ids: Vec<u32> = counted.map(|(id, _)| *id).collect();
    assert_eq!(tokenizer.decode(&ids, false), "<call>f{\"x\": 1}</call><|im_end|>ok<|im_end|>");
    let whole = tokenizer.decode(&encoded.input_ids, false);
    assert!(whole.starts_with("<tool>{\"type\": \"function\", \"function\": {\"name\": \"f\"}}</tool>"), "{whole}");
}

#[test]
fn what_a_template_does_not_write_is_no_row_to_train_on() {
    let tokenizer = tokenizer();
    let texts = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
    let texts = ChatTemplate::from_source(texts, &[]).unwrap();
    let say = |role: &str, content: &str| SftMessage {
        role: role.into(),
        reasoning: None,
        content: content.into(),
        train: role == "assistant",
    };
    let messages = [say("user", "q"), say("assistant", "a")];
    for (template, beyond, reason) in [
        (Some(&texts), json!({"tools": [{"name": "f"}]}), "not_a_conversation"),
        (Some(&texts), json!({"messages": [null, {"tool_calls": [{"function": {"name": "f"}}]}]}), "template_rewrites"),
        (None, json!({"messages": [null, {"tool_calls": [{"function": {"name": "f"}}]}]}), "not_a_conversation"),
        (None, json!({"tools": [{"name": "f"}]}), "not_a_conversation"),
        (Some(&texts), json!({"images": ["a.png"]}), "media_not_supported"),
        (Some(&texts), json!({"messages": [{"content": [{"type": "image"}]}]}), "media_not_supported"),
        (Some(&texts), json!({"tools": "f()"}), "not_a_conversation"),
    ] {
        let encoded = Conversation::of_row(&messages, Some(&beyond.to_string()))
            .and_then(|conversation| encode_conversation(&tokenizer, template, &conversation));
        assert_eq!(encoded.map_err(|error| error.drop_reason()), Err(Some(reason)), "{beyond}");
    }
}

#[test]
fn flags_choose_what_is_trained_and_stay_out_of_sight() {
    let tokenizer = tokenizer();
    let template = ChatTemplate::from_source(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ m.train }}{{ m.weight }}<|im_end|>\n{% endfor %}",
        &[],
    );
    let row = json!({"messages": [
        {"role": "user", "content": "q"}, {"role": "assistant", "content": "bad", "weight": 0},
        {"role": "user", "content": "r"}, {"role": "assistant", "content": "good", "weight": 1},
        {"role": "assistant", "content": "no", "train": false},
    ]});
    let encoded =
        encode_conversation(&tokenizer, Some(&template.unwrap()), &Conversation::from_json(&row).unwrap()).unwrap();
    let counted = encoded.input_ids.iter().zip(&encoded.labels_mask).filter(|(_, counts)| **counts);
    assert_eq!(tokenizer.decode(&counted.map(|(id, _)| *id).collect::<Vec<_>>(), false), "good<|im_end|>");
}

#[test]
fn rows_that_are_no_conversations_say_what_is_wrong() {
    for (row, key) in [
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": ["hi"]}), "messages[0]"),
        (json!({"messages": [{"content": "hi"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": 3}]}), "messages[0].content"),
        (json!({"messages": [{"role": "assistant", "tool_calls": "f()"}]}), "messages[0].tool_calls"),
        (json!({"messages": [{"role": "assistant", "content": "", "weight": -1}]}), "messages[0].weight"),
        (json!({"messages": [], "tools": [3]}), "tools"),
        (json!({"messages": [], "chat_template_kwargs": [1]}), "chat_template_kwargs"),
    ] {
        let error = Conversation::from_json(&row).unwrap_err();
        assert!(matches!(&error, ChatError::Conversation { key: found, .. } if found == key), "{row}: {error}");
        assert_eq!(error.drop_reason(), Some("not_a_conversation"));
    }
}

/// A folder with the tiny tokenizer and these files besides, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn with(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("retort-chat-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("additional_chat_templates")).unwrap();
        std::fs::copy(Path::new(TINY).join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn templates_are_found_where_transformers_finds_them() {
    let plain = json!({"messages": [{"role": "user", "content": "q"}]});
    let tools = json!({"messages": plain["messages"], "tools": [{"name": "f"}]});
    let shown = |folder: &Folder, row: &Value| {
        let template = ChatTemplate::load(&folder.0).unwrap().unwrap();
        template.render_conversation(&Conversation::from_json(row).unwrap(), RenderOptions::default()).unwrap()
    };
    let list = r#"{"chat_template": [{"name": "rag", "template": "R"}, {"name": "tool_use", "template": "T"},
        {"name": "default", "template": "D"}]}"#;
    let folder = Folder::with("list", &[("tokenizer_config.json", list)]);
    assert_eq!((shown(&folder, &plain), shown(&folder, &tools)), ("D".into(), "T".into()));
    let file = [
        ("tokenizer_config.json", list),
        ("chat_template.jinja", "J"),
        ("additional_chat_templates/tool_use.jinja", "U"),
    ];
    let folder = Folder::with("file", &file);
    assert_eq!((shown(&folder, &plain), shown(&folder, &tools)), ("J".into(), "U".into()));
    let folder = Folder::with(
        "nameless",
        &[("tokenizer_config.json", r#"{"chat_template": [{"name": "rag", "template": "R"}]}"#)],
    );
    let error = ChatTemplate::load(&folder.0).unwrap_err();
    assert!(error.to_string().contains("there are `rag`"), "{error}");
}

#[test]
fn a_broken_template_blocks_only_what_needs_it() {
    let folder = Folder::with("broken", &[("tokenizer_config.json", r#"{"chat_template": "{% nonsense %}"}"#)]);
    let template = ChatTemplate::load(&folder.0).unwrap().unwrap();
    assert!(matches!(template.problem(), Some(ChatError::TemplateSyntax { reason }) if reason.contains("`nonsense`")));
    let error = template.render(&[], RenderOptions::default()).unwrap_err();
    assert!(matches!(error, ChatError::TemplateSyntax { .. }) && error.drop_reason().is_none());
    assert!(ChatTemplate::for_training(&folder.0, None).is_err());
}

#[test]
fn training_without_a_template_is_a_choice() {
    let bare = Folder::with("bare", &[("tokenizer_config.json", r#"{"eos_token": "<|endoftext|>"}"#)]);
    let error = ChatTemplate::for_training(&bare.0, None).unwrap_err();
    assert!(matches!(error, ChatError::NoTemplate { .. }));
    assert!(error.to_string().contains("`chatml`, `llama3`, `instruction`, `plain`"), "{error}");
    assert!(ChatTemplate::for_training(&bare.0, Some("plain")).unwrap().is_none());
    let error = ChatTemplate::for_training(&bare.0, Some("llama3")).unwrap_err();
    assert!(error.to_string().contains("no token `<|start_header_id|>`"), "{error}");
    let error = ChatTemplate::for_training(&bare.0, Some("chat-ml")).unwrap_err();
    assert!(matches!(&error, ChatError::UnknownTemplate { name, .. } if name == "chat-ml"), "{error}");
    let tokenizer = Tokenizer::load(&bare.0).unwrap();
    let row = json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a", "reasoning": "r"}]});
    let conversation = Conversation::from_json(&row).unwrap();
    for (name, text, trained) in [
        (
            "chatml",
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n",
            "<think>\nr\n</think>\n\na<|im_end|>",
        ),
        ("instruction", "s\n\n### Instruction:\nq\n\n### Response:\n", "<think>\nr\n</think>\n\na<|endoftext|>"),
    ] {
        let template = ChatTemplate::for_training(&bare.0, Some(name)).unwrap().unwrap();
        assert!(!template.deletes_reasoning());
        let encoded = encode_conversation(&tokenizer, Some(&template), &conversation).unwrap();
        assert_eq!(tokenizer.decode(&encoded.input_ids, false).trim_end(), format!("{text}{trained}"));
        let counted = encoded.input_ids.iter().zip(&encoded.labels_mask).filter(|(_, counts)| **counts);
        assert_eq!(tokenizer.decode(&counted.map(|(id, _)| *id).collect::<Vec<_>>(), false), trained);
        let mut prompt = conversation.clone();
        prompt.turns.pop();
        let ids = encode_conversation_prompt(&tokenizer, Some(&template), &prompt).unwrap();
        assert!(encoded.input_ids.starts_with(&ids) && tokenizer.decode(&ids, false) == text);
    }
    let told = Folder::with("told", &[("chat_template.jinja", "{{ messages[0].content }}")]);
    assert!(ChatTemplate::for_training(&told.0, None).unwrap().is_some());
}

proptest! {
    #[test]
    fn a_stream_gives_what_decoding_gives(text in "[a-c é🙂\n]{0,20}", skip in any::<bool>(), raw in prop::collection::vec(0..275u32, 0..30)) {
        let tokenizer = tokenizer();
        for ids in [tokenizer.encode(&text), raw] {
            let mut stream = TextStream::new(&tokenizer, skip);
            let mut streamed: String = ids.iter().map(|&id| stream.push(id)).collect();
            streamed.push_str(&stream.finish());
            prop_assert_eq!(streamed, tokenizer.decode(&ids, skip));
        }
    }

    #[test]
    fn stop_texts_are_found_where_a_search_finds_them(
        parts in prop::collection::vec("[ab\né]{0,4}", 0..8),
        stops in prop::collection::vec("[ab\né]{0,3}", 0..3),
    ) {
        let mut watch = StopTexts::new(&stops);
        let mut text = String::new();
        for part in &parts {
            text.push_str(part);
            let end = stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop.as_str())).min();
            prop_assert_eq!(watch.push(part), end.is_some());
            prop_assert_eq!(watch.text(), &text[..end.unwrap_or(text.len())]);
            if end.is_some() {
                break;
            }
        }
        prop_assert_eq!(watch.stopped(), stops.iter().any(|stop| !stop.is_empty() && text.contains(stop.as_str())));
    }
}

#[test]
fn streams_take_linear_time() {
    let tokenizer = tokenizer();
    let stops = ["never".to_owned()];
    let time = |count: usize| {
        let ids: Vec<u32> = tokenizer.encode(" the answer").into_iter().cycle().take(count).collect();
        let started = std::time::Instant::now();
        let (mut stream, mut watch) = (TextStream::new(&tokenizer, true), StopTexts::new(&stops));
        for id in ids {
            assert!(!watch.push(&stream.push(id)));
        }
        started.elapsed()
    };
    time(1000);
    let (short, long) = (time(4000), time(64_000));
    eprintln!("64,000 tokens streamed in {long:?}, 4,000 in {short:?}");
    // Sixteen times as many tokens take sixteen times as long; quadratic time would be 256 times.
    assert!(long < short * 100, "{short:?} {long:?}");
}
