//! `train`: a student learns from examples or from preference pairs. Weights and optimizer are saved as they go, so that a
//! killed run goes on and ends with the bytes of an undisturbed one.

mod preview;
mod states;

use super::dropping::Dropping;
use super::token_rows::{Encoder, Limit, PairTokens};
use super::{Context, Made};
use crate::error::PipelineError;
use crate::inputs::{CHECKPOINT, Finished, label};
use crate::source::{Kind, Source};
use crate::stage::Input;
use retort_chat::stop_ids;
use retort_records::{ReferenceLogProbs, SftExample};
use retort_student::{
    Adapter, Architecture, Control, Examples, Forecast, PreferencePair, StepReport, Student, TokenRow, Trained,
    Trainee, packs, sequence_log_probs, train_dpo, train_sft,
};
use retort_training::{DpoLoss, DpoSettings, LoraSettings, Method, OverLong, TrainBlock, TrainSettings};
use retort_weights::{Checkpoint, Dtype, ModelConfig, copy_companions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use states::{Recorder, ReferenceJournal};
use std::fmt::Write;
use std::path::{Path, PathBuf};

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

fn default_save_seconds() -> u64 {
    60
}

/// Name of the file with one line of JSON a step.
pub const STEPS: &str = "steps.jsonl";
/// Name of the folder with the adapters, beside the checkpoint that has them merged.
const ADAPTER: &str = "adapter";
/// Pairs whose reference log-probs are computed and kept together.
const REFERENCE_CHUNK: usize = 128;
/// Rows that a forecast reads; the others are taken to be like them.
const FORECAST_ROWS: usize = 1000;

impl Train {
    pub(crate) fn inputs(&self) -> Vec<Input<'_>> {
        let accepts: &[Kind] = match self.method {
            Method::Sft => &[Kind::Selection, Kind::Sft],
            Method::Dpo => &[Kind::Pairs],
        };
        let base = self.base.iter();
        let mut inputs: Vec<Input<'_>> =
            base.map(|base| Input { pointer: "/base".into(), source: base, accepts: &[Kind::Checkpoint] }).collect();
        inputs.push(Input { pointer: "/data".into(), source: &self.data, accepts });
        let held_out = self.eval_data.iter();
        inputs.extend(held_out.map(|data| Input { pointer: "/eval_data".into(), source: data, accepts }));
        inputs
    }

    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let path = |init: &Init| format!("{}/tokenizer.json", init.tokenizer.trim_end_matches('/'));
        self.init.iter().map(|init| ("/init/tokenizer".to_owned(), path(init))).collect()
    }

    /// How often the state is saved decides nothing.
    pub(crate) fn key_settings(&self) -> Value {
        let mut settings = json!({
            "method": self.method, "init": self.init, "training": self.training, "dpo": self.dpo, "dtype": self.dtype,
        });
        if let Some(lora) = &self.lora {
            settings["lora"] = json!(lora);
        }
        // The base's name goes into the adapter's settings and into the table of reference log-probs.
        if let Some(base) = self.base.as_ref().filter(|_| self.lora.is_some() || self.method == Method::Dpo) {
            settings["base"] = label(base).into();
        }
        if self.load_best_model_at_end {
            settings["load_best_model_at_end"] = true.into();
        }
        settings
    }

    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        match (&self.base, &self.init) {
            (None, None) => {
                problems.push((String::new(), "there is nothing to train: give `base` or `init`".to_owned()));
            }
            (Some(_), Some(_)) => {
                problems.push(("/init".into(), "`base` is given already: give one of `base` and `init`".to_owned()));
            }
            _ => {}
        }
        if self.method == Method::Dpo && self.base.is_none() {
            problems.push(("/method".into(), "`dpo` needs `base`: it is the reference model too".to_owned()));
        }
        if self.lora.is_some() && self.base.is_none() {
            let message = "`lora` needs `base`: adapters beside random weights learn nothing";
            problems.push(("/lora".into(), message.to_owned()));
        }
        let contradictions = self.block().contradictions().into_iter();
        problems.extend(contradictions.map(|found| (found.pointer.to_owned(), found.message.to_owned())));
        let config = self.init.as_ref().and_then(|init| init.architecture.config().err());
        problems.extend(config.map(|error| ("/init/architecture".to_owned(), error.to_string())));
        problems
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        let base = match &self.base {
            Some(_) => Some(context.input("base")?),
            None => None,
        };
        let companions = match (base, &self.init) {
            (Some(base), _) => base.checkpoint_folder(),
            (None, Some(init)) => context.access.resolve(&init.tokenizer).map_err(|reason| context.fail(reason))?,
            (None, None) => return Err(context.fail("there is nothing to train: give `base` or `init`")),
        };
        let encoder = Encoder::open(&companions)?;
        let config = self.config(base)?;
        if encoder.tokenizer().vocab_size() > config.vocab_size {
            let (tokens, rows) = (encoder.tokenizer().vocab_size(), config.vocab_size);
            return Err(context.fail(format!("the tokenizer has {tokens} tokens, but the model only {rows}")));
        }
        if let Some(reason) = self.longer_than_the_model(&config) {
            return Err(context.fail(reason));
        }
        let limit = self.limit(&config);
        let data = context.input("data")?;
        context.started("train", None, "steps");
        let mut dropping = Dropping::new(context)?;
        let (mut rows, mut pairs) = (Vec::new(), Vec::new());
        let truncated = match self.method {
            Method::Sft => {
                let mut drop = |row: &SftExample, reason: &'static str, detail: String| {
                    dropping.push(&row.example_id, &row.prompt_id, reason, detail)
                };
                let found = encoder.examples(context, data, limit, &mut drop)?;
                rows = found.rows;
                found.truncated
            }
            Method::Dpo => {
                let found = encoder.pairs(context, data, limit, &mut dropping)?;
                pairs = found.rows;
                found.truncated
            }
        };
        let evaluation = self.held_out(context, &encoder, limit)?;
        let kept = rows.len() + pairs.len();
        if kept == 0 {
            return Err(context.fail(format!(
                "no row is left to train on{}{}",
                dropping.in_words(),
                dropping.example()
            )));
        }
        if self.training.over_long == OverLong::Error && dropping.count() > 0 {
            return Err(context.fail(format!("some rows cannot be used{}{}", dropping.in_words(), dropping.example())));
        }
        let lengths: Vec<usize> = match self.method {
            Method::Sft => rows.iter().map(|row| row.input_ids.len()).collect(),
            Method::Dpo => {
                pairs.iter().flat_map(|pair| [&pair.chosen, &pair.rejected]).map(|row| row.input_ids.len()).collect()
            }
        };
        let forecast =
            retort_student::forecast(&config, &self.training, self.lora.as_ref(), &lengths, self.sequences_per_row());
        if forecast.peak_bytes as u64 > context.machine.memory {
            return Err(context.fail(crate::plan::too_large(&forecast, context.machine.memory)));
        }
        let mut made = Made::default();
        let student = self.start(context, base, &encoder)?;
        let preferences = match self.method {
            Method::Sft => Vec::new(),
            Method::Dpo => self.reference(context, &student, base.map_or("", Finished::label), pairs, &mut made)?,
        };
        let examples = Examples { rows: &rows, evaluation: &evaluation };
        let Run { student, adapter, recorder, trained } =
            self.train(context, base, &encoder, student, examples, &preferences)?;

        let out = context.out.path().join(CHECKPOINT);
        student.save(&out, self.dtype)?;
        copy_companions(&companions, &out)?;
        made.add_checkpoint(context.out)?;
        if let Some(adapter) = adapter {
            adapter.save(&context.out.path().join(ADAPTER), self.base.as_ref().map_or("", Source::as_str))?;
            made.add_folder(context.out, ADAPTER)?;
        }
        made.files.push(context.out.write_file(STEPS, recorder.lines().as_bytes())?);
        let tokens = recorder.tokens();
        let loss = recorder.last_loss();
        made.facts = json!({
            "method": self.method, "steps": trained.steps, "parameters": student.parameters(), "tokens": tokens,
            "last_loss": loss,
        });
        let mut notes = String::new();
        if truncated > 0 {
            made.facts["truncated"] = truncated.into();
            notes = format!(", {truncated} truncated");
        }
        if let (Some(last), Some((best_step, best))) = (recorder.last_eval(), recorder.best_eval()) {
            made.facts["eval_loss"] =
                json!({ "last": last, "best": best, "best_step": best_step, "rows": evaluation.len() });
            let _ = write!(notes, ", evaluation loss {last:.4} (best {best:.4} at step {best_step})");
        }
        let what = if self.method == Method::Sft { "examples" } else { "pairs" };
        made.summary = format!(
            "{} parameters trained for {} steps on {kept} {what} ({tokens} tokens), last loss {loss:.4}{notes}{}",
            student.parameters(),
            trained.steps,
            dropping.in_words()
        );
        dropping.finish(&mut made, data_rows(data), kept as u64)?;
        Ok(made)
    }

    /// The settings without what says where training starts.
    pub(crate) fn block(&self) -> TrainBlock {
        TrainBlock {
            method: self.method,
            training: self.training.clone(),
            eval_data: self.eval_data.as_ref().map(|data| data.0.clone()),
            load_best_model_at_end: self.load_best_model_at_end,
            lora: self.lora.clone(),
            dpo: self.dpo.clone(),
        }
    }

    /// Says that rows may be longer than the model can read, if so.
    pub(crate) fn longer_than_the_model(&self, config: &ModelConfig) -> Option<String> {
        let (most, context) = (self.training.max_length?, config.max_position_embeddings);
        (most > context).then(|| {
            format!(
                "`max_length` is `{most}`, but the model reads at most {context} tokens (`max_position_embeddings`)"
            )
        })
    }

    /// How long rows may be.
    fn limit(&self, config: &ModelConfig) -> Limit {
        let most = self.training.max_length.unwrap_or(config.max_position_embeddings);
        Limit { most, over_long: self.training.over_long }
    }

    /// The rows of `eval_data`. Those that cannot be used are left out: they are not trained on, so nothing is lost.
    fn held_out(&self, context: &Context<'_>, encoder: &Encoder, limit: Limit) -> Result<Vec<TokenRow>, PipelineError> {
        if self.eval_data.is_none() {
            return Ok(Vec::new());
        }
        let mut left_out = 0;
        let mut drop = |_: &SftExample, _, _| {
            left_out += 1;
            Ok(())
        };
        let rows = encoder.examples(context, context.input("eval_data")?, limit, &mut drop)?.rows;
        if left_out > 0 {
            context.warn(&format!("{left_out} rows of `eval_data` cannot be used and are left out"));
        }
        if rows.is_empty() {
            return Err(context.fail("no row of `eval_data` can be used"));
        }
        Ok(rows)
    }

    /// What batches are counted in: rows, packs of rows, or pairs.
    fn units(&self, config: &ModelConfig, rows: &[TokenRow], pairs: usize) -> usize {
        if !self.training.packing {
            return rows.len() + pairs;
        }
        let lengths: Vec<usize> = rows.iter().map(|row| row.input_ids.len()).collect();
        packs(&lengths, self.limit(config).most)
    }

    /// Where training begins: the base, or random weights.
    fn start(
        &self,
        context: &Context<'_>,
        base: Option<&Finished>,
        encoder: &Encoder,
    ) -> Result<Student, PipelineError> {
        if let Some(base) = base {
            return Ok(Student::load(&Checkpoint::open(&base.checkpoint_folder())?, context.machine.device)?);
        }
        let init = self.init.as_ref().ok_or_else(|| context.fail("there is nothing to train"))?;
        let mut student = Student::random(&init.architecture, context.seed("init", 0), context.machine.device)?;
        let tokenizer = encoder.tokenizer();
        let bos = tokenizer.bos().map(|token| token.id);
        student.set_special_tokens(bos, &stop_ids(tokenizer, encoder.template()), tokenizer.token_id("<pad>"));
        Ok(student)
    }

    /// Trains from the latest saved state, or from the beginning when there is none that can be used.
    fn train(
        &self,
        context: &Context<'_>,
        base: Option<&Finished>,
        encoder: &Encoder,
        mut student: Student,
        examples: Examples<'_>,
        preferences: &[PreferencePair],
    ) -> Result<Run, PipelineError> {
        let units = self.units(student.config(), examples.rows, preferences.len());
        context.started("train", Some(self.training.steps(units) as u64), "steps");
        let mut recorder = Recorder::open(context, self.save_steps, self.save_seconds, self.load_best_model_at_end)?;
        let seed = context.seed("", 0);
        let fresh = |student: &Student| {
            let adapter = self.lora.as_ref().map(|lora| Adapter::new(student, lora, context.seed("lora", 0)));
            adapter.transpose()
        };
        let mut adapter = fresh(&student)?;
        let mut resume: Option<PathBuf> = recorder.latest();
        loop {
            let mut failed: Option<PipelineError> = None;
            let mut on_step = |report: StepReport| -> Control {
                recorder.step(context, &report).unwrap_or_else(|error| {
                    failed = Some(error);
                    Control::Stop
                })
            };
            let resume_from: Option<&Path> = resume.as_deref();
            let trainee: Trainee<'_> = match &mut adapter {
                None => (&mut student).into(),
                Some(adapter) => (&mut student, adapter).into(),
            };
            let result = match self.method {
                Method::Sft => train_sft(trainee, examples, &self.training, seed, resume_from, &mut on_step),
                Method::Dpo => {
                    let dpo = self.dpo.clone().unwrap_or_default();
                    train_dpo(trainee, preferences, &self.training, &dpo, seed, resume_from, &mut on_step)
                }
            };
            if let Some(error) = failed {
                return Err(error);
            }
            match result {
                Ok(trained) if trained.complete => {
                    recorder.end(trained.steps);
                    if let Some(best) = recorder.best() {
                        match &mut adapter {
                            None => student = Student::load(&Checkpoint::open(&best)?, context.machine.device)?,
                            Some(adapter) => *adapter = Adapter::load(&best, &student)?,
                        }
                    }
                    if let Some(adapter) = &adapter {
                        student.merge(adapter);
                    }
                    return Ok(Run { student, adapter, recorder, trained });
                }
                Ok(_) => return Err(PipelineError::Interrupted { stage: context.stage.to_owned() }),
                // What went wrong in a step would go wrong again: that is no fault of the saved state.
                Err(error @ retort_student::Error::NotFinite { .. }) => return Err(error.into()),
                Err(error) if resume.is_some() && !recorder.moved() => {
                    context.warn(&format!("the saved training state is not usable, so training starts again: {error}"));
                    resume = None;
                    student = self.start(context, base, encoder)?;
                    adapter = fresh(&student)?;
                    recorder.forget()?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The pairs with the reference model's log-probs, which are kept in a table of their own.
    fn reference(
        &self,
        context: &Context<'_>,
        student: &Student,
        checkpoint: &str,
        pairs: Vec<PairTokens>,
        made: &mut Made,
    ) -> Result<Vec<PreferencePair>, PipelineError> {
        // SimPO has no reference model.
        let wanted = self.dpo.as_ref().is_none_or(|dpo| dpo.loss_type != DpoLoss::Simpo);
        let mut journal = ReferenceJournal::open(&context.journal)?;
        if wanted {
            context.started("train", Some(pairs.len() as u64), "reference pairs");
            while journal.known.len() < pairs.len() {
                let from = journal.known.len();
                let chunk = &pairs[from..pairs.len().min(from + REFERENCE_CHUNK)];
                let sides: Vec<TokenRow> =
                    chunk.iter().flat_map(|pair| [pair.chosen.clone(), pair.rejected.clone()]).collect();
                let sums = sequence_log_probs(student, &sides)?;
                journal.append(sums.chunks_exact(2).map(|sums| (sums[0], sums[1])))?;
                context.advanced(journal.known.len() as u64, "reference log-probs")?;
            }
        }
        let mut writer = context.writer::<ReferenceLogProbs>()?;
        let mut preferences = Vec::with_capacity(pairs.len());
        for (index, pair) in pairs.into_iter().enumerate() {
            let (chosen, rejected) = journal.known.get(index).copied().unwrap_or_default();
            if wanted {
                writer.push(ReferenceLogProbs {
                    pair_id: pair.pair_id,
                    prompt_id: pair.prompt_id,
                    checkpoint: checkpoint.to_owned(),
                    chosen_logp: chosen,
                    rejected_logp: rejected,
                })?;
            }
            preferences.push(PreferencePair {
                chosen: pair.chosen,
                rejected: pair.rejected,
                reference_chosen: chosen,
                reference_rejected: rejected,
            });
        }
        made.add(writer)?;
        Ok(preferences)
    }

    fn sequences_per_row(&self) -> usize {
        if self.method == Method::Dpo { 2 } else { 1 }
    }

    /// What the model is, read from its settings alone.
    pub(crate) fn config(&self, base: Option<&Finished>) -> Result<ModelConfig, PipelineError> {
        match (base, &self.init) {
            (Some(base), _) => Ok(Checkpoint::open(&base.checkpoint_folder())?.config()?),
            (None, Some(init)) => Ok(init.architecture.config()?),
            (None, None) => Err(PipelineError::Argument("there is nothing to train: give `base` or `init`".into())),
        }
    }

    /// The least that training can take, whatever the data, once the model is known.
    pub(crate) fn least(&self, config: &ModelConfig) -> Forecast {
        retort_student::forecast(config, &self.training, self.lora.as_ref(), &[1, 1], self.sequences_per_row())
    }

    /// What the run would take, as far as model and data are there.
    pub(crate) fn forecast(
        &self,
        base: Option<&Finished>,
        data: &Finished,
        tokenizer: &Path,
    ) -> Result<Forecast, PipelineError> {
        let encoder = Encoder::open(tokenizer)?;
        let (rows, lengths) = encoder.lengths(data, FORECAST_ROWS, self.method == Method::Dpo)?;
        let wanted = rows as usize * self.sequences_per_row();
        let lengths: Vec<usize> =
            lengths.iter().copied().cycle().take(if lengths.is_empty() { 0 } else { wanted }).collect();
        let lora = self.lora.as_ref();
        Ok(retort_student::forecast(&self.config(base)?, &self.training, lora, &lengths, self.sequences_per_row()))
    }
}

/// A training run that is over.
struct Run {
    /// With the adapters merged.
    student: Student,
    adapter: Option<Adapter>,
    recorder: Recorder,
    trained: Trained,
}

fn data_rows(data: &Finished) -> u64 {
    ["selection", "sft", "pairs"]
        .iter()
        .find_map(|table| data.manifest.tables.get(*table))
        .map_or(0, |table| table.rows)
}
