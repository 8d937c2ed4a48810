//! Rows as data sets and tools lay them out.

use super::Case;
use serde_json::{Value, json};

const ROLLOUTS: &str = "as: rollouts";
const SFT: &str = "as: sft";
const PAIRS: &str = "as: pairs";
const PROMPTS: &str = "as: prompts";

fn user(content: &str) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: &str) -> Value {
    json!({"role": "assistant", "content": content})
}

/// A message of a training example that is not trained.
fn asked(role: &str, content: &str) -> Value {
    json!({"role": role, "reasoning": null, "content": content, "train": false})
}

fn trained(content: &str) -> Value {
    json!({"role": "assistant", "reasoning": null, "content": content, "train": true})
}

fn thought(reasoning: &str, content: &str) -> Value {
    json!({"role": "assistant", "reasoning": reasoning, "content": content, "train": true})
}

fn example(messages: &[Value]) -> Value {
    json!({ "messages": messages })
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| row.to_string() + "\n").collect()
}

pub fn cases() -> Vec<Case> {
    let mut cases = rollouts();
    cases.extend(examples());
    cases.extend(pairs());
    cases.extend(references());
    cases.extend(columns());
    cases
}

fn rollouts() -> Vec<Case> {
    let case = |name, row: Value| Case::row("rollouts", name, &row, ROLLOUTS);
    let openr1 = json!({"problem": "9-5?", "answer": "4", "uuid": "u", "generations": ["<think>\nhm\n</think>\n\n\\boxed{4}", "<think>\nhm \\boxed{4} but"],
        "finish_reasons": ["stop", "length"], "is_reasoning_complete": [true, false], "correctness_math_verify": [true, false]});
    vec![
        case("OpenR1", openr1.clone())
            .rows([json!({"finish_reason": "stop", "answer": "\\boxed{4}"}), json!({"finish_reason": "length"})])
            .says(&["read as OpenR1 generations: ", "samples from `generations`", "not used: `correctness_math_verify`"]),
        case("OpenR1 without finish reasons", {
            let mut row = openr1;
            row["finish_reasons"] = Value::Null;
            row["generations"][1] = "\\boxed{4} but".into();
            row
        })
        .rows([json!({"finish_reason": "unknown"}), json!({"finish_reason": "length"})]),
        case("s1K", json!({"question": "9-5?", "solution": "4", "cot_type": "math", "deepseek_thinking_trajectory": "nine, five", "deepseek_attempt": "It is 4.", "gemini_attempt": "4"}))
            .rows([json!({"reasoning": "nine, five", "answer": "It is 4."})])
            .says(&["read as s1K attempts", "reference_answer from `solution`"]),
        case("LIMO", json!({"question": "9-5?", "solution": "Let me see. \\boxed{4}", "answer": "4"}))
            .rows([json!({"completion": "Let me see. \\boxed{4}"})]),
        case("OpenThoughts", json!({"problem": "9-5?", "deepseek_reasoning": "nine", "deepseek_solution": "4", "ground_truth_solution": "so \\boxed{4}"}))
            .table("prompts")
            .rows([json!({"reference_answer": "4"})]),
        case("OpenMathReasoning", json!({"problem": "9-5?", "generated_solution": "<think>a</think>4", "expected_answer": "4", "generation_model": "R1"}))
            .rows([json!({"teacher": "R1", "reasoning": "a"})]),
        case("Dolphin-R1", json!({"messages": [{"role": "system", "content": "S"}, user("9-5?")], "reasoning": "nine less five", "answer": "It is 4", "model": "r1"}))
            .rows([json!({"reasoning": "nine less five", "answer": "It is 4", "teacher": "r1"})])
            .says(&["completion from `answer`"]),
        case("Dolphin-R1 has no reference answers", json!({"messages": [user("9-5?")], "reasoning": "nine less five", "answer": "It is 4"}))
            .table("prompts")
            .rows([json!({"reference_answer": null})]),
        case("AM", json!({"messages": [{"role": "user", "content": "9-5?", "info": {"reference_answer": "4", "source": "x"}}, {"role": "assistant", "content": "<think>n</think><answer>4</answer>", "info": {}}]}))
            .rows([json!({"reasoning": "n", "answer": "<answer>4</answer>"})])
            .says(&["reference_answer from `messages.0.info.reference_answer`"]),
        case("Mixture-of-Thoughts", json!({"messages": [user("9-5?"), assistant("<think>n</think>4")], "num_tokens": 12, "source": "x"}))
            .rows([json!({"reasoning": "n", "answer": "4", "completion_tokens": 12})]),
        case("reasoning is a flag", json!({"prompt": "9-5?", "answer": "4", "completion": "It is 4.", "reasoning": "on"}))
            .rows([json!({"completion": "It is 4.", "reasoning": null})])
            .says(&["not used: `reasoning`"]),
        case("reasoning is true", json!({"prompt": "9-5?", "completion": "It is 4.", "reasoning": true}))
            .rows([json!({"completion": "It is 4."})]),
        case("vLLM", json!({"request_id": "7", "prompt": "9-5?", "answer": 4, "outputs": [{"index": 0, "text": "<think>a</think>4", "token_ids": [1, 2, 3], "finish_reason": "stop"}, {"index": 1, "text": "<think>so", "token_ids": [1], "finish_reason": "length"}]}))
            .rows([json!({"completion_tokens": 3, "finish_reason": "stop"}), json!({"completion_tokens": 1, "finish_reason": "length"})])
            .says(&["read as vLLM outputs"]),
        case("SGLang", json!({"prompt": "9-5?", "text": "<think>a</think>4", "meta_info": {"finish_reason": {"type": "length", "length": 3}, "completion_tokens": 3}}))
            .rows([json!({"completion_tokens": 3, "finish_reason": "length"})]),
        case("lm-eval", json!({"doc_id": 3, "doc": {"question": "9-5?"}, "target": "so\n#### 4", "arguments": [["Q: 9-5?", {"until": []}]], "resps": [["It is 4", "It is 5"]], "exact_match": 1.0}))
            .rows([json!({"completion": "It is 4"}), json!({"completion": "It is 5"})]),
        case("lm-eval's reference answer", json!({"doc_id": 3, "doc": {"question": "9-5?"}, "target": "so\n#### 4", "resps": [["4"]]}))
            .table("prompts")
            .rows([json!({"reference_answer": "4", "messages": [user("9-5?")]})]),
        case("verl", json!({"data_source": "d", "prompt": [user("9-5?")], "ability": "math", "reward_model": {"ground_truth": "[\"4\"]", "style": "rule"}, "responses": ["\\boxed{4}"]}))
            .rows([json!({"completion": "\\boxed{4}"})]),
        case("verl's reference answer", json!({"prompt": [user("9-5?")], "ability": "math", "reward_model": {"ground_truth": "[\"4\"]"}, "responses": ["4"]}))
            .table("prompts")
            .rows([json!({"reference_answer": "4", "domain": "math"})]),
        case("OpenAI batch output with its requests", json!({"custom_id": "q1", "request": {"body": {"messages": [user("9-5?")]}}, "response": {"status_code": 200, "body": {"model": "m", "usage": {"completion_tokens": 5}, "choices": [{"message": {"role": "assistant", "content": "It is 4.", "reasoning_content": "n"}, "finish_reason": "stop"}]}}}))
            .rows([json!({"reasoning": "n", "answer": "It is 4.", "finish_reason": "stop", "completion_tokens": 5, "teacher": "m"})]),
        case("OpenAI batch output alone", json!({"custom_id": "q1", "response": {"status_code": 200, "body": {"choices": [{"message": {"content": "4"}}]}}}))
            .says(&["no_prompt", "join by `custom_id`"]),
        case("GSM8K", json!({"question": "9-5?", "answer": "9 less 5 is 4\n#### 4", "completion": "4"}))
            .table("prompts")
            .rows([json!({"reference_answer": "4"})]),
        case("Alpaca rollouts", json!({"instruction": "Add.", "input": "1, 3", "output": "<think>1+3</think>\\boxed{4}", "answer": "4"}))
            .table("prompts")
            .rows([json!({"messages": [user("Add.\n1, 3")], "reference_answer": "4"})]),
        case("UltraFeedback", json!({"instruction": "Hi", "completions": [{"model": "a", "response": "x"}, {"model": "b", "response": "y"}]}))
            .rows([json!({"teacher": "a", "completion": "x"}), json!({"teacher": "b", "completion": "y"})]),
        case("what the row says holds for its one sample", json!({"prompt": "9-5?", "completions": ["\\boxed{4} and"], "finish_reason": "length", "completion_tokens": 7, "model": "m"}))
            .rows([json!({"finish_reason": "length", "completion_tokens": 7, "teacher": "m"})]),
        case("samples of every kind", json!({"prompt": "9-5?", "completions": ["4", null, "", {"x": 1}, {"content": "5"}]}))
            .rows([json!({"completion": "4"}), json!({"completion": "5"})])
            .says(&["3 no_completion"]),
        Case::new("rollouts", "no samples", lines(&[json!({"prompt": "a", "completions": []}), json!({"prompt": "b", "completions": null, "completion": "6"}), json!({"prompt": "c", "completions": {"0": "8"}})]), ROLLOUTS)
            .rows([json!({"completion": "6"}), json!({"completion": "8"})])
            .says(&["1 no_completion"]),
        case("lists beside a list", json!({"prompt": "q", "completions": ["a", "b"], "finish_reasons": ["stop", "length"], "completion_tokens": [3, 9], "model": "m"}))
            .rows([json!({"finish_reason": "stop", "completion_tokens": 3, "teacher": "m"}), json!({"finish_reason": "length", "completion_tokens": 9})]),
        case("reasoning by another name", json!({"question": "q", "thinking_process": "n and n", "response": "4"}))
            .rows([json!({"reasoning": "n and n", "answer": "4"})]),
        case("several think blocks", json!({"prompt": "9-5?", "completion": "<think>a</think>FIRST<think>b</think>\\boxed{4}"}))
            .rows([json!({"reasoning": "a</think>FIRST<think>b", "answer": "\\boxed{4}"})]),
        Case::new("rollouts", "finish reasons in any spelling", lines(&["STOP", "MAX_TOKENS", "FinishReason.LENGTH", "finish_reason_length", "eos_token", "SAFETY", "truncated"].map(|word| json!({"prompt": word, "completion": "4", "finish_reason": word}))), ROLLOUTS)
            .rows(["stop", "length", "length", "length", "stop", "content_filter", "length"].map(|word| json!({"finish_reason": word}))),
        Case::new("rollouts", "token counts in any form", lines(&[json!(100), json!(100.0), json!("100"), json!("1,000"), json!(null), json!(7)].map(|count| json!({"prompt": count.to_string(), "completion": "4", "completion_tokens": count}))), "as: rollouts, max_tokens: 100")
            .rows(["length", "length", "length", "length", "unknown", "unknown"].map(|word| json!({"finish_reason": word})))
            .says(&["1 rollouts have no token count"]),
        Case::row("rollouts", "a limit without counts", &json!({"prompt": "9-5?", "text": "<think>n</think>4"}), "as: rollouts, max_tokens: 100")
            .says(&["`max_tokens: 100` cannot be applied", "columns.completion_tokens"]),
    ]
}

fn examples() -> Vec<Case> {
    let case = |name, row: Value| Case::row("examples", name, &row, SFT);
    let hi = || asked("user", "hi");
    let weights = json!({"messages": [user("hi"), {"role": "assistant", "content": "bad", "weight": 0}, user("again"), assistant("good")]});
    let system = "Between <|begin_of_thought|> and <|end_of_thought|>.";
    vec![
        case("Alpaca with input", json!({"instruction": "Add.", "input": "1, 3", "output": "4"}))
            .rows([example(&[asked("user", "Add.\n1, 3"), trained("4")])])
            .says(&["input from `input`"]),
        case("Alpaca with history and system", json!({"instruction": "hi", "input": "", "output": "x", "system": "S", "history": [["a", "b"]]}))
            .rows([example(&[asked("system", "S"), asked("user", "a"), asked("assistant", "b"), hi(), trained("x")])]),
        case("reasoning_content", json!({"messages": [user("hi"), {"role": "assistant", "content": "4", "reasoning_content": "n"}]}))
            .rows([example(&[hi(), thought("n", "4")])]),
        case("thinking", json!({"messages": [{"role": "user", "content": "hi", "thinking": null}, {"role": "assistant", "content": "4", "thinking": "n"}]}))
            .rows([example(&[hi(), thought("n", "4")])]),
        case("parts", json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}, {"role": "assistant", "content": [{"type": "thinking", "thinking": "n"}, {"type": "text", "text": "4"}]}]}))
            .rows([example(&[hi(), thought("n", "4")])]),
        case("OpenThoughts' system column", json!({"system": system, "conversations": [{"from": "user", "value": "hi"}, {"from": "assistant", "value": "4"}]}))
            .rows([example(&[asked("system", system), hi(), trained("4")])])
            .says(&["system from `system`"]),
        Case::row("examples", "ShareGPT's system column", &json!({"system": "S", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "4"}]}), "format: sharegpt")
            .rows([example(&[asked("system", "S"), hi(), trained("4")])]),
        Case::new("examples", "roles in any spelling", lines(&[("User", "Assistant"), ("human", "chatgpt"), ("Human", "ai"), ("USER", "model"), ("prompter", "bing")].map(|(one, other)| json!({"conversations": [{"from": one, "value": "hi"}, {"from": other, "value": "4"}]}))), "format: sharegpt")
            .rows(vec![example(&[hi(), trained("4")]); 5]),
        case("items and text", json!({"items": [{"from": "human", "text": "hi"}, {"from": "gpt", "text": "4"}]}))
            .rows([example(&[hi(), trained("4")])]),
        case("an unknown role", json!({"messages": [{"role": "narrator", "content": "hm"}, assistant("4")]})).says(&["unknown_role", "narrator"]),
        case("Nemotron", json!({"input": [user("hi")], "output": "<think>n</think>4", "category": "math", "reasoning": "on", "generator": "R1", "system_prompt": "detailed thinking on"}))
            .rows([json!({"messages": [asked("system", "detailed thinking on"), hi(), thought("n", "4")], "domain": "math"})]),
        case("medical-o1", json!({"Question": "hi", "Complex_CoT": "n", "Response": "4"})).rows([example(&[hi(), thought("n", "4")])]),
        case("s1K", json!({"question": "hi", "deepseek_thinking_trajectory": "n", "deepseek_attempt": "4"})).rows([example(&[hi(), thought("n", "4")])]),
        case("questions and answers", json!({"question": "hi", "answer": "4"})).rows([example(&[hi(), trained("4")])]),
        Case::new("examples", "KTO", lines(&[json!({"prompt": "hi", "completion": "5", "label": false}), json!({"prompt": "hi", "completion": "4", "label": true})]), "format: trl, as: sft")
            .rows([example(&[hi(), trained("4")])])
            .says(&["1 label_false"]),
        case("a completion of several turns", json!({"prompt": [user("hi")], "completion": [assistant("a"), user("b"), assistant("c")]}))
            .rows([example(&[hi(), trained("a"), asked("user", "b"), trained("c")])]),
        case("turns of the prompt are not trained", json!({"prompt": [user("hi"), assistant("a"), user("b")], "completion": "c"}))
            .rows([example(&[hi(), asked("assistant", "a"), asked("user", "b"), trained("c")])]),
        case("weights", weights).rows([example(&[hi(), asked("assistant", "bad"), asked("user", "again"), trained("good")])]),
        case("nothing is trained", json!({"messages": [user("hi"), {"role": "assistant", "content": "x", "weight": 0}]})).says(&["nothing_trained"]),
        case("text between think blocks", json!({"messages": [user("hi"), assistant("<think>a</think>b<think>c</think>d")]}))
            .rows([example(&[hi(), thought("a</think>b<think>c", "d")])]),
        Case::row("examples", "prompt and completion by name", &json!({"q": "hi", "a": "4"}), "as: sft, columns: { prompt: q, completion: a }")
            .rows([example(&[hi(), trained("4")])]),
        Case::row("examples", "reasoning by name", &json!({"q": "hi", "r": "n", "a": "4"}), "as: sft, format: trl, columns: { prompt: q, completion: a, reasoning: r }")
            .rows([example(&[hi(), thought("n", "4")])]),
        Case::row("examples", "a prompt of messages by name", &json!({"x": [user("hi")], "y": "4"}), "as: sft, format: trl, columns: { prompt: x, completion: y }")
            .rows([example(&[hi(), trained("4")])]),
        Case::row("examples", "columns without use", &json!({"prompt": "hi", "completion": "4", "m": "x"}), "as: sft, columns: { teacher: m }")
            .says(&["have no use for `teacher`"]),
    ]
}

fn pairs() -> Vec<Case> {
    let case = |name, row: Value| Case::row("pairs", name, &row, PAIRS);
    let four = || json!({"prompt": [user("hi")], "chosen": "4", "rejected": "5"});
    vec![
        case("texts", json!({"prompt": "hi", "chosen": "4", "rejected": "5"})).rows([four()]),
        case("messages", json!({"prompt": [user("hi")], "chosen": [assistant("4")], "rejected": [assistant("5")]})).rows([four()]),
        case("the prompt within", json!({"chosen": [user("hi"), assistant("4")], "rejected": [user("hi"), assistant("5")]}))
            .rows([four()])
            .says(&["the prompt within"]),
        case("UltraFeedback, binarized", json!({"prompt": "hi", "chosen": [user("hi"), assistant("4")], "rejected": [user("hi"), assistant("5")], "score_chosen": 8.0}))
            .rows([four()]),
        case("HH", json!({"chosen": "\n\nHuman: hi\n\nAssistant: 4\n\nHuman: and?\n\nAssistant: 5", "rejected": "\n\nHuman: hi\n\nAssistant: 4\n\nHuman: and?\n\nAssistant: 6\n\nno"}))
            .rows([json!({"prompt": [user("hi"), assistant("4"), user("and?")], "chosen": "5", "rejected": "6\n\nno"})])
            .says(&["read as HH transcripts"]),
        case("Alpaca", json!({"instruction": "Add.", "input": "1, 3", "chosen": "4", "rejected": "5"}))
            .rows([json!({"prompt": [user("Add.\n1, 3")], "chosen": "4"})]),
        Case::row("pairs", "ShareGPT", &json!({"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "hi"}], "chosen": {"from": "gpt", "value": "4"}, "rejected": {"from": "gpt", "value": "5"}}), "as: pairs, format: sharegpt")
            .rows([json!({"prompt": [{"role": "system", "content": "S"}, user("hi")], "chosen": "4", "rejected": "5"})]),
        Case::row("pairs", "reasoning_content", &json!({"prompt": [user("hi")], "chosen": [{"role": "assistant", "content": "4", "reasoning_content": "n"}], "rejected": [{"role": "assistant", "content": "4", "reasoning_content": "n n"}]}), "as: pairs, format: trl")
            .rows([json!({"chosen": "<think>\nn\n</think>\n\n4", "rejected": "<think>\nn n\n</think>\n\n4"})]),
        case("OpenAI preference rows", json!({"input": {"messages": [user("hi")]}, "preferred_output": [assistant("4")], "non_preferred_output": [assistant("5")]}))
            .rows([four()]),
        case("the prompt within, with other white space", json!({"prompt": "hi\n", "chosen": [user("hi"), assistant("4")], "rejected": [user("hi"), assistant("5")]}))
            .rows([json!({"chosen": "4", "rejected": "5"})]),
        case("identical sides", json!({"prompt": "hi", "chosen": "4", "rejected": "4"})).says(&["identical_sides"]),
        case("identical conversations", json!({"chosen": [user("hi"), assistant("4")], "rejected": [user("hi"), assistant("4")]})).says(&["identical_sides"]),
        case("several turns", json!({"prompt": "hi", "chosen": [assistant("a"), user("b"), assistant("c")], "rejected": "5"})).says(&["several_turns"]),
    ]
}

fn references() -> Vec<Case> {
    let case =
        |name, answer: Value| Case::row("reference answers", name, &json!({"prompt": "q", "answer": answer}), PROMPTS);
    let is = |answer: &str| [json!({ "reference_answer": answer })];
    vec![
        case("a list of one", json!(["4"])).rows(is("4")),
        case("a list of several", json!(["4", "four"]))
            .rows(is("[\"4\",\"four\"]"))
            .says(&["several reference answers"]),
        case("a list of the same", json!(["4", "4"])).rows(is("4")),
        case("an object", json!({"value": "4"})).rows(is("4")),
        case("an object without a value", json!({"x": "4"})).says(&["reference_unreadable"]),
        case("zero", json!(0)).rows(is("0")),
        case("a fraction", json!(0.1)).rows(is("0.1")),
        case("true", json!(true)).rows(is("true")),
        Case::new(
            "reference answers",
            "thirty digits",
            "{\"prompt\":\"q\",\"answer\":123456789012345678901234567890}",
            PROMPTS,
        )
        .rows(is("123456789012345678901234567890")),
        Case::new(
            "reference answers",
            "more digits than a double holds",
            "{\"prompt\":\"q\",\"answer\":9007199254740993.5}",
            PROMPTS,
        )
        .rows(is("9007199254740993.5")),
        Case::row("reference answers", "MATH", &json!({"problem": "q", "solution": "so \\boxed{4}"}), PROMPTS)
            .rows(is("4")),
        Case::new(
            "reference answers",
            "two that differ",
            lines(&[
                json!({"prompt": "q", "answer": "5", "completion": "a"}),
                json!({"prompt": "q", "answer": "6", "completion": "b"}),
            ]),
            ROLLOUTS,
        )
        .table("prompts")
        .rows(is("5"))
        .says(&["1 rows give their prompt another reference answer", "a.jsonl:2", "`6`"]),
    ]
}

fn columns() -> Vec<Case> {
    let row = || json!({"prompt": "q", "answer": "4", "completion": "4"});
    vec![
        Case::row("columns", "dots in a name", &json!({"prompt": "q", "response.text": "4"}), "as: rollouts, columns: { completion: response.text }")
            .rows([json!({"completion": "4"})]),
        Case::row("columns", "dots that reach in", &json!({"prompt": "q", "response": {"text": ["4"]}}), "as: rollouts, columns: { completion: response.text.0 }")
            .rows([json!({"completion": "4"})]),
        Case::row("columns", "a name that is not there", &row(), "as: rollouts, columns: { completion: compltion, reference_answer: anser }")
            .says(&["`anser` (columns.reference_answer)", "`compltion` (columns.completion)", "`answer`, `completion`, `prompt`"]),
        Case::row("columns", "one that is not there", &row(), "as: rollouts, columns: { reference_answer: anser }").says(&["`anser`"]),
        Case::row("columns", "none", &row(), "as: rollouts, columns: { reference_answer: none }")
            .table("prompts")
            .rows([json!({"reference_answer": null})]),
        Case::row("columns", "what is the completion is not the answer", &json!({"prompt": "q", "answer": "It is 4"}), "as: rollouts, columns: { completion: answer }")
            .table("prompts")
            .rows([json!({"reference_answer": null})]),
        Case::row("columns", "what was used and what not", &json!({"prompt": "q", "answer": "4", "completion": "4", "other": 1}), ROLLOUTS)
            .rows([json!({"completion": "4"})])
            .says(&["read as plain columns: completion from `completion`, prompt from `prompt`, reference_answer from `answer`; not used: `other`"]),
    ]
}
