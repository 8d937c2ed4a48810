//! Rows to preference pairs.

use super::fields::{Imported, Row};
use super::layout::ImportColumn;
use super::turns::{ASSISTANT, Turn, turns_of, turns_of_transcript};
use super::unusable::{Unusable, keys};
use retort_records::{Pair, id_of};

impl Row<'_, '_> {
    /// The row as a preference pair: a prompt and two completions, or two conversations that begin the same.
    pub fn pair(&self, source: &str) -> Result<Imported, Unusable> {
        let (mut chosen, mut rejected) =
            (self.side(ImportColumn::Chosen, "chosen")?, self.side(ImportColumn::Rejected, "rejected")?);
        let explicit = match self.find(ImportColumn::Prompt) {
            Some(value) => Some(turns_of(value, "user")?).filter(|turns| !turns.is_empty()),
            None => None,
        };
        let asked = match explicit {
            Some(turns) => {
                let asked = self.asked(turns, source)?;
                for side in [&mut chosen, &mut rejected] {
                    if side.len() > 1 {
                        let shared = shared(&asked.turns, side);
                        // The system's turn may stand in one of the two only.
                        let whole = shared == asked.turns.len() || without_system(&asked.turns, side);
                        let from = if whole { side.len() - 1 } else { shared };
                        side.drain(..from);
                    }
                }
                asked
            }
            None => {
                // The last turns are the completions, even where they are the same.
                let both = shared(&chosen, &rejected).min(chosen.len() - 1).min(rejected.len() - 1);
                if both == 0 {
                    let detail =
                        format!("no column `prompt`, and the sides have no turns in common; found {}", keys(self.row));
                    return Err(("no_prompt", detail));
                }
                rejected.drain(..both);
                let completion = chosen.split_off(both);
                let asked = self.asked(std::mem::replace(&mut chosen, completion), source)?;
                // Turns of the assistant that both sides share at the end belong to what is answered.
                if !asked.reply.is_empty() {
                    return Err(("several_turns", "the sides share a turn of the assistant at the end".into()));
                }
                asked
            }
        };
        let (chosen, rejected) = (last(&chosen, "chosen")?, last(&rejected, "rejected")?);
        if chosen == rejected {
            return Err(("identical_sides", "chosen and rejected are the same text".into()));
        }
        let prompt = asked.prompt;
        let id = |text: &str| id_of("rollout", &[prompt.prompt_id.as_bytes(), text.as_bytes()]);
        let (chosen_id, rejected_id) = (id(&chosen), id(&rejected));
        Ok(Imported::Pair(Pair {
            pair_id: id_of("pair", &[chosen_id.as_bytes(), rejected_id.as_bytes()]),
            prompt_id: prompt.prompt_id,
            chosen_rollout_id: chosen_id,
            rejected_rollout_id: rejected_id,
            pair_kind: "imported".into(),
            domain: prompt.domain,
            prompt: prompt.messages,
            chosen,
            rejected,
            // Nobody has counted them yet; training does.
            chosen_tokens: 0,
            rejected_tokens: 0,
            beyond_text: prompt.beyond_text,
        }))
    }

    fn side(&self, column: ImportColumn, name: &'static str) -> Result<Vec<Turn>, Unusable> {
        let missing = || ("no_completion", format!("no column `{name}`; found {}", keys(self.row)));
        let value = self.find(column).ok_or_else(missing)?;
        let transcript =
            self.layout.name.starts_with("HH").then(|| value.as_str().and_then(turns_of_transcript)).flatten();
        let turns = match transcript {
            Some(turns) => turns,
            None => turns_of(value, ASSISTANT)?,
        };
        if turns.is_empty() { Err(missing()) } else { Ok(turns) }
    }
}

/// How many turns two conversations share at their beginning.
fn shared(one: &[Turn], other: &[Turn]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Whether `side` is `prompt` and one turn more, white space and turns of the system left aside: one of the two may have none.
fn without_system(prompt: &[Turn], side: &[Turn]) -> bool {
    fn spoken(turns: &[Turn]) -> impl Iterator<Item = (&str, &str)> {
        turns.iter().filter(|turn| turn.role != "system").map(|turn| (turn.role, turn.content.trim()))
    }
    spoken(prompt).eq(spoken(&side[..side.len() - 1]))
}

/// The completion that a side is.
fn last(side: &[Turn], name: &str) -> Result<String, Unusable> {
    match side {
        [turn] if turn.by_assistant() && turn.as_completion()?.whole().trim().is_empty() => {
            Err(("no_completion", format!("`{name}` is empty")))
        }
        [turn] if turn.by_assistant() => Ok(turn.whole()),
        [_] => Err(("no_completion", format!("`{name}` does not end with the assistant"))),
        side => Err(("several_turns", format!("`{name}` has {} turns after the prompt", side.len()))),
    }
}
