#!/usr/bin/env python3
"""Writes the texts of the verifier banks in a folder as first inputs: seeds.py BANKS SEEDS."""

import hashlib
import json
import sys
from pathlib import Path

banks, seeds = map(Path, sys.argv[1:])
for bank in sorted(banks.glob("*.jsonl")):
    for line in bank.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        texts = [text for text in row.values() if isinstance(text, str) and 0 < len(text) < 300]
        for first in range(0, len(texts) - 1):
            joined = "\x1f".join(texts[first:] + texts[:first]).encode()
            (seeds / hashlib.sha256(joined).hexdigest()[:16]).write_bytes(joined)
