"""Turns the tokenised rows into the folder `tokenized`, which LLaMA-Factory reads as it stands."""

import shutil
import uuid
from pathlib import Path

from datasets import DatasetDict, load_dataset

here = Path(__file__).resolve().parent
target = here / "tokenized"
source = next(folder for folder in (here.parent / "tokens", here.parent / "data") if folder.is_dir())

if not target.exists():
    sets = {}
    for split, name in (("train", "train"), ("validation", "test")):
        for path in sorted(source.glob(f"{name}.*")):
            kind = "parquet" if path.suffix == ".parquet" else "json"
            rows = load_dataset(kind, data_files=str(path), split="train")
            # The collator asks for these of every row.
            for column in ("images", "videos", "audios"):
                rows = rows.add_column(column, [None] * len(rows))
            sets[split] = rows
    # Whole or not at all: nodes that share a disk may do this at once.
    partial = here / f"tokenized.{uuid.uuid4().hex}"
    DatasetDict(sets).save_to_disk(str(partial))
    try:
        partial.rename(target)
    except OSError:
        shutil.rmtree(partial)
        if not target.exists():
            raise
