//! Tools, their calls, and pictures: kept as they came, and told of where they cannot be used.

use super::{Case, round_trip, shown};
use crate::binary::{root, succeed};
use serde_json::{Value, json};

fn user(content: &str) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: &str) -> Value {
    json!({"role": "assistant", "content": content})
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "area", "parameters": {"type": "object"}}}])
}

fn calls() -> Value {
    json!([{"id": "c1", "type": "function", "function": {"name": "area", "arguments": "{\"a\": 5, \"b\": 3}"}}])
}

/// A conversation that calls a tool, in the words of chat-completions servers.
fn calling() -> Value {
    json!({"messages": [
        user("area of 5 by 3?"),
        {"role": "assistant", "content": null, "tool_calls": calls()},
        {"role": "tool", "content": "15", "tool_call_id": "c1", "name": "area"},
        assistant("It is 15."),
    ], "tools": tools()})
}

/// The same as ShareGPT has it.
fn sharegpt() -> Value {
    let call = json!({"name": "area", "arguments": {"a": 5, "b": 3}}).to_string();
    let tools = json!([{"name": "area"}]).to_string();
    json!({"conversations": [
        {"from": "human", "value": "area of 5 by 3?"}, {"from": "function_call", "value": call},
        {"from": "observation", "value": "15"}, {"from": "gpt", "value": "It is 15."},
    ], "tools": tools})
}

fn pictured() -> Value {
    json!({"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]}, assistant("A cat.")], "images": ["cat.png"]})
}

fn marked() -> Value {
    json!({"messages": [user("<image>what?"), assistant("A dog.")], "images": ["dog.png"]})
}

fn beyond(json: &Value) -> [Value; 1] {
    [json!({ "beyond_text": json.to_string() })]
}

pub fn cases() -> Vec<Case> {
    let case = |name, row: Value, settings| Case::row("beyond text", name, &row, settings);
    let content = pictured()["messages"][0]["content"].clone();
    let function = json!({"name": "area", "arguments": {"a": 5, "b": 3}});
    let prompt = json!([user("area of 5 by 3?")]);
    let asks = |row: &mut Value| row["messages"] = json!([user("area of 5 by 3?")]);
    let mut asked = calling();
    asks(&mut asked);
    vec![
        case("calls and tools", calling(), "as: sft")
            .rows(beyond(&json!({"tools": tools(), "messages": [null, {"tool_calls": calls(), "content": null}, {"tool_call_id": "c1", "name": "area"}]})))
            .says(&["tools from `tools`"]),
        case("ShareGPT's calls and tools", sharegpt(), "format: sharegpt")
            .rows(beyond(&json!({"tools": "[{\"name\":\"area\"}]", "messages": [null, {"tool_calls": [{"type": "function", "function": function}]}]}))),
        case("the older form of a call", json!({"messages": [user("q"), {"role": "assistant", "content": null, "function_call": function}]}), "as: sft")
            .rows(beyond(&json!({"messages": [null, {"tool_calls": [{"type": "function", "function": function}], "content": null}]}))),
        case("a thought before a call", json!({"messages": [user("q"), {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": calls()}]}), "as: sft")
            .rows([json!({"messages": [
                {"role": "user", "reasoning": null, "content": "q", "train": false},
                {"role": "assistant", "reasoning": "hm", "content": "", "train": true}]})]),
        case("a call that is none", json!({"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "area(5)"}]}), "format: sharegpt")
            .says(&["tool_calls_unreadable", "area(5)"]),
        case("a picture among the parts", pictured(), "as: sft")
            .rows(beyond(&json!({"images": ["cat.png"], "messages": [{"content": content}]})))
            .says(&["media from `images`"]),
        case("a picture in the text", marked(), "as: sft").rows(beyond(&json!({"images": ["dog.png"]}))),
        case("pictures that nothing in the text stands for", json!({"messages": [user("q"), assistant("a")], "images": ["a.png"]}), "as: sft")
            .rows([json!({"beyond_text": null})])
            .says(&["not used: `images`"]),
        case("a prompt with tools", asked.clone(), "as: prompts").rows([json!({"messages": prompt, "beyond_text": json!({"tools": tools()}).to_string()})]),
        case("a rollout of a prompt with tools", json!({"messages": asked["messages"], "tools": tools(), "completion": "15"}), "as: rollouts")
            .table("prompts")
            .rows(beyond(&json!({"tools": tools()}))),
        case("a completion that calls", json!({"messages": [user("q"), {"role": "assistant", "content": null, "tool_calls": calls()}]}), "as: rollouts")
            .says(&["tool_calls_not_supported", "only `as: sft` keeps that"]),
        case("a pair after a call", json!({"prompt": calling()["messages"].as_array().map(|turns| &turns[..3]), "tools": tools(), "chosen": "15", "rejected": "8"}), "as: pairs")
            .rows(beyond(&json!({"tools": tools(), "messages": [null, {"tool_calls": calls(), "content": null}, {"tool_call_id": "c1", "name": "area"}]}))),
        Case::new("beyond text", "two pictures are two prompts", [pictured().to_string(), pictured().to_string().replace("cat", "fox")].join("\n"), "as: prompts")
            .rows([json!({}), json!({})]),
    ]
}

fn write(folder: &std::path::Path, name: &str, rows: &[Value]) {
    let lines: String = rows.iter().map(|row| row.to_string() + "\n").collect();
    std::fs::write(folder.join(name), lines).expect("rows");
}

/// What came in as JSON lines leaves as the same bytes; every form of an export comes back and leaves as the same bytes.
#[test]
fn tools_and_pictures_leave_as_they_came() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let plain = json!({"messages": [user("hi"), assistant("<think>\nso\n</think>\n\nho")]});
    write(work.path(), "a.jsonl", &[plain, calling(), pictured(), marked()]);
    write(work.path(), "s.jsonl", &[sharegpt()]);
    let mut pair = calling();
    pair["prompt"] = pair["messages"].as_array().map(|turns| turns[..3].to_vec()).into();
    pair.as_object_mut().expect("an object").shift_remove("messages");
    let tools = pair.as_object_mut().expect("an object").shift_remove("tools");
    pair["chosen"] = json!([assistant("15")]);
    pair["rejected"] = json!([assistant("8")]);
    pair["tools"] = tools.into();
    write(work.path(), "p.jsonl", &[pair]);
    let stages = "  a: { import: { path: a.jsonl, as: sft } }\n  s: { import: { path: s.jsonl, as: sft } }\n  p: { import: { path: p.jsonl, as: pairs } }\n";
    let forms =
        [("a", "messages"), ("a", "trl"), ("a", "sharegpt"), ("s", "sharegpt"), ("p", "trl"), ("p", "sharegpt")];
    round_trip(work.path(), stages, &forms);
    let read = |path: &str| std::fs::read(work.path().join(path)).expect("rows");
    for (came, left) in [("a.jsonl", "a-messages"), ("s.jsonl", "s-sharegpt"), ("p.jsonl", "p-trl")] {
        let left = String::from_utf8(read(&format!("runs/one/{left}-jsonl/train.jsonl"))).expect("text");
        assert_eq!(left, String::from_utf8(read(came)).expect("text"), "{came}");
    }
    // Tables of our own come in, too, and those without anything beyond text have no column for it.
    let table = |stage: &str| work.path().join(format!("runs/one/{stage}/sft/part-00000.parquet"));
    let stage = format!("{{ import: {{ path: {}, as: sft }} }}", table("a").display());
    std::fs::write(work.path().join("r.yaml"), format!("name: c\nstages:\n  data: {stage}\n")).expect("a pipeline");
    succeed(work.path(), &["run", "r.yaml", "--allow-path"]);
    let rows = shown(work.path(), "sft");
    assert_eq!(rows.len(), 4);
    assert!(
        rows[0].get("beyond_text").is_none() && rows[1]["beyond_text"].as_str().is_some_and(|json| json.contains("c1"))
    );
}

/// A template that writes tools, calls and what a tool said, and one that does not.
const WRITES_CALLS: &str = "{% for t in tools or [] %}<tool>{{ t | tojson }}</tool>{% endfor %}\
    {% for m in messages %}<{{ m.role }}>{{ m.content or '' }}\
    {%- for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}</{{ m.role }}>{% endfor %}\
    {% if add_generation_prompt %}<assistant>{% endif %}";
const WRITES_TEXT: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}\
    {% if add_generation_prompt %}<assistant>{% endif %}";

/// A student is trained on calls where its template writes them; rows that it cannot read say why.
#[test]
fn calls_are_trained_and_pictures_dropped_with_a_reason() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let calls_only = json!({"messages": [user("q"), {"role": "assistant", "content": "", "tool_calls": calls()}]});
    let plain = json!({"messages": [user("q"), assistant("a")]});
    write(work.path(), "a.jsonl", &[plain, calling(), pictured(), marked(), calls_only]);
    let student = work.path().join("student");
    std::fs::create_dir(&student).expect("a folder");
    for file in std::fs::read_dir(root().join("pipelines/quickstart/student")).expect("a student").flatten() {
        std::fs::copy(file.path(), student.join(file.file_name())).expect("a copy");
    }
    let stages = "  in: { import: { path: a.jsonl, as: sft } }\n  out: { train: { base: ./student, data: in, training: { max_steps: 1, batch_size: 1, learning_rate: 0.001 } } }\n";
    std::fs::write(work.path().join("p.yaml"), format!("name: c\nstages:\n{stages}")).expect("a pipeline");
    for (template, dropped) in [
        (WRITES_CALLS, "2 dropped (2 media_not_supported)"),
        (WRITES_TEXT, "4 dropped (2 media_not_supported, 1 not_a_conversation, 1 template_rewrites)"),
    ] {
        std::fs::write(student.join("chat_template.jinja"), template).expect("a template");
        let (_, err) = succeed(work.path(), &["run", "p.yaml"]);
        assert!(err.contains(dropped), "{err}");
    }
}
