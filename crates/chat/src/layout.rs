//! Where each message stands in the rendered conversation, and which bytes of it the loss counts.
//!
//! The rendering says of every byte which message it was copied from, so nothing is guessed from content. What the
//! template itself writes around a trained turn is told apart by its habits: what opens the assistant's turn belongs to
//! the prompt, what stands between and behind (a think tag, the brackets of a tool call, the end of the turn) to the
//! completion.

use std::ops::Range;

use retort_records::completion::{self, THINK_CLOSE, THINK_OPEN};

use crate::conversation::{Conversation, Inputs, Part};
use crate::habits::{Habits, common_prefix};
use crate::jinja::{Mark, Text};
use crate::reasoning::{self, Spoken};
use crate::template::{ChatTemplate, RenderOptions};
use crate::tokenizer::{Author, Tokenizer};
use crate::{ChatError, Warning};

/// A rendered conversation.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// The text, ready to be tokenised.
    pub text: String,
    /// Byte spans of the messages' own texts, in order, with who wrote them.
    pub spans: Vec<(Range<usize>, Author)>,
    /// Byte spans that the loss counts, in order.
    pub trained: Vec<Trained>,
    /// What the template writes to open turns: no token of it ends one.
    pub opening: String,
    pub warnings: Vec<Warning>,
}

/// A span that the loss counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trained {
    pub bytes: Range<usize>,
    /// How far behind the span the template may write on the turn, such as the brackets of a tool call: it is trained
    /// up to the last control token that lies in it.
    pub closing: usize,
    /// How far the end of the turn may lie behind the span: the control token found in it is trained as well.
    pub end_within: usize,
    /// Whether this is the end of the conversation, where a missing end of turn is supplied.
    pub last: bool,
}

/// Where one trained turn stands in the rendering.
struct Region {
    trained: Trained,
    /// Reasoning that the template deleted, to be written in place of these bytes.
    restored: Option<(Range<usize>, String)>,
}

/// A rendering with its marks resolved.
struct Rendering {
    text: Text,
    inputs: Inputs,
}

impl Layout {
    /// Lays a conversation out with the model's template.
    pub(crate) fn by_template(
        template: &ChatTemplate,
        conversation: &Conversation,
        options: RenderOptions,
    ) -> Result<Self, ChatError> {
        let template = template.for_tools(conversation);
        let habits = template.habits(conversation);
        let (mut given, spoken) = reasoning::prepared(conversation, &habits)?;
        let mut rendering = Rendering::of(template, &given, options)?;
        let deleted: Vec<usize> =
            (0..spoken.len()).filter(|&turn| rendering.deletes_reasoning(turn, &spoken[turn])).collect();
        if !deleted.is_empty() {
            for &turn in &deleted {
                given.turns[turn].set_reasoning(None);
                given.turns[turn].set_content(spoken[turn].answer.clone());
            }
            rendering = Rendering::of(template, &given, options)?;
        }
        if given.turns.iter().any(|turn| turn.train) && rendering.omits_tools(&given) {
            let reason = "the chat template does not write them".into();
            return Err(ChatError::Conversation { key: "tools".into(), reason });
        }
        let mut regions = Vec::new();
        for (turn, said) in spoken.iter().enumerate().filter(|(turn, _)| given.turns[*turn].train) {
            let restored = deleted.contains(&turn).then(|| said.reasoning.clone().unwrap_or_default());
            let Some(mut region) = rendering.region(turn, restored, said.literal, &given, &habits)? else { continue };
            if region.trained.closing > 0 {
                region.trained.closing = rendering.closing(turn, &region, template, &given, options);
            }
            regions.push(region);
        }
        let mut layout = rendering.assemble(&given, regions, &habits);
        layout.warnings.extend(deleted.into_iter().map(|message| Warning::ReasoningRestored { message }));
        Ok(layout)
    }

    /// Lays a conversation out without a template: contents follow one another, a line feed before every message of a
    /// user, system or tool but the first, nothing before an assistant's, and the end-of-sequence token after it.
    pub(crate) fn plain(tokenizer: &Tokenizer, conversation: &Conversation) -> Result<Self, ChatError> {
        if conversation.tools.is_some() {
            return Err(ChatError::Conversation { key: "tools".into(), reason: "tools need a chat template".into() });
        }
        let (given, _) = reasoning::prepared(conversation, &Habits::default())?;
        let mut layout = Self::default();
        if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.writes_bos()) {
            layout.text.push_str(&bos.text);
        }
        let eos = &tokenizer.eos().ok_or(ChatError::NoEndOfSequence)?.text;
        for (index, turn) in given.turns.iter().enumerate() {
            if turn.calls_tools() {
                let key = format!("messages[{index}].tool_calls");
                return Err(ChatError::Conversation { key, reason: "calls of tools need a chat template".into() });
            }
            let Some(content) = turn.content() else {
                let key = format!("messages[{index}].content");
                return Err(ChatError::Conversation {
                    key,
                    reason: "without a chat template it must be a text".into(),
                });
            };
            let author = author(turn.role());
            if author != Author::Assistant && index > 0 {
                layout.text.push('\n');
            }
            let start = layout.text.len();
            let said = completion::join(turn.reasoning(), content);
            layout.text.push_str(&said);
            let end = layout.text.len();
            layout.spans.push((start..end, author));
            if author == Author::Assistant {
                layout.text.push_str(eos);
            }
            if turn.train && !said.is_empty() {
                let end_within = layout.text.len() - end;
                let last = index + 1 == given.turns.len();
                layout.trained.push(Trained { bytes: start..end, closing: 0, end_within, last });
            }
        }
        Ok(layout)
    }
}

fn author(role: &str) -> Author {
    if role == "assistant" { Author::Assistant } else { Author::Other }
}

impl Rendering {
    fn of(template: &ChatTemplate, conversation: &Conversation, options: RenderOptions) -> Result<Self, ChatError> {
        let mut inputs = Inputs::default();
        let text = template.rendered(conversation, options, &mut inputs)?;
        Ok(Self { text, inputs })
    }

    /// Whether there are tools and nothing of them is in the rendering.
    fn omits_tools(&self, given: &Conversation) -> bool {
        let named = given.tools.as_ref().is_some_and(|tools| !tools.is_empty());
        named && !self.text.marks().iter().any(|mark| (mark.origin as usize) < self.inputs.of_tools)
    }

    fn part_of(&self, mark: &Mark) -> (Option<usize>, Part) {
        let (origin, _) = &self.inputs.origins[mark.origin as usize];
        (origin.turn, origin.part)
    }

    /// Whether a mark is what the turn says.
    fn is_said(&self, mark: &Mark, turn: usize) -> bool {
        let (of, part) = self.part_of(mark);
        of == Some(turn) && part != Part::Other
    }

    /// Whether the reasoning of a trained turn is missing from the rendering, whole.
    fn deletes_reasoning(&self, turn: usize, said: &Spoken) -> bool {
        if said.reasoning.is_none() {
            return false;
        }
        let marks = || self.text.marks().iter().filter(move |mark| self.part_of(mark).0 == Some(turn));
        match &said.inline {
            // It stands in the content: is any of its bytes there?
            Some(bytes) => !marks().any(|mark| {
                let source = mark.source.map_or(0..usize::MAX, |source| source..source + mark.range.len());
                self.part_of(mark).1 == Part::Content && source.start < bytes.end && bytes.start < source.end
            }),
            None => !marks().any(|mark| self.part_of(mark).1 == Part::Reasoning),
        }
    }

    /// Where a trained turn stands; `None` when it says nothing.
    fn region(
        &self,
        turn: usize,
        restored: Option<String>,
        literal: bool,
        given: &Conversation,
        habits: &Habits,
    ) -> Result<Option<Region>, ChatError> {
        let rewritten = || ChatError::Rewritten { index: turn, role: given.turns[turn].role().to_owned() };
        let marks = self.text.marks();
        let text = self.text.as_str();
        let said = self.said(turn);
        let (Some(&first), Some(&last)) = (said.first(), said.last()) else {
            return if given.turns[turn].says_something() || restored.is_some() { Err(rewritten()) } else { Ok(None) };
        };
        let calls = || said.iter().any(|&index| self.part_of(&marks[index]).1 == Part::Call);
        if given.turns[turn].calls_tools() && !calls() {
            return Err(rewritten());
        }
        let interrupted = marks[first..=last].iter().any(|mark| self.part_of(mark).0 != Some(turn));
        if interrupted || !self.keeps(turn, literal) {
            return Err(rewritten());
        }
        let (begin, end) = (marks[first].range.start, marks[last].range.end);
        let before = marks[..first].last().map_or(0, |mark| mark.range.end);
        let after = marks.get(last + 1).map_or(text.len(), |mark| mark.range.start);
        let literal = &text[before..begin];
        let (said_behind, closing, end_within) = behind(&text[end..after], habits);
        let start = match &restored {
            Some(_) => restored_start(literal, habits),
            None => completion_start(literal, &habits.generation_prompt, &habits.gap),
        };
        let start = before + start;
        let bytes = start..end + said_behind;
        let trained = Trained { bytes, closing, end_within, last: after == text.len() };
        Ok(Some(Region { trained, restored: restored.map(|reasoning| (start..begin, reasoning)) }))
    }

    /// The marks of what a turn says, by position. What a template repeats later (the name of the tool whose result it
    /// writes) is not said again.
    fn said(&self, turn: usize) -> Vec<usize> {
        let marks = self.text.marks();
        let mut said: Vec<usize> = Vec::new();
        for (index, mark) in marks.iter().enumerate().filter(|(_, mark)| self.is_said(mark, turn)) {
            let again = mark.source.is_some_and(|source| {
                said.iter().map(|&other| &marks[other]).any(|other| {
                    other.origin == mark.origin && other.source.is_some_and(|begin| source < begin + other.range.len())
                })
            });
            if !again {
                said.push(index);
            }
        }
        said
    }

    /// How much of what stands behind a turn also stands there when nothing follows the turn.
    fn closing(
        &self,
        turn: usize,
        region: &Region,
        template: &ChatTemplate,
        given: &Conversation,
        options: RenderOptions,
    ) -> usize {
        let until = Conversation { turns: given.turns[..=turn].to_vec(), ..given.clone() };
        let options = RenderOptions { add_generation_prompt: false, ..options };
        let Ok(alone) = Self::of(template, &until, options) else { return 0 };
        let Some(&last) = alone.said(turn).last() else { return 0 };
        let end = alone.text.marks()[last].range.end;
        let from = region.trained.bytes.end;
        common_prefix(&self.text.as_str()[from..], &alone.text.as_str()[end..]).min(region.trained.closing)
    }

    /// Whether everything that a turn says is in the rendering, in order. White space at the ends and around think
    /// tags, and the tags themselves, may be missing: the template writes its own. Not so in a `literal` content, of which
    /// nothing but white space at its ends may be missing.
    fn keeps(&self, turn: usize, literal: bool) -> bool {
        let origins = self.inputs.origins.iter().enumerate();
        let mut said = origins.filter(|(_, (origin, text))| {
            origin.turn == Some(turn) && [Part::Content, Part::Reasoning].contains(&origin.part) && !text.is_empty()
        });
        said.all(|(number, (origin, text))| {
            let mut kept = 0;
            let mut any = false;
            for mark in self.text.marks().iter().filter(|mark| mark.origin as usize == number) {
                let Some(source) = mark.source else { return false };
                if any && source + mark.range.len() <= kept {
                    continue;
                }
                if source < kept || !is_dispensable(text, kept..source) {
                    return false;
                }
                if literal && (any || !text[..source].trim().is_empty()) {
                    return false;
                }
                kept = source + mark.range.len();
                any = true;
            }
            // Reasoning that is not shown is written back, and the answer of a part may be left out by a template
            // that shows parts of another kind; a content must be there.
            let rest = if literal { text[kept..].trim().is_empty() } else { is_dispensable(text, kept..text.len()) };
            (origin.part == Part::Reasoning && !any) || rest
        })
    }

    /// Puts restored reasoning into the text and moves spans and regions along.
    fn assemble(&self, given: &Conversation, regions: Vec<Region>, habits: &Habits) -> Layout {
        let mut layout = Layout { opening: habits.opening.clone(), ..Layout::default() };
        let text = self.text.as_str();
        let mut spans = self.text.marks().iter().map(|mark| {
            let (turn, part) = self.part_of(mark);
            let said = turn.map(|turn| author(given.turns[turn].role())).filter(|_| part != Part::Other);
            (mark.range.clone(), said.unwrap_or(Author::Other))
        });
        let mut waiting = spans.next();
        let mut done = 0;
        // Appends the rendering up to a byte, with the spans that lie in it.
        let mut copy = |layout: &mut Layout, to: usize| {
            let shift = layout.text.len().wrapping_sub(done);
            layout.text.push_str(&text[done..to]);
            while let Some((range, author)) = waiting.take_if(|(range, _)| range.end <= to) {
                layout.spans.push((range.start.wrapping_add(shift)..range.end.wrapping_add(shift), author));
                waiting = spans.next();
            }
            done = to;
        };
        for Region { trained, restored } in regions {
            let bytes = trained.bytes.clone();
            let mut start = bytes.start;
            if let Some((replaced, reasoning)) = restored {
                copy(&mut layout, replaced.start);
                start = layout.restore(habits, &reasoning);
                // What the template wrote there, an empty think block say, is left out.
                copy_over(&mut layout, &mut copy, replaced.end);
            } else {
                copy(&mut layout, bytes.start);
                start = start.wrapping_add(layout.text.len().wrapping_sub(bytes.start));
            }
            copy(&mut layout, bytes.end);
            layout.trained.push(Trained { bytes: start..layout.text.len(), ..trained });
        }
        copy(&mut layout, text.len());
        layout
    }
}

/// Passes the rendering up to a byte without keeping its text.
fn copy_over(layout: &mut Layout, copy: &mut impl FnMut(&mut Layout, usize), to: usize) {
    let length = layout.text.len();
    copy(layout, to);
    layout.text.truncate(length);
}

impl Layout {
    /// Writes reasoning that the template deletes, in the model's own markup; returns where the completion begins.
    fn restore(&mut self, habits: &Habits, reasoning: &str) -> usize {
        let prefilled = habits.prefills_think();
        let mut start = self.text.len();
        self.text.push_str(THINK_OPEN);
        if prefilled {
            start = self.text.len();
        }
        self.text.push('\n');
        if prefilled && habits.generation_prompt.ends_with('\n') {
            start = self.text.len();
        }
        let from = self.text.len();
        self.text.push_str(reasoning);
        self.spans.push((from..self.text.len(), Author::Assistant));
        self.text.push('\n');
        self.text.push_str(THINK_CLOSE);
        self.text.push_str("\n\n");
        start
    }
}

/// Whether a stretch of a message may be missing from the rendering.
fn is_dispensable(text: &str, bytes: Range<usize>) -> bool {
    let missing = &text[bytes.clone()];
    if missing.is_empty() {
        return true;
    }
    let tags = [THINK_OPEN, THINK_CLOSE];
    let bare = tags.iter().fold(missing.to_owned(), |text, tag| text.replace(tag, ""));
    let at_tag = bare.len() < missing.len()
        || tags.iter().any(|tag| text[..bytes.start].ends_with(tag) || text[bytes.end..].starts_with(tag));
    bare.trim().is_empty() && (at_tag || bytes.start == 0 || bytes.end == text.len())
}

/// What of the text behind a turn's last word certainly belongs to it, how much more may, and how far behind its end
/// may lie.
fn behind(literal: &str, habits: &Habits) -> (usize, usize, usize) {
    let end = habits.end_of_turn.trim();
    if !end.is_empty()
        && let Some(at) = literal.find(end)
    {
        let begins = if literal[..at].trim().is_empty() { 0 } else { at };
        return (begins, 0, at - begins + common_prefix(&literal[at..], habits.end_of_turn.trim_start()));
    }
    (0, literal.len(), literal.len())
}

/// Where the completion begins in the literal before a trained turn: behind the generation prompt, or behind as much
/// of it as stands there, when only think tags and white space follow; without one, before the gap.
fn completion_start(literal: &str, generation_prompt: &str, gap: &str) -> usize {
    // A prompt that names the speaker is recognised whatever the template writes behind it: a channel, a tool call.
    let head = before_tags(generation_prompt);
    for whole in [generation_prompt, head] {
        if whole.contains(char::is_alphanumeric)
            && let Some(at) = literal.rfind(whole)
        {
            return at + whole.len();
        }
    }
    let lengths = (1..=generation_prompt.len()).rev().filter(|&length| generation_prompt.is_char_boundary(length));
    for length in lengths {
        let head = &generation_prompt[..length];
        if let Some(at) = literal.rfind(head)
            && only_think_tags(&literal[at + length..])
        {
            return at + length;
        }
    }
    let body = literal.trim_end();
    body.strip_suffix(THINK_OPEN).or_else(|| literal.strip_suffix(gap)).map_or(literal.len(), str::len)
}

/// Where the restored reasoning begins in the literal before a turn: behind the generation prompt up to its own
/// think tag, whatever white space or empty think block follows.
fn restored_start(literal: &str, habits: &Habits) -> usize {
    completion_start(literal, before_tags(&habits.generation_prompt), &habits.gap)
}

/// A text up to its first think tag.
fn before_tags(text: &str) -> &str {
    [THINK_OPEN, THINK_CLOSE].iter().fold(text, |text, tag| text.split_once(tag).map_or(text, |(head, _)| head))
}

fn only_think_tags(text: &str) -> bool {
    let mut rest = text.trim_start();
    while let Some(after) = rest.strip_prefix(THINK_OPEN).or_else(|| rest.strip_prefix(THINK_CLOSE)) {
        rest = after.trim_start();
    }
    rest.is_empty()
}
