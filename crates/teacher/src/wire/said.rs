//! A message or a part of one, in the dialects of the servers.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// What the model said. vLLM calls the reasoning `reasoning`, DeepSeek and SGLang `reasoning_content`; some send both.
#[derive(Deserialize)]
pub(super) struct Said {
    #[serde(default)]
    content: Content,
    #[serde(default)]
    reasoning_content: Content,
    #[serde(default)]
    reasoning: Content,
    #[serde(default)]
    refusal: Content,
}

impl Said {
    /// Adds what was said to the reasoning and the content so far.
    pub(super) fn append_to(self, reasoning: &mut String, content: &mut String) {
        let split_off =
            if self.reasoning_content.text.is_empty() { self.reasoning.text } else { self.reasoning_content.text };
        append(reasoning, split_off);
        append(reasoning, self.content.thinking);
        append(content, self.content.text);
        append(content, self.refusal.text);
    }
}

fn append(whole: &mut String, part: String) {
    if whole.is_empty() {
        *whole = part;
    } else {
        whole.push_str(&part);
    }
}

/// A text, a list of typed parts (Mistral), or nothing.
#[derive(Default)]
struct Content {
    text: String,
    thinking: String,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Content,
    #[serde(default)]
    thinking: Content,
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a text, a list of parts or null")
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content { text: text.to_owned(), thinking: String::new() })
    }

    fn visit_string<E>(self, text: String) -> Result<Content, E> {
        Ok(Content { text, thinking: String::new() })
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
        let mut whole = Content::default();
        while let Some(part) = parts.next_element::<Part>()? {
            whole.text.push_str(&part.text.text);
            whole.thinking.push_str(&part.thinking.text);
        }
        Ok(whole)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Content, A::Error> {
        // Structured reasoning of a form nobody documents: not text.
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Content::default())
    }
}
