//! `evaluate`: checkpoints answer the same prompts with the same seeds, and are compared.

use crate::asking::{Journal, SampleOutcome, sampling_problems, sampling_text};
use crate::dropping::Dropping;
use crate::error::StageError;
use crate::local_teacher::NamedTeacher;
use crate::narrow::Question;
use crate::sample::{requests_of, samples_of};
use crate::train::kernels_version;
use crate::verify::{
    SampledText, Task, VerifyRollout, VerifySettings, private_paths, verifier_problems, verifiers_version,
};
use rayon::prelude::*;
use retort_curate::measure::{Comparison, MeasureSettings, Measures, Outcome, PromptOutcomes, compare, measure};
use retort_pipeline::{
    Context, Input, OutputKind, PipelineError, PlannedInputs, RowCounts, SettingProblem, Source, StageKind,
    StageOutput, Surroundings, label, without_inputs,
};
use retort_records::{MeasureRow, Prompt, Rollout, Row, Verdict, VerdictRow};
use retort_tables::RowFunction;
use retort_teacher::{Request, Sampling};
use retort_verify::{Require, VerifierSettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Samples checkpoints on the same prompts, judges the completions, and measures accuracy and length with intervals.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluate {
    /// The checkpoints. Differences are measured from the first.
    #[schemars(length(min = 1))]
    pub checkpoints: Vec<Source>,
    /// The prompts, with reference answers; none that a checkpoint was trained on.
    pub prompts: Source,
    /// How to sample: `n` completions of every prompt from every checkpoint.
    pub sampling: Sampling,
    /// The verifiers.
    #[serde(default = "default_verifiers")]
    #[schemars(length(min = 1))]
    pub verifiers: Vec<VerifierSettings>,
    /// How the verifiers' verdicts become one.
    #[serde(default)]
    pub require: Require,
    /// What to measure besides pass@1 and cons@n, and how surely.
    #[serde(default)]
    pub measure: MeasureSettings,
}

fn default_verifiers() -> Vec<VerifierSettings> {
    serde_json::from_value(json!(["math"])).expect("`math` is a verifier")
}

/// Rollouts that are judged together.
const BATCH: usize = 512;

/// What finished measures tell of themselves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EvaluateFacts {
    /// Completions of each prompt from each checkpoint.
    pub n: u32,
    /// Of the intervals.
    pub confidence: f64,
    /// pass@k by checkpoint.
    pub pass_at: BTreeMap<String, Value>,
    /// Samples asked for and judged.
    #[serde(flatten)]
    pub rows: RowCounts,
}

impl StageKind for Evaluate {
    const NAME: &'static str = "evaluate";
    const VERSION: u32 = 2;
    const EXPLAIN: &'static str = include_str!("explain/evaluate.md");
    type Facts = EvaluateFacts;

    fn output(&self) -> OutputKind {
        OutputKind::Measures
    }

    fn inputs<'a>(&'a self, _: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        let checkpoints = self.checkpoints.iter().enumerate().map(|(index, source)| Input {
            pointer: format!("/checkpoints/{index}"),
            source,
            accepts: &[OutputKind::Checkpoint],
        });
        let prompts = Input {
            pointer: "/prompts".into(),
            source: &self.prompts,
            accepts: &[OutputKind::Prompts, OutputKind::Rollouts],
        };
        checkpoints.chain([prompts]).collect()
    }

    fn uses_seed(&self) -> bool {
        true
    }

    /// The checkpoints' names go into what is written.
    fn key_settings(&self, around: &Surroundings<'_>) -> Result<Value, serde_json::Error> {
        let mut settings = without_inputs(self, &StageKind::inputs(self, around))?;
        settings["checkpoints"] = self.checkpoints.iter().map(|name| label(name)).collect();
        Ok(settings)
    }

    fn versions(&self, _: &Surroundings<'_>) -> Result<BTreeMap<String, String>, PipelineError> {
        Ok(verifiers_version().into_iter().chain(kernels_version()).collect())
    }

    fn problems(&self, _: &Surroundings<'_>) -> Vec<SettingProblem> {
        let mut problems = sampling_problems(&self.sampling);
        let mut seen = BTreeMap::new();
        for (index, source) in self.checkpoints.iter().enumerate() {
            if let Some(first) = seen.insert(label(source).to_owned(), index) {
                let message =
                    format!("`{}` has the name of checkpoint {first}: tables could not tell them apart", source.0);
                problems.push(SettingProblem::new(format!("/checkpoints/{index}"), message));
            }
        }
        problems.extend(verifier_problems(&self.verifiers));
        let measure = self.measure.validate().err();
        problems.extend(measure.map(|error| SettingProblem::new("/measure", error.to_string())));
        problems
    }

    fn forecast(&self, inputs: &PlannedInputs<'_>) -> Result<String, PipelineError> {
        let checkpoints = self.checkpoints.len() as u64;
        let Some(prompts) = inputs.rows_of("prompts", Prompt::TABLE) else {
            return Ok(format!("{checkpoints} checkpoints, n = {}", self.sampling.n));
        };
        let samples = prompts * checkpoints * u64::from(self.sampling.n);
        let tokens = samples * u64::from(self.sampling.max_tokens);
        Ok(format!("{samples} samples, at most {tokens} completion tokens"))
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        Ok(self.evaluate(context)?)
    }
}

impl Evaluate {
    fn evaluate(&self, context: &Context<'_>) -> Result<StageOutput, StageError> {
        let prompts = context.input("prompts")?;
        let per_checkpoint = prompts.rows::<Prompt>()?.total() * u64::from(self.sampling.n);
        context.started(Self::NAME, Some(per_checkpoint * self.checkpoints.len() as u64), "samples");
        let sampling = sampling_text(&self.sampling)?;
        let mut asked: Vec<(NamedTeacher, Journal)> = Vec::new();
        for index in 0..self.checkpoints.len() {
            let checkpoint =
                NamedTeacher::open(context, context.input(&format!("checkpoints/{index}"))?, &self.sampling)?;
            let mut journal = Journal::open(&context.journal.join(index.to_string()), context.mend)?;
            let before = per_checkpoint * index as u64;
            context.resumed(before + journal.finished())?;
            let requests = prompts.rows::<Question>()?.flat_map(|prompt| -> Vec<Result<Request, PipelineError>> {
                match prompt {
                    Err(error) => vec![Err(error.into())],
                    Ok(prompt) => {
                        let n = self.sampling.n;
                        requests_of(context, &prompt, n, &checkpoint.identity, &sampling).map(Ok).collect()
                    }
                }
            });
            let mut progress = |done: u64, note: &str| context.advanced(before + done, note);
            checkpoint.sample(context, requests, &self.sampling, &mut journal, &mut progress)?;
            asked.push((checkpoint, journal));
        }
        self.collect(context, asked, &sampling)
    }

    /// Judges the journals' samples and writes them in the order of the prompts, then measures.
    fn collect(
        &self,
        context: &Context<'_>,
        mut asked: Vec<(NamedTeacher, Journal)>,
        sampling: &str,
    ) -> Result<StageOutput, StageError> {
        let settings = VerifySettings {
            verifiers: self.verifiers.clone(),
            require: self.require,
            private_paths: private_paths(context),
        };
        let function = VerifyRollout::build(&settings)?;
        let mut rollouts = context.writer::<Rollout>()?;
        let mut verdicts = context.writer::<VerdictRow>()?;
        let mut outcomes: Vec<Vec<PromptOutcomes>> = vec![Vec::new(); asked.len()];
        let mut dropping = Dropping::new(context)?;
        let (mut batch, mut total): (Vec<(usize, Arc<Task>, Rollout)>, u64) = (Vec::new(), 0);
        let mut write = |batch: &mut Vec<(usize, Arc<Task>, Rollout)>,
                         outcomes: &mut [Vec<PromptOutcomes>]|
         -> Result<(), PipelineError> {
            let judged: Vec<VerdictRow> = batch
                .par_iter()
                .map(|(_, task, rollout)| function.apply(&(SampledText::of(rollout), Arc::clone(task))))
                .collect();
            for ((index, _, rollout), verdict) in batch.drain(..).zip(judged) {
                let set = &mut outcomes[index];
                if set.last().is_none_or(|last| last.prompt_id != rollout.prompt_id) {
                    set.push(PromptOutcomes { prompt_id: rollout.prompt_id.clone(), samples: Vec::new() });
                }
                if let Some(last) = set.last_mut() {
                    last.samples.push(outcome(&verdict, rollout.completion_tokens.unwrap_or_default()));
                }
                rollouts.push(rollout)?;
                verdicts.push(verdict)?;
            }
            Ok(())
        };
        for task in context.input("prompts")?.rows::<Task>()? {
            let task = Arc::new(task?);
            for (index, (checkpoint, journal)) in asked.iter_mut().enumerate() {
                for sample in samples_of(context, &task.prompt_id, self.sampling.n, &checkpoint.identity, sampling) {
                    total += 1;
                    match journal.read(&sample.rollout_id)?.outcome {
                        SampleOutcome::Rollout(rollout) => batch.push((index, Arc::clone(&task), *rollout)),
                        SampleOutcome::Dropped { drop_reason, message } => {
                            dropping.push(&sample.rollout_id, &task.prompt_id, &drop_reason, message)?;
                        }
                    }
                }
            }
            if batch.len() >= BATCH {
                write(&mut batch, &mut outcomes)?;
            }
        }
        write(&mut batch, &mut outcomes)?;
        for set in &mut outcomes {
            classes(set);
        }
        let names: Vec<&str> = asked.iter().map(|(checkpoint, _)| checkpoint.name.as_str()).collect();
        let Measured { rows, pass_at, summary } = self.measure(context, &names, &outcomes)?;
        let mut measures = context.writer::<MeasureRow>()?;
        for row in rows {
            measures.push(row)?;
        }
        let summary = format!("{summary}{}", dropping.in_words());
        let mut output = StageOutput::default();
        let rows = dropping.finish(&mut output, total, rollouts.rows())?;
        output.add(rollouts)?;
        output.add(verdicts)?;
        output.add(measures)?;
        let facts = EvaluateFacts { n: self.sampling.n, confidence: self.measure.confidence, pass_at, rows };
        Ok(output.with_facts(&facts, summary)?)
    }

    fn measure(
        &self,
        context: &Context<'_>,
        names: &[&str],
        outcomes: &[Vec<PromptOutcomes>],
    ) -> Result<Measured, PipelineError> {
        let seed = context.seed("measures", 0);
        let mut rows = Vec::new();
        let mut words = Vec::new();
        let mut pass_at = BTreeMap::new();
        for (name, set) in names.iter().zip(outcomes) {
            let measures = measure(set, &self.measure, seed);
            let against = (!rows.is_empty()).then(|| compare(&outcomes[0], set, &self.measure, seed));
            pass_at.insert((*name).to_owned(), json!(measures.pass_at));
            let row = row(name, &measures, against.as_ref(), rows.first())
                .ok_or_else(|| context.fail(format!("`{name}` answered no prompt")))?;
            words.push(format!("{name} {:.1} % in {:.1} tokens", 100.0 * row.accuracy, row.mean_tokens));
            rows.push(row);
        }
        Ok(Measured { rows, pass_at, summary: words.join(", ") })
    }
}

/// All checkpoints measured.
struct Measured {
    rows: Vec<MeasureRow>,
    pass_at: BTreeMap<String, Value>,
    summary: String,
}

fn outcome(verdict: &VerdictRow, total_tokens: u32) -> Outcome {
    Outcome {
        verdict: verdict.verdict,
        truncated: verdict.truncated,
        total_tokens,
        // Until all answers of the prompt are known: classes() numbers them.
        answer_class: verdict.extracted_answer.as_deref().map(text_class),
    }
}

/// A number for an answer's text; equal texts, equal numbers.
fn text_class(answer: &str) -> u32 {
    let id = retort_records::id_of("answer", &[answer.trim().as_bytes()]);
    u32::from_str_radix(&id[..8], 16).unwrap_or_default() | 1
}

/// Correct answers are all equal to the reference answer, hence to each other, however they are written.
fn classes(set: &mut [PromptOutcomes]) {
    for sample in set.iter_mut().flat_map(|prompt| &mut prompt.samples) {
        if sample.verdict == Verdict::Correct && sample.answer_class.is_some() {
            sample.answer_class = Some(0);
        }
    }
}

/// The row of one checkpoint; `None` when it has no samples.
fn row(
    name: &str,
    measures: &Measures,
    against: Option<&Comparison>,
    first: Option<&MeasureRow>,
) -> Option<MeasureRow> {
    let (accuracy, tokens, cons) = (measures.pass_at_1?, measures.mean_tokens?, measures.cons.value?);
    let accuracy_difference = against.and_then(|against| against.accuracy);
    let tokens_difference = against.and_then(|against| against.tokens);
    Some(MeasureRow {
        checkpoint: name.to_owned(),
        prompts: measures.prompts,
        samples: measures.samples,
        n: measures.min_samples,
        accuracy: accuracy.value,
        accuracy_low: accuracy.low,
        accuracy_high: accuracy.high,
        cons: cons.value,
        cons_low: cons.low,
        cons_high: cons.high,
        mean_tokens: tokens.value,
        mean_tokens_low: tokens.low,
        mean_tokens_high: tokens.high,
        median_tokens: measures.median_tokens?,
        p90_tokens: measures.p90_tokens?,
        mean_correct_tokens: measures.mean_correct_tokens,
        truncation_rate: measures.truncation_rate?.value,
        undecided_rate: measures.undecided_rate?.value,
        accuracy_difference: accuracy_difference.map(|difference| difference.value),
        accuracy_difference_low: accuracy_difference.map(|difference| difference.low),
        accuracy_difference_high: accuracy_difference.map(|difference| difference.high),
        tokens_difference: tokens_difference.map(|difference| difference.value),
        tokens_difference_low: tokens_difference.map(|difference| difference.low),
        tokens_difference_high: tokens_difference.map(|difference| difference.high),
        tokens_ratio: first.filter(|first| first.mean_tokens > 0.0).map(|first| tokens.value / first.mean_tokens),
        aes: against.and_then(|against| against.aes),
    })
}
