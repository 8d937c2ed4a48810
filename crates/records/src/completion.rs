//! The forms in which reasoning and answer share one completion.
//!
//! Reasoning models write `<think>reasoning</think>answer`. Newer chat templates put `<think>` into the prompt, so that
//! the completion starts inside it; some models leave the block empty, never close it, or close it twice. The `teacher`
//! splits completions with this module and `verify` judges their format with it, which is why it stands here: the two
//! crates may not know each other.

use memchr::memmem;

/// The opening tag of reasoning.
pub const THINK_OPEN: &str = "<think>";
/// The closing tag of reasoning.
pub const THINK_CLOSE: &str = "</think>";

/// How the think tags stand in a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinkForm {
    /// `<think>reasoning</think>answer`.
    Complete,
    /// `reasoning</think>answer`: the template had already written `<think>`.
    Prefilled,
    /// `<think></think>answer`, with nothing but white space between the tags.
    Empty,
    /// `<think>reasoning` and no close: cut off, or still thinking.
    Unclosed,
    /// More than one `</think>`.
    Several,
    /// No tag at all.
    Absent,
}

/// A completion, split at its think tags. Both parts are trimmed of surrounding white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// How the tags stand.
    pub form: ThinkForm,
    /// The text inside the tags; `None` when there are no tags or nothing between them.
    pub reasoning: Option<&'a str>,
    /// The text after the tags; `None` when the reasoning never ended or nothing follows it.
    pub answer: Option<&'a str>,
}

/// Splits `completion` into reasoning and answer.
///
/// With several closing tags the reasoning ends at the last, so that nothing that the model wrote is lost: tags and text
/// between them belong to the reasoning, and the form says [`ThinkForm::Several`].
pub fn split(completion: &str) -> Parts<'_> {
    let text = completion.trim_start();
    let (opened, body) = match text.strip_prefix(THINK_OPEN) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let Some(first_close) = memmem::find(body.as_bytes(), THINK_CLOSE.as_bytes()) else {
        return if opened {
            Parts { form: ThinkForm::Unclosed, reasoning: non_empty(body), answer: None }
        } else {
            Parts { form: ThinkForm::Absent, reasoning: None, answer: non_empty(body) }
        };
    };
    let last_close = memmem::find_iter(body.as_bytes(), THINK_CLOSE.as_bytes()).last().unwrap_or(first_close);
    let reasoning = non_empty(&body[..last_close]);
    let answer = non_empty(&body[last_close + THINK_CLOSE.len()..]);
    let form = match (first_close == last_close, opened, reasoning) {
        (false, _, _) => ThinkForm::Several,
        (true, _, None) => ThinkForm::Empty,
        (true, true, Some(_)) => ThinkForm::Complete,
        (true, false, Some(_)) => ThinkForm::Prefilled,
    };
    Parts { form, reasoning, answer }
}

/// Writes reasoning and answer as one completion, in the form `<think>\nreasoning\n</think>\n\nanswer`.
pub fn join(reasoning: Option<&str>, answer: &str) -> String {
    match reasoning {
        Some(reasoning) => format!("{THINK_OPEN}\n{reasoning}\n{THINK_CLOSE}\n\n{answer}"),
        None => answer.to_owned(),
    }
}

fn non_empty(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_told_apart() {
        for (text, form, reasoning, answer) in [
            ("<think>\na\n</think>\n\nb", ThinkForm::Complete, Some("a"), Some("b")),
            ("a</think>b", ThinkForm::Prefilled, Some("a"), Some("b")),
            ("<think>\n\n</think>\n\nb", ThinkForm::Empty, None, Some("b")),
            ("<think>a", ThinkForm::Unclosed, Some("a"), None),
            ("<think>a</think>b</think>c", ThinkForm::Several, Some("a</think>b"), Some("c")),
            ("b", ThinkForm::Absent, None, Some("b")),
            ("<think>a</think>", ThinkForm::Complete, Some("a"), None),
            ("", ThinkForm::Absent, None, None),
        ] {
            assert_eq!(split(text), Parts { form, reasoning, answer }, "{text:?}");
        }
    }

    #[test]
    fn nothing_between_several_blocks_is_lost() {
        let parts = split("<think>a</think>first<think>b</think>c");
        assert_eq!((parts.reasoning, parts.answer), (Some("a</think>first<think>b"), Some("c")));
    }

    #[test]
    fn join_and_split_are_inverse() {
        let text = join(Some("a"), "b");
        assert_eq!(split(&text), Parts { form: ThinkForm::Complete, reasoning: Some("a"), answer: Some("b") });
    }
}
