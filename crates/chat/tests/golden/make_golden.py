"""Golden renderings and token ids by transformers (5.23.0) for the tests of retort-chat.

    python3 -m venv tfv && tfv/bin/pip install transformers==5.23.0 jinja2 tokenizers
    tfv/bin/python make_golden.py "$RETORT_TEST_DATA/tokenizers"

Writes one JSON file a tokenizer beside this script.
"""

import itertools
import json
import sys
from pathlib import Path

import transformers

SYSTEM = {"role": "system", "content": "Be brief.\nAnswer with a number."}
USER = {"role": "user", "content": "What is 37+58?"}
PLAIN = {"role": "assistant", "content": "95"}
INLINE = {"role": "assistant", "content": "<think>\n37+58: 30+50=80, 7+8=15.\n</think>\n\nIt is \\boxed{95}."}
TIGHT = {"role": "assistant", "content": "<think>short</think>95"}
FIELD = {"role": "assistant", "content": "95 it is.", "reasoning_content": "Add tens,\n\nthen ones. 好的 🙂"}
SPACED = {"role": "user", "content": "  and then?\n\n\tТеперь x²+1 — 1234567  "}
AFTER = {"role": "user", "content": "\nThanks. And 95-12?"}

CONVERSATIONS = {
    "user": [USER],
    "system": [SYSTEM, USER],
    "answered": [USER, PLAIN],
    "inline reasoning": [SYSTEM, USER, INLINE],
    "tight reasoning": [USER, TIGHT],
    "reasoning field": [USER, FIELD],
    "two turns": [USER, PLAIN, SPACED, PLAIN],
    "reasoning in an earlier turn": [SYSTEM, USER, INLINE, AFTER, FIELD],
    "asked again": [USER, FIELD, AFTER],
    "two answers": [USER, PLAIN, INLINE],
}
TEXTS = [
    "",
    " ",
    "Hello, world!",
    "  two  spaces\n\n\nthree lines \t tab ",
    "x = 1234567.89; y_2 = f(x)**2 # done",
    "naïve café — “quotes” … ½",
    "数学题:求 37+58 的和。答案是95。",
    "Привет, как дела? ¿Qué tal? こんにちは",
    "🙂👩‍👩‍👧‍👦🇩🇪 é é",
    "don't I'LL we've it's",
    "\\boxed{\\frac{1}{2}} $x^2$ <think>\nso\n</think>\n\n<|im_end|>",
    "a\u200bb\u00a0c\ufeffd\r\ne\x00f",
]


def case(tokenizer, name, messages, **options):
    text = tokenizer.apply_chat_template(messages, tokenize=False, **options)
    ids = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False, **options)
    return {"name": name, "messages": messages, "options": options, "text": text, "ids": ids}


def main():
    here = Path(__file__).parent
    for name in ["qwen2.5", "qwen3", "smollm2"]:
        # Not AutoTokenizer: for SmolLM2 it makes a GPT2Tokenizer, which ignores the Digits step of tokenizer.json.
        tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(Path(sys.argv[1]) / name)
        cases = []
        for (label, messages), prompt in itertools.product(CONVERSATIONS.items(), [False, True]):
            cases.append(case(tokenizer, label, messages, add_generation_prompt=prompt))
            if name == "qwen3":
                for thinking in [False, True]:
                    options = {"add_generation_prompt": prompt, "enable_thinking": thinking}
                    cases.append(case(tokenizer, label, messages, **options))
        texts = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False)} for text in TEXTS]
        golden = {"transformers": transformers.__version__, "tokenizer": name, "cases": cases, "texts": texts}
        path = here / f"{name}.json"
        path.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")).replace('},{"name"', '},\n{"name"') + "\n")
        print(path.name, len(cases), "conversations", len(texts), "texts", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
