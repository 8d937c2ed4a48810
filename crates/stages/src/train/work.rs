//! The work of a `train` stage: rows to tokens, the training itself, and what is written.

use super::size::too_large;
use super::states::{Recorder, ReferenceJournal, STEPS};
use super::{EndOfTurn, EvalLossFacts, Train, TrainFacts};
use crate::dropping::Dropping;
use crate::error::StageError;
use crate::token_rows::{Encoder, LengthLimit, PairTokens};
use retort_chat::stop_ids;
use retort_local::{Device, parse_device};
use retort_pipeline::{CHECKPOINT, Context, Finished, Source, StageKind, StageOutput, shown};
use retort_records::{ReferenceLogProbs, SftExample};
use retort_student::{
    Adapter, Control, Examples, PreferencePair, Scorer, StepReport, Student, TokenRow, Trained, Trainee, packs,
    train_dpo, train_sft,
};
use retort_training::{DpoLoss, Method, OverLong};
use retort_weights::{Checkpoint, ModelConfig, copy_companions, set_ending};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Name of the folder with the adapters, beside the checkpoint that has them merged.
const ADAPTER: &str = "adapter";
/// Pairs whose reference log-probs are computed and kept together.
const REFERENCE_CHUNK: usize = 128;

impl Train {
    /// Does the stage's work.
    pub(super) fn train(&self, context: &Context<'_>) -> Result<StageOutput, StageError> {
        let base = match &self.base {
            Some(_) => Some(context.input("base")?),
            None => None,
        };
        let companions = match (base, &self.init) {
            (Some(base), _) => base.checkpoint_folder(),
            (None, Some(init)) => context.locate(&init.tokenizer)?,
            (None, None) => return Err(context.fail("there is nothing to train: give `base` or `init`").into()),
        };
        let config = self.config(base)?;
        let encoder = self.encoder(&companions)?;
        if encoder.tokenizer().vocab_size() > config.vocab_size {
            let (tokens, rows) = (encoder.tokenizer().vocab_size(), config.vocab_size);
            return Err(context.fail(format!("the tokenizer has {tokens} tokens, but the model only {rows}")).into());
        }
        if let Some(reason) = self.longer_than_the_model(&config) {
            return Err(context.fail(reason).into());
        }
        let limit = self.limit(&config);
        let data = context.input("data")?;
        context.started(Self::NAME, None, "steps");
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
            let reason = format!("no row is left to train on{}{}", dropping.in_words(), dropping.example());
            return Err(context.no_rows(reason).into());
        }
        if self.training.over_long == OverLong::Error && dropping.count() > 0 {
            let reason = format!("some rows cannot be used{}{}", dropping.in_words(), dropping.example());
            return Err(context.fail(reason).into());
        }
        let lengths: Vec<usize> = match self.method {
            Method::Sft => rows.iter().map(|row| row.input_ids.len()).collect(),
            Method::Dpo => {
                pairs.iter().flat_map(|pair| [&pair.chosen, &pair.rejected]).map(|row| row.input_ids.len()).collect()
            }
        };
        let forecast =
            retort_student::forecast(&config, &self.training, self.lora.as_ref(), &lengths, self.sequences_per_row());
        let memory = context.around.machine.memory;
        if forecast.peak_bytes as u64 > memory {
            return Err(context.fail(too_large(&forecast, memory)).into());
        }
        let mut output = StageOutput::default();
        let student = self.start(context, base, &encoder)?;
        let preferences = match self.method {
            Method::Sft => Vec::new(),
            Method::Dpo => self.reference(context, &student, base.map_or("", Finished::label), pairs, &mut output)?,
        };
        let examples = Examples { rows: &rows, evaluation: &evaluation };
        let Run { student, adapter, recorder, trained } =
            self.train_from(context, base, &encoder, student, examples, &preferences)?;

        let out = context.out.path().join(CHECKPOINT);
        student.save(&out, self.dtype)?;
        copy_companions(&companions, &out)?;
        if let (Some(_), Some(template)) = (&self.chat_template, encoder.template()) {
            context.out.write_file(&format!("{CHECKPOINT}/chat_template.jinja"), template.source().as_bytes())?;
        }
        let end_of_turn = encoder.ending().map(|(id, token)| -> Result<EndOfTurn, StageError> {
            let changed = set_ending(&out, id, &token)?;
            Ok(EndOfTurn { token, id, changed })
        });
        let end_of_turn = end_of_turn.transpose()?;
        output.add_checkpoint(context.out)?;
        if let Some(adapter) = adapter {
            adapter.save(&context.out.path().join(ADAPTER), self.base.as_ref().map_or("", Source::as_str))?;
            output.add_folder(context.out, ADAPTER)?;
        }
        output.files.push(context.out.write_file(STEPS, recorder.lines()?.as_bytes())?);
        let tokens = recorder.tokens();
        let loss = recorder.last_loss();
        let mut notes = String::new();
        if truncated > 0 {
            notes = format!(", {truncated} truncated");
        }
        let mut eval_loss = None;
        if let (Some(last), Some((best_step, best))) = (recorder.last_eval(), recorder.best_eval()) {
            eval_loss = Some(EvalLossFacts { last, best, best_step, rows: evaluation.len() });
            let _ = write!(notes, ", evaluation loss {last:.4} (best {best:.4} at step {best_step})");
        }
        if let Some(EndOfTurn { token, id, changed: true }) = &end_of_turn {
            let _ = write!(notes, ", a turn ends with `{token}` ({id}), which the files of the base did not name");
        }
        let what = if self.method == Method::Sft { "examples" } else { "pairs" };
        let summary = format!(
            "{} parameters trained for {} steps on {kept} {what} ({tokens} tokens), last loss {loss:.4}{notes}{}",
            student.parameters(),
            trained.steps,
            dropping.in_words()
        );
        let facts = TrainFacts {
            method: self.method,
            training: self.training.clone(),
            steps: trained.steps,
            parameters: student.parameters(),
            tokens,
            last_loss: loss,
            truncated,
            eval_loss,
            end_of_turn,
            rows: dropping.finish(&mut output, data_rows(data), kept as u64)?,
        };
        Ok(output.with_facts(&facts, summary)?)
    }

    /// The rows of `eval_data`. Those that cannot be used are left out: they are not trained on, so nothing is lost.
    fn held_out(
        &self,
        context: &Context<'_>,
        encoder: &Encoder,
        limit: LengthLimit,
    ) -> Result<Vec<TokenRow>, StageError> {
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
            return Err(context.fail("no row of `eval_data` can be used").into());
        }
        Ok(rows)
    }

    /// What batches are counted in: rows, packs of rows, or pairs.
    fn units(&self, config: &ModelConfig, rows: &[TokenRow], pairs: usize) -> usize {
        if !self.training.packing {
            return rows.len() + pairs;
        }
        let lengths: Vec<usize> = rows.iter().map(|row| row.input_ids.len()).collect();
        packs(&lengths, self.limit(config).max_tokens)
    }

    /// Where training begins: the base, or random weights.
    fn start(&self, context: &Context<'_>, base: Option<&Finished>, encoder: &Encoder) -> Result<Student, StageError> {
        if let Some(base) = base {
            let checkpoint = Checkpoint::open(&base.checkpoint_folder())?;
            checkpoint.warnings().iter().for_each(|warning| context.warn(&format!("`{}`: {warning}", base.name)));
            return Ok(Student::load(&checkpoint, device(context)?)?);
        }
        let init = self.init.as_ref().ok_or_else(|| context.fail("there is nothing to train"))?;
        let mut student = Student::random(&init.architecture, context.seed("init", 0), device(context)?)?;
        let tokenizer = encoder.tokenizer();
        let bos = tokenizer.bos().map(|token| token.id);
        student.set_special_tokens(bos, &stop_ids(tokenizer, encoder.template()), tokenizer.token_id("<pad>"));
        Ok(student)
    }

    /// Trains from the latest saved state, or from the beginning when there is none that can be used.
    fn train_from(
        &self,
        context: &Context<'_>,
        base: Option<&Finished>,
        encoder: &Encoder,
        mut student: Student,
        examples: Examples<'_>,
        preferences: &[PreferencePair],
    ) -> Result<Run, StageError> {
        let units = self.units(student.config(), examples.rows, preferences.len());
        context.started(Self::NAME, Some(self.training.steps(units) as u64), "steps");
        let mut recorder = Recorder::open(context, self.save_steps, self.save_seconds, self.load_best_model_at_end)?;
        let seed = context.seed("", 0);
        let fresh = |student: &Student| {
            let adapter = self.lora.as_ref().map(|lora| Adapter::new(student, lora, context.seed("lora", 0)));
            adapter.transpose()
        };
        let mut adapter = fresh(&student)?;
        let mut resume: Option<PathBuf> = recorder.latest();
        loop {
            let mut failed: Option<StageError> = None;
            let mut on_step = |report: StepReport| -> Control {
                recorder.step(context, &report).unwrap_or_else(|error| {
                    failed = Some(error.into());
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
                        let loaded = match &mut adapter {
                            None => Checkpoint::open(&best)
                                .map_err(StageError::from)
                                .and_then(|best| Ok(Student::load(&best, device(context)?)?))
                                .map(|best| student = best),
                            Some(adapter) => {
                                Adapter::load(&best, &student).map(|best| *adapter = best).map_err(StageError::from)
                            }
                        };
                        if let Err(error) = loaded {
                            // The steps that made it are over: they are made again by the next run.
                            let aside = recorder.set_all_aside()?;
                            return Err(StageError::from(
                                context.fail(format!("the best weights cannot be read: {error}")).with_hint(format!(
                                    "run again to train once more; what was saved stands in `{}`",
                                    shown(&aside)
                                )),
                            ));
                        }
                    }
                    if let Some(adapter) = &adapter {
                        student.merge(adapter);
                    }
                    return Ok(Run { student, adapter, recorder, trained });
                }
                Ok(_) => return Err(context.interrupted().into()),
                // Every other error is no fault of the saved state, which waits for the next run.
                Err(error @ retort_student::Error::Resume { .. }) if !recorder.moved() => {
                    let state = resume.take().unwrap_or_default();
                    let aside = Recorder::set_aside(&state)?;
                    resume = recorder.latest();
                    let on = if resume.is_some() { "goes on from an earlier one" } else { "starts again" };
                    context.warn(&format!("{error}; training {on}, and the state stands in `{}`", shown(&aside)));
                    student = self.start(context, base, encoder)?;
                    adapter = fresh(&student)?;
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
        output: &mut StageOutput,
    ) -> Result<Vec<PreferencePair>, StageError> {
        // SimPO has no reference model.
        let wanted = self.dpo.as_ref().is_none_or(|dpo| dpo.loss_type != DpoLoss::Simpo);
        let mut journal = ReferenceJournal::open(&context.journal, context.mend)?;
        if wanted {
            context.started(Self::NAME, Some(pairs.len() as u64), "reference pairs");
            context.resumed(journal.known.len() as u64)?;
            let scorer = Scorer::new(student)?;
            while journal.known.len() < pairs.len() {
                let from = journal.known.len();
                let chunk = &pairs[from..pairs.len().min(from + REFERENCE_CHUNK)];
                let sides: Vec<TokenRow> =
                    chunk.iter().flat_map(|pair| [pair.chosen.clone(), pair.rejected.clone()]).collect();
                let sums = scorer.sequence_log_probs(&sides)?;
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
        output.add(writer)?;
        Ok(preferences)
    }
}

/// Where the model is trained.
fn device(context: &Context<'_>) -> Result<Device, StageError> {
    Ok(parse_device(&context.around.machine.device)?)
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
