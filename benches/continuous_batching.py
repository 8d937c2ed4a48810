"""Continuous against static batching of `retort bench generate` on completions of different lengths, interleaved.

    python3 benches/continuous_batching.py target/release/retort CHECKPOINT [--rounds 3] [--requests 64] [--new-tokens 64]

Prompts have 64 tokens; completions end at lengths drawn evenly from 1 to twice `--new-tokens`, the same for both. A static
batch goes on until its longest completion ends, as batches with padding do; only useful tokens count. Medians of ROUNDS.
Run it on a quiet machine.
"""

import argparse
import json
import statistics
import subprocess


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("retort")
    parser.add_argument("checkpoint")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    arguments = parser.parse_args()
    for batch in (8, 32):
        command = [arguments.retort, "bench", "generate", "--checkpoint", arguments.checkpoint, "--batch", str(batch), "--requests", str(arguments.requests)]
        command += ["--new-tokens", str(arguments.new_tokens), "--ragged", "--steps", "1", "--warm-up", "0"]
        rates = {"continuous": [], "static": []}
        for _ in range(arguments.rounds):
            for name, more in (("continuous", []), ("static", ["--static-batches"])):
                line = json.loads(subprocess.run(command + more, stdout=subprocess.PIPE, check=True, text=True).stdout)
                rates[name].append(line["tokens_per_second"])
        a, b = (statistics.median(rates[name]) for name in ("continuous", "static"))
        print(f"batch {batch:3}, {arguments.requests} completions: continuous {a:.1f}, static {b:.1f} useful tokens/s, {a / b:.2f}x", flush=True)


if __name__ == "__main__":
    main()
