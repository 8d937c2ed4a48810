//! Rows to rollouts: the samples of a row, each with what stands beside it.

use super::evidence::at;
use super::fields::{Imported, Row};
use super::layout::ImportColumn;
use super::layouts::ANSWERS;
use super::turns::{ASSISTANT, Turn, thinks, turns_of};
use super::unusable::{Unusable, kind_of};
use super::values::{count, non_empty, text_not_flag, text_of, truth};
use retort_records::{FinishReason, Prompt, Rollout, completion};
use serde_json::Value;

/// Where a sample stands.
#[derive(Clone, Copy)]
struct Sample<'r> {
    /// The sample: an item of the row's list, or the row itself.
    value: &'r Value,
    /// Its place in the row's list, and how many there are.
    place: Option<(usize, usize)>,
}

impl Row<'_, '_> {
    /// The row as a prompt with rollouts.
    pub fn rollouts(&self, source: &str) -> Result<Imported, Unusable> {
        let asked = self.prompt(source)?;
        let prompt = asked.prompt;
        let one = Sample { value: self.row, place: None };
        let parsed;
        let samples: Vec<&Value> = match self.find(ImportColumn::Samples) {
            Some(Value::Array(samples)) => samples.iter().collect(),
            Some(Value::Object(samples)) => samples.values().collect(),
            Some(Value::String(text)) if text.trim_start().starts_with('[') => {
                parsed =
                    serde_json::from_str::<Vec<Value>>(text).map_err(|error| ("no_completion", error.to_string()))?;
                parsed.iter().collect()
            }
            Some(sample @ Value::String(_)) => vec![sample],
            Some(other) => return Err(("no_completion", format!("the samples are {}", kind_of(other)))),
            None if self.replies(&asked.reply) => {
                let rollout = self.rollout(one, &prompt, Some(&asked.reply));
                return Ok(Imported::Rollouts(prompt, vec![rollout]));
            }
            None => {
                let rollout = self.rollout(one, &prompt, None);
                return Ok(Imported::Rollouts(prompt, vec![rollout]));
            }
        };
        if samples.is_empty() {
            let empty = Err(("no_completion", "the list of samples is empty".to_owned()));
            return Ok(Imported::Rollouts(prompt, vec![empty]));
        }
        self.note(|usage| usage.look_for_written(|path| samples.iter().any(|sample| at(sample, path).is_some())));
        let many = samples.len();
        let read = |(index, value)| self.rollout(Sample { value, place: Some((index, many)) }, &prompt, None);
        let rollouts = samples.into_iter().enumerate().map(read).collect();
        Ok(Imported::Rollouts(prompt, rollouts))
    }

    /// Whether the conversation's last turns are the completion: there are some, and no column holds one.
    fn replies(&self, reply: &[Turn]) -> bool {
        !reply.is_empty()
            && !self.written(ImportColumn::Completion)
            && self.first(self.row, ImportColumn::Completion, |_| Some(())).is_none()
    }

    /// What stands beside a sample: in its own item, at its place in a list of the row that is as long, or for the whole row
    /// where `shared` values are those of every sample.
    fn beside<'v, T>(
        &'v self,
        sample: Sample<'v>,
        column: ImportColumn,
        shared: bool,
        mut take: impl FnMut(&'v Value) -> Option<T>,
    ) -> Option<T> {
        if sample.value.is_object()
            && let Some(found) = self.first(sample.value, column, &mut take)
        {
            return Some(found);
        }
        let (index, many) = sample.place?;
        self.first(self.row, column, |value| match value {
            Value::Array(items) if items.len() == many => take(&items[index]),
            Value::Array(_) if many > 1 => None,
            value if shared || many == 1 => take(value),
            _ => None,
        })
    }

    fn rollout(&self, sample: Sample<'_>, prompt: &Prompt, reply: Option<&[Turn]>) -> Result<Rollout, Unusable> {
        let completion = self.completion(sample, reply)?;
        if completion.trim().is_empty() {
            return Err(("no_completion", "the row has no completion text".into()));
        }
        let parts = completion::split(&completion);
        let tokens = self.beside(sample, ImportColumn::CompletionTokens, false, count);
        self.note(|usage| match tokens {
            Some(_) => usage.counted += 1,
            None => usage.uncounted += 1,
        });
        let cut = self.settings.max_tokens.zip(tokens).is_some_and(|(limit, tokens)| tokens >= limit)
            || self.beside(sample, ImportColumn::Complete, true, truth) == Some(false);
        let finish_reason = if cut {
            FinishReason::Length
        } else {
            let known =
                |value: &Value| Some(FinishReason::read_value(value)).filter(|reason| *reason != FinishReason::Unknown);
            self.beside(sample, ImportColumn::FinishReason, true, known).unwrap_or(FinishReason::Unknown)
        };
        Ok(Rollout {
            rollout_id: String::new(),
            prompt_id: prompt.prompt_id.clone(),
            sample_index: 0,
            teacher: self
                .beside(sample, ImportColumn::Teacher, true, text_of)
                .or_else(|| self.text(ImportColumn::Teacher))
                .or_else(|| self.settings.teacher.map(str::to_owned))
                .unwrap_or_else(|| "unknown".into()),
            reasoning: parts.reasoning.map(str::to_owned),
            answer: parts.answer.map(str::to_owned),
            finish_reason,
            prompt_tokens: None,
            completion_tokens: tokens,
            seed: None,
            sampling: "{}".into(),
            source_id: self.first_of(&["sample", "id"], sample.value, ImportColumn::SourceId, text_of),
            completion,
        })
    }

    /// Everything that the model wrote, reasoning inside think tags.
    fn completion(&self, sample: Sample<'_>, reply: Option<&[Turn]>) -> Result<String, Unusable> {
        if let Some(reply) = reply {
            return single(reply).map(|turn| with_reasoning(turn, self.reasoning(sample)));
        }
        let reasoning = self.reasoning(sample);
        let turns = match sample.value {
            Value::Object(_) => {
                let own = self.written(ImportColumn::Completion)
                    || self.layout.columns.iter().any(|(column, _)| *column == ImportColumn::Completion);
                let found = if reasoning.is_some() && !own {
                    let names = self.unclaimed(ANSWERS);
                    self.first_of(&names, sample.value, ImportColumn::Completion, Some)
                } else {
                    self.first(sample.value, ImportColumn::Completion, Some)
                };
                match found {
                    Some(value) => turns_of(value, ASSISTANT)?,
                    // A message stands for itself.
                    None if sample.place.is_some() && sample.value.get("content").is_some() => {
                        turns_of(sample.value, ASSISTANT)?
                    }
                    None => Vec::new(),
                }
            }
            value => turns_of(value, ASSISTANT)?,
        };
        match (turns.is_empty(), reasoning) {
            (true, None) => Ok(String::new()),
            (true, Some(reasoning)) => Ok(format!("{}\n{reasoning}", completion::THINK_OPEN)),
            (false, reasoning) => single(&turns).map(|turn| with_reasoning(turn, reasoning)),
        }
    }

    /// The reasoning in a column of its own.
    fn reasoning(&self, sample: Sample<'_>) -> Option<String> {
        self.beside(sample, ImportColumn::Reasoning, false, |value| text_not_flag(value).and_then(non_empty))
    }
}

/// The one turn of the assistant that a completion is.
fn single(turns: &[Turn]) -> Result<&Turn, Unusable> {
    match turns {
        [turn] if turn.by_assistant() => turn.as_completion(),
        [_] => Err(("no_completion", "the completion is not the assistant's".into())),
        turns => Err(("several_turns", format!("the completion has {} turns", turns.len()))),
    }
}

/// What a turn says, with the reasoning that stands beside it inside think tags.
fn with_reasoning(turn: &Turn, reasoning: Option<String>) -> String {
    let reasoning = turn.reasoning.clone().or(reasoning);
    match reasoning {
        Some(reasoning) if !thinks(&turn.content) => completion::join(Some(&reasoning), &turn.content),
        _ => turn.content.clone(),
    }
}
