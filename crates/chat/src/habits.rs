//! What a chat template does around an assistant's turn, learnt by rendering small conversations.

use retort_records::completion::{THINK_CLOSE, THINK_OPEN};

use crate::conversation::ChatMessage;

/// Texts that no template contains, to see where it puts what it is given.
const PROBE: &str = "\u{f8e2}probe\u{f8e3}";
const PROBE_USER: &str = "\u{f8e2}user\u{f8e3}";
const PROBE_REASONING: &str = "\u{f8e2}reasoning\u{f8e3}";

/// Where a template leaves out reasoning that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletedReasoning {
    /// In the last assistant turn, after which nobody speaks: fatal for training through the template.
    pub final_turn: bool,
    /// In assistant turns that a user's message follows: intended by most reasoning models.
    pub earlier_turn: bool,
}

/// What probing has shown of a template. A template that refuses a probe keeps the default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Habits {
    /// Whether it prints a message's `reasoning_content`.
    pub reads_reasoning: bool,
    pub deleted: Option<DeletedReasoning>,
    /// What opens the assistant's turn.
    pub generation_prompt: String,
    /// White space between the rendered prompt and the assistant's text, such as the space that Mistral's templates
    /// write behind `[/INST]`: the model writes it, so it counts in the loss.
    pub gap: String,
    /// What follows the last assistant message.
    pub end_of_turn: String,
    /// What the template writes to open turns: no token of it ends one.
    pub opening: String,
}

impl Habits {
    /// The habits of a template that `render` renders, with or without the text that opens the assistant's turn; an
    /// empty text is a refusal.
    pub(crate) fn of(render: impl Fn(&[ChatMessage], bool) -> String) -> Self {
        let say = |role: &str, content: &str, reasoning: Option<&str>| ChatMessage {
            role: role.to_owned(),
            content: content.to_owned(),
            reasoning: reasoning.map(ToOwned::to_owned),
        };
        let user = say("user", PROBE_USER, None);
        let field = say("assistant", PROBE, Some(PROBE_REASONING));
        let inline = say("assistant", &format!("{THINK_OPEN}\n{PROBE_REASONING}\n{THINK_CLOSE}\n\n{PROBE}"), None);

        let closed = render(std::slice::from_ref(&user), false);
        let open = render(std::slice::from_ref(&user), true);
        let plain = render(&[user.clone(), say("assistant", PROBE, None)], false);
        let (before, end_of_turn) = plain.rsplit_once(PROBE).unwrap_or_default();
        let gap = before.strip_prefix(open.as_str()).filter(|gap| gap.trim().is_empty()).unwrap_or_default();
        let reads_reasoning = render(&[user.clone(), field.clone()], false).contains(PROBE_REASONING);

        let speak = if reads_reasoning { field } else { inline };
        let last = render(&[user.clone(), speak.clone()], false);
        let earlier = render(&[user.clone(), speak, user, say("assistant", "b", None)], false);
        let deleted = (!last.is_empty() && !earlier.is_empty()).then(|| DeletedReasoning {
            final_turn: !last.contains(PROBE_REASONING),
            earlier_turn: !earlier.contains(PROBE_REASONING),
        });
        let generation_prompt = opens(&closed, &open);
        let header = closed.split_once(PROBE_USER).map_or("", |(header, _)| header);
        let opening = format!("{}{generation_prompt}", last_opening(header, end_of_turn.trim(), &generation_prompt));
        Self {
            reads_reasoning,
            deleted,
            generation_prompt,
            gap: gap.to_owned(),
            end_of_turn: end_of_turn.to_owned(),
            opening,
        }
    }

    pub(crate) fn prefills_think(&self) -> bool {
        self.generation_prompt.trim_end().ends_with(THINK_OPEN)
    }
}

/// What the open rendering has behind the closed one. Some templates end a closed conversation with a token that an
/// open one does not have (Phi's `<|endoftext|>`); then it is what follows their common beginning.
fn opens(closed: &str, open: &str) -> String {
    if closed.is_empty() {
        return String::new();
    }
    if let Some(prompt) = open.strip_prefix(closed) {
        return prompt.to_owned();
    }
    match (open.split_once(PROBE_USER), closed.split_once(PROBE_USER)) {
        (Some((before, prompt)), Some((same, end))) if before == same => {
            let shared = common_prefix(prompt, end);
            prompt[shared..].to_owned()
        }
        _ => String::new(),
    }
}

/// What opens the turn at the end of a header: the text behind the end of the turn before it (a system prompt of the
/// template's own, say), and from the tag with which turns are opened.
fn last_opening<'a>(header: &'a str, end_of_turn: &str, generation_prompt: &str) -> &'a str {
    let mut suffixes = end_of_turn.char_indices().map(|(at, _)| &end_of_turn[at..]).filter(|suffix| suffix.len() > 2);
    let behind = suffixes.find_map(|suffix| header.rfind(suffix).map(|at| at + suffix.len()));
    let header = &header[behind.unwrap_or(0)..];
    let tag = generation_prompt.find(['>', ']']).map_or("", |at| &generation_prompt[..=at]);
    if tag.is_empty() { header } else { header.rfind(tag).map_or(header, |at| &header[at..]) }
}

/// Bytes of the longest common beginning.
pub(crate) fn common_prefix(a: &str, b: &str) -> usize {
    a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y).map_or(a.len().min(b.len()), |((at, _), _)| at)
}
