//! The stage kinds: one `match` for everything that differs between them.

use crate::inputs::label;
use crate::source::Kind;
use crate::stages;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One stage of a pipeline file, tagged by its kind.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Reads prompts, rollouts, training examples or preference pairs from files.
    Import(stages::import::Import),
    /// Makes procedural prompts with exact answers.
    Synthesize(stages::synthesize::Synthesize),
    /// Asks a teacher for rollouts.
    Sample(stages::sample::Sample),
    /// Judges rollouts against reference answers.
    Verify(stages::verify::Verify),
    /// Asks a model about verdicts that rules leave open.
    Judge(stages::judge::Judge),
    /// Keeps the rollouts that meet conditions.
    Filter(stages::filter::Filter),
    /// Chooses rollouts per prompt.
    Select(stages::select::Select),
    /// Builds preference pairs by the rule of Kimi k1.5.
    Pair(stages::pair::Pair),
    /// Joins selections and training examples into one corpus.
    Compose(stages::compose::Compose),
    /// Trains a student.
    Train(stages::train::Train),
    /// Merges checkpoints into one.
    Merge(stages::merge::Merge),
    /// Samples checkpoints and compares their accuracy and length.
    Evaluate(stages::evaluate::Evaluate),
    /// Writes files for other tools.
    Export(stages::export::Export),
    /// Writes an HTML report.
    Report(stages::report::Report),
}

/// One input of a stage.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// Where the stage's settings name it: a JSON pointer inside the settings.
    pub pointer: String,
    /// What is named.
    pub source: &'a str,
    /// What kinds of output serve.
    pub accepts: &'static [Kind],
}

impl Stage {
    /// The key that names the kind in a pipeline file, for every kind.
    pub const KINDS: [&'static str; 14] = [
        "import",
        "synthesize",
        "sample",
        "verify",
        "judge",
        "filter",
        "select",
        "pair",
        "compose",
        "train",
        "merge",
        "evaluate",
        "export",
        "report",
    ];

    /// The key that names the kind in a pipeline file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Import(_) => "import",
            Self::Synthesize(_) => "synthesize",
            Self::Sample(_) => "sample",
            Self::Verify(_) => "verify",
            Self::Judge(_) => "judge",
            Self::Filter(_) => "filter",
            Self::Select(_) => "select",
            Self::Pair(_) => "pair",
            Self::Compose(_) => "compose",
            Self::Train(_) => "train",
            Self::Merge(_) => "merge",
            Self::Evaluate(_) => "evaluate",
            Self::Export(_) => "export",
            Self::Report(_) => "report",
        }
    }

    /// Changed whenever the same settings and inputs may give another output. A test holds a golden output hash
    /// beside each of these.
    pub fn code_version(&self) -> u32 {
        match self {
            Self::Import(_)
            | Self::Synthesize(_)
            | Self::Sample(_)
            | Self::Verify(_)
            | Self::Judge(_)
            | Self::Filter(_)
            | Self::Select(_)
            | Self::Pair(_)
            | Self::Compose(_)
            | Self::Merge(_)
            | Self::Evaluate(_)
            | Self::Export(_) => 1,
            Self::Report(_) => 2,
            // Gradients of adapters are added up chunk by chunk.
            Self::Train(_) => 4,
        }
    }

    /// What the stage makes.
    pub fn output(&self) -> Kind {
        match self {
            Self::Import(import) => import.output(),
            Self::Synthesize(synthesize) => synthesize.output(),
            Self::Sample(_) => Kind::Rollouts,
            Self::Verify(_) | Self::Judge(_) | Self::Filter(_) => Kind::Verdicts,
            Self::Select(_) => Kind::Selection,
            Self::Pair(_) => Kind::Pairs,
            Self::Compose(_) => Kind::Sft,
            Self::Train(_) | Self::Merge(_) => Kind::Checkpoint,
            Self::Evaluate(_) => Kind::Measures,
            Self::Export(_) => Kind::Export,
            Self::Report(_) => Kind::Report,
        }
    }

    /// What the stage reads from other stages.
    pub fn inputs(&self) -> Vec<Input<'_>> {
        match self {
            Self::Import(_) | Self::Synthesize(_) => Vec::new(),
            Self::Sample(sample) => sample.inputs(),
            Self::Verify(verify) => verify.inputs(),
            Self::Judge(judge) => judge.inputs(),
            Self::Filter(filter) => filter.inputs(),
            Self::Select(select) => select.inputs(),
            Self::Pair(pair) => pair.inputs(),
            Self::Compose(compose) => compose.inputs(),
            Self::Train(train) => train.inputs(),
            Self::Merge(merge) => merge.inputs(),
            Self::Evaluate(evaluate) => evaluate.inputs(),
            Self::Export(export) => export.inputs(),
            Self::Report(report) => report.inputs(),
        }
    }

    /// Whether the stage counts in tokens of the model to be trained.
    pub fn needs_lengths(&self) -> bool {
        matches!(
            self,
            Self::Filter(_) | Self::Select(_) | Self::Pair(_) | Self::Compose(_) | Self::Export(_) | Self::Report(_)
        )
    }

    /// The settings that decide the output: without the names of inputs, and without what only decides how fast or
    /// where the work is done.
    pub fn key_settings(&self) -> Value {
        let mut settings = serde_json::to_value(self).unwrap_or_default();
        let tag = self.kind();
        for input in self.inputs() {
            if let Some(place) = settings.pointer_mut(&format!("/{tag}{}", input.pointer)) {
                *place = Value::Null;
            }
        }
        match self {
            Self::Sample(sample) => settings[tag] = sample.key_settings(),
            Self::Judge(judge) => settings[tag] = judge.key_settings(),
            Self::Import(import) => settings[tag] = import.key_settings(),
            Self::Train(train) => settings[tag] = train.key_settings(),
            Self::Export(export) => {
                if let Some(recipes) = &export.recipes {
                    settings[tag]["recipes"] = recipes.key_settings();
                }
            }
            // Names that go into what the stage writes.
            Self::Evaluate(evaluate) => {
                settings[tag]["checkpoints"] = evaluate.checkpoints.iter().map(|name| label(name)).collect();
            }
            Self::Report(report) => settings[tag]["of"] = report.of.iter().map(|name| label(name)).collect(),
            _ => {}
        }
        settings
    }

    /// Whether the stage draws random numbers: only then does its seed decide the output.
    pub fn uses_seed(&self) -> bool {
        matches!(
            self,
            Self::Synthesize(_)
                | Self::Sample(_)
                | Self::Judge(_)
                | Self::Select(_)
                | Self::Pair(_)
                | Self::Compose(_)
                | Self::Train(_)
                | Self::Evaluate(_)
        ) || matches!(self, Self::Export(export) if export.recipes.is_some())
    }

    /// Files outside the pipeline that the stage reads, as written in the settings.
    pub fn files(&self) -> Vec<(String, String)> {
        match self {
            Self::Import(import) => import.files(),
            Self::Sample(sample) => sample.files(),
            Self::Train(train) => train.files(),
            Self::Judge(judge) => judge.files(),
            Self::Export(export) => export.files(),
            _ => Vec::new(),
        }
    }

    /// Problems of the settings that their types cannot express: a JSON pointer inside the settings, and what is wrong.
    pub fn problems(&self) -> Vec<(String, String)> {
        match self {
            Self::Import(import) => import.problems(),
            Self::Synthesize(synthesize) => synthesize.problems(),
            Self::Sample(sample) => sample.problems(),
            Self::Verify(verify) => verify.problems(),
            Self::Judge(judge) => judge.problems(),
            Self::Filter(filter) => filter.problems(),
            Self::Pair(pair) => pair.problems(),
            Self::Compose(compose) => compose.problems(),
            Self::Train(train) => train.problems(),
            Self::Merge(merge) => merge.problems(),
            Self::Evaluate(evaluate) => evaluate.problems(),
            Self::Export(export) => export.problems(),
            Self::Select(_) | Self::Report(_) => Vec::new(),
        }
    }
}

/// The documentation of a stage kind, verifier, rule or filter, in Markdown.
pub fn explain(name: &str) -> Option<String> {
    let text = stages::explain(name).or_else(|| retort_verify::explain(name)).or_else(|| retort_curate::explain(name));
    text.map(str::to_owned)
}

/// Everything that [`explain`] knows, by group.
pub fn explained_names() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("stages", Stage::KINDS.to_vec()),
        ("verifiers", retort_verify::names().to_vec()),
        ("rules and filters", retort_curate::names().to_vec()),
    ]
}
