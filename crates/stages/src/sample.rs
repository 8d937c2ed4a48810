//! `sample`: asks a teacher for rollouts.

use crate::asking::{self, Asker, Journal, SampleOutcome};
use crate::dropping::Dropping;
use crate::error::StageError;
use crate::local_teacher::NamedTeacher;
use crate::narrow::Question;
use crate::train::kernels_version;
use retort_pipeline::{
    Context, Input, OutputKind, OutsideFile, PipelineError, PlannedInputs, RowCounts, SettingProblem, Source,
    StageKind, StageOutput, Surroundings,
};
use retort_records::{Prompt, Rollout, Row, Telemetry, id_of};
use retort_tables::{Columns, Scan};
use retort_teacher::{Request, Sampling, TeacherSettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Asks a teacher for `n` completions of every prompt.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The prompts.
    pub prompts: Source,
    /// Whom to ask: a server (`endpoint`, `model`), recorded answers (`replay`, `model`), or a checkpoint, by the name of
    /// its stage or, with a `/`, the path of a Hugging Face folder.
    pub teacher: TeacherSettings,
    /// How to sample.
    pub sampling: Sampling,
}

/// What finished rollouts tell of themselves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SampleFacts {
    /// The teacher's name.
    pub teacher: String,
    /// Rollouts that were cut off.
    pub truncated: u64,
    /// Rollouts with reasoning.
    pub with_reasoning: u64,
    /// Tokens of all completions, counted by the teacher.
    pub completion_tokens: u64,
    /// Requests, and rollouts that came of them.
    #[serde(flatten)]
    pub rows: RowCounts,
}

impl StageKind for Sample {
    const NAME: &'static str = "sample";
    const VERSION: u32 = 2;
    const EXPLAIN: &'static str = include_str!("explain/sample.md");
    type Facts = SampleFacts;

    fn output(&self) -> OutputKind {
        OutputKind::Rollouts
    }

    fn inputs<'a>(&'a self, _: &'a Surroundings<'_>) -> Vec<Input<'a>> {
        let prompts = Input {
            pointer: "/prompts".into(),
            source: &self.prompts,
            accepts: &[OutputKind::Prompts, OutputKind::Rollouts],
        };
        match &self.teacher {
            TeacherSettings::Checkpoint(name) => {
                vec![prompts, Input { pointer: "/teacher".into(), source: name, accepts: &[OutputKind::Checkpoint] }]
            }
            TeacherSettings::Endpoint(_) | TeacherSettings::Replay(_) => vec![prompts],
        }
    }

    fn files(&self, _: &Surroundings<'_>) -> Vec<OutsideFile> {
        asking::files(&self.teacher)
    }

    fn uses_seed(&self) -> bool {
        true
    }

    /// The request set decides the output; where and how fast it is asked does not.
    fn key_settings(&self, _: &Surroundings<'_>) -> Result<Value, serde_json::Error> {
        Ok(json!({ "teacher": asking::identity(&self.teacher), "sampling": self.sampling }))
    }

    /// A checkpoint is asked inside this program.
    fn versions(&self, _: &Surroundings<'_>) -> Result<BTreeMap<String, String>, PipelineError> {
        match &self.teacher {
            TeacherSettings::Checkpoint(_) => Ok(kernels_version()),
            TeacherSettings::Endpoint(_) | TeacherSettings::Replay(_) => Ok(BTreeMap::new()),
        }
    }

    fn problems(&self, _: &Surroundings<'_>) -> Vec<SettingProblem> {
        asking::problems(&self.teacher, &self.sampling)
    }

    fn unmet(&self, around: &Surroundings<'_>) -> Vec<SettingProblem> {
        asking::unmet(&self.teacher, around)
    }

    fn forecast(&self, inputs: &PlannedInputs<'_>) -> Result<String, PipelineError> {
        let Some(prompts) = inputs.rows_of("prompts", Prompt::TABLE) else {
            return Ok(format!("n = {} per prompt", self.sampling.n));
        };
        let requests = prompts * u64::from(self.sampling.n);
        let tokens = requests * u64::from(self.sampling.max_tokens);
        let price = asking::max_cost(&self.teacher, requests, &self.sampling);
        let price = price.map(|price| format!(", at most {price:.2} for completions")).unwrap_or_default();
        Ok(format!("{requests} samples, at most {tokens} completion tokens{price}"))
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        let sampled = match &self.teacher {
            TeacherSettings::Checkpoint(_) => self.sample_checkpoint(context),
            TeacherSettings::Endpoint(_) | TeacherSettings::Replay(_) => self.sample_teacher(context),
        };
        Ok(sampled?)
    }
}

impl Sample {
    /// Asks a server, or a recording of one.
    fn sample_teacher(&self, context: &Context<'_>) -> Result<StageOutput, StageError> {
        let prompts = context.input("prompts")?;
        let mut asker = Asker::open(context, &self.teacher)?;
        let total = prompts.rows::<Prompt>()?.total() * u64::from(self.sampling.n);
        context.started(Self::NAME, Some(total), "samples");
        let (teacher, sampling) = (asker.name(), asking::sampling_text(&self.sampling)?);
        let requests = self.requests(context, prompts.rows()?, &teacher, &sampling);
        let summary = asker.ask(context, &self.sampling, requests, total)?;
        if summary.replies > 0 && summary.with_reasoning == 0 {
            context.warn("no reply had reasoning: a reasoning teacher's server may drop or rename it");
        }
        self.collect(context, asker.into_journal(), (&teacher, &teacher), &sampling)
    }

    /// Asks a checkpoint inside this program.
    fn sample_checkpoint(&self, context: &Context<'_>) -> Result<StageOutput, StageError> {
        let prompts = context.input("prompts")?;
        let mut journal = Journal::open(&context.journal, context.mend)?;
        let teacher = NamedTeacher::open(context, context.input("teacher")?, &self.sampling)?;
        let total = prompts.rows::<Prompt>()?.total() * u64::from(self.sampling.n);
        context.started(Self::NAME, Some(total), "samples");
        context.resumed(journal.finished())?;
        let sampling = asking::sampling_text(&self.sampling)?;
        let requests = self.requests(context, prompts.rows()?, &teacher.identity, &sampling);
        let mut progress = |done: u64, note: &str| context.advanced(done, note);
        teacher.sample(context, requests, &self.sampling, &mut journal, &mut progress)?;
        self.collect(context, journal, (&teacher.name, &teacher.identity), &sampling)
    }

    fn requests(
        &self,
        context: &Context<'_>,
        prompts: Scan<Question>,
        teacher: &str,
        sampling: &str,
    ) -> impl Iterator<Item = Result<Request, PipelineError>> {
        prompts.flat_map(move |prompt| {
            let requests: Vec<Result<Request, PipelineError>> = match prompt {
                Err(error) => vec![Err(error.into())],
                Ok(prompt) => requests_of(context, &prompt, self.sampling.n, teacher, sampling).map(Ok).collect(),
            };
            requests
        })
    }

    /// The journal in the order of the prompts, as tables.
    fn collect(
        &self,
        context: &Context<'_>,
        mut journal: Journal,
        (teacher, identity): (&str, &str),
        sampling: &str,
    ) -> Result<StageOutput, StageError> {
        let prompts = context.input("prompts")?;
        let mut rollouts = context.writer::<Rollout>()?;
        let mut telemetry = context.writer::<Telemetry>()?;
        let mut dropping = Dropping::new(context)?;
        let (mut total, mut truncated, mut reasoning, mut tokens, mut cost) = (0_u64, 0_u64, 0_u64, 0_u64, 0.0_f64);
        for prompt in prompts.rows::<PromptId>()? {
            let PromptId { prompt_id } = prompt?;
            for sample in samples_of(context, &prompt_id, self.sampling.n, identity, sampling) {
                total += 1;
                let entry = journal.read(&sample.rollout_id)?;
                cost += entry.telemetry.cost.unwrap_or_default();
                telemetry.push(entry.telemetry)?;
                match entry.outcome {
                    SampleOutcome::Rollout(rollout) => {
                        truncated += u64::from(rollout.truncated());
                        reasoning += u64::from(rollout.reasoning.is_some());
                        tokens += u64::from(rollout.completion_tokens.unwrap_or_default());
                        rollouts.push(*rollout)?;
                    }
                    SampleOutcome::Dropped { drop_reason, message } => {
                        dropping.push(&sample.rollout_id, &prompt_id, &drop_reason, message)?;
                    }
                }
            }
        }
        let kept = rollouts.rows();
        if kept == 0 {
            let reason = format!("the teacher answered none of {total} requests{}", dropping.in_words());
            return Err(context.fail(reason).into());
        }
        let mut summary = format!(
            "{kept} rollouts by {teacher}, {truncated} truncated, {reasoning} with reasoning{}",
            dropping.in_words()
        );
        if cost > 0.0 {
            let _ = write!(summary, ", cost {cost:.4}");
        }
        let mut output = StageOutput::default();
        output.add(rollouts)?;
        output.add(telemetry)?;
        let rows = dropping.finish(&mut output, total, kept)?;
        let facts = SampleFacts {
            teacher: teacher.to_owned(),
            truncated,
            with_reasoning: reasoning,
            completion_tokens: tokens,
            rows,
        };
        Ok(output.with_facts(&facts, summary)?)
    }
}

/// A prompt, where nobody looks at what it asks.
#[derive(Deserialize)]
struct PromptId {
    prompt_id: String,
}

impl Columns for PromptId {
    type Table = Prompt;
}

/// One sample of a prompt, before it is asked for.
pub(super) struct SampleId {
    pub(super) rollout_id: String,
    sample_index: u32,
    seed: u64,
}

/// The samples of one prompt. `teacher` and `sampling` go into their ids.
pub(super) fn samples_of(
    context: &Context<'_>,
    prompt_id: &str,
    n: u32,
    teacher: &str,
    sampling: &str,
) -> impl Iterator<Item = SampleId> {
    (0..n).map(move |sample_index| {
        let seed = context.seed(prompt_id, sample_index);
        SampleId { rollout_id: rollout_id(prompt_id, teacher, sampling, seed), sample_index, seed }
    })
}

/// The requests of one prompt, one a sample.
pub(super) fn requests_of(
    context: &Context<'_>,
    prompt: &Question,
    n: u32,
    teacher: &str,
    sampling: &str,
) -> impl Iterator<Item = Request> {
    samples_of(context, &prompt.prompt_id, n, teacher, sampling).map(|sample| Request {
        rollout_id: sample.rollout_id,
        prompt_id: prompt.prompt_id.clone(),
        sample_index: sample.sample_index,
        messages: prompt.messages.clone(),
        beyond_text: prompt.beyond_text.clone(),
        seed: sample.seed,
    })
}

fn rollout_id(prompt_id: &str, teacher: &str, sampling: &str, seed: u64) -> String {
    id_of("rollout", &[prompt_id.as_bytes(), teacher.as_bytes(), sampling.as_bytes(), &seed.to_le_bytes()])
}
