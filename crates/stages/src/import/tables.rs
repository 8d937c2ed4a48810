//! Imported rows to tables: prompts numbered, rollouts brought into order.

use super::fields::Imported;
use super::layout::Becomes;
use super::rollouts::RolloutTable;
use super::unusable::Unusable;
use super::usage::{ColumnsRead, ImportFacts};
use crate::dropping::Dropping;
use retort_pipeline::{Context, PipelineError, StageOutput};
use retort_records::{Pair, Prompt, Rollout, SftExample, id_of};
use retort_tables::TableWriter;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The tables under way.
pub struct Tables {
    becomes: Becomes,
    rows: u64,
    dropping: Dropping,
    prompts: TableWriter<Prompt>,
    /// The prompts met so far.
    known: BTreeMap<String, KnownPrompt>,
    /// Rows that give a prompt another reference answer than its first row, and the first of them in words.
    conflicts: u64,
    first_conflict: Option<String>,
    /// Next sample index for each prompt and teacher.
    samples: BTreeMap<(u64, u32), u32>,
    teachers: BTreeMap<String, u32>,
    rollouts: Option<RolloutTable>,
    examples: Option<TableWriter<SftExample>>,
    pairs: Option<TableWriter<Pair>>,
}

/// What is remembered of a prompt.
#[derive(Clone, Copy)]
struct KnownPrompt {
    ordinal: u64,
    /// Hash of its reference answer.
    reference: Option<u64>,
}

impl Tables {
    /// The empty tables of rows that become `becomes`.
    pub fn create(becomes: Becomes, context: &Context<'_>) -> Result<Self, PipelineError> {
        Ok(Self {
            becomes,
            rows: 0,
            dropping: Dropping::new(context)?,
            prompts: context.writer()?,
            known: BTreeMap::new(),
            conflicts: 0,
            first_conflict: None,
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
                if self.known.contains_key(&prompt.prompt_id) {
                    self.compare_reference(&prompt, place);
                    return self.dropping.push(place, &prompt.prompt_id, "duplicate_prompt", "asked by an earlier row");
                }
                self.prompt(prompt).map(|_| ())
            }
            Imported::Rollouts(prompt, rollouts) => {
                let prompt_id = prompt.prompt_id.clone();
                self.compare_reference(&prompt, place);
                let ordinal = self.prompt(prompt)?;
                for rollout in rollouts {
                    match rollout {
                        Ok(rollout) => self.rollout(ordinal, rollout)?,
                        Err((reason, detail)) => self.dropping.push(place, &prompt_id, reason, detail)?,
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
        if let Some(known) = self.known.get(&prompt.prompt_id) {
            return Ok(known.ordinal);
        }
        let ordinal = self.known.len() as u64;
        let reference = hash_of(prompt.reference_answer.as_deref());
        self.known.insert(prompt.prompt_id.clone(), KnownPrompt { ordinal, reference });
        prompt.ordinal = ordinal;
        self.prompts.push(prompt)?;
        Ok(ordinal)
    }

    /// Notes a row that knows another reference answer than the first row of its prompt.
    fn compare_reference(&mut self, prompt: &Prompt, place: &str) {
        let Some(known) = self.known.get(&prompt.prompt_id) else { return };
        let given = hash_of(prompt.reference_answer.as_deref());
        if given.is_none() || given == known.reference {
            return;
        }
        self.conflicts += 1;
        let answer = prompt.reference_answer.clone().unwrap_or_default();
        self.first_conflict.get_or_insert_with(|| format!("row `{place}` says `{answer}`"));
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
    pub fn finish(self, context: &Context<'_>, columns: ColumnsRead) -> Result<StageOutput, PipelineError> {
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
        if kept == 0 {
            let reason = match self.rows {
                0 => "the files have no rows".to_owned(),
                rows => format!("none of {rows} rows could be read{drops}{}", self.dropping.example()),
            };
            return Err(context
                .no_rows(reason)
                .with_hint("`retort explain import` lists every layout and its columns"));
        }
        if self.dropping.count() > 0 {
            context.warn(&format!("{} rows were dropped{}", self.dropping.count(), self.dropping.example()));
        }
        if let Some(first) = &self.first_conflict {
            let conflicts = self.conflicts;
            context.warn(&format!(
                "{conflicts} rows give their prompt another reference answer than its first row, which counts; first {first}"
            ));
        }
        let rows = self.dropping.finish(&mut output, self.rows, kept)?;
        let summary = format!("{summary}; {}", columns.in_words());
        output.with_facts(&ImportFacts { rows, columns, conflicting_references: self.conflicts }, summary)
    }
}

fn hash_of(text: Option<&str>) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    text?.hash(&mut hasher);
    Some(hasher.finish())
}
