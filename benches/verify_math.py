"""Verdicts per second of `math` against Math-Verify 0.9.0, on the same pairs, one core each, in one run.

    python3 -m venv DIR && DIR/bin/pip install math-verify==0.9.0
    cargo build --release -p retort-verify --example math_pairs
    DIR/bin/python benches/verify_math.py $RETORT_TEST_DATA/verifiers/real_pairs.jsonl target/release/examples/math_pairs

Also measures extraction: the megabytes per second of completions of some 20 kB, with the answer in a box at their end, in
a box in their middle, and in their last sentence.
"""

import json
import os
import subprocess
import sys
import tempfile
import time


def pairs_of(path):
    with open(path, encoding="utf-8") as file:
        return [(row["pred"], row["gold"]) for row in map(json.loads, file)]


def math_verify(pairs):
    """Seconds and verdicts of Math-Verify as its README uses it: both sides parsed, then compared."""
    from math_verify import parse, verify

    boxed = lambda text: f"$\\boxed{{{text}}}$"
    parse(boxed("1"))  # imports and compiles its patterns
    start, correct = time.perf_counter(), 0
    for prediction, reference in pairs:
        try:
            correct += bool(verify(parse(boxed(reference)), parse(boxed(prediction))))
        except Exception:
            pass
    return time.perf_counter() - start, correct


def ours(program, pairs, rounds):
    """What `math_pairs` measures on these pairs."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False, encoding="utf-8") as file:
        for prediction, reference in pairs:
            file.write(json.dumps({"prediction": prediction, "reference_answer": reference}) + "\n")
    try:
        done = subprocess.run([program, file.name, str(rounds)], capture_output=True, check=True, text=True)
    finally:
        os.unlink(file.name)
    return json.loads(done.stdout)


def long_completions():
    line = "We compute the sum of the first terms, $x_1 + x_2 = 3$, and check that it is below the bound.\n"
    body = line * (20_000 // len(line))
    half = len(body) // 2
    for number in range(300):
        yield f"<think>{body}</think>\n\nSo it is $\\boxed{{{number}}}$.", str(number)
        yield f"{body[:half]} \\boxed{{{number}}} {body[half:]}", str(number)
        yield f"{body}\nTherefore the value is {number}.", str(number)


def main():
    data, program = sys.argv[1:3]
    pairs = pairs_of(data)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    seconds, correct = math_verify(pairs)
    theirs = len(pairs) / seconds
    result = ours(program, pairs, 200)
    print(f"{len(pairs)} pairs, one core")
    print(f"Math-Verify {theirs:10.0f} verdicts/s, {correct} correct")
    print(f"math        {result['verdicts_per_second']:10.0f} verdicts/s, {result['correct'] // 200} correct")
    print(f"ratio       {result['verdicts_per_second'] / theirs:10.0f}")
    extraction = ours(program, list(long_completions()), 112)
    print(f"extraction  {extraction['megabytes_per_second']:10.0f} MB/s over {extraction['verdicts']:.0f} completions of 20 kB")


if __name__ == "__main__":
    main()
