"""Verdicts per second of `math` against Math-Verify 0.9.0, on the same pairs, one core each, in one run; and the speed
of finding the answer in long completions.

    python3 -m venv DIR && DIR/bin/pip install math-verify==0.9.0
    cargo build --release -p retort-verify --example math_pairs
    DIR/bin/python benches/verify_math.py $RETORT_TEST_DATA target/release/examples/math_pairs

Both are measured in seconds of processor time, which other programs on the machine do not lengthen. Runs alternate
between the two; the medians count. The long completions are real rollouts, joined to at least 20 kB each
and judged again and again until 100,000 are done; and made-up ones with the answer in a box at their end, in a box in
their middle, and in their last sentence only.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 5
COMPLETIONS = 100_000
LONG = 20_000


def rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def math_verify(pairs):
    """Verdicts per second of Math-Verify as its README uses it, both sides parsed and then compared; and its verdicts."""
    from math_verify import parse, verify

    boxed = lambda text: f"$\\boxed{{{text}}}$"
    parse(boxed("1"))  # imports and compiles its patterns
    start, correct = time.process_time(), 0
    for prediction, reference in pairs:
        try:
            correct += bool(verify(parse(boxed(reference)), parse(boxed(prediction))))
        except Exception:
            pass
    return len(pairs) / (time.process_time() - start), correct


def written(pairs):
    """The pairs as a file that `math_pairs` reads."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False, encoding="utf-8") as file:
        for prediction, reference in pairs:
            file.write(json.dumps({"prediction": prediction, "reference_answer": reference}) + "\n")
    return file.name


def ours(program, file, rounds):
    """What `math_pairs` measures on these pairs."""
    done = subprocess.run([program, file, str(rounds)], capture_output=True, check=True, text=True)
    return json.loads(done.stdout)


def real_completions(data):
    """Real rollouts, neighbours joined until they are long, each ending as its last one ends."""
    names = ["misguided_attention_open_weights_3x", "supershybrid_math500_r1_pilot", "nemo_skills_math_3x"]
    for name in names:
        text = ""
        for row in rows(f"{data}/rollouts/{name}.jsonl"):
            thinking = f"<think>\n{row['thinking']}\n</think>\n\n" if row.get("thinking") else ""
            text += thinking + row["text"] + "\n\n"
            if len(text) >= LONG:
                yield text, "7"
                text = ""


def made_completions():
    line = "We compute the sum of the first terms, $x_1 + x_2 = 3$, and check that it is below the bound.\n"
    body = line * (LONG // len(line))
    half = len(body) // 2
    for number in range(300):
        yield f"<think>{body}</think>\n\nSo it is $\\boxed{{{number}}}$.", str(number)
        yield f"{body[:half]} \\boxed{{{number}}} {body[half:]}", str(number)
        yield f"{body}\nTherefore the value is {number}.", str(number)


def extraction(program, name, completions):
    completions = list(completions)
    file = written(completions)
    rounds = -(-COMPLETIONS // len(completions))
    speeds = [ours(program, file, rounds) for _ in range(3)]
    os.unlink(file)
    speed = statistics.median(run["megabytes_per_second"] for run in speeds)
    size = sum(len(text.encode()) for text, _ in completions) / len(completions) / 1000
    print(f"{name}: {speed:.0f} MB/s over {speeds[0]['verdicts']:.0f} completions of {size:.0f} kB on average")


def main():
    data, program = sys.argv[1:3]
    pairs = [(row["pred"], row["gold"]) for row in rows(f"{data}/verifiers/real_pairs.jsonl")]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    file = written(pairs)
    theirs, mine = [], []
    for number in range(ROUNDS):
        speed, correct = math_verify(pairs)
        theirs.append(speed)
        result = ours(program, file, 200)
        mine.append(result["verdicts_per_second"])
        print(f"run {number + 1}: Math-Verify {speed:.0f} verdicts/s, math {mine[-1]:.0f}", flush=True)
    os.unlink(file)
    theirs, mine = statistics.median(theirs), statistics.median(mine)
    print(f"{len(pairs)} pairs, one core, medians of {ROUNDS} alternating runs")
    print(f"Math-Verify {theirs:10.0f} verdicts/s, {correct} correct")
    print(f"math        {mine:10.0f} verdicts/s, {result['correct'] // 200} correct")
    print(f"ratio       {mine / theirs:10.0f}")
    extraction(program, "real rollouts", real_completions(data))
    extraction(program, "made-up completions", made_completions())


if __name__ == "__main__":
    main()
