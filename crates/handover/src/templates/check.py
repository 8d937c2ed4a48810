"""Does a model give these rows the log-probs that Retort gives them? Then both read the same tokens with the same weights.

    retort logprobs --checkpoint BASE --input rows.jsonl > scored.jsonl
    python check.py --model BASE --scored scored.jsonl

BASE is the base model's folder. Ends with 0 when every token agrees within the tolerance, else with 1. It also prints the mean
loss over the trained tokens: what a trainer's first step should report on these rows (in float32, before any update).
"""

import argparse
import json
import sys

import torch
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True, help="folder or name of the base model")
parser.add_argument("--scored", required=True, help="what `retort logprobs` wrote")
parser.add_argument("--rows", type=int, default=100, help="look at so many rows")
parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
parser.add_argument("--tolerance", type=float, default=5e-3, help="largest difference of a token's log-prob, in float32")
arguments = parser.parse_args()

torch.backends.cuda.matmul.allow_tf32 = False
model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).to(arguments.device).eval()

rows, tokens, trained, worst, worst_row, total, theirs = 0, 0, 0, 0.0, 0, 0.0, 0.0
with open(arguments.scored, encoding="utf-8") as lines, torch.inference_mode():
    for line in lines:
        row = json.loads(line)
        if row["token_logprobs"] is None:
            sys.exit(f"row {rows + 1} was not scored: {row['reason']}")
        ids = torch.tensor([row["input_ids"]], device=arguments.device)
        logits = model(input_ids=ids).logits[0, :-1].float()
        found = -torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none").cpu().double()
        expected = torch.tensor(row["token_logprobs"], dtype=torch.float64)
        difference = (found - expected).abs().max().item()
        rows += 1
        if difference > worst:
            worst, worst_row = difference, rows
        counts = torch.tensor([label != -100 for label in row["labels"][1:]])
        tokens += len(expected)
        trained += int(counts.sum())
        total -= found[counts].sum().item()
        theirs -= expected[counts].sum().item()
        if rows >= arguments.rows:
            break

if trained == 0:
    sys.exit("there is no trained token in these rows")
print(f"{rows} rows, {tokens} tokens, {trained} of them trained")
print(f"mean loss {total / trained:.6f} here, {theirs / trained:.6f} by Retort")
print(f"largest difference of a log-prob {worst:.2e} (row {worst_row}), allowed {arguments.tolerance:.0e}")
sys.exit(0 if worst <= arguments.tolerance else 1)
