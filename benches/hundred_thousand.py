#!/usr/bin/env python3
"""100,000 synthetic rollouts through replay, verify, R1's filters, select, pair and export: rows a second by stage and peak memory.

Usage: hundred_thousand.py RETORT_BINARY [PROMPTS=12500]      (8 rollouts a prompt; python3 only, no packages)

The rollouts are worked chains of thought by `synthesize`; a fifth of them get a wrong answer, so that every verdict occurs.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

binary = str(Path(sys.argv[1]).resolve())
prompts = int(sys.argv[2]) if len(sys.argv) > 2 else 12_500
SAMPLES = 8
TASK = "{ arithmetic: { operations: { min: 2, max: 4 }, max_value: 999 } }"


def run(folder, name):
    """Runs a pipeline; gives each stage's seconds from the progress events."""
    command = [binary, "run", f"{name}.yaml", "--json"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    started, seconds = {}, {}
    for line in process.stderr:
        event = json.loads(line)
        if event["event"] == "started":
            started[event["stage"]] = time.monotonic()
        elif event["event"] == "finished":
            seconds[event["stage"]] = (time.monotonic() - started[event["stage"]], event["summary"])
    if process.wait() != 0:
        sys.exit(f"{name}: exit {process.returncode}")
    return seconds


with tempfile.TemporaryDirectory() as work:
    work = Path(work)
    chain = "{ checks: { min: 0, max: 4 }, detours: { min: 0, max: 4 } }"
    (work / "make.yaml").write_text(
        f"name: make\nseed: 1\nstages:\n  made: {{ synthesize: {{ task: {TASK}, count: {prompts}, samples_per_prompt: {SAMPLES},"
        f" chain_of_thought: {chain} }} }}\n"
    )
    run(work, "make")
    shown = subprocess.Popen(
        [binary, "show", "runs/make/made", "--table", "rollouts", "--join", "--json", "--limit", str(prompts * SAMPLES)],
        cwd=work, stdout=subprocess.PIPE, text=True,
    )
    with open(work / "recorded.jsonl", "w") as recorded, open(work / "prompts.jsonl", "w") as asked:
        for number, line in enumerate(shown.stdout):
            row = json.loads(line)
            text = row["prompt"][0]["content"]
            if row["sample_index"] == 0:
                asked.write(json.dumps({"prompt": text, "answer": row["reference_answer"], "domain": "math"}) + "\n")
            completion = row["completion"]
            if number % 5 == 0:
                head, close, _ = completion.partition("</think>")
                completion = head + close + "\n\n-1"
            recorded.write(json.dumps({
                "prompt": text, "sample_index": row["sample_index"], "completion": completion,
                "completion_tokens": len(completion) // 2, "finish_reason": "stop",
            }) + "\n")
    (work / "chain.yaml").write_text(
        "name: chain\nseed: 1\nstages:\n"
        "  prompts: { import: { path: prompts.jsonl } }\n"
        f"  rollouts: {{ sample: {{ prompts: prompts, teacher: {{ replay: recorded.jsonl, model: recorded }}, sampling: {{ n: {SAMPLES}, max_tokens: 4096 }} }} }}\n"
        "  verdicts: { verify: { rollouts: rollouts, verifiers: [math] } }\n"
        "  kept: { filter: { verdicts: verdicts, keep: { r1: {} } } }\n"
        "  short: { select: { verdicts: verdicts, rule: shortest-correct } }\n"
        "  pairs: { pair: { verdicts: verdicts } }\n"
        "  sft: { export: { data: short } }\n"
        "  dpo: { export: { data: pairs } }\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    seconds = run(work, "chain")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    size = (work / "recorded.jsonl").stat().st_size
    rows = prompts * SAMPLES
    print(f"{rows} rollouts, {size / 1e6:.0f} MB of text")
    for stage, (time_taken, summary) in seconds.items():
        print(f"{stage:18} {time_taken:7.2f} s {rows / time_taken:12,.0f} rollouts/s   {summary}")
    print(f"peak memory {peak / 1024:.0f} MB (highest of all runs here; before the chain {before / 1024:.0f} MB)")
