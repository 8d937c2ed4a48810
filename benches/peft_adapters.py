"""Adapters of a `train` stage under PEFT against the merged checkpoint that stands beside them.

    python3 -m venv DIR && DIR/bin/pip install torch 'transformers>=5' peft
    DIR/bin/python benches/peft_adapters.py BASE_CHECKPOINT STAGE_FOLDER...

A stage's folder holds `adapter/` and `checkpoint/`. The base is loaded with transformers, the adapters with
`PeftModel.from_pretrained`; logits on random tokens are compared with those of the merged checkpoint, and with those of the
base, from which they must differ. Exits with 1 above 1e-4 of the largest logit (of 2e-2 where the checkpoint is bfloat16).
"""

import json
import os
import sys


def main():
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    load = lambda path: AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    bad = False
    for stage in sys.argv[2:]:
        config = json.load(open(os.path.join(stage, "checkpoint", "config.json"), encoding="utf-8"))
        allowed = 1e-4 if config.get("torch_dtype", config.get("dtype")) == "float32" else 2e-2
        torch.manual_seed(0)
        ids = torch.randint(0, config["vocab_size"], (2, min(48, config["max_position_embeddings"])))
        with torch.no_grad():
            plain = load(sys.argv[1])(ids).logits
            adapted = PeftModel.from_pretrained(load(sys.argv[1]), os.path.join(stage, "adapter"))(ids).logits
            merged = load(os.path.join(stage, "checkpoint"))(ids).logits
        scale = float(merged.abs().max())
        off, moved = float((adapted - merged).abs().max()) / scale, float((plain - merged).abs().max()) / scale
        bad |= off > allowed or moved <= off
        print(f"{stage}: adapted and merged differ by {off:.1e} of the largest logit, base and merged by {moved:.1e}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
