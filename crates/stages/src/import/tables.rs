//! Imported rows to tables: prompts numbered, rollouts brought into order.

use super::fields::{Imported, Unusable};
use super::layout::Becomes;
use super::rollouts::RolloutTable;
use crate::dropping::Dropping;
use retort_pipeline::{Context, PipelineError, StageOutput};
use retort_records::{Pair, Prompt, Rollout, SftExample, id_of};
use retort_tables::TableWriter;
use std::collections::BTreeMap;

/// The tables under way.
pub struct Tables {
    becomes: Becomes,
    rows: u64,
    dropping: Dropping,
    prompts: TableWriter<Prompt>,
    /// Ordinal of each prompt met so far.
    ordinals: BTreeMap<String, u64>,
    /// Next sample index for each prompt and teacher.
    samples: BTreeMap<(u64, u32), u32>,
    teachers: BTreeMap<String, u32>,
    rollouts: Option<RolloutTable>,
    examples: Option<TableWriter<SftExample>>,
    pairs: Option<TableWriter<Pair>>,
}

impl Tables {
    /// The empty tables of rows that become `becomes`.
    pub fn create(becomes: Becomes, context: &Context<'_>) -> Result<Self, PipelineError> {
        Ok(Self {
            becomes,
            rows: 0,
            dropping: Dropping::new(context)?,
            prompts: context.writer()?,
            ordinals: BTreeMap::new(),
            samples: BTreeMap::new(),
            teachers: BTreeMap::new(),
            rollouts: (becomes == Becomes::Rollouts).then(|| RolloutTable::create(context)).transpose()?,
            examples: (becomes == Becomes::Sft).then(|| context.writer()).transpose()?,
            pairs: (becomes == Becomes::Pairs).then(|| context.writer()).transpose()?,
        })
    }

    /// Rows that came so far.
    pub fn rows_in(&self) -> u64 {
        self.rows
    }

    /// Adds what one row became; `place` is where it stands.
    pub fn take(&mut self, row: Result<Imported, Unusable>, place: &str) -> Result<(), PipelineError> {
        self.rows += 1;
        let imported = match row {
            Ok(imported) => imported,
            Err((reason, detail)) => return self.dropping.push(place, "", reason, detail),
        };
        match imported {
            Imported::Prompt(prompt) => {
                if self.ordinals.contains_key(&prompt.prompt_id) {
                    return self.dropping.push(place, &prompt.prompt_id, "duplicate_prompt", "asked by an earlier row");
                }
                self.prompt(prompt).map(|_| ())
            }
            Imported::Rollouts(prompt, rollouts) => {
                let prompt_id = prompt.prompt_id.clone();
                let ordinal = self.prompt(prompt)?;
                for (rollout, problem) in rollouts {
                    match problem {
                        Some(problem) => self.dropping.push(place, &prompt_id, "no_completion", problem)?,
                        None => self.rollout(ordinal, rollout)?,
                    }
                }
                Ok(())
            }
            Imported::Example(example) => match &mut self.examples {
                Some(writer) => Ok(writer.push(example)?),
                None => Ok(()),
            },
            Imported::Pair(pair) => match &mut self.pairs {
                Some(writer) => Ok(writer.push(pair)?),
                None => Ok(()),
            },
        }
    }

    fn prompt(&mut self, mut prompt: Prompt) -> Result<u64, PipelineError> {
        if let Some(ordinal) = self.ordinals.get(&prompt.prompt_id) {
            return Ok(*ordinal);
        }
        let ordinal = self.ordinals.len() as u64;
        self.ordinals.insert(prompt.prompt_id.clone(), ordinal);
        prompt.ordinal = ordinal;
        self.prompts.push(prompt)?;
        Ok(ordinal)
    }

    /// Numbers the rollout by row order within prompt and teacher and adds it at the position that this gives.
    fn rollout(&mut self, ordinal: u64, mut rollout: Rollout) -> Result<(), PipelineError> {
        let next = self.teachers.len() as u32;
        let teacher = *self.teachers.entry(rollout.teacher.clone()).or_insert(next);
        let index = self.samples.entry((ordinal, teacher)).or_default();
        rollout.sample_index = *index;
        rollout.rollout_id = id_of(
            "rollout",
            &[
                rollout.prompt_id.as_bytes(),
                rollout.teacher.as_bytes(),
                &index.to_le_bytes(),
                rollout.completion.as_bytes(),
            ],
        );
        *index += 1;
        match &mut self.rollouts {
            Some(table) => table.push((ordinal, teacher, rollout.sample_index), rollout),
            None => Ok(()),
        }
    }

    /// Writes what is left and says what came of the rows.
    pub fn finish(self, context: &Context<'_>) -> Result<StageOutput, PipelineError> {
        let mut output = StageOutput::default();
        let (prompts, drops) = (self.prompts.rows(), self.dropping.in_words());
        let mut kept = prompts;
        let summary = match self.becomes {
            Becomes::Prompts => {
                output.add(self.prompts)?;
                format!("{prompts} prompts{drops}")
            }
            Becomes::Rollouts => {
                output.add(self.prompts)?;
                let Some(table) = self.rollouts else { return Ok(output) };
                kept = table.finish(context, &mut output)?;
                format!("{kept} rollouts of {prompts} prompts by {} teachers{drops}", self.teachers.len())
            }
            Becomes::Sft => {
                let Some(writer) = self.examples else { return Ok(output) };
                kept = writer.rows();
                output.add(writer)?;
                format!("{kept} training examples{drops}")
            }
            Becomes::Pairs => {
                let Some(writer) = self.pairs else { return Ok(output) };
                kept = writer.rows();
                output.add(writer)?;
                format!("{kept} preference pairs{drops}")
            }
        };
        // The empty prompt table of examples and pairs would be one that nobody asked for.
        if matches!(self.becomes, Becomes::Sft | Becomes::Pairs) {
            let folder = context.out.path().join("prompts");
            std::fs::remove_dir_all(&folder).map_err(PipelineError::io("remove", &folder))?;
        }
        let counts = self.dropping.finish(&mut output, self.rows, kept)?;
        if kept == 0 {
            return Err(context.fail(format!("none of {} rows could be read{drops}", self.rows)));
        }
        output.with_facts(&counts, summary)
    }
}
