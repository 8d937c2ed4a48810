//! Who starts the tools: one script a node, and the two schedulers that start it on all of them.

use crate::settings::{Precision, Recipes, Tool};
use crate::sheet::Sheet;
use retort_training::{Method, TrainBlock};
use serde_json::json;

/// What starts one node's processes.
pub fn script(tool: Tool, recipes: &Recipes, block: &TrainBlock) -> String {
    let (nodes, gpus, devices) = (recipes.nodes, recipes.gpus_per_node, recipes.devices());
    let command = match tool {
        Tool::Trl => {
            let name = if block.method == Method::Sft { "sft" } else { "dpo" };
            format!(
                "exec trl {name} --config {name}.yaml --accelerate_config accelerate.yaml \\\n  --num_machines {nodes} \
                 --num_processes {devices} --machine_rank \"$NODE_RANK\" \\\n  --main_process_ip \"$MASTER_ADDR\" \
                 --main_process_port \"$MASTER_PORT\" \"$@\""
            )
        }
        Tool::Axolotl => format!(
            "exec axolotl train config.yaml --launcher torchrun \"$@\" -- \\\n  --nnodes={nodes} --nproc_per_node={gpus} \
             --node_rank=\"$NODE_RANK\" \\\n  --master_addr=\"$MASTER_ADDR\" --master_port=\"$MASTER_PORT\""
        ),
        Tool::LlamaFactory => format!(
            "python prepare.py\nexport FORCE_TORCHRUN=1 NNODES={nodes} NPROC_PER_NODE={gpus}\nexec llamafactory-cli train \
             train.yaml \"$@\""
        ),
    };
    let how = if nodes == 1 {
        "Start it once.".to_owned()
    } else {
        format!("Start it on each of the {nodes} nodes, with NODE_RANK from 0 to {} and node 0's address.", nodes - 1)
    };
    format!(
        "#!/usr/bin/env bash\n# {how} Further arguments go to the tool.\nset -euo pipefail\ncd \"$(dirname \"$0\")\"\nexport \
         NODE_RANK=\"${{NODE_RANK:-0}}\" MASTER_ADDR=\"${{MASTER_ADDR:-127.0.0.1}}\" \
         MASTER_PORT=\"${{MASTER_PORT:-29500}}\"\n{command}\n"
    )
}

/// `train.slurm`: for `sbatch`.
pub fn slurm(tool: Tool, recipes: &Recipes) -> String {
    format!(
        "#!/usr/bin/env bash\n#SBATCH --job-name=retort-{name}\n#SBATCH --nodes={nodes}\n#SBATCH --ntasks-per-node=1\n#SBATCH \
         --gpus-per-node={gpus}\n#SBATCH --exclusive\n#SBATCH --output=%x-%j.log\n\n# Submit it from its own folder, with the \
         tool's Python environment active: sbatch train.slurm\n# Partition, account and time limit are your cluster's.\nset -euo \
         pipefail\ncd \"$SLURM_SUBMIT_DIR\"\nMASTER_ADDR=\"$(scontrol show hostnames \"$SLURM_JOB_NODELIST\" | head -n \
         1)\"\nexport MASTER_ADDR MASTER_PORT=29500\nsrun --kill-on-bad-exit=1 bash -c 'NODE_RANK=\"$SLURM_NODEID\" exec bash \
         run.sh'\n",
        name = tool.name(),
        nodes = recipes.nodes,
        gpus = recipes.gpus_per_node,
    )
}

/// `sky.yaml`: a task of SkyPilot 0.14.1.
pub fn sky(tool: Tool, recipes: &Recipes) -> String {
    let folder = tool.name();
    let python = if tool == Tool::Axolotl { "3.12" } else { "3.11" };
    let mut sheet = Sheet::new(
        "SkyPilot 0.14.1, from this folder: sky launch sky.yaml\nThe whole folder `recipes` is copied to each node.",
    );
    sheet.set("name", format!("retort-{folder}"));
    sheet.set("num_nodes", recipes.nodes);
    sheet.set("workdir", "..");
    sheet.set("resources", json!({ "accelerators": format!("{}:{}", recipes.gpu, recipes.gpus_per_node) }));
    sheet.set(
        "setup",
        format!(
            "set -e\npip install uv\nuv venv --python {python} ~/retort-{folder}\nuv pip install --python ~/retort-{folder} -r \
             {folder}/requirements.txt\n"
        ),
    );
    sheet.set(
        "run",
        format!(
            "set -e\n. ~/retort-{folder}/bin/activate\nexport NODE_RANK=\"$SKYPILOT_NODE_RANK\" \
             MASTER_PORT=29500\nMASTER_ADDR=\"$(echo \"$SKYPILOT_NODE_IPS\" | head -n 1)\"\nexport MASTER_ADDR\nbash \
             {folder}/run.sh\n"
        ),
    );
    sheet.text().to_owned()
}

/// `accelerate.yaml`: FSDP 2 for several GPUs.
pub fn accelerate(recipes: &Recipes) -> String {
    let several = recipes.devices() > 1;
    let mut sheet = Sheet::new("accelerate 1.15; run.sh says how many processes there are, and where.");
    sheet.set("compute_environment", "LOCAL_MACHINE");
    sheet.set("debug", false);
    sheet.set("distributed_type", if several { "FSDP" } else { "NO" });
    if several {
        sheet.comment(
            "Weights, gradients and optimizer are shared out over all GPUs. Blocks are recomputed in the backward pass",
        );
        sheet.comment("when the training settings say so (gradient_checkpointing), not here.");
        sheet.set(
            "fsdp_config",
            json!({
                "fsdp_version": 2, "fsdp_reshard_after_forward": true, "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
                "fsdp_activation_checkpointing": false, "fsdp_cpu_ram_efficient_loading": true, "fsdp_offload_params": false,
                "fsdp_state_dict_type": "FULL_STATE_DICT",
            }),
        );
    }
    sheet.set("mixed_precision", if recipes.precision == Precision::Bf16 { "bf16" } else { "no" });
    sheet.set("num_machines", recipes.nodes);
    sheet.set("num_processes", recipes.devices());
    sheet.set("machine_rank", 0);
    sheet.set("main_training_function", "main");
    sheet.set("rdzv_backend", "static");
    sheet.set("same_network", true);
    sheet.set("use_cpu", false);
    sheet.text().to_owned()
}

/// How to start each launcher, as a table for the README.
pub fn table(recipes: &Recipes) -> String {
    let by_hand = if recipes.nodes == 1 {
        "`pip install -r requirements.txt && bash run.sh`".to_owned()
    } else {
        "`pip install -r requirements.txt`, then on node R: `NODE_RANK=R MASTER_ADDR=<node 0> bash run.sh`".to_owned()
    };
    format!(
        "| where | command |\n|---|---|\n| by hand | {by_hand} |\n| Slurm | `sbatch train.slurm` (the environment with \
         requirements.txt active) |\n| SkyPilot 0.14.1 | `sky launch sky.yaml` |\n"
    )
}
