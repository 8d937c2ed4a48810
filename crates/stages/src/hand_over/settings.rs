//! What a pipeline file says of a hand-over.

use crate::source::Source;
use crate::stages::train::Train;
use retort_training::{DpoLoss, DpoSettings, LoraSettings, Method, TrainSettings};
use retort_weights::Dtype;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Recipes with which other tools train on this data, on as many machines as it takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
    /// The training settings that `train` names, once the whole file is read.
    #[serde(skip)]
    pub(crate) block: Option<Block>,
    /// The tokenizer's folder, once the whole file is read.
    #[serde(skip)]
    pub(crate) folder: Option<String>,
}

/// Where the training settings stand.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TrainedBy {
    /// The name of a `train` stage.
    Stage(String),
    /// The settings themselves.
    Settings(Box<Block>),
}

/// Those settings of a `train` stage that do not say where it starts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// What the student learns from.
    #[serde(default)]
    pub method: Method,
    /// How to train.
    #[serde(deserialize_with = "retort_training::with_preset")]
    pub training: TrainSettings,
    /// Held-out data whose loss is computed every `training.eval_steps`; only for `sft`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_data: Option<Source>,
    /// Keep the weights with the lowest evaluation loss.
    #[serde(default)]
    pub load_best_model_at_end: bool,
    /// Train low-rank adapters instead of all parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSettings>,
    /// The preference loss; only for `dpo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpo: Option<DpoSettings>,
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
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trl => "trl",
            Self::Axolotl => "axolotl",
            Self::LlamaFactory => "llama-factory",
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

impl Block {
    pub(crate) fn of(train: &Train) -> Self {
        Self {
            method: train.method,
            training: train.training.clone(),
            eval_data: train.eval_data.clone(),
            load_best_model_at_end: train.load_best_model_at_end,
            lora: train.lora.clone(),
            dpo: train.dpo.clone(),
        }
    }

    /// The stage that these settings would be.
    fn as_stage(&self) -> Train {
        Train {
            method: self.method,
            base: Some(Source("base".into())),
            init: None,
            data: Source("data".into()),
            training: self.training.clone(),
            eval_data: self.eval_data.clone(),
            load_best_model_at_end: self.load_best_model_at_end,
            lora: self.lora.clone(),
            dpo: self.dpo.clone(),
            dtype: Dtype::default(),
            save_steps: None,
            save_seconds: 1,
        }
    }
}

impl Recipes {
    /// GPUs of all machines.
    pub(crate) fn devices(&self) -> usize {
        self.nodes.saturating_mul(self.gpus_per_node)
    }

    /// What decides the files: a stage's name does not, its settings do.
    pub(crate) fn key_settings(&self) -> Value {
        let block = self.block.as_ref().map(|block| {
            json!({
                "method": block.method, "training": block.training, "lora": block.lora, "dpo": block.dpo,
                "load_best_model_at_end": block.load_best_model_at_end, "evaluated": block.eval_data.is_some(),
            })
        });
        let mut settings = json!(self);
        settings["train"] = block.unwrap_or_default();
        if let Some(settings) = settings.as_object_mut() {
            // Its files are part of the key.
            settings.remove("tokenizer");
        }
        settings
    }

    /// Problems that types cannot say: pointers inside `recipes`, and what is wrong.
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        // Without settings, the reader of the file has already said why.
        let Some(block) = &self.block else { return Vec::new() };
        let mut problems = Vec::new();
        if matches!(self.train, TrainedBy::Settings(_)) {
            let inner = block.as_stage().problems();
            problems.extend(inner.into_iter().map(|(pointer, message)| (format!("/train{pointer}"), message)));
        }
        let (rows, together) =
            (block.training.rows_per_step(), self.devices().saturating_mul(self.per_device_batch_size));
        if !rows.is_multiple_of(together) {
            problems.push((
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
            ));
        }
        let packs = self.tools.iter().any(|tool| *tool != Tool::LlamaFactory) && block.training.packing;
        if packs && self.precision == Precision::Fp32 {
            let message = "packed rows are kept apart by variable-length attention, which needs `precision: bf16`";
            problems.push(("/precision".into(), message.to_owned()));
        }
        if block.training.max_length.is_none() {
            let message = "recipes need `training.max_length`: what the model can read is not known here";
            problems.push(("/train".into(), message.to_owned()));
        }
        let loss = block.dpo.clone().unwrap_or_default().loss_type;
        for (index, tool) in self.tools.iter().enumerate() {
            if self.tools[..index].contains(tool) {
                problems.push((format!("/tools/{index}"), format!("`{}` is named twice", tool.name())));
            }
            if block.method == Method::Dpo && !tool.has(loss) {
                let name = json!(loss);
                let name = name.as_str().unwrap_or_default();
                problems.push((
                    format!("/tools/{index}"),
                    format!("`{}` has no preference loss `{name}`: leave it out of `tools`", tool.name()),
                ));
            }
        }
        problems
    }
}
