"""Generation speed of `retort bench generate` against transformers, interleaved in one run, median of ROUNDS.

    DIR/bin/python benches/generation_speed.py target/release/retort TORCH_GENERATE.py [--rounds 3] [--threads 2] [--busy]

TORCH_GENERATE.py is called as `python SCRIPT float32` and prints `float32 batch B tok/s NUMBER` for batches 1, 8 and 32 of
prompts of 64 tokens with 64 new ones on the 135M shape (see `training_speed.py`), and at the end `peak MB NUMBER`. Both
read prompt and write completion; both sample. Run it on a quiet machine.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile

from training_speed import checkpoint, quiet


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("retort")
    parser.add_argument("script")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", action="store_true")
    arguments = parser.parse_args()
    env = quiet(arguments.threads, arguments.busy)
    ours, theirs, peaks = {}, {}, {"retort": [], "torch": []}
    with tempfile.TemporaryDirectory() as folder:
        path = checkpoint(folder, "135m", 2048)
        for _ in range(arguments.rounds):
            text = subprocess.run([sys.executable, arguments.script, "float32"], stdout=subprocess.PIPE, check=True, text=True, env=env).stdout
            for batch, rate in re.findall(r"batch (\d+) tok/s ([\d.]+)", text):
                theirs.setdefault(int(batch), []).append(float(rate))
            peaks["torch"].append(float(re.search(r"peak MB ([\d.]+)", text)[1]) * 1.048576)
            for batch in (1, 8, 32):
                command = [arguments.retort, "bench", "generate", "--checkpoint", path, "--batch", str(batch), "--steps", "1"]
                line = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=env).stdout)
                ours.setdefault(batch, []).append(line["tokens_per_second"])
                peaks["retort"].append(line["peak_rss_bytes"] / 1e6)
    print(f"{arguments.threads} threads, {arguments.rounds} rounds; tokens/s (range)")
    for batch in ours:
        a, b = ours[batch], theirs[batch]
        print(
            f"batch {batch:3}  retort {statistics.median(a):8.1f} ({min(a):.1f}-{max(a):.1f})"
            f"  torch {statistics.median(b):8.1f} ({min(b):.1f}-{max(b):.1f})  {statistics.median(a) / statistics.median(b):.2f}x"
        )
    print(f"peak MB: retort {max(peaks['retort']):.0f}, torch {max(peaks['torch']):.0f}")


if __name__ == "__main__":
    main()
