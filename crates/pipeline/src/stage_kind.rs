//! What the engine asks of a stage kind. The kinds themselves stand elsewhere: the engine knows none of them.

use crate::context::{Context, PlannedInputs, StageOutput};
use crate::error::PipelineError;
use crate::finished::Finished;
use crate::machine::Machine;
use crate::manifest::canonical;
use crate::output_kind::OutputKind;
use crate::resolver::{Resolver, expand_glob};
use crate::source::Source;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

/// A kind of stage. The type is the settings of one stage, as they stand in a pipeline file.
pub trait StageKind: Serialize + DeserializeOwned + JsonSchema + Clone + Debug + Send + Sync + 'static {
    /// The key that names the kind in a pipeline file.
    const NAME: &'static str;
    /// Changed whenever the same settings and inputs may give another output. A test holds a golden output hash beside
    /// each.
    const VERSION: u32;
    /// The documentation, in Markdown.
    const EXPLAIN: &'static str;
    /// What a finished stage tells of itself, beside its tables.
    type Facts: Serialize + DeserializeOwned;

    /// What the stage makes.
    fn output(&self) -> OutputKind;

    /// What the stage reads of other stages.
    fn inputs<'a>(&'a self, _around: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        Vec::new()
    }

    /// Kinds that must stand between this stage and what its inputs were made of: see [`StageKind::derived`].
    fn needs(&self) -> &'static [&'static str] {
        &[]
    }

    /// For kinds that others [need](StageKind::needs): what the one input must be. Such a stage need not be written: it is
    /// put in under the name `SOURCE.KIND`.
    const DERIVED_FROM: Option<OutputKind> = None;

    /// For kinds that others need: the stage of this kind that reads `source`.
    fn derived(_source: Source) -> Option<Self> {
        None
    }

    /// Files outside the pipeline that the stage reads.
    fn files(&self, _around: &Surroundings<'_>) -> Vec<OutsideFile> {
        Vec::new()
    }

    /// Whether the stage draws random numbers: only then does its seed decide the output.
    fn uses_seed(&self) -> bool {
        false
    }

    /// Whether the stage's own name stands in what it writes: only then does it decide the output.
    fn writes_its_name(&self) -> bool {
        false
    }

    /// The settings that decide the output: without the names of inputs, and without what only decides how fast or where
    /// the work is done. Null when nothing but the inputs decides.
    fn key_settings(&self, around: &Surroundings<'_>) -> Result<Value, serde_json::Error> {
        without_inputs(self, &self.inputs(around))
    }

    /// What else decides the output: versions of what the stage works with, by name.
    fn versions(&self, _around: &Surroundings<'_>) -> Result<BTreeMap<String, String>, PipelineError> {
        Ok(BTreeMap::new())
    }

    /// Problems of the settings that their types cannot express.
    fn problems(&self, _around: &Surroundings<'_>) -> Vec<SettingProblem> {
        Vec::new()
    }

    /// What the work needs and is not there now, such as a teacher's key: found before any work begins, but nothing that
    /// a finished stage wants.
    fn unmet(&self, _around: &Surroundings<'_>) -> Vec<SettingProblem> {
        Vec::new()
    }

    /// The shape of the checkpoint that the stage will make, as far as the settings say.
    fn checkpoint_shape(&self) -> Option<CheckpointShape<'_>> {
        None
    }

    /// What the work would take, in words, as far as the inputs are there.
    fn forecast(&self, _inputs: &PlannedInputs<'_>) -> Result<String, PipelineError> {
        Ok(String::new())
    }

    /// Does the work.
    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError>;

    /// What a finished stage of this kind tells of itself; none of one of another kind.
    fn facts_of(finished: &Finished) -> Option<Self::Facts> {
        let manifest = &finished.manifest;
        if manifest.key.kind == Self::NAME { Self::Facts::deserialize(&manifest.facts).ok() } else { None }
    }
}

/// One input of a stage.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// Where the stage's settings name it: a JSON pointer inside the settings.
    pub pointer: String,
    /// What is named.
    pub source: &'a str,
    /// What kinds of output serve.
    pub accepts: &'static [OutputKind],
}

impl Input<'_> {
    /// The name by which the stage reads it: the pointer without its first `/`.
    pub fn slot(&self) -> &str {
        self.pointer.trim_start_matches('/')
    }
}

/// A file outside the pipeline that a stage reads.
#[derive(Debug, Clone)]
pub struct OutsideFile {
    /// Where the stage's settings name it: a JSON pointer inside the settings.
    pub pointer: String,
    /// The path or glob as written.
    pub path: String,
    /// The files that decide the output, where these are more than the one that must be there.
    pub deciding: fn(&Path) -> Vec<PathBuf>,
}

impl OutsideFile {
    /// A file, or all that a glob matches.
    pub fn new(pointer: impl Into<String>, path: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), path: path.into(), deciding: expand_glob }
    }
}

/// What is wrong with a stage's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// Where: a JSON pointer inside the settings.
    pub pointer: String,
    /// What is wrong: the key, the value given and what is allowed.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl SettingProblem {
    /// A problem of the value at `pointer`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into(), hint: None }
    }

    /// The same problem with advice.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same problem inside the settings at `pointer`.
    #[must_use]
    pub fn inside(self, pointer: &str) -> Self {
        Self { pointer: format!("{pointer}{}", self.pointer), ..self }
    }
}

/// The shape of a checkpoint that a stage makes.
#[derive(Debug, Clone)]
pub enum CheckpointShape<'a> {
    /// That of another checkpoint.
    Like(&'a str),
    /// That of a `config.json`.
    Config(Value),
}

/// What can be known around a stage before it runs.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// All stages of the file.
    pub stages: &'a Stages,
    /// The file's `tokenizer`, as written.
    pub tokenizer: Option<&'a str>,
    /// Finds what is named by path.
    pub resolver: &'a dyn Resolver,
    /// What the run may use of the machine.
    pub machine: &'a Machine,
}

impl Surroundings<'_> {
    /// The folder of the file's `tokenizer`, when there is one that can be found.
    pub fn tokenizer_folder(&self) -> Option<PathBuf> {
        self.resolver.locate(self.tokenizer?).ok()
    }
}

/// The stages of a file by name.
#[derive(Debug, Default)]
pub struct Stages {
    order: Vec<String>,
    by_name: BTreeMap<String, Box<dyn Stage>>,
}

impl Stages {
    /// Adds a stage behind those that are there.
    pub(crate) fn push(&mut self, name: String, stage: Box<dyn Stage>) {
        self.order.push(name.clone());
        self.by_name.insert(name, stage);
    }

    /// A stage.
    pub fn get(&self, name: &str) -> Option<&dyn Stage> {
        self.by_name.get(name).map(AsRef::as_ref)
    }

    /// The settings of a stage of kind `K`.
    pub fn of_kind<K: StageKind>(&self, name: &str) -> Option<&K> {
        self.get(name)?.as_any().downcast_ref()
    }

    /// Name and stage in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &dyn Stage)> {
        self.order.iter().filter_map(|name| Some((name.as_str(), self.get(name)?)))
    }

    /// The names in the order of the alphabet.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// A stage of any kind: [`StageKind`] as an object.
pub trait Stage: Debug + Send + Sync {
    /// See [`StageKind::NAME`].
    fn kind(&self) -> &'static str;
    /// See [`StageKind::VERSION`].
    fn version(&self) -> u32;
    /// See [`StageKind::output`].
    fn output(&self) -> OutputKind;
    /// See [`StageKind::inputs`].
    fn inputs<'a>(&'a self, around: &'a Surroundings<'_>) -> Vec<Input<'a>>;
    /// See [`StageKind::needs`].
    fn needs(&self) -> &'static [&'static str];
    /// See [`StageKind::files`].
    fn files(&self, around: &Surroundings<'_>) -> Vec<OutsideFile>;
    /// See [`StageKind::uses_seed`].
    fn uses_seed(&self) -> bool;
    /// See [`StageKind::writes_its_name`].
    fn writes_its_name(&self) -> bool;
    /// See [`StageKind::key_settings`]: canonical, under the kind's name.
    fn key_settings(&self, around: &Surroundings<'_>) -> Result<Value, serde_json::Error>;
    /// See [`StageKind::versions`].
    fn versions(&self, around: &Surroundings<'_>) -> Result<BTreeMap<String, String>, PipelineError>;
    /// See [`StageKind::problems`].
    fn problems(&self, around: &Surroundings<'_>) -> Vec<SettingProblem>;
    /// See [`StageKind::unmet`].
    fn unmet(&self, around: &Surroundings<'_>) -> Vec<SettingProblem>;
    /// See [`StageKind::checkpoint_shape`].
    fn checkpoint_shape(&self) -> Option<CheckpointShape<'_>>;
    /// See [`StageKind::forecast`].
    fn forecast(&self, inputs: &PlannedInputs<'_>) -> Result<String, PipelineError>;
    /// See [`StageKind::run`].
    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError>;
    /// The settings, to be looked at by who knows their type.
    fn as_any(&self) -> &dyn Any;
    /// The same stage once more.
    fn boxed(&self) -> Box<dyn Stage>;
}

impl<K: StageKind> Stage for K {
    fn kind(&self) -> &'static str {
        K::NAME
    }

    fn version(&self) -> u32 {
        K::VERSION
    }

    fn output(&self) -> OutputKind {
        StageKind::output(self)
    }

    fn inputs<'a>(&'a self, around: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        StageKind::inputs(self, around)
    }

    fn needs(&self) -> &'static [&'static str] {
        StageKind::needs(self)
    }

    fn files(&self, around: &Surroundings<'_>) -> Vec<OutsideFile> {
        StageKind::files(self, around)
    }

    fn uses_seed(&self) -> bool {
        StageKind::uses_seed(self)
    }

    fn writes_its_name(&self) -> bool {
        StageKind::writes_its_name(self)
    }

    fn key_settings(&self, around: &Surroundings<'_>) -> Result<Value, serde_json::Error> {
        let settings = StageKind::key_settings(self, around)?;
        Ok(match settings {
            Value::Null => Value::Null,
            settings => [(K::NAME.to_owned(), canonical(&settings))].into_iter().collect(),
        })
    }

    fn versions(&self, around: &Surroundings<'_>) -> Result<BTreeMap<String, String>, PipelineError> {
        StageKind::versions(self, around)
    }

    fn problems(&self, around: &Surroundings<'_>) -> Vec<SettingProblem> {
        StageKind::problems(self, around)
    }

    fn unmet(&self, around: &Surroundings<'_>) -> Vec<SettingProblem> {
        StageKind::unmet(self, around)
    }

    fn checkpoint_shape(&self) -> Option<CheckpointShape<'_>> {
        StageKind::checkpoint_shape(self)
    }

    fn forecast(&self, inputs: &PlannedInputs<'_>) -> Result<String, PipelineError> {
        StageKind::forecast(self, inputs)
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        StageKind::run(self, context)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn boxed(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Settings as JSON with null where an input is named.
pub fn without_inputs(settings: &impl Serialize, inputs: &[Input<'_>]) -> Result<Value, serde_json::Error> {
    let mut settings = serde_json::to_value(settings)?;
    for input in inputs {
        if let Some(place) = settings.pointer_mut(&input.pointer) {
            *place = Value::Null;
        }
    }
    Ok(settings)
}
