"""Memory and time of one optimizer step of `retort bench train` against sequence length, as a table.

    python3 benches/long_sequences.py target/release/retort CHECKPOINT [--lengths 1024,2048,...] [--lora-rank 16] [--full]

Adapters with block recompute by default. The last column is the memory that each further token takes since the line
before: equal numbers mean linear growth.
"""

import argparse
import json
import subprocess


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("retort")
    parser.add_argument("checkpoint")
    parser.add_argument("--lengths", default="1024,2048,4096,8192,16384,32768")
    parser.add_argument("--lora-rank", type=int, default=16)
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    print("tokens   seconds a step   tokens/s   peak MB   kB a further token")
    before = None
    for length in map(int, arguments.lengths.split(",")):
        command = [arguments.retort, "bench", "train", "--checkpoint", arguments.checkpoint, "--sequence", str(length), "--steps", "1", "--warm-up", "0", "--gradient-checkpointing"]
        command += [] if arguments.full else ["--lora-rank", str(arguments.lora_rank)]
        line = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
        peak = line["peak_rss_bytes"]
        further = "" if before is None else f"{(peak - before[1]) / (length - before[0]) / 1e3:8.1f}"
        print(f"{length:6}   {length / line['tokens_per_second']:14.1f}   {line['tokens_per_second']:8.1f}   {peak / 1e6:7.0f}   {further}", flush=True)
        before = (length, peak)


if __name__ == "__main__":
    main()
