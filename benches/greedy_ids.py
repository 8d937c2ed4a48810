"""Greedy tokens of `retort generate` against transformers, on the same checkpoints and prompts.

    python3 -m venv DIR && DIR/bin/pip install torch 'transformers>=5' safetensors
    DIR/bin/python benches/greedy_ids.py target/release/retort PROMPTS.jsonl CHECKPOINT...  [--max-tokens N] [--chat]

PROMPTS.jsonl has rows as `retort generate --input` reads them. Every checkpoint is loaded with
`AutoModelForCausalLM.from_pretrained` in float32 and completes the very tokens that retort says it has read, with the stop
tokens of the checkpoint's own files. Where two tokens are all but equally probable, rounding decides: at the first
difference the gap between transformers' two best logits is printed, and below 1e-3 it is counted as a tie, not as a
difference. Exits with 1 if any row differs otherwise.
"""

import argparse
import json
import subprocess
import sys


def ours(retort, checkpoint, prompts, max_tokens, chat):
    command = [retort, "generate", "--checkpoint", checkpoint, "--input", prompts, "--json", "--temperature", "0"]
    command += ["--max-tokens", str(max_tokens)] + (["--chat"] if chat else [])
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def stops(checkpoint, model, tokenizer):
    """End-of-sequence tokens of the generation settings or the model's, the tokenizer's, and the one that ends a turn."""
    ids = set()
    for found in (model.generation_config.eos_token_id or model.config.eos_token_id, getattr(tokenizer, "eos_token_id", None)):
        ids.update(found if isinstance(found, list) else [found] if found is not None else [])
    if tokenizer is not None and tokenizer.chat_template:
        said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        text = tokenizer.apply_chat_template(said, tokenize=False)
        after = tokenizer(text[text.rindex("b") + 1 :], add_special_tokens=False)["input_ids"]
        ids.update(after[:1] if after and after[0] in tokenizer.all_special_ids else [])
    return ids


def theirs(torch, model, ids, stop, max_tokens):
    """Tokens, and the gap between the two best logits at each."""
    found, gaps, cache = [], [], None
    read = torch.tensor([ids])
    most = min(max_tokens, model.config.max_position_embeddings - len(ids))
    while len(found) < most:
        with torch.no_grad():
            out = model(read, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        best = torch.topk(out.logits[0, -1].float(), 2).values
        token = int(out.logits[0, -1].argmax())
        found.append(token)
        gaps.append(float(best[0] - best[1]))
        if token in stop:
            break
        read = torch.tensor([[token]])
    return found, gaps


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("retort")
    parser.add_argument("prompts")
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--chat", action="store_true")
    arguments = parser.parse_args()
    import torch
    import transformers

    bad = 0
    for checkpoint in arguments.checkpoints:
        model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
        except (OSError, ValueError):
            tokenizer = None
        stop = stops(checkpoint, model, tokenizer)
        rows = ours(arguments.retort, checkpoint, arguments.prompts, arguments.max_tokens, arguments.chat)
        equal = ties = tokens = 0
        for number, row in enumerate(rows, 1):
            if row.get("completion_ids") is None:
                print(f"{checkpoint}: row {number} cannot be used: {row['reason']}")
                continue
            expected, gaps = theirs(torch, model, row["prompt_ids"], stop, arguments.max_tokens)
            tokens += len(expected)
            if row["completion_ids"] == expected:
                equal += 1
                continue
            pairs = zip(row["completion_ids"] + [None], expected + [None])
            at = next(i for i, (a, b) in enumerate(pairs) if a != b)
            gap = gaps[at] if at < len(gaps) else float("inf")
            ties += gap < 1e-3
            bad += gap >= 1e-3
            print(f"{checkpoint}: row {number} differs at token {at} (gap {gap:.2e}): {row['completion_ids'][at:at + 4]} against {expected[at:at + 4]}")
        bad += not tokens
        print(f"{checkpoint}: {equal} of {len(rows)} rows equal, {ties} ties, {tokens} tokens compared")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
