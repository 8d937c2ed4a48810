//! What a pipeline file says of a hand-over.

use retort_training::{DpoLoss, Method, TrainBlock};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Recipes with which other tools train on this data, on as many machines as it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipes {
    /// How to train: the name of a `train` stage of this file, or the settings of one. The stage itself need not run.
    pub train: TrainedBy,
    /// The base model as the tools load it: a name on a hub, or a folder where they run.
    pub model: String,
    /// Folder with the base model's `tokenizer.json` and chat template. By default the `base` of the named stage, else the
    /// file's `tokenizer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// For which tools; all by default.
    #[serde(default = "Tool::all")]
    #[schemars(length(min = 1))]
    pub tools: Vec<Tool>,
    /// Machines that train together.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub nodes: usize,
    /// GPUs of each machine.
    #[serde(default = "eight")]
    #[schemars(range(min = 1))]
    pub gpus_per_node: usize,
    /// What SkyPilot calls such a GPU.
    #[serde(default = "h100")]
    pub gpu: String,
    /// Number format in which matrices are multiplied.
    #[serde(default)]
    pub precision: Precision,
    /// Rows that go through the model together on one GPU. The rows of an optimizer step stay those of the training settings.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub per_device_batch_size: usize,
    /// LLaMA-Factory's name of the chat template, such as `qwen` or `llama3`; it matters only when LLaMA-Factory is told to
    /// write conversations itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// Where the training settings stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TrainedBy {
    /// The name of a `train` stage.
    Stage(String),
    /// The settings themselves.
    Settings(Box<TrainBlock>),
}

/// A training tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// TRL 1.16.
    Trl,
    /// axolotl 0.21.
    Axolotl,
    /// LLaMA-Factory 0.9.5.
    LlamaFactory,
}

/// Number format of a training run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// bfloat16, with weights kept in float32 where the tool does so.
    #[default]
    Bf16,
    /// float32 throughout, as our own trainer.
    Fp32,
}

fn one() -> usize {
    1
}

fn eight() -> usize {
    8
}

fn h100() -> String {
    "H100".to_owned()
}

impl Tool {
    fn all() -> Vec<Self> {
        vec![Self::Trl, Self::Axolotl, Self::LlamaFactory]
    }

    /// Its name, which is that of its folder too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trl => "trl",
            Self::Axolotl => "axolotl",
            Self::LlamaFactory => "llama-factory",
        }
    }

    /// The name of its settings file.
    pub(crate) fn settings_file(self, method: Method) -> &'static str {
        match (self, method) {
            (Self::Trl, Method::Sft) => "sft.yaml",
            (Self::Trl, Method::Dpo) => "dpo.yaml",
            (Self::Axolotl, _) => "config.yaml",
            (Self::LlamaFactory, _) => "train.yaml",
        }
    }

    fn has(self, loss: DpoLoss) -> bool {
        match self {
            Self::Trl => loss != DpoLoss::Simpo,
            Self::Axolotl => true,
            Self::LlamaFactory => !matches!(loss, DpoLoss::SigmoidNorm | DpoLoss::Robust),
        }
    }
}

/// A setting that does not go with the train block or with another setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pointer}`: {message}")]
pub struct SettingProblem {
    /// Where, as a JSON pointer inside [`Recipes`].
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

impl Recipes {
    /// GPUs of all machines.
    pub(crate) fn devices(&self) -> usize {
        self.nodes.saturating_mul(self.gpus_per_node)
    }

    /// What decides the files and is no file itself. `block` is what [`Recipes::train`] names: the name of a stage decides
    /// nothing, its settings do.
    pub fn key_settings(&self, block: &TrainBlock) -> Value {
        let mut settings = json!(self);
        settings["train"] = json!({
            "method": block.method, "training": block.training, "lora": block.lora, "dpo": block.dpo,
            "load_best_model_at_end": block.load_best_model_at_end, "evaluated": block.eval_data.is_some(),
        });
        if let Some(name) = block.chat_template.as_ref().filter(|name| *name != "plain") {
            settings["train"]["chat_template"] = json!(name);
        }
        if !block.chat_template_kwargs.is_empty() {
            settings["train"]["chat_template_kwargs"] = json!(block.chat_template_kwargs);
        }
        if let Some(settings) = settings.as_object_mut() {
            settings.remove("tokenizer");
        }
        settings
    }

    /// Why these recipes cannot be written for `block`, which [`Recipes::train`] names. What is wrong with the block itself
    /// is said by [`TrainBlock::contradictions`].
    pub fn problems(&self, block: &TrainBlock) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        let mut wrong = |pointer: String, message: String| problems.push(SettingProblem { pointer, message });
        let (rows, together) =
            (block.training.rows_per_step(), self.devices().saturating_mul(self.per_device_batch_size));
        if !rows.is_multiple_of(together) {
            wrong(
                "/nodes".into(),
                format!(
                    "an optimizer step has {rows} rows (`batch_size` {} x `gradient_accumulation` {}), which {} nodes x {} \
                     GPUs x `per_device_batch_size` {} = {together} rows do not divide",
                    block.training.batch_size,
                    block.training.gradient_accumulation,
                    self.nodes,
                    self.gpus_per_node,
                    self.per_device_batch_size
                ),
            );
        }
        let packs = self.tools.iter().any(|tool| *tool != Tool::LlamaFactory) && block.training.packing;
        if packs && self.precision == Precision::Fp32 {
            let message = "packed rows are kept apart by variable-length attention, which needs `precision: bf16`";
            wrong("/precision".into(), message.to_owned());
        }
        if block.training.max_length.is_none() {
            let message = "recipes need `training.max_length`: what the model can read is not known here";
            wrong("/train".into(), message.to_owned());
        }
        let loss = block.dpo.clone().unwrap_or_default().loss_type;
        for (index, tool) in self.tools.iter().enumerate() {
            if self.tools[..index].contains(tool) {
                wrong(format!("/tools/{index}"), format!("`{}` is named twice", tool.name()));
            }
            if block.method == Method::Dpo && !tool.has(loss) {
                let name = json!(loss);
                let name = name.as_str().unwrap_or_default();
                wrong(
                    format!("/tools/{index}"),
                    format!("`{}` has no preference loss `{name}`: leave it out of `tools`", tool.name()),
                );
            }
        }
        problems
    }
}
