//! `sample`: asks a teacher for rollouts.

use super::asking::{self, Asker, Journal, Outcome};
use super::dropping::Dropping;
use super::{Context, Made};
use crate::error::PipelineError;
use crate::source::{Kind, Source};
use crate::stage::Input;
use retort_records::{Prompt, Rollout, Telemetry, id_of};
use retort_teacher::{Request, Sampling, TeacherSettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Write;

/// Asks a teacher for `n` completions of every prompt.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The prompts.
    pub prompts: Source,
    /// Whom to ask: a server (`endpoint`, `model`) or recorded answers (`replay`, `model`).
    pub teacher: TeacherSettings,
    /// How to sample.
    pub sampling: Sampling,
}

impl Sample {
    pub(crate) fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input { pointer: "/prompts".into(), source: &self.prompts, accepts: &[Kind::Prompts, Kind::Rollouts] }]
    }

    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        asking::problems(&self.teacher, &self.sampling)
    }

    pub(crate) fn files(&self) -> Vec<(String, &str)> {
        asking::files(&self.teacher)
    }

    /// The request set decides the output; where and how fast it is asked does not.
    pub(crate) fn key_settings(&self) -> Value {
        json!({ "teacher": asking::identity(&self.teacher), "sampling": self.sampling })
    }

    /// What the stage would ask for, for `plan`.
    pub(crate) fn forecast(&self, prompts: Option<u64>) -> String {
        let Some(prompts) = prompts else { return format!("n = {} per prompt", self.sampling.n) };
        let requests = prompts * u64::from(self.sampling.n);
        let tokens = requests * u64::from(self.sampling.max_tokens);
        let price = asking::max_cost(&self.teacher, requests, &self.sampling);
        let price = price.map(|price| format!(", at most {price:.2} for completions")).unwrap_or_default();
        format!("{requests} samples, at most {tokens} completion tokens{price}")
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Made, PipelineError> {
        let prompts = context.input("prompts")?;
        let mut asker = Asker::open(context, &self.teacher)?;
        let total = prompts.rows::<Prompt>()?.total() * u64::from(self.sampling.n);
        context.started("sample", Some(total), "samples");
        let (teacher, sampling) = (asker.name(), asking::sampling_text(&self.sampling));
        let requests = self.requests(context, prompts.rows::<Prompt>()?, &teacher, &sampling);
        let summary = asker.ask(context, &self.sampling, requests, total)?;
        if summary.replies > 0 && summary.with_reasoning == 0 {
            context.warn("no reply had reasoning: a reasoning teacher's server may drop or rename it");
        }
        self.collect(context, asker.journal, &teacher, &sampling)
    }

    fn requests(
        &self,
        context: &Context<'_>,
        prompts: impl Iterator<Item = Result<Prompt, retort_tables::TableError>>,
        teacher: &str,
        sampling: &str,
    ) -> impl Iterator<Item = Result<Request, PipelineError>> {
        prompts.flat_map(move |prompt| {
            let requests: Vec<Result<Request, PipelineError>> = match prompt {
                Err(error) => vec![Err(error.into())],
                Ok(prompt) => (0..self.sampling.n)
                    .map(|sample_index| {
                        let seed = context.seed(&prompt.prompt_id, sample_index);
                        Ok(Request {
                            rollout_id: rollout_id(&prompt.prompt_id, teacher, sampling, seed),
                            prompt_id: prompt.prompt_id.clone(),
                            sample_index,
                            messages: prompt.messages.clone(),
                            seed,
                        })
                    })
                    .collect(),
            };
            requests
        })
    }

    /// The journal in the order of the prompts, as tables.
    fn collect(
        &self,
        context: &Context<'_>,
        mut journal: Journal,
        teacher: &str,
        sampling: &str,
    ) -> Result<Made, PipelineError> {
        let prompts = context.input("prompts")?;
        let mut rollouts = context.writer::<Rollout>()?;
        let mut telemetry = context.writer::<Telemetry>()?;
        let mut dropping = Dropping::new(context)?;
        let (mut total, mut truncated, mut reasoning, mut tokens, mut cost) = (0_u64, 0_u64, 0_u64, 0_u64, 0.0_f64);
        for request in self.requests(context, prompts.rows::<Prompt>()?, teacher, sampling) {
            let request = request?;
            total += 1;
            let entry = journal.read(&request.rollout_id)?;
            cost += entry.telemetry.cost.unwrap_or_default();
            telemetry.push(entry.telemetry)?;
            match entry.outcome {
                Outcome::Rollout(rollout) => {
                    truncated += u64::from(rollout.truncated());
                    reasoning += u64::from(rollout.reasoning.is_some());
                    tokens += u64::from(rollout.completion_tokens.unwrap_or_default());
                    rollouts.push(*rollout)?;
                }
                Outcome::Dropped { drop_reason, message } => {
                    dropping.push(&request.rollout_id, &request.prompt_id, &drop_reason, message)?;
                }
            }
        }
        let kept = rollouts.rows();
        if kept == 0 {
            return Err(context.fail(format!("the teacher answered none of {total} requests{}", dropping.in_words())));
        }
        let mut made = Made {
            summary: format!(
                "{kept} rollouts by {teacher}, {truncated} truncated, {reasoning} with reasoning{}",
                dropping.in_words()
            ),
            facts: json!({ "teacher": teacher, "truncated": truncated, "with_reasoning": reasoning, "completion_tokens": tokens }),
            ..Made::default()
        };
        if cost > 0.0 {
            let _ = write!(made.summary, ", cost {cost:.4}");
        }
        made.add(rollouts)?;
        made.add(telemetry)?;
        dropping.finish(&mut made, total, kept)?;
        Ok(made)
    }
}

fn rollout_id(prompt_id: &str, teacher: &str, sampling: &str, seed: u64) -> String {
    id_of("rollout", &[prompt_id.as_bytes(), teacher.as_bytes(), sampling.as_bytes(), &seed.to_le_bytes()])
}
