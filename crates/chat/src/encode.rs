//! Conversations to token ids, with the loss mask made from byte spans of the rendered text.
//!
//! Rules that hold for every example:
//! - A token counts in the loss when it lies wholly inside a trained turn; one that straddles the beginning belongs to
//!   the prompt. The token that ends the turn counts as well, the line feed that templates write after it does not.
//! - Reasoning of a trained turn is always kept, whatever the template does with it. A turn that was cut off inside its
//!   reasoning is not trained: an end of turn must not stand inside a thought.
//! - Special tokens come from the template alone. Text in a user's message that looks like one is ordinary text;
//!   in an assistant's, only tags such as `<think>` are recognised.
//! - Without a template: contents follow one another, a line feed before each message of a user, system or tool but the
//!   first and nothing before an assistant's; the end-of-sequence token follows every assistant turn. Reasoning is
//!   written as by [`retort_records::completion::join`]. The beginning-of-sequence token stands first where
//!   the tokenizer's own files ask for one, and never twice.

use std::ops::Range;

use retort_records::completion::{self, THINK_CLOSE, THINK_OPEN, ThinkForm};
use retort_records::{Message, SftMessage};

use crate::ChatError;
use crate::conversation::{Conversation, Turn};
use crate::habits::Habits;
use crate::layout::{Layout, Trained};
use crate::reasoning;
use crate::template::{ChatTemplate, RenderOptions};
use crate::tokenizer::{Author, Placed, Tokenizer};

/// A tokenised training example.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids of the whole conversation.
    pub input_ids: Vec<u32>,
    /// For each token, whether it counts in the loss. As long as `input_ids`; the label of a position is the token
    /// itself, shifting it against the logits is the trainer's business.
    pub labels_mask: Vec<bool>,
    /// What was done differently from the model's template.
    pub warnings: Vec<Warning>,
}

impl Encoded {
    /// Number of tokens that count in the loss.
    pub fn trained_tokens(&self) -> usize {
        self.labels_mask.iter().filter(|&&counts| counts).count()
    }

    /// Number of tokens before the first one that counts in the loss.
    pub fn prompt_tokens(&self) -> usize {
        self.labels_mask.iter().take_while(|&&counts| !counts).count()
    }
}

/// Something about an example that a person may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The template deletes the reasoning of this trained message; it was written back in the model's own markup.
    ReasoningRestored {
        /// Position of the message in the conversation, from 0.
        message: usize,
    },
    /// Neither the template nor the tokenizer ends the trained turn, so nothing teaches the model to stop.
    NoEndOfTurn,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ReasoningRestored { message } => write!(
                formatter,
                "chat template deletes the reasoning of the trained message at position {message}; it was kept"
            ),
            Self::NoEndOfTurn => write!(formatter, "no token ends the trained turn"),
        }
    }
}

/// Tokenises a training example; the messages with `train` count in the loss, reasoning and end of turn included.
pub fn encode_example(
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    messages: &[SftMessage],
) -> Result<Encoded, ChatError> {
    encode_conversation(tokenizer, template, &messages.iter().collect())
}

/// Tokenises a conversation; the turns with `train` count in the loss: reasoning, content, tool calls and the end of
/// the turn.
pub fn encode_conversation(
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    conversation: &Conversation,
) -> Result<Encoded, ChatError> {
    if !conversation.turns.iter().any(|turn| turn.train && turn.says_something()) {
        return Err(ChatError::NothingTrained);
    }
    let layout = match template {
        Some(template) => Layout::by_template(template, conversation, RenderOptions::default())?,
        None => Layout::plain(tokenizer, conversation)?,
    };
    finish(tokenizer, layout)
}

/// Tokenises a prompt up to the point where the assistant speaks.
pub fn encode_prompt(
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    messages: &[Message],
) -> Result<Vec<u32>, ChatError> {
    encode_conversation_prompt(tokenizer, template, &messages.iter().collect())
}

/// Tokenises a conversation up to the point where the assistant speaks.
pub fn encode_conversation_prompt(
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    conversation: &Conversation,
) -> Result<Vec<u32>, ChatError> {
    let layout = prompt_layout(tokenizer, template, conversation)?;
    let tokens = tokenizer.place(&layout.text, &layout.spans)?;
    Ok(ids(tokenizer, &tokens))
}

/// Tokenises a prompt and one completion of it, of which every token counts in the loss.
///
/// The completion is taken word for word (so both sides of a preference pair are what the teacher wrote), except that
/// its `<think>` is left out when the template has written one, and supplied when neither has. The end of turn follows,
/// unless the completion never left its reasoning: such a text was cut off and must not teach the model to stop there.
pub fn encode_pair(
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    prompt: &[Message],
    completion: &str,
) -> Result<Encoded, ChatError> {
    encode_completion(tokenizer, template, &prompt.iter().collect(), completion)
}

/// Tokenises the prompt that a conversation is, and one completion of it, as by [`encode_pair`].
pub fn encode_completion(
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    prompt: &Conversation,
    completion: &str,
) -> Result<Encoded, ChatError> {
    let mut layout = prompt_layout(tokenizer, template, prompt)?;
    let habits = template.map(|template| template.for_tools(prompt).habits(prompt));
    let prefilled = habits.as_ref().is_some_and(Habits::prefills_think);
    let closed = layout.text.trim_end().ends_with(THINK_CLOSE);
    let mut said = completion;
    let form = completion::split(completion).form;
    if prefilled {
        let text = completion.trim_start();
        if let Some(rest) = text.strip_prefix(THINK_OPEN) {
            let written = layout.text.ends_with('\n');
            said = rest.strip_prefix('\n').filter(|_| written).unwrap_or(rest);
        }
    }
    let start = layout.text.len();
    if !prefilled && !closed && form == ThinkForm::Prefilled && !reasoning::only_spoken_of(completion) {
        layout.text.push_str(THINK_OPEN);
        layout.text.push('\n');
    }
    let from = layout.text.len();
    layout.text.push_str(said);
    let end = layout.text.len();
    layout.spans.push((from..end, Author::Assistant));
    if end == start {
        return Err(ChatError::NothingTrained);
    }
    // A completion that starts inside its reasoning and never closes it was cut off like one that opens it itself.
    let cut = form == ThinkForm::Unclosed || (prefilled && !closed && !said.contains(THINK_CLOSE));
    if cut {
        let tokens = tokenizer.place(&layout.text, &layout.spans)?;
        let labels_mask = tokens.iter().map(|token| token.bytes.start >= start).collect();
        return Ok(Encoded { input_ids: ids(tokenizer, &tokens), labels_mask, warnings: layout.warnings });
    }
    let end_of_turn = match (&habits, tokenizer.eos()) {
        (Some(habits), _) => habits.end_of_turn.as_str(),
        (None, Some(eos)) => &eos.text,
        (None, None) => return Err(ChatError::NoEndOfSequence),
    };
    layout.text.push_str(end_of_turn);
    layout.trained = vec![Trained { bytes: start..end, closing: 0, end_within: end_of_turn.len(), last: true }];
    finish(tokenizer, layout)
}

/// The ids at which generation stops: the token that ends a turn of the template, and the tokenizer's own
/// end-of-sequence token. Sorted, without repeats.
pub fn stop_ids(tokenizer: &Tokenizer, template: Option<&ChatTemplate>) -> Vec<u32> {
    let mut stops: Vec<u32> = tokenizer.eos().map(|token| token.id).into_iter().collect();
    if let Some(template) = template {
        let text = template.end_of_turn().to_owned();
        let tokens = tokenizer.place(&text, &[]).unwrap_or_default();
        let length = text.len();
        let layout = Layout { text, ..Layout::default() };
        let ending = end_tokens(tokenizer, &layout, &tokens, 0, length);
        stops.extend(ending.and_then(|ending| tokens[ending].last().map(|token| token.id)));
    }
    stops.sort_unstable();
    stops.dedup();
    stops
}

fn prompt_layout(
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    conversation: &Conversation,
) -> Result<Layout, ChatError> {
    let turns = conversation.turns.iter().map(|turn| Turn { train: false, ..turn.clone() }).collect();
    let prompt = Conversation { turns, ..conversation.clone() };
    let options = RenderOptions { add_generation_prompt: true, enable_thinking: None };
    match template {
        Some(template) => Layout::by_template(template, &prompt, options),
        None => Layout::plain(tokenizer, &prompt),
    }
}

/// Tokenises a layout and marks the tokens of its trained spans.
fn finish(tokenizer: &Tokenizer, mut layout: Layout) -> Result<Encoded, ChatError> {
    let mut tokens = tokenizer.place(&layout.text, &layout.spans)?;
    let mut labels_mask = vec![false; tokens.len()];
    let mut supplied = None;
    for span in &layout.trained {
        let first = tokens.partition_point(|token| token.bytes.start < span.bytes.start);
        let closed = closing_token(tokenizer, &layout, &tokens, span);
        let mut end = closed.map_or(span.bytes.end, |at| tokens[at].bytes.end);
        let ending =
            if closed.is_some() { None } else { end_tokens(tokenizer, &layout, &tokens, end, end + span.end_within) };
        if span.last && closed.is_none() && ending.is_none() {
            // No control token ends the turn: what the template writes on it is trained, and one is supplied.
            end += layout.text[end..end + span.closing].trim_end().len();
        }
        for (token, counts) in tokens.iter().zip(&mut labels_mask).skip(first) {
            *counts |= token.bytes.end <= end && token.bytes.start < end;
        }
        if let Some(ending) = ending {
            labels_mask[ending.clone()].fill(true);
            // White space between the completion and its end is the model's to write, too.
            for (token, counts) in tokens[..ending.start].iter().zip(&mut labels_mask).rev() {
                if token.bytes.start < end {
                    break;
                }
                *counts = true;
            }
        } else if span.last && closed.is_none() {
            supplied = Some(end);
        }
    }
    if let Some(end) = supplied {
        match tokenizer.eos() {
            Some(eos) => {
                let keep = tokens.partition_point(|token| token.bytes.start < end);
                tokens.truncate(keep);
                labels_mask.truncate(keep);
                tokens.push(Placed { id: eos.id, bytes: end..end });
                labels_mask.push(true);
            }
            None => layout.warnings.push(Warning::NoEndOfTurn),
        }
    }
    let input_ids = ids(tokenizer, &tokens);
    let labels_mask = labels_mask.split_off(labels_mask.len() - input_ids.len());
    if !labels_mask.contains(&true) {
        return Err(ChatError::NothingTrained);
    }
    Ok(Encoded { input_ids, labels_mask, warnings: layout.warnings })
}

/// The last control token of what the template writes on behind a span, unless it opens another turn.
fn closing_token(tokenizer: &Tokenizer, layout: &Layout, tokens: &[Placed], span: &Trained) -> Option<usize> {
    let (from, to) = (span.bytes.end, span.bytes.end + span.closing);
    let first = tokens.partition_point(|token| token.bytes.start < from);
    let inside = tokens[first..].iter().take_while(|token| token.bytes.end <= to);
    let closes = |token: &Placed| !layout.opening.contains(&layout.text[token.bytes.clone()]);
    let own = inside.take_while(|token| !tokenizer.is_control(token.id) || closes(token));
    own.enumerate().filter(|(_, token)| tokenizer.is_control(token.id)).last().map(|(at, _)| first + at)
}

/// The control tokens that end a turn: the first behind byte `from`, but for white space, that ends by `to`, and those
/// right behind it. A token that opens turns ends none.
fn end_tokens(
    tokenizer: &Tokenizer,
    layout: &Layout,
    tokens: &[Placed],
    from: usize,
    to: usize,
) -> Option<Range<usize>> {
    let text = &layout.text;
    let ends = |token: &Placed| {
        tokenizer.is_control(token.id) && token.bytes.end <= to && !layout.opening.contains(&text[token.bytes.clone()])
    };
    let first = tokens.partition_point(|token| token.bytes.start < from);
    let at = first + tokens[first..].iter().position(|token| tokenizer.is_control(token.id))?;
    if !ends(&tokens[at]) || !text[from..tokens[at].bytes.start].trim().is_empty() {
        return None;
    }
    let run = tokens[at..].windows(2).take_while(|pair| pair[0].bytes.end == pair[1].bytes.start && ends(&pair[1]));
    Some(at..at + 1 + run.count())
}

/// The tokens' ids. A second beginning-of-sequence token right after the first is left out: some templates write one
/// where the messages' texts are joined behind another.
fn ids(tokenizer: &Tokenizer, tokens: &[Placed]) -> Vec<u32> {
    let bos = tokenizer.bos().map(|token| token.id);
    let doubled = tokens.len() > 1 && bos == Some(tokens[0].id) && bos == Some(tokens[1].id);
    tokens.iter().skip(usize::from(doubled)).map(|token| token.id).collect()
}
