"""Next-token probabilities of a checkpoint under `retort logprobs` against transformers, float32.

    DIR/bin/python benches/next_token_probabilities.py target/release/retort CHECKPOINT TEXTS.jsonl

TEXTS.jsonl has rows with `text`, `prompt` or `input_ids`. Prints the largest difference of a probability and of its logarithm over
all tokens; exits with 1 if a probability is off by more than 1e-3.
"""

import json
import subprocess
import sys
import tempfile


def main():
    retort, checkpoint, path = sys.argv[1:4]
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokenizer = None
    rows = []
    for row in map(json.loads, open(path, encoding="utf-8")):
        if "input_ids" not in row:
            tokenizer = tokenizer or transformers.AutoTokenizer.from_pretrained(checkpoint)
            row = {"input_ids": tokenizer(row.get("text", row.get("prompt")))["input_ids"]}
        rows.append({"input_ids": row["input_ids"][: model.config.max_position_embeddings]})
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
        file.flush()
        done = subprocess.run([retort, "logprobs", "--checkpoint", checkpoint, "--input", file.name], stdout=subprocess.PIPE, check=True, text=True)
    worst = worst_log = tokens = 0
    for row, line in zip(rows, done.stdout.splitlines()):
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            logits = model(ids).logits.float()
        expected = torch.log_softmax(logits, -1)[0, :-1].gather(-1, ids[0, 1:, None])[:, 0]
        found = torch.tensor(json.loads(line)["token_logprobs"])
        worst = max(worst, float((found.exp() - expected.exp()).abs().max()))
        worst_log = max(worst_log, float((found - expected).abs().max()))
        tokens += len(expected)
    print(f"{checkpoint}: {len(rows)} texts, {tokens} tokens, largest difference of a probability {worst:.2e}, of a log-prob {worst_log:.2e}")
    sys.exit(1 if worst > 1e-3 else 0)


if __name__ == "__main__":
    main()
