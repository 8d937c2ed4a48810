"""Training speed of `retort bench train` against PyTorch, interleaved in one run, median of ROUNDS.

    DIR/bin/python benches/training_speed.py target/release/retort TORCH_TRAIN_STEP.py [--rounds 5] [--steps 4] [--threads 2]
        [--shape 135m|3m]... [--tokens BxT]...

TORCH_TRAIN_STEP.py is called as `python SCRIPT vocab hidden layers heads kv_heads inner batch tokens steps`, prints a line
with `tok/s NUMBER` for each step and at the end `peak MB NUMBER`. Both do whole optimizer steps (AdamW, float32, all
tokens trained) on the same shape. The first step of each process does not count; of the others the median does. Run it
on a quiet machine: it refuses to start while the load is above half a core unless --busy is given.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

SHAPES = {
    "135m": dict(vocab_size=49152, hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, intermediate_size=1536),
    "3m": dict(vocab_size=128, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4, intermediate_size=688),
}
RUNS = {"135m": ["1x256", "1x1024"], "3m": ["16x256"]}


def checkpoint(folder, shape, context):
    """A random checkpoint of this shape, written without torch."""
    import numpy
    from safetensors.numpy import save_file

    path = os.path.join(folder, "model")
    os.makedirs(path, exist_ok=True)
    config = dict(SHAPES[shape], model_type="llama", architectures=["LlamaForCausalLM"], hidden_act="silu", rms_norm_eps=1e-6, rope_theta=10000.0, max_position_embeddings=context, tie_word_embeddings=True, torch_dtype="float32")
    json.dump(config, open(os.path.join(path, "config.json"), "w"))
    random = numpy.random.default_rng(0)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head = hidden // config["num_attention_heads"]
    kv = head * config["num_key_value_heads"]
    matrix = lambda *size: (random.standard_normal(size, dtype=numpy.float32) * 0.02)
    tensors = {"model.embed_tokens.weight": matrix(config["vocab_size"], hidden), "model.norm.weight": numpy.ones(hidden, numpy.float32)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        sizes = {"self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (kv, hidden), "self_attn.v_proj": (kv, hidden), "self_attn.o_proj": (hidden, hidden), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden), "mlp.down_proj": (hidden, inner)}
        tensors.update({f"{at}{name}.weight": matrix(*size) for name, size in sizes.items()})
        tensors.update({f"{at}{name}.weight": numpy.ones(hidden, numpy.float32) for name in ("input_layernorm", "post_attention_layernorm")})
    save_file(tensors, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
    return path


def quiet(threads, busy):
    if os.getloadavg()[0] > 0.5 and not busy:
        sys.exit(f"the load is {os.getloadavg()[0]:.1f}: wait, or give --busy")
    return dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))


def ours(retort, path, batch, tokens, steps, env, more=()):
    command = [retort, "bench", "train", "--checkpoint", path, "--batch", str(batch), "--sequence", str(tokens), "--steps", str(steps), *more]
    line = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=env).stdout)
    return line["tokens_per_second"], line["peak_rss_bytes"] / 1e6


def torch(script, shape, batch, tokens, steps, env):
    size = SHAPES[shape]
    order = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size"]
    command = [sys.executable, script, *(str(size[key]) for key in order), str(batch), str(tokens), str(steps + 1)]
    text = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=env).stdout
    rates = [float(rate) for rate in re.findall(r"tok/s ([\d.]+)", text)]
    return statistics.median(rates[1:]), float(re.search(r"peak MB ([\d.]+)", text)[1]) * 1.048576


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("retort")
    parser.add_argument("script")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shape", action="append", choices=SHAPES)
    parser.add_argument("--tokens", action="append", metavar="BxT")
    parser.add_argument("--busy", action="store_true")
    arguments = parser.parse_args()
    env = quiet(arguments.threads, arguments.busy)
    print(f"{arguments.threads} threads, {arguments.rounds} rounds of {arguments.steps} steps; tokens/s (range), peak MB")
    with tempfile.TemporaryDirectory() as folder:
        for shape in arguments.shape or list(SHAPES):
            path = checkpoint(folder, shape, 32768)
            for run in arguments.tokens or RUNS[shape]:
                batch, tokens = map(int, run.split("x"))
                kinds = {"retort": [], "torch": [], "retort LoRA r=16": []}
                for _ in range(arguments.rounds):
                    kinds["retort"].append(ours(arguments.retort, path, batch, tokens, arguments.steps, env))
                    kinds["torch"].append(torch(arguments.script, shape, batch, tokens, arguments.steps, env))
                    kinds["retort LoRA r=16"].append(ours(arguments.retort, path, batch, tokens, arguments.steps, env, ["--lora-rank", "16"]))
                middle = {}
                for name, found in kinds.items():
                    rates, peaks = zip(*found)
                    middle[name] = (statistics.median(rates), max(peaks))
                    print(f"{shape} {run:>7} {name:17} {middle[name][0]:9.1f} ({min(rates):.1f}-{max(rates):.1f})  {middle[name][1]:7.0f} MB")
                full, them, lora = middle.values()
                print(f"{shape} {run:>7} retort/torch {full[0] / them[0]:.2f}x rate, {full[1] / them[1]:.2f}x memory; LoRA/full {lora[0] / full[0]:.2f}x rate, {lora[1] / full[1]:.2f}x memory", flush=True)


if __name__ == "__main__":
    main()
