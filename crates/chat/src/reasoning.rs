//! What a trained assistant says: its reasoning and its answer, and how they are handed to the template.
//!
//! - Reasoning that a row gives apart, or in `<think>…</think>` before an answer, is handed over as `reasoning_content`
//!   to templates that read it. For all others it stays in the content to the letter; reasoning given apart, or without
//!   its opening tag, is written there in the usual form.
//! - Everything else stays to the letter: an empty think block, a block with nothing behind it, several closing tags,
//!   and tags that are spoken of in a text. What the template makes of it must keep every word, or the row is dropped.
//! - Reasoning that never ends was cut off: it is not trained, because an end of turn must not stand inside a thought.

use std::ops::Range;

use retort_records::completion::{self, THINK_CLOSE, THINK_OPEN, ThinkForm};

use crate::ChatError;
use crate::conversation::Conversation;
use crate::habits::Habits;

/// What a turn says, taken apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spoken {
    /// Reasoning that must not be lost.
    pub reasoning: Option<String>,
    /// Its bytes in the content, when it is handed over there.
    pub inline: Option<Range<usize>>,
    pub answer: String,
    /// Whether think tags stand in the content that open or close no thought of it: then it is kept to the letter.
    pub literal: bool,
}

/// The conversation for the template, and what each turn says. Turns that are not trained stay as they are, but for
/// reasoning that is given apart to a template that would not show it: there it is written into the content.
pub(crate) fn prepared(conversation: &Conversation, habits: &Habits) -> Result<(Conversation, Vec<Spoken>), ChatError> {
    let mut given = conversation.clone();
    let mut spoken = Vec::with_capacity(given.turns.len());
    for (index, turn) in given.turns.iter_mut().enumerate() {
        let content = turn.content().map(ToOwned::to_owned);
        let mut said = Spoken { answer: content.clone().unwrap_or_default(), ..Spoken::default() };
        said.reasoning = turn.reasoning().map(ToOwned::to_owned);
        if turn.train && turn.role() == "assistant" && said.reasoning.is_none() {
            let text = content.as_deref().unwrap_or_default();
            let parts = completion::split(text);
            match parts.form {
                ThinkForm::Unclosed => return Err(ChatError::UnfinishedReasoning { index }),
                ThinkForm::Complete | ThinkForm::Prefilled if parts.answer.is_some() && !only_spoken_of(text) => {
                    said.reasoning = parts.reasoning.map(ToOwned::to_owned);
                    parts.answer.unwrap_or_default().clone_into(&mut said.answer);
                    if parts.form == ThinkForm::Complete && !habits.reads_reasoning {
                        // It stands where such templates want it: to the letter.
                        let start = parts.reasoning.map_or(0, |reasoning| offset(text, reasoning));
                        let length = parts.reasoning.map_or(0, str::len);
                        spoken.push(Spoken { inline: Some(start..start + length), ..said });
                        continue;
                    }
                }
                ThinkForm::Several | ThinkForm::Prefilled | ThinkForm::Absent => {
                    said.literal = [THINK_OPEN, THINK_CLOSE].iter().any(|tag| text.contains(tag));
                }
                ThinkForm::Complete | ThinkForm::Empty => {}
            }
        }
        if let Some(reasoning) = said.reasoning.clone().filter(|_| turn.train || !habits.reads_reasoning) {
            if habits.reads_reasoning {
                turn.set_content_if_text(&said.answer);
                turn.set_reasoning(Some(reasoning));
            } else if content.is_some() {
                let joined = completion::join(Some(&reasoning), &said.answer);
                let start = THINK_OPEN.len() + 1;
                said.inline = Some(start..start + reasoning.len());
                turn.set_reasoning(None);
                turn.set_content(joined);
            }
        }
        spoken.push(said);
    }
    Ok((given, spoken))
}

/// Where a part of a text begins.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

/// Whether `</think>` without an opening tag is a word of the text rather than the end of a thought: white space or a
/// quotation mark stands on both sides of it, on the same line.
pub(crate) fn only_spoken_of(text: &str) -> bool {
    if text.trim_start().starts_with(THINK_OPEN) {
        return false;
    }
    let Some((before, after)) = text.split_once(THINK_CLOSE) else { return false };
    let quotes = |c: char| c == ' ' || c == '\t' || "`'\"“”‘’«»()[]".contains(c);
    before.ends_with(quotes) && after.starts_with(|c: char| quotes(c) || ".,;:!?".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_are_spoken_of_are_told_from_the_end_of_a_thought() {
        for text in ["The tag </think> closes", "write `</think>`, then answer", "say (</think>) or not"] {
            assert!(only_spoken_of(text), "{text}");
        }
        for text in ["so</think>95", "so\n</think>\n\n95", "so </think>\n95", "<think>a </think> b", "no tag"] {
            assert!(!only_spoken_of(text), "{text}");
        }
    }
}
