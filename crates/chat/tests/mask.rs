//! Loss masks on a tiny tokenizer of our own, with the template shapes that models ship.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and says aloud what it skips")]

use std::path::Path;

use retort_chat::{
    ChatError, ChatMessage, ChatTemplate, Date, Encoded, RenderOptions, Tokenizer, Warning, encode_example,
    encode_pair, encode_prompt, stop_ids,
};
use retort_records::{Message, SftMessage};

/// What DeepSeek-R1 ships, shortened: the assistant's past reasoning is cut off, the generation prompt opens `<think>`.
const R1: &str = "{{ bos_token }}{% for message in messages %}\
    {%- if message.role == 'user' %}{{ '<|user|>' + message.content }}{% endif %}\
    {%- if message.role == 'assistant' %}{% set content = message.content %}\
    {%- if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}\
    {{- '<|assistant|>' + content + '<|endoftext|>' }}{% endif %}{% endfor %}\
    {%- if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}";
/// Llama 3's shape: texts are trimmed.
const TRIMMING: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n\\n' + m.content | trim + '<|im_end|>' }}\
    {%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n\\n' }}{% endif %}";
/// A template that never ends a turn and puts the system prompt into the user's.
const ENDLESS: &str = "{% for m in messages if m.role != 'system' %}\
    {%- if m.role == 'user' %}{{ 'Q: ' }}{% if loop.first and messages[0].role == 'system' %}{{ messages[0].content + ' ' }}\
    {%- endif %}{{ m.content + '\\nA:' }}{% else %}{{ ' ' + m.content + '\\n' }}{% endif %}{% endfor %}";

/// A small tokenizer and its template. Tests start in their package's folder, wherever they were built.
const TINY: &str = "tests/fixtures/tiny";

fn tiny() -> (Tokenizer, ChatTemplate) {
    let folder = Path::new(TINY);
    (Tokenizer::load(folder).unwrap(), ChatTemplate::load(folder).unwrap().unwrap())
}

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::from_source(source, &[("bos_token", "<|endoftext|>"), ("eos_token", "<|im_end|>")]).unwrap()
}

fn say(role: &str, content: &str) -> SftMessage {
    SftMessage { role: role.into(), reasoning: None, content: content.into(), train: role == "assistant" }
}

fn think(reasoning: &str, content: &str) -> SftMessage {
    SftMessage { reasoning: Some(reasoning.into()), ..say("assistant", content) }
}

/// The text of an example with the trained stretches in brackets.
fn shown(tokenizer: &Tokenizer, encoded: &Encoded) -> String {
    assert_eq!(encoded.input_ids.len(), encoded.labels_mask.len());
    let mut text = String::new();
    let mut inside = false;
    let mut run = Vec::new();
    for (&id, &counts) in encoded.input_ids.iter().zip(&encoded.labels_mask) {
        if counts != inside {
            text += &tokenizer.decode(&run, false);
            text.push(if counts { '[' } else { ']' });
            run.clear();
            inside = counts;
        }
        run.push(id);
    }
    text += &tokenizer.decode(&run, false);
    text + if inside { "]" } else { "" }
}

fn example(template: Option<&ChatTemplate>, messages: &[SftMessage]) -> (String, Vec<Warning>) {
    let (tokenizer, _) = tiny();
    let encoded = encode_example(&tokenizer, template, messages).unwrap();
    (shown(&tokenizer, &encoded), encoded.warnings)
}

#[test]
fn the_trained_turn_is_reasoning_content_and_end_of_turn() {
    let (_, chatml) = tiny();
    for last in [think("so", "95"), say("assistant", "<think>\nso\n</think>\n\n95"), say("assistant", "so</think>95")] {
        let (text, warnings) = example(Some(&chatml), &[say("system", "Hi."), say("user", "37+58="), last]);
        assert_eq!(
            text,
            "<|im_start|>system\nHi.<|im_end|>\n<|im_start|>user\n37+58=<|im_end|>\n<|im_start|>assistant\n\
             [<think>\nso\n</think>\n\n95<|im_end|>]\n"
        );
        assert!(warnings.is_empty());
    }
}

#[test]
fn only_messages_marked_for_training_count() {
    let (_, chatml) = tiny();
    let context = SftMessage { train: false, ..say("assistant", "b") };
    let messages = [say("user", "a"), context, say("user", "c"), say("assistant", "d"), say("user", "e")];
    let (text, _) = example(Some(&chatml), &messages);
    assert_eq!(
        text,
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n\
         <|im_start|>assistant\n[d<|im_end|>]\n<|im_start|>user\ne<|im_end|>\n"
    );
}

#[test]
fn a_token_across_the_boundary_belongs_to_the_prompt() {
    let (tokenizer, chatml) = tiny();
    let encoded = encode_example(&tokenizer, Some(&chatml), &[say("user", "a"), say("assistant", "\n\nb")]).unwrap();
    // `assistant\n` + `\n\nb`: the pre-tokenizer leaves the last line feed alone, so `ĊĊ` covers both sides.
    let at = encoded.labels_mask.iter().position(|&counts| counts).unwrap();
    assert_eq!(tokenizer.decode(&encoded.input_ids[at - 1..=at], false), "\n\n\n");
    assert_eq!(shown(&tokenizer, &encoded).split_once('[').unwrap().1, "\nb<|im_end|>]\n");
}

#[test]
fn reasoning_that_the_template_deletes_is_written_back() {
    let r1 = template(R1);
    assert!(r1.deletes_reasoning() && r1.prefills_think());
    let deleted = r1.deleted_reasoning().unwrap();
    assert!(deleted.final_turn && deleted.earlier_turn);
    let rendered = r1.render(
        &[ChatMessage::from(&say("user", "a")), ChatMessage::from(&say("assistant", "<think>\nso\n</think>\n\nb"))],
        RenderOptions::default(),
    );
    assert_eq!(rendered.unwrap(), "<|endoftext|><|user|>a<|assistant|>\n\nb<|endoftext|>");

    let (text, warnings) =
        example(Some(&r1), &[say("user", "a"), think("so", "b"), say("user", "c"), think("er", "d")]);
    assert_eq!(
        text,
        "<|endoftext|><|user|>a<|assistant|><think>\n[so\n</think>\n\nb<|endoftext|>]\
         <|user|>c<|assistant|><think>\n[er\n</think>\n\nd<|endoftext|>]"
    );
    let restored = [1, 3].map(|message| Warning::ReasoningRestored { message });
    assert_eq!(warnings, restored);

    // The same template without the prefilled tag: then the tag is the model's to write.
    let older = template(&R1.replace("<|assistant|><think>\\n", "<|assistant|>"));
    assert!(older.deletes_reasoning() && !older.prefills_think());
    let (text, _) = example(Some(&older), &[say("user", "a"), think("so", "b")]);
    assert_eq!(text, "<|endoftext|><|user|>a<|assistant|>[<think>\nso\n</think>\n\nb<|endoftext|>]");
    // One that closes the block at once (a switch to not thinking) is not followed into it.
    let hasty = template(&R1.replace("<|assistant|><think>\\n", "<|assistant|></think>"));
    let (text, _) = example(Some(&hasty), &[say("user", "a"), think("so", "b")]);
    assert_eq!(text, "<|endoftext|><|user|>a<|assistant|>[<think>\nso\n</think>\n\nb<|endoftext|>]");
}

#[test]
fn templates_that_trim_keep_their_spans() {
    let trimming = template(TRIMMING);
    let (text, _) = example(Some(&trimming), &[say("user", " a\n"), say("assistant", "\n b c\n ")]);
    assert_eq!(text, "<|im_start|>user\n\na<|im_end|><|im_start|>assistant\n\n[b c<|im_end|>]");
    let (text, _) = example(Some(&trimming), &[say("user", "a"), think("so", "b")]);
    assert_eq!(text, "<|im_start|>user\n\na<|im_end|><|im_start|>assistant\n\n[<think>\nso\n</think>\n\nb<|im_end|>]");
}

#[test]
fn a_missing_end_of_turn_is_supplied() {
    let endless = template(ENDLESS);
    assert_eq!(endless.generation_prompt(), "");
    let (text, warnings) = example(Some(&endless), &[say("system", "S"), say("user", "a"), say("assistant", "b")]);
    assert_eq!(text, "Q: S a\nA:[ b<|im_end|>]");
    assert!(warnings.is_empty());
    let mistral = template(
        "{{ bos_token }}{% for m in messages %}{{ '[INST] ' + m.content + ' [/INST]' if m.role == 'user' else ' ' + \
         m.content + eos_token }}{% endfor %}",
    );
    let turns = [say("user", "a"), say("assistant", "the"), say("user", "b"), say("assistant", "the")];
    let (text, _) = example(Some(&mistral), &turns);
    assert_eq!(text, "<|endoftext|>[INST] a [/INST][ the<|im_end|>][INST] b [/INST][ the<|im_end|>]");
}

#[test]
fn templates_that_rewrite_are_reported() {
    let (tokenizer, _) = tiny();
    let shouting = template("{% for m in messages %}{{ '<|im_start|>' + m.content | replace('b', 'B') }}{% endfor %}");
    let error = encode_example(&tokenizer, Some(&shouting), &[say("user", "a"), say("assistant", "abc")]).unwrap_err();
    assert!(matches!(&error, ChatError::Rewritten { index: 1, role } if role == "assistant"), "{error}");
    assert_eq!(error.drop_reason(), Some("template_rewrites"));
    let refusing = template("{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}x");
    let error = encode_prompt(&tokenizer, Some(&refusing), &[Message { role: "system".into(), content: "a".into() }]);
    assert_eq!(error.unwrap_err().drop_reason(), Some("template_fails"));
    let deaf = template("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}");
    let error = encode_example(&tokenizer, Some(&deaf), &[say("user", "a"), say("assistant", "b")]).unwrap_err();
    assert!(matches!(error, ChatError::Rewritten { index: 1, .. }));
    let nobody = encode_example(&tokenizer, Some(&deaf), &[say("user", "a")]).unwrap_err();
    assert!(matches!(nobody, ChatError::NothingTrained));
}

#[test]
fn without_a_template_contents_follow_one_another() {
    let (text, _) = example(None, &[say("user", "37+58="), think("30+50=80", "95")]);
    assert_eq!(text, "37+58=[<think>\n30+50=80\n</think>\n\n95<|im_end|>]");
    let context = SftMessage { train: false, ..say("assistant", "b") };
    let (text, _) =
        example(None, &[say("system", "s"), say("user", "a"), context, say("user", "c"), say("assistant", "d")]);
    assert_eq!(text, "s\nab<|im_end|>\nc[d<|im_end|>]");
    let (tokenizer, _) = tiny();
    let prompt = [Message::user("37+58=")];
    let pair = encode_pair(&tokenizer, None, &prompt, "<think>\n30+50=80\n</think>\n\n95").unwrap();
    let sft = encode_example(&tokenizer, None, &[say("user", "37+58="), think("30+50=80", "95")]).unwrap();
    assert_eq!(pair, sft);
    assert!(pair.input_ids.starts_with(&encode_prompt(&tokenizer, None, &prompt).unwrap()));
    assert_eq!(stop_ids(&tokenizer, None), [tokenizer.token_id("<|im_end|>").unwrap()]);
}

#[test]
fn pairs_are_taken_word_for_word() {
    let (tokenizer, chatml) = tiny();
    let r1 = template(R1);
    let prompt = [Message::user("a")];
    let pair = |template: &ChatTemplate, completion: &str| {
        shown(&tokenizer, &encode_pair(&tokenizer, Some(template), &prompt, completion).unwrap())
    };
    let head = "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(pair(&chatml, "<think>x</think>y"), format!("{head}[<think>x</think>y<|im_end|>]\n"));
    assert_eq!(pair(&chatml, "x</think>y"), format!("{head}[<think>\nx</think>y<|im_end|>]\n"));
    assert_eq!(pair(&chatml, "<think>x"), format!("{head}[<think>x]"));
    let head = "<|endoftext|><|user|>a<|assistant|><think>\n";
    assert_eq!(pair(&r1, "<think>\nx</think>y"), format!("{head}[x</think>y<|endoftext|>]"));
    assert_eq!(pair(&r1, "x</think>y"), format!("{head}[x</think>y<|endoftext|>]"));
    let empty = encode_pair(&tokenizer, Some(&chatml), &prompt, "").unwrap_err();
    assert!(matches!(empty, ChatError::NothingTrained));
}

#[test]
fn two_beginnings_never_stand_together() {
    let (tokenizer, _) = tiny();
    let folder = tempfile();
    for (name, config) in
        [("double", r#"{"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", "add_bos_token": true}"#)]
    {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let source = Path::new(TINY).join("tokenizer.json");
        std::fs::copy(source, folder.join("tokenizer.json")).unwrap();
        std::fs::write(folder.join("tokenizer_config.json"), config).unwrap();
        let tokenizer = Tokenizer::load(&folder).unwrap();
        let bos = tokenizer.bos().unwrap().id;
        let twice = template("{{ bos_token }}{% for m in messages %}{{ bos_token + m.content }}{% endfor %}");
        for ids in [
            encode_prompt(&tokenizer, None, &[Message::user("a")]).unwrap(),
            encode_prompt(&tokenizer, None, &[Message::user("<|endoftext|>a")]).unwrap(),
            encode_prompt(&tokenizer, Some(&twice), &[Message::user("a")]).unwrap(),
            encode_prompt(&tokenizer, Some(&template(R1)), &[Message::user("<|endoftext|>a")]).unwrap(),
        ] {
            assert_eq!(ids[0], bos);
            assert!(!ids[1..].contains(&bos));
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(tokenizer.bos().is_none());
    assert_eq!(tokenizer.decode(&encode_prompt(&tokenizer, None, &[Message::user("a")]).unwrap(), false), "a");
}

fn tempfile() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("retort-chat-{}", std::process::id()))
}

#[test]
fn a_tokenizer_that_cannot_express_every_text_is_refused() {
    let path = tempfile().with_extension("json");
    let source = r#"{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": null, "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "U"}}"#;
    std::fs::write(&path, source).unwrap();
    let error = Tokenizer::load(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(&error, ChatError::Malformed { reason, .. } if reason.contains("unk_token")), "{error}");
    assert_eq!(error.drop_reason(), None);
    assert!(matches!(Tokenizer::load(&path), Err(ChatError::Read { .. })));
}

#[test]
fn tokens_know_their_bytes() {
    let (tokenizer, _) = tiny();
    // The fixture asks for truncation at 8 tokens and for trimmed offsets; neither may act.
    let text = "<think> the  answer\n\n🙂</think><|im_end|>";
    let tokens = tokenizer.encode_with_offsets(text);
    assert_eq!(tokens.iter().map(|(id, _)| *id).collect::<Vec<_>>(), tokenizer.encode(text));
    assert_eq!(tokens.len(), tokenizer.count(text));
    assert_eq!(tokens[0].1, 0..7);
    assert_eq!(&text[tokens[1].1.clone()], " the");
    assert_eq!(&text[tokens.last().unwrap().1.clone()], "<|im_end|>");
    assert_eq!(tokenizer.decode(&tokenizer.encode(text), false), text);
    assert_eq!(tokenizer.decode(&tokenizer.encode(text), true), "<think> the  answer\n\n🙂</think>");
    assert_eq!(tokenizer.decode(&tokenizer.encode_ordinary(text), true), text);
    assert!(tokenizer.encode_ordinary(text).iter().all(|&id| id < 270));
    assert_eq!(tokenizer.vocab_size(), 275);
    assert_eq!(tokenizer.id().len(), 32);
    let mut covered = 0;
    for (_, bytes) in tokens {
        assert!(bytes.start <= covered && bytes.end >= covered);
        covered = bytes.end;
    }
    assert_eq!(covered, text.len());
}

#[test]
fn the_date_is_part_of_the_template() {
    let dated = template("{{ strftime_now('%d %b %Y') }}");
    let id = dated.id().to_owned();
    assert_eq!(dated.render(&[], RenderOptions::default()).unwrap(), "26 Jul 2024");
    let dated = dated.on(Date { year: 2025, month: 1, day: 31 }).unwrap();
    assert_eq!(dated.render(&[], RenderOptions::default()).unwrap(), "31 Jan 2025");
    assert_ne!(dated.id(), id);
    assert!(matches!(ChatTemplate::from_source("{% if %}", &[]), Err(ChatError::TemplateSyntax { .. })));
}
