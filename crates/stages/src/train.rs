//! `train`: a student learns from examples or from preference pairs. Weights and optimizer are saved as they go, so that a
//! killed run goes on and ends with the bytes of an undisturbed one.

pub(crate) mod preview;
mod size;
pub(crate) mod states;
mod work;

use retort_chat::ChatTemplate;
use retort_pipeline::{
    CheckpointShape, Context, Input, OutputKind, OutsideFile, PipelineError, PlannedInputs, RowCounts, SettingProblem,
    Source, StageKind, StageOutput, Surroundings, label,
};
use retort_student::Architecture;
use retort_training::{DpoSettings, LoraSettings, Method, TrainBlock, TrainSettings};
use retort_weights::{Dtype, companions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Trains a checkpoint, or a model made from random weights.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// What the student learns from.
    #[serde(default)]
    pub method: Method,
    /// The checkpoint to start from; for `dpo` also the reference model. Either this or `init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Source>,
    /// A model to be made from random weights. Either this or `base`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Init>,
    /// The data: a selection or training examples for `sft`, preference pairs for `dpo`.
    pub data: Source,
    /// How to train.
    #[serde(deserialize_with = "retort_training::with_preset")]
    pub training: TrainSettings,
    /// Held-out data whose loss is computed every `training.eval_steps`; only for `sft`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_data: Option<Source>,
    /// Write the weights with the lowest evaluation loss instead of the last ones.
    #[serde(default)]
    pub load_best_model_at_end: bool,
    /// Train low-rank adapters instead of all parameters. The checkpoint has them merged; the folder `adapter` beside it
    /// holds them as PEFT does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSettings>,
    /// The preference loss; only for `dpo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpo: Option<DpoSettings>,
    /// The chat template to train with: `chatml`, `llama3`, `instruction`, or `plain` for rows that are plain texts, which
    /// then follow one another. The model's own when left out. The checkpoint carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// Variables of the chat template for all rows, such as `enable_thinking: false`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub chat_template_kwargs: Map<String, Value>,
    /// Number format of the checkpoint's weights; training itself is in float32.
    #[serde(default)]
    pub dtype: Dtype,
    /// Save the training state every so many steps. It changes how much a crash loses, never the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub save_steps: Option<usize>,
    /// Save the training state after so many seconds.
    #[serde(default = "default_save_seconds")]
    #[schemars(range(min = 1))]
    pub save_seconds: u64,
}

/// A model made from random weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// Its shape, in the words of `config.json`.
    pub architecture: Architecture,
    /// Folder with its `tokenizer.json`; chat template and tokenizer settings beside it are used and carried along.
    pub tokenizer: String,
}

/// The word for rows that are plain texts.
const PLAIN: &str = "plain";

fn default_save_seconds() -> u64 {
    60
}

/// What a trained checkpoint tells of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrainFacts {
    /// What it learned from.
    pub method: Method,
    /// How.
    pub training: TrainSettings,
    /// Optimizer steps.
    pub steps: usize,
    /// Parameters of the model.
    pub parameters: usize,
    /// Tokens that went through the model.
    pub tokens: usize,
    /// The last step's loss.
    pub last_loss: f64,
    /// Rows that were cut.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
    /// The loss of held-out rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_loss: Option<EvalLossFacts>,
    /// The token that a completion was trained to end with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_of_turn: Option<EndOfTurn>,
    /// Rows that came and were trained on.
    #[serde(flatten)]
    pub rows: RowCounts,
}

/// The token that ends a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndOfTurn {
    /// Its text, such as `<|im_end|>`.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// Whether the base's files named another one, so that the checkpoint's had to be changed.
    pub changed: bool,
}

/// The loss of held-out rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EvalLossFacts {
    /// After the last step at which it was computed.
    pub last: f64,
    /// The lowest.
    pub best: f64,
    /// The step of the lowest, the first of several.
    pub best_step: usize,
    /// Held-out rows.
    pub rows: usize,
}

// Serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl StageKind for Train {
    const NAME: &'static str = "train";
    /// 5: what a turn ends with stands in every file; reasoning that never ends is not trained, empty thoughts are.
    const VERSION: u32 = 5;
    const EXPLAIN: &'static str = include_str!("explain/train.md");
    type Facts = TrainFacts;

    fn output(&self) -> OutputKind {
        OutputKind::Checkpoint
    }

    fn inputs<'a>(&'a self, _: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        let accepts: &[OutputKind] = match self.method {
            Method::Sft => &[OutputKind::Selection, OutputKind::Sft],
            Method::Dpo => &[OutputKind::Pairs],
        };
        let base = self.base.iter();
        let mut inputs: Vec<Input<'_>> = base
            .map(|base| Input { pointer: "/base".into(), source: base, accepts: &[OutputKind::Checkpoint] })
            .collect();
        inputs.push(Input { pointer: "/data".into(), source: &self.data, accepts });
        let held_out = self.eval_data.iter();
        inputs.extend(held_out.map(|data| Input { pointer: "/eval_data".into(), source: data, accepts }));
        inputs
    }

    fn files(&self, _: &Surroundings<'_>) -> Vec<OutsideFile> {
        let file = |init: &Init| OutsideFile {
            pointer: "/init/tokenizer".into(),
            path: format!("{}/tokenizer.json", init.tokenizer.trim_end_matches('/')),
            deciding: tokenizer_files,
        };
        self.init.iter().map(file).collect()
    }

    fn uses_seed(&self) -> bool {
        true
    }

    /// How often the state is saved decides nothing.
    fn key_settings(&self, _: &Surroundings<'_>) -> Result<Value, serde_json::Error> {
        let mut settings = json!({
            "method": self.method, "init": self.init, "training": self.training, "dpo": self.dpo, "dtype": self.dtype,
        });
        if let Some(lora) = &self.lora {
            settings["lora"] = json!(lora);
        }
        match &self.base {
            // It is written into the adapter's settings as it stands here.
            Some(base) if self.lora.is_some() => settings["base"] = base.as_str().into(),
            // Its name goes into the table of reference log-probs.
            Some(base) if self.method == Method::Dpo => settings["base"] = label(base).into(),
            _ => {}
        }
        // Plain texts are what a base without a template was always trained on.
        if let Some(name) = self.chat_template.as_ref().filter(|name| *name != PLAIN) {
            settings["chat_template"] = json!(name);
        }
        if !self.chat_template_kwargs.is_empty() {
            settings["chat_template_kwargs"] = json!(self.chat_template_kwargs);
        }
        if self.load_best_model_at_end {
            settings["load_best_model_at_end"] = true.into();
        }
        Ok(settings)
    }

    fn versions(&self, _: &Surroundings<'_>) -> Result<BTreeMap<String, String>, PipelineError> {
        Ok(kernels_version())
    }

    fn problems(&self, around: &Surroundings<'_>) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        let mut wrong = |pointer: &str, message: &str| problems.push(SettingProblem::new(pointer, message));
        match (&self.base, &self.init) {
            (None, None) => wrong("", "there is nothing to train: give `base` or `init`"),
            (Some(_), Some(_)) => wrong("/init", "`base` is given already: give one of `base` and `init`"),
            _ => {}
        }
        if self.method == Method::Dpo && self.base.is_none() {
            wrong("/method", "`dpo` needs `base`: it is the reference model too");
        }
        if self.lora.is_some() && self.base.is_none() {
            wrong("/lora", "`lora` needs `base`: adapters beside random weights learn nothing");
        }
        for found in self.block().contradictions() {
            wrong(found.pointer, found.message);
        }
        if let Some(name) = &self.chat_template {
            let choices = ChatTemplate::choices();
            if !choices.contains(&name.as_str()) {
                let message = format!("no chat template is named `{name}`; there are `{}`", choices.join("`, `"));
                wrong("/chat_template", &message);
            }
        }
        if let Some(Err(error)) = self.init.as_ref().map(|init| init.architecture.config()) {
            wrong("/init/architecture", &error.to_string());
        }
        problems.extend(self.size_problems(around));
        problems
    }

    fn checkpoint_shape(&self) -> Option<CheckpointShape<'_>> {
        match (&self.init, &self.base) {
            (Some(init), _) => Some(CheckpointShape::Config(init.architecture.config().ok()?.to_json(self.dtype))),
            (None, base) => Some(CheckpointShape::Like(base.as_ref()?)),
        }
    }

    fn forecast(&self, inputs: &PlannedInputs<'_>) -> Result<String, PipelineError> {
        Ok(self.forecast_in_words(inputs)?)
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        Ok(self.train(context)?)
    }
}

/// The version of what computes with models, as part of a key.
pub(crate) fn kernels_version() -> BTreeMap<String, String> {
    [("kernels".to_owned(), retort_student::KERNELS_VERSION.to_owned())].into()
}

/// What a tokenizer makes of messages is said by the template and the settings beside it.
pub(crate) fn tokenizer_files(tokenizer: &Path) -> Vec<std::path::PathBuf> {
    tokenizer.parent().map(companions).unwrap_or_default()
}

impl Train {
    /// The settings without what says where training starts.
    pub(crate) fn block(&self) -> TrainBlock {
        TrainBlock {
            method: self.method,
            training: self.training.clone(),
            eval_data: self.eval_data.as_ref().map(|data| data.0.clone()),
            load_best_model_at_end: self.load_best_model_at_end,
            lora: self.lora.clone(),
            dpo: self.dpo.clone(),
            chat_template: self.chat_template.clone(),
            chat_template_kwargs: self.chat_template_kwargs.clone(),
        }
    }
}
