"""Useful tokens per second on ragged rows: a `train` stage against TRL's SFTTrainer, same model, rows and loss mask.

    python3 -m venv DIR && DIR/bin/pip install torch 'transformers>=5' trl datasets
    DIR/bin/python benches/ragged_training.py target/release/retort CHECKPOINT ROWS.jsonl [--steps 10] [--batch 8] [--packed] [--threads 2]

ROWS.jsonl has `prompt` and `solution`, or `question` and `answer`. Both train all parameters in float32 with AdamW, without recompute, on the tokens and the mask
that `retort inspect --json` shows; padding counts for neither. The median step counts, by its own tokens. --packed lets
both pack rows into 1,024 tokens, one pack a batch. Run it on a quiet machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

PIPELINE = """
name: ragged
stages:
  rows: {{ import: {{ path: rows.jsonl, as: sft }} }}
  trained:
    train:
      base: ./model
      data: rows
      training: {{ max_steps: {steps}, batch_size: {batch}, learning_rate: 0.00001, max_length: 1024, packing: {packed} }}
"""


def ours(arguments, folder):
    """Tokens per second of each step after the first, and the rows with their masks."""
    command = [os.path.abspath(arguments.retort), "run", "p.yaml", "--json"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    times = {}
    for text in process.stderr:
        event = json.loads(text)
        if event.get("event") == "advanced" and event.get("stage") == "trained" and event["done"] > 0:
            times.setdefault(event["done"], time.perf_counter())
    if process.wait():
        sys.exit("retort failed")
    with open(os.path.join(folder, "runs/ragged/trained/steps.jsonl"), encoding="utf-8") as file:
        tokens = {line["step"]: line["tokens"] for line in map(json.loads, file)}
    told = sorted(times)  # not every step is, when they are fast
    between = lambda a, b: sum(tokens[step] for step in range(a + 1, b + 1)) / (times[b] - times[a])
    rates = [between(a, b) for a, b in zip(told, told[1:])]
    if not rates:
        sys.exit("the steps are too fast to be measured one by one: more --steps, or a larger model")
    dump = subprocess.run([command[0], "inspect", "p.yaml", "--stage", "trained", "--limit", "100000", "--json"], cwd=folder, stdout=subprocess.PIPE, check=True, text=True)
    rows = [row for row in map(json.loads, dump.stdout.splitlines()) if "input_ids" in row]
    return rates, rows


def theirs(arguments, rows, folder):
    import torch
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(arguments.threads)
    path = os.path.join(folder, "tokens.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            labels = [token if trained else -100 for token, trained in zip(row["input_ids"], row["loss"])]
            file.write(json.dumps({"input_ids": row["input_ids"], "labels": labels}) + "\n")
    data = load_dataset("json", data_files=path, split="train", cache_dir=folder)
    settings = SFTConfig(
        output_dir=os.path.join(folder, "trl"), max_steps=arguments.steps, per_device_train_batch_size=1 if arguments.packed else arguments.batch, learning_rate=1e-5,
        max_length=1024, packing=arguments.packed, gradient_checkpointing=False, bf16=False, use_cpu=True, report_to="none",
        save_strategy="no", logging_strategy="no", dataloader_num_workers=0, dataset_kwargs={} if arguments.packed else {"skip_prepare_dataset": True},
    )
    model = AutoModelForCausalLM.from_pretrained(arguments.checkpoint, dtype=torch.float32)

    class Clock(TrainerCallback):
        times = []

        def on_step_end(self, *_, **__):
            self.times.append(time.perf_counter())

    class Counted(SFTTrainer):
        tokens = []

        def training_step(self, model, inputs, *more):
            mask = inputs.get("attention_mask")
            self.tokens.append(int(mask.sum() if mask is not None else (inputs["input_ids"] != self.processing_class.pad_token_id).sum()))
            return super().training_step(model, inputs, *more)

    trainer = Counted(model=model, args=settings, train_dataset=data, processing_class=AutoTokenizer.from_pretrained(arguments.checkpoint), callbacks=[Clock()])
    trainer.train()
    return [tokens / (b - a) for tokens, a, b in zip(Counted.tokens[1:], Clock.times, Clock.times[1:])]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("retort")
    parser.add_argument("checkpoint")
    parser.add_argument("rows")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--packed", action="store_true")
    arguments = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(os.path.abspath(arguments.checkpoint), os.path.join(folder, "model"))
        with open(os.path.join(folder, "rows.jsonl"), "w", encoding="utf-8") as file, open(arguments.rows, encoding="utf-8") as given:
            for row in map(json.loads, given):
                prompt, solution = (row[key] for key in (("prompt", "solution") if "solution" in row else ("question", "answer")))
                said = [{"role": "user", "content": prompt}, {"role": "assistant", "content": solution}]
                file.write(json.dumps({"messages": said}) + "\n")
        with open(os.path.join(folder, "p.yaml"), "w", encoding="utf-8") as file:
            file.write(PIPELINE.format(steps=arguments.steps, batch=1 if arguments.packed else arguments.batch, packed=str(arguments.packed).lower()))
        a, rows = ours(arguments, folder)
        b = theirs(arguments, rows, folder)
    a, b = statistics.median(a), statistics.median(b)
    print(f"{len(rows)} rows, batch {'of one pack of 1024' if arguments.packed else arguments.batch}, {arguments.steps} steps: retort {a:.1f}, TRL {b:.1f} useful tokens/s, {a / b:.2f}x")


if __name__ == "__main__":
    main()
