#!/usr/bin/env python3
"""Exported folders load with `datasets.load_dataset` and have the columns that TRL reads.

Usage: load_exports.py RUN_FOLDER...      (needs: pip install datasets)

Every folder below a run that holds a dataset card is loaded twice: as a folder, the way the hub loads it, and by the line on its card.
"""

import sys
from pathlib import Path

from datasets import load_dataset

TRL = {("prompt", "completion"), ("prompt", "chosen", "rejected"), ("messages",)}
SHAREGPT = {("conversations",), ("conversations", "chosen", "rejected")}
failures = 0
for run in sys.argv[1:]:
    for card in sorted(Path(run).glob("*/README.md")):
        folder = card.parent.resolve()
        data = load_dataset(str(folder), split="train")
        file = next(path for path in folder.iterdir() if path.stem == "train")
        builder = "parquet" if file.suffix == ".parquet" else "json"
        again = load_dataset(builder, data_files=str(file), split="train")
        columns = tuple(data.column_names)
        good = columns in TRL | SHAREGPT and len(data) == len(again) > 0
        failures += not good
        print(f"{'ok' if good else 'BAD':4} {card.parent.name:12} {len(data):6} rows  {', '.join(columns)}")
sys.exit(1 if failures else 0)
