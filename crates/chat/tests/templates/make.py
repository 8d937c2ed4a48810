#!/usr/bin/env python3
"""Makes `templates.json`, `tokenizer.json` and `expected.json`: what transformers renders of public chat templates.

    python3 -m venv venv && venv/bin/pip install transformers==5.24.0 jinja2==3.1.6
    venv/bin/pip download --no-deps trl==1.16.0 axolotl==0.19.0 unsloth==2026.10.9   # Apache-2.0, all three
    venv/bin/python make.py gather WHEELS     # the templates that the wheels hold -> templates.json, tokenizer.json
    venv/bin/python make.py expect            # what transformers makes of them -> expected.json
    venv/bin/python make.py show NAME CASE    # one rendering in full

Texts and ids are kept as the first 16 hexadecimal digits of their SHA-256, so that thousands of them stay small.
"""
import ast, datetime, glob, hashlib, json, os, re, sys, zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def write(name, value, lines=False):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as file:
        if lines:
            file.write("[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in value) + "\n]\n")
        else:
            json.dump(value, file, ensure_ascii=False)
            file.write("\n")


def read(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return json.load(file)


def strings(source):
    """Texts that a module assigns to names ending in `_template`, where they are made of literals and `+`."""
    known = {}

    def value(node):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Name):
            return known.get(node.id)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = value(node.left), value(node.right)
            return None if left is None or right is None else left + right
        return None

    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            text = value(node.value)
            if text is not None:
                known[node.targets[0].id] = text
    return {name: text for name, text in known.items() if name.endswith("_template") and "ollama" not in name}


def gather(wheels):
    found, seen = [], set()

    def add(name, source, package):
        source = source.replace("{system_message}", "You are helpful.")
        if source.strip() not in seen and "{%" in source:
            seen.add(source.strip())
            found.append({"name": name, "package": package, "licence": "Apache-2.0", "template": source})

    for path in sorted(glob.glob(os.path.join(wheels, "*.whl"))):
        package = " ".join(os.path.basename(path).split("-")[:2])
        with zipfile.ZipFile(path) as wheel:
            for name in sorted(wheel.namelist()):
                stem = os.path.basename(name).removesuffix(".jinja")
                if name.endswith(".jinja") and "template" in name and package.split()[0] in ("trl", "axolotl", "unsloth"):
                    add(f"{package.split()[0]}/{stem}", wheel.read(name).decode(), package)
                if name == "unsloth/chat_templates.py":
                    for key, text in strings(wheel.read(name).decode()).items():
                        add(f"unsloth/{key.removesuffix('_template')}", text, package)
    save(found)


def save(found):
    """Writes the templates and a byte-level tokenizer that knows the control tokens in them."""
    write("templates.json", found, lines=True)
    tokens = set(SPECIAL.values())
    for entry in found:
        tokens |= set(re.findall(r"<\|[^|<>\s{}'\"]{1,40}\|?>|<[^|<>\s{}'\"]{1,40}\|>|<｜[^｜<>{}'\"]{1,40}｜>|\[/?[A-Z_]{3,20}\]|</?s>"
                                 r"|\[\|[^|\[\]]{1,30}\|\]|<(?:bos|eos|start_of_turn|end_of_turn|end_of_utterance|extra_id_\d)>|\]<\]\w+\[>\[", entry["template"]))
    tokens = sorted(tokens)
    characters = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    names = {byte: chr(byte) for byte in characters}
    for byte in range(256):
        names.setdefault(byte, chr(256 + len(names) - len(characters)))
    vocabulary = {name: index for index, name in enumerate(sorted(names.values()))}
    added = [{"id": 256 + index, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": token not in ("<think>", "</think>")}
             for index, token in enumerate(tokens + ["<think>", "</think>"])]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    write("tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary, "merges": []}})
    write("tokenizer_config.json", {**SPECIAL, "tokenizer_class": "PreTrainedTokenizerFast"})
    print(len(found), "templates,", len(tokens), "special tokens")


def say(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, identifier="call12345"):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The weather \"now\" at a place <é>.",
        "parameters": {"type": "object", "properties": {
            "place": {"type": "string", "description": "A town", "enum": ["Paris", "Rome"]},
            "days": {"type": "integer", "default": 1, "nullable": True},
            "fields": {"type": "array", "items": {"type": "string"}, "description": "What to tell"},
            "where": {"type": "object", "properties": {"lat": {"type": "number"}, "lon": {"type": ["number", "null"]}}},
        }, "required": ["place"]},
        "return": {"type": "string", "description": "The weather"}}},
    {"type": "function", "function": {
        "name": "stop", "description": "Stops.", "parameters": {"type": "object", "properties": {}}}},
]


def cases():
    q, a = "QUESTION1 <is> 2+2? ünï 🙂", "ANSWER1 is 4.\nYes"
    turns = [say("user", q), say("assistant", a)]
    called = [say("user", q), say("assistant", "", tool_calls=[call("get_weather", {"place": "Paris", "days": 2.0, "fields": ["a", None, True]})]),
              say("tool", '{"sun": true}', name="get_weather", tool_call_id="call12345"), say("assistant", "ANSWER2 is sun.")]
    yield "one turn", dict(messages=turns)
    yield "system", dict(messages=[say("system", "SYSTEM be brief.  "), *turns])
    yield "multi turn", dict(messages=[*turns, say("user", " QUESTION2\n"), say("assistant", " ANSWER2 \n")])
    yield "thinking", dict(messages=[say("user", q), say("assistant", a, reasoning_content="REASON1 two\nand two")])
    yield "thinking twice", dict(messages=[say("user", q), say("assistant", a, reasoning_content="REASON1"), say("user", "QUESTION2"),
                                           say("assistant", "ANSWER2", reasoning_content="REASON2")])
    yield "inline thinking", dict(messages=[say("user", q), say("assistant", f"<think>\nREASON1 two\n</think>\n\n{a}")])
    yield "inline thinking twice", dict(messages=[say("user", q), say("assistant", f"<think>REASON1</think>{a}"), say("user", "QUESTION2"),
                                                  say("assistant", "<think>\nREASON2\n</think>\n\nANSWER2")])
    yield "empty thinking", dict(messages=[say("user", q), say("assistant", f"<think>\n\n</think>\n\n{a}")])
    yield "prefilled", dict(messages=[say("user", q), say("assistant", f"REASON1 so\n</think>\n\n{a}")])
    yield "only thinking", dict(messages=[say("user", q), say("assistant", "<think>\nREASON1\n</think>")])
    yield "several ends", dict(messages=[say("user", q), say("assistant", f"<think>REASON1</think>b</think>{a}")])
    yield "tags spoken of", dict(messages=[say("user", "what is <think>?"), say("assistant", f"The tag </think> closes. {a}")])
    yield "tools", dict(messages=turns, tools=TOOLS)
    yield "tools and system", dict(messages=[say("system", "SYSTEM"), say("user", q)], tools=TOOLS, generate=True)
    yield "tool calls", dict(messages=called, tools=TOOLS)
    yield "tool calls as text", dict(messages=[say("user", q), say("assistant", "", tool_calls=[call("get_weather", '{"place": "Rome"}')])], tools=TOOLS)
    yield "parallel tool calls", dict(messages=[
        say("user", q), say("assistant", "ANSWER1", reasoning_content="REASON1",
                            tool_calls=[call("get_weather", {"place": "Rome"}), call("stop", {}, "call67890")]),
        say("tool", "rain", name="get_weather", tool_call_id="call12345"), say("tool", "done", name="stop", tool_call_id="call67890")],
        tools=TOOLS, generate=True)
    yield "null content", dict(messages=[say("user", q), say("assistant", None, tool_calls=[call("stop", {})]),
                                         say("tool", "done", tool_call_id="call12345", name="stop")], tools=TOOLS, generate=True)
    yield "null everywhere", dict(messages=[say("user", q), say("assistant", None, tool_calls=None, reasoning_content=None)])
    yield "parts", dict(messages=[say("user", [{"type": "text", "text": q}]), say("assistant", [{"type": "text", "text": a}])])
    yield "several parts", dict(messages=[say("user", [{"type": "text", "text": "QUESTION1"}, {"type": "image", "image": "x.png"},
                                                       {"type": "text", "text": "QUESTION2"}])], generate=True)
    yield "generation prompt", dict(messages=[say("system", "SYSTEM"), say("user", q)], generate=True)
    yield "thinking off", dict(messages=[say("user", q)], generate=True, kwargs={"enable_thinking": False})
    yield "thinking on", dict(messages=[say("user", q)], generate=True, kwargs={"enable_thinking": True, "reasoning_effort": "high"})
    yield "thinking off, trained", dict(messages=turns, kwargs={"enable_thinking": False})
    yield "documents", dict(messages=[say("user", q)], generate=True, documents=[{"title": "T", "text": "words"}])
    yield "developer", dict(messages=[say("developer", "SYSTEM"), say("user", q)], generate=True)
    yield "two of the user", dict(messages=[say("user", "QUESTION1"), say("user", "QUESTION2"), say("assistant", a)])


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def prepared():
    from transformers import PreTrainedTokenizerFast
    from transformers.utils import chat_template_utils

    class Fixed(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2024, 7, 26)

    chat_template_utils.datetime = Fixed
    return PreTrainedTokenizerFast(tokenizer_file=os.path.join(HERE, "tokenizer.json"), **SPECIAL)


def render(tokenizer, template, case, **more):
    return tokenizer.apply_chat_template(
        case["messages"], tools=case.get("tools"), documents=case.get("documents"), chat_template=template,
        add_generation_prompt=case.get("generate", False), **case.get("kwargs", {}), **more)


def expect():
    import jinja2, transformers
    tokenizer = prepared()
    named = list(cases())
    result = {}
    for entry in read("templates.json"):
        rows = result[entry["name"]] = []
        for _, case in named:
            try:
                text = render(tokenizer, entry["template"], case, tokenize=False)
                ids = tokenizer(text, add_special_tokens=False)["input_ids"]
                row = [digest(text), digest(",".join(map(str, ids)))]
                if "{%- generation" in entry["template"] or "{% generation" in entry["template"]:
                    out = render(tokenizer, entry["template"], case, return_dict=True, return_assistant_tokens_mask=True)
                    assert out["input_ids"] == ids
                    mask = "".join(map(str, out["assistant_masks"]))
                    row.append([list(match.span()) for match in re.finditer("1+", mask)])
            except Exception as error:
                row = [f"{type(error).__name__}: {str(error)[:60]}"]
            rows.append(row)
    versions = {"transformers": transformers.__version__, "jinja2": jinja2.__version__}
    with open(os.path.join(HERE, "expected.json"), "w", encoding="utf-8") as file:
        file.write('{"versions": %s,\n"cases": [\n' % json.dumps(versions))
        file.write(",\n".join(json.dumps({"name": name, **case}, ensure_ascii=False) for name, case in named))
        file.write('\n],\n"results": {\n')
        file.write(",\n".join(f"{json.dumps(name)}: {json.dumps(rows)}" for name, rows in result.items()))
        file.write("\n}}\n")
    rendered = sum(len(row) > 1 for rows in result.values() for row in rows)
    print(len(result), "templates x", len(named), "cases:", rendered, "rendered")


if __name__ == "__main__":
    if sys.argv[1] == "gather":
        gather(sys.argv[2])
    elif sys.argv[1] == "expect":
        expect()
    else:
        template = next(entry["template"] for entry in read("templates.json") if entry["name"] == sys.argv[2])
        print(render(prepared(), template, dict(cases())[sys.argv[3]], tokenize=False))
