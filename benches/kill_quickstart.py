#!/usr/bin/env python3
"""Kills the quickstart with -9 in every kind of stage, runs it again, and compares every byte with an undisturbed run.

Usage: kill_quickstart.py RETORT_BINARY [KILLS_PER_STAGE=3] [retort arguments …]   (from the repository's root; python3 only)

Three runs: undisturbed; killed at random moments of sampling, SFT, DPO, merging and evaluation; on one thread.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

binary = str(Path(sys.argv[1]).resolve())
kills = int(sys.argv[2]) if len(sys.argv) > 2 else 3
command = [binary, "run", "pipelines/quickstart.yaml", "--json", *sys.argv[3:]]
# Longest delays after a stage's first event, in seconds: about what each takes.
STAGES = {"rollouts": 40, "short": 20, "dpo": 20, "merged": 0.05, "measures": 40}


def start(out, **extra):
    return subprocess.Popen([*command, "--out", out], stderr=subprocess.PIPE, text=True, env={**os.environ, **extra})


def whole(out, **extra):
    process = start(out, **extra)
    errors = process.communicate()[1]
    if process.returncode != 0:
        sys.exit(errors)


def digests(out):
    """Every file of every stage but what is allowed to differ: telemetry, times."""
    found = {}
    for stage in sorted((Path(out) / "runs" / "quickstart").iterdir()):
        if not stage.is_dir():
            continue
        for file in sorted(stage.rglob("*")):
            name = str(file.relative_to(stage))
            if file.is_file() and not name.startswith("telemetry") and name != "manifest.json":
                found[f"{stage.name}/{name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def kill_within(out, stage, longest):
    """Runs until the stage has begun, kills at a random moment; says whether the stage was under way."""
    process = start(out)
    for line in process.stderr:
        event = json.loads(line)
        if event.get("stage") == stage and event["event"] == "started":
            time.sleep(random.uniform(0, longest))
            break
    running = process.poll() is None
    process.kill()
    process.wait()
    return running


with tempfile.TemporaryDirectory() as work:
    began = time.monotonic()
    whole(f"{work}/whole")
    expected = digests(f"{work}/whole")
    print(f"undisturbed: {len(expected)} files in {time.monotonic() - began:.0f} s", flush=True)
    for stage, longest in STAGES.items():
        hit = sum(kill_within(f"{work}/killed", stage, longest / kills) for _ in range(kills))
        print(f"{stage}: killed {hit} of {kills} times under way", flush=True)
    whole(f"{work}/killed")
    whole(f"{work}/one", RAYON_NUM_THREADS="1")
    failed = False
    for name in ("killed", "one"):
        found = digests(f"{work}/{name}")
        different = sorted(file for file in expected.keys() | found.keys() if expected.get(file) != found.get(file))
        print(f"{name}: {'all files alike' if not different else different}")
        failed |= bool(different)
    sys.exit(failed)
