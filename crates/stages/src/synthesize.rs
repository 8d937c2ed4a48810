//! `synthesize`: procedural prompts with exact answers.

use retort_pipeline::{
    Context, OutputKind, PipelineError, RowCounts, SettingProblem, StageKind, StageOutput, Surroundings,
};
use retort_records::{FinishReason, Message, Prompt, Rollout, completion, id_of};
use retort_synthesize::{SynthesizeSettings, synthesize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes prompts, and rollouts when chains of thought are asked for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Synthesize(pub SynthesizeSettings);

impl StageKind for Synthesize {
    const NAME: &'static str = "synthesize";
    const VERSION: u32 = 1;
    const EXPLAIN: &'static str = include_str!("explain/synthesize.md");
    type Facts = RowCounts;

    fn output(&self) -> OutputKind {
        if self.0.chain_of_thought.is_some() { OutputKind::Rollouts } else { OutputKind::Prompts }
    }

    fn uses_seed(&self) -> bool {
        true
    }

    fn problems(&self, _: &Surroundings<'_>) -> Vec<SettingProblem> {
        let found = self.0.problems().into_iter();
        found.map(|problem| SettingProblem::new(problem.pointer, problem.message)).collect()
    }

    fn run(&self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        let rollouts_wanted = StageKind::output(self) == OutputKind::Rollouts;
        context.started(Self::NAME, Some(self.0.count), "prompts");
        let mut prompts = context.writer::<Prompt>()?;
        let mut rollouts = rollouts_wanted.then(|| context.writer::<Rollout>()).transpose()?;
        let exercises = synthesize(&self.0, context.seed("", 0)).map_err(|error| context.fail(error.to_string()))?;
        for (ordinal, exercise) in exercises.enumerate() {
            let exercise = exercise.map_err(|error| context.fail(error.to_string()))?;
            let prompt_id = id_of("prompt", &[b"user", exercise.prompt.as_bytes()]);
            for (sample_index, text) in exercise.completions.iter().enumerate() {
                if let Some(writer) = &mut rollouts {
                    writer.push(rollout(&prompt_id, sample_index as u32, text))?;
                }
            }
            prompts.push(Prompt {
                prompt_id,
                ordinal: ordinal as u64,
                messages: vec![Message::user(exercise.prompt)],
                reference_answer: Some(exercise.reference_answer),
                domain: exercise.domain.to_owned(),
                source: "synthesize".into(),
                source_id: None,
                language: None,
                tests: None,
                beyond_text: None,
            })?;
            if ordinal % 256 == 255 {
                context.advanced(ordinal as u64 + 1, "")?;
            }
        }
        let count = prompts.rows();
        let summary = match &rollouts {
            Some(rollouts) => format!("{count} prompts with {} worked completions", rollouts.rows()),
            None => format!("{count} prompts"),
        };
        let mut output = StageOutput::default();
        output.add(prompts)?;
        if let Some(rollouts) = rollouts {
            output.add(rollouts)?;
        }
        output.with_facts(&RowCounts::all_kept(count), summary)
    }
}

/// A worked completion is a rollout whose teacher is the generator.
fn rollout(prompt_id: &str, sample_index: u32, text: &str) -> Rollout {
    let parts = completion::split(text);
    Rollout {
        rollout_id: id_of("rollout", &[prompt_id.as_bytes(), &sample_index.to_le_bytes(), text.as_bytes()]),
        prompt_id: prompt_id.to_owned(),
        sample_index,
        teacher: "synthesize".into(),
        completion: text.to_owned(),
        reasoning: parts.reasoning.map(str::to_owned),
        answer: parts.answer.map(str::to_owned),
        finish_reason: FinishReason::Stop,
        prompt_tokens: None,
        completion_tokens: None,
        seed: None,
        sampling: "{}".into(),
        source_id: None,
    }
}
