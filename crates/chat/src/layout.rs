//! Where each message stands in the rendered conversation.
//!
//! The template is rendered twice: once with the messages' own texts, once with a marker in place of each. The second
//! rendering shows what the template itself writes around every message, the first what it does to their texts
//! (many templates trim them); matching the two gives the byte span of each message without guessing from content.

use std::collections::BTreeSet;
use std::ops::Range;

use retort_records::completion::{self, THINK_CLOSE, THINK_OPEN, ThinkForm};
use retort_records::{Message, SftMessage};

use crate::template::{ChatMessage, ChatTemplate, RenderOptions};
use crate::tokenizer::{Author, Tokenizer};
use crate::{ChatError, Warning};

const MARK: char = '\u{f8e0}';
const MARK_END: char = '\u{f8e1}';
/// Combinations of trimmed texts that are tried before a rendering counts as rewritten.
const ALIGN_STEPS: usize = 20_000;

/// A message, with its reasoning taken apart where that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn<'a> {
    pub role: &'a str,
    pub reasoning: Option<&'a str>,
    pub content: &'a str,
    pub train: bool,
}

impl<'a> Turn<'a> {
    /// A turn of a training example. Reasoning that stands in the content of a trained assistant is taken out of it.
    pub(crate) fn of_sft(message: &'a SftMessage) -> Self {
        let SftMessage { role, reasoning, content, train } = message;
        let reasoning = reasoning.as_deref().filter(|text| !text.is_empty());
        let turn = Self { role, reasoning, content, train: *train };
        if *train { turn.apart() } else { turn }
    }

    /// A turn of a prompt.
    pub(crate) fn of_prompt(message: &'a Message) -> Self {
        Self { role: &message.role, reasoning: None, content: &message.content, train: false }
    }

    /// The turn with reasoning that stands in an assistant's content taken out of it.
    fn apart(self) -> Self {
        let parts = completion::split(self.content);
        match parts.form {
            ThinkForm::Complete | ThinkForm::Prefilled if self.role == "assistant" && self.reasoning.is_none() => {
                Self { reasoning: parts.reasoning, content: parts.answer.unwrap_or_default(), ..self }
            }
            _ => self,
        }
    }

    pub(crate) fn author(&self) -> Author {
        if self.role == "assistant" { Author::Assistant } else { Author::Other }
    }
}

/// A rendered conversation.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// The text, ready to be tokenised.
    pub text: String,
    /// Byte spans of the messages' own texts, in order, with who wrote them.
    pub spans: Vec<(Range<usize>, Author)>,
    /// Byte spans that the loss counts, in order.
    pub trained: Vec<Trained>,
    pub warnings: Vec<Warning>,
}

/// A span that the loss counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trained {
    pub bytes: Range<usize>,
    /// How far the end of the turn may lie behind the span: the control token found in it is trained as well.
    pub end_within: usize,
    /// Whether this is the end of the conversation, where a missing end of turn is supplied.
    pub last: bool,
}

/// A stretch of the marked rendering.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Written by the template.
    Literal(String),
    /// A message's reasoning or content.
    Slot(Slot),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    turn: usize,
    reasoning: bool,
}

impl Layout {
    /// Lays a conversation out with the model's template.
    pub(crate) fn by_template(
        template: &ChatTemplate,
        turns: &[Turn<'_>],
        options: RenderOptions,
    ) -> Result<Self, ChatError> {
        match Self::as_given(template, turns, options) {
            // A template that takes earlier turns apart itself is shown them in parts.
            Err(ChatError::Rewritten { .. }) => {
                let apart: Vec<_> = turns.iter().cloned().map(Turn::apart).collect();
                Self::as_given(template, &apart, options)
            }
            layout => layout,
        }
    }

    fn as_given(template: &ChatTemplate, turns: &[Turn<'_>], options: RenderOptions) -> Result<Self, ChatError> {
        let mut restored = BTreeSet::new();
        let mut pieces = marked(template, turns, options, &restored)?;
        let missing = |pieces: &[Piece], index: usize, reasoning: bool| {
            !pieces.contains(&Piece::Slot(Slot { turn: index, reasoning }))
        };
        for (index, turn) in turns.iter().enumerate().filter(|(_, turn)| turn.train) {
            if turn.reasoning.is_some() && missing(&pieces, index, true) {
                restored.insert(index);
            }
        }
        if !restored.is_empty() {
            pieces = marked(template, turns, options, &restored)?;
        }
        if let Some((index, turn)) = turns
            .iter()
            .enumerate()
            .find(|(index, turn)| turn.train && !turn.content.is_empty() && missing(&pieces, *index, false))
        {
            return Err(ChatError::Rewritten { index, role: turn.role.to_owned() });
        }
        let rendered = template.render(&messages(template, turns, &restored, |_, text| text.to_owned()), options)?;
        let texts = align(&pieces, turns, &rendered)?;
        Ok(Self::assemble(template, turns, &pieces, &texts, &restored))
    }

    /// Lays a conversation out without a template: contents follow one another, a line feed before every message of a
    /// user, system or tool but the first, nothing before an assistant's, and the end-of-sequence token after it.
    pub(crate) fn plain(tokenizer: &Tokenizer, turns: &[Turn<'_>]) -> Result<Self, ChatError> {
        let mut layout = Self::default();
        if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.writes_bos()) {
            layout.text.push_str(&bos.text);
        }
        let eos = &tokenizer.eos().ok_or(ChatError::NoEndOfSequence)?.text;
        for (index, turn) in turns.iter().enumerate() {
            if turn.author() != Author::Assistant && index > 0 {
                layout.text.push('\n');
            }
            let start = layout.text.len();
            let said = completion::join(turn.reasoning, turn.content);
            layout.text.push_str(&said);
            layout.spans.push((start..layout.text.len(), turn.author()));
            let end = layout.text.len();
            if turn.author() == Author::Assistant {
                layout.text.push_str(eos);
            }
            if turn.train && !said.is_empty() {
                let end_within = layout.text.len() - end;
                layout.trained.push(Trained { bytes: start..end, end_within, last: index + 1 == turns.len() });
            }
        }
        Ok(layout)
    }

    /// Puts the messages' texts between the template's own, and finds where the trained turns begin and end.
    fn assemble(
        template: &ChatTemplate,
        turns: &[Turn<'_>],
        pieces: &[Piece],
        texts: &[String],
        restored: &BTreeSet<usize>,
    ) -> Self {
        let mut layout = Self::default();
        let mut texts = texts.iter();
        let mut open: Option<(usize, usize)> = None;
        for (at, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Literal(literal) => {
                    let opened = pieces[at + 1..].first().and_then(|next| match next {
                        Piece::Slot(slot)
                            if turns[slot.turn].train && open.is_none_or(|(turn, _)| turn != slot.turn) =>
                        {
                            Some(slot.turn)
                        }
                        _ => None,
                    });
                    // Behind a trained turn, only what also follows the last turn of a conversation ends it.
                    if let Some((turn, start)) = open {
                        let ends =
                            !pieces[at + 1..].iter().any(|next| matches!(next, Piece::Slot(slot) if slot.turn == turn));
                        if ends {
                            let end_within = common_prefix(literal, template.end_of_turn());
                            let last = at + 1 == pieces.len();
                            layout.trained.push(Trained { bytes: start..layout.text.len(), end_within, last });
                            open = None;
                        }
                    }
                    match opened {
                        Some(turn) if restored.contains(&turn) => {
                            layout.text.push_str(&literal[..restored_start(literal, template)]);
                            let start = layout.restore(template, turns[turn].reasoning.unwrap_or_default());
                            layout.warnings.push(Warning::ReasoningRestored { message: turn });
                            open = Some((turn, start));
                        }
                        Some(turn) => {
                            let start = completion_start(literal, template.generation_prompt(), template.gap());
                            open = Some((turn, layout.text.len() + start));
                            layout.text.push_str(literal);
                        }
                        None => layout.text.push_str(literal),
                    }
                }
                Piece::Slot(slot) => {
                    let turn = &turns[slot.turn];
                    let start = layout.text.len();
                    if turn.train && open.is_none() {
                        open = Some((slot.turn, start));
                    }
                    layout.text.push_str(texts.next().map_or("", String::as_str));
                    layout.spans.push((start..layout.text.len(), turn.author()));
                }
            }
        }
        if let Some((_, start)) = open {
            layout.trained.push(Trained { bytes: start..layout.text.len(), end_within: 0, last: true });
        }
        layout
    }

    /// Writes reasoning that the template deletes, in the model's own markup; returns where the completion begins.
    fn restore(&mut self, template: &ChatTemplate, reasoning: &str) -> usize {
        let prefilled = template.prefills_think();
        let mut start = self.text.len();
        self.text.push_str(THINK_OPEN);
        if prefilled {
            start = self.text.len();
        }
        self.text.push('\n');
        if prefilled && template.generation_prompt().ends_with('\n') {
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

/// The messages for the template, each text passed through `write`.
fn messages(
    template: &ChatTemplate,
    turns: &[Turn<'_>],
    restored: &BTreeSet<usize>,
    write: impl Fn(Slot, &str) -> String,
) -> Vec<ChatMessage> {
    let message = |(index, turn): (usize, &Turn<'_>)| {
        let put = |reasoning: bool, text: &str| {
            if text.is_empty() { String::new() } else { write(Slot { turn: index, reasoning }, text) }
        };
        let content = put(false, turn.content);
        let reasoning = turn.reasoning.filter(|_| !restored.contains(&index)).map(|text| put(true, text));
        let (content, reasoning) = match reasoning {
            Some(reasoning) if !template.reads_reasoning() => (completion::join(Some(&reasoning), &content), None),
            reasoning => (content, reasoning),
        };
        ChatMessage { role: turn.role.to_owned(), content, reasoning }
    };
    turns.iter().enumerate().map(message).collect()
}

/// Renders with a marker in place of every text.
fn marked(
    template: &ChatTemplate,
    turns: &[Turn<'_>],
    options: RenderOptions,
    restored: &BTreeSet<usize>,
) -> Result<Vec<Piece>, ChatError> {
    let mark = |slot: Slot, _: &str| format!("{MARK}{}{}{MARK_END}", if slot.reasoning { 'r' } else { 'c' }, slot.turn);
    let text = template.render(&messages(template, turns, restored, mark), options)?;
    let mut pieces = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(MARK) {
        if !before.is_empty() {
            pieces.push(Piece::Literal(before.to_owned()));
        }
        let slot = after.split_once(MARK_END).and_then(|(name, after)| {
            let reasoning = name.starts_with('r');
            let turn = name.get(1..)?.parse().ok()?;
            (turn < turns.len()).then_some((Slot { turn, reasoning }, after))
        });
        let (slot, after) = slot.ok_or_else(|| ChatError::TemplateFails {
            reason: "it cuts or changes the text of a message".to_owned(),
        })?;
        pieces.push(Piece::Slot(slot));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

/// Finds what `rendered` puts into each slot of `pieces`: the text itself, or the text trimmed.
fn align(pieces: &[Piece], turns: &[Turn<'_>], rendered: &str) -> Result<Vec<String>, ChatError> {
    let slot_text = |slot: &Slot| {
        let turn = &turns[slot.turn];
        if slot.reasoning { turn.reasoning.unwrap_or_default() } else { turn.content }
    };
    let slots: Vec<&Slot> =
        pieces.iter().filter_map(|piece| if let Piece::Slot(slot) = piece { Some(slot) } else { None }).collect();
    let mut search = Search { pieces, rendered, texts: Vec::new(), steps: ALIGN_STEPS, reached: 0 };
    if search.from(0, 0, &slot_text) {
        return Ok(search.texts.into_iter().map(ToOwned::to_owned).collect());
    }
    let index = slots.get(search.reached).or(slots.last()).map_or(0, |slot| slot.turn);
    let role = turns.get(index).map_or("", |turn| turn.role).to_owned();
    Err(ChatError::Rewritten { index, role })
}

/// A depth-first search over the ways in which a template may have trimmed the texts.
struct Search<'a> {
    pieces: &'a [Piece],
    rendered: &'a str,
    texts: Vec<&'a str>,
    steps: usize,
    /// The slot at which the furthest attempt failed.
    reached: usize,
}

impl<'a> Search<'a> {
    fn from(&mut self, piece: usize, byte: usize, slot_text: &dyn Fn(&Slot) -> &'a str) -> bool {
        let mut piece = piece;
        let mut byte = byte;
        while let Some(Piece::Literal(literal)) = self.pieces.get(piece) {
            if !self.rendered[byte..].starts_with(literal.as_str()) {
                return false;
            }
            byte += literal.len();
            piece += 1;
        }
        let Some(Piece::Slot(slot)) = self.pieces.get(piece) else { return byte == self.rendered.len() };
        self.reached = self.reached.max(self.texts.len());
        let text = slot_text(slot);
        let lines = |c: char| c == '\n';
        let variants = [
            text,
            text.trim(),
            text.trim_start(),
            text.trim_end(),
            text.trim_matches(lines),
            text.trim_start_matches(lines),
            text.trim_end_matches(lines),
        ];
        for (index, variant) in variants.iter().enumerate() {
            if self.steps == 0 {
                return false;
            }
            if variants[..index].contains(variant) || !self.rendered[byte..].starts_with(variant) {
                continue;
            }
            self.steps -= 1;
            self.texts.push(variant);
            if self.from(piece + 1, byte + variant.len(), slot_text) {
                return true;
            }
            self.texts.pop();
        }
        false
    }
}

/// Where the completion begins in the literal before a trained turn: behind the generation prompt, or behind as much
/// of it as stands there, when only think tags and white space follow; without one, before the gap.
fn completion_start(literal: &str, generation_prompt: &str, gap: &str) -> usize {
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
fn restored_start(literal: &str, template: &ChatTemplate) -> usize {
    let head = [THINK_OPEN, THINK_CLOSE]
        .iter()
        .fold(template.generation_prompt(), |text, tag| text.split_once(tag).map_or(text, |(head, _)| head));
    completion_start(literal, head, template.gap())
}

fn only_think_tags(text: &str) -> bool {
    let mut rest = text.trim_start();
    while let Some(after) = rest.strip_prefix(THINK_OPEN).or_else(|| rest.strip_prefix(THINK_CLOSE)) {
        rest = after.trim_start();
    }
    rest.is_empty()
}

fn common_prefix(a: &str, b: &str) -> usize {
    a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y).map_or(a.len().min(b.len()), |((at, _), _)| at)
}
