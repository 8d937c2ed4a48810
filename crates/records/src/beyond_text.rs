//! What a conversation holds beyond texts: tools, calls of tools, pictures.

use serde_json::{Map, Value};

/// Keys of a row under which files that are no text stand.
pub const MEDIA: [&str; 6] = ["images", "image", "videos", "video", "audios", "audio"];

/// What a row holds beyond the texts of its messages, as it came. Tables keep it as JSON text in a column of its own, which
/// is left out of files where no row has any.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BeyondText {
    /// Keys of the row: `tools`, and those of [`MEDIA`].
    pub row: Map<String, Value>,
    /// Keys of each message beside its role and its text: `tool_calls`, `tool_call_id`, `name`, and `content` where that is
    /// null or a list of parts. Messages at the end that have none may be missing.
    pub messages: Vec<Map<String, Value>>,
}

impl BeyondText {
    /// Reads the column; none for text that is not of its form.
    pub fn read(json: &str) -> Option<Self> {
        let Value::Object(mut row) = serde_json::from_str(json).ok()? else { return None };
        let messages = match row.shift_remove("messages") {
            None => Vec::new(),
            Some(Value::Array(messages)) => messages
                .into_iter()
                .map(|message| match message {
                    Value::Null => Some(Map::new()),
                    Value::Object(message) => Some(message),
                    _ => None,
                })
                .collect::<Option<_>>()?,
            Some(_) => return None,
        };
        Some(Self { row, messages })
    }

    /// The column; none where there is nothing beyond text.
    pub fn written(&self) -> Option<String> {
        let used = self.messages.iter().rposition(|message| !message.is_empty()).map_or(0, |last| last + 1);
        let mut row = self.row.clone();
        if used > 0 {
            let message = |message: &Map<String, Value>| {
                if message.is_empty() { Value::Null } else { Value::Object(message.clone()) }
            };
            row.insert("messages".into(), self.messages[..used].iter().map(message).collect());
        }
        (!row.is_empty()).then(|| Value::Object(row).to_string())
    }

    /// Whether pictures, sounds or videos belong to it.
    pub fn has_media(&self) -> bool {
        self.row.keys().any(|key| MEDIA.contains(&key.as_str()))
            || self.messages.iter().any(|message| message.get("content").is_some_and(Value::is_array))
    }

    /// Puts everything back where it came from: the row's keys into `row`, each message's into the objects that stand in
    /// the lists of `row`, in their order.
    pub fn put_back(&self, row: &mut Map<String, Value>) {
        let lists = row.values_mut().filter_map(Value::as_array_mut);
        let messages = lists.flatten().filter_map(Value::as_object_mut);
        for (message, more) in messages.zip(&self.messages) {
            message.extend(more.clone());
        }
        row.extend(self.row.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::BeyondText;
    use serde_json::json;

    #[test]
    fn what_is_taken_out_is_put_back() {
        let json =
            json!({"tools": [{"name": "f"}], "messages": [null, {"content": null, "tool_calls": [{"id": "1"}]}]});
        let beyond = BeyondText::read(&json.to_string()).expect("its form");
        assert_eq!(beyond.written(), Some(json.to_string()));
        let mut row =
            json!({"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": ""}]});
        beyond.put_back(row.as_object_mut().expect("an object"));
        assert_eq!(
            row.to_string(),
            r#"{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}],"tools":[{"name":"f"}]}"#
        );
    }

    #[test]
    fn nothing_is_written_as_nothing() {
        assert_eq!(BeyondText::read(r#"{"messages": [null, null]}"#).expect("its form").written(), None);
        for other in ["[]", "x", r#"{"messages": 1}"#, r#"{"messages": [1]}"#] {
            assert_eq!(BeyondText::read(other), None, "{other}");
        }
    }

    #[test]
    fn pictures_are_told_from_calls() {
        for (json, media) in [
            (r#"{"images": ["a.png"]}"#, true),
            (r#"{"messages": [{"content": [{"type": "image"}]}]}"#, true),
            (r#"{"messages": [{"content": null, "tool_calls": []}], "tools": []}"#, false),
        ] {
            assert_eq!(BeyondText::read(json).expect("its form").has_media(), media, "{json}");
        }
    }
}
