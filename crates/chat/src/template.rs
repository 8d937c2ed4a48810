//! A model's chat template: messages to text.

use std::path::Path;

use minijinja::{Environment, Value};
use retort_records::completion::{THINK_CLOSE, THINK_OPEN};
use retort_records::{Message, SftMessage, id_of};
use serde_json::Value as Json;

use crate::ChatError;
use crate::jinja::{self, Date};
use crate::tokenizer::{read_object, special_text};

/// The special tokens that templates may print.
const SPECIAL_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Texts that no template contains, to see where it puts what it is given.
const PROBE: &str = "\u{f8e2}probe\u{f8e3}";
const PROBE_REASONING: &str = "\u{f8e2}reasoning\u{f8e3}";

/// One message as a template sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What is said; for an assistant it may hold the reasoning in think tags.
    pub content: String,
    /// The reasoning, handed to the template as `reasoning_content` (absent when `None`).
    pub reasoning: Option<String>,
}

impl From<&Message> for ChatMessage {
    fn from(message: &Message) -> Self {
        Self { role: message.role.clone(), content: message.content.clone(), reasoning: None }
    }
}

impl From<&SftMessage> for ChatMessage {
    fn from(message: &SftMessage) -> Self {
        let SftMessage { role, reasoning, content, .. } = message;
        Self { role: role.clone(), content: content.clone(), reasoning: reasoning.clone() }
    }
}

/// What a template is asked for besides the messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// Whether to end with the text that opens the assistant's turn.
    pub add_generation_prompt: bool,
    /// The template's own `enable_thinking`; `None` leaves it undefined, which most templates take for yes.
    pub enable_thinking: Option<bool>,
}

/// Where a template leaves out reasoning that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletedReasoning {
    /// In the last assistant turn, after which nobody speaks: fatal for training through the template.
    pub final_turn: bool,
    /// In assistant turns that a user's message follows: intended by most reasoning models.
    pub earlier_turn: bool,
}

/// A compiled chat template with the special tokens it may print.
#[derive(Debug)]
pub struct ChatTemplate {
    source: String,
    special: Vec<(&'static str, String)>,
    environment: Environment<'static>,
    id: String,
    habits: Habits,
}

/// What probing has shown of a template.
#[derive(Debug, Clone, Default)]
struct Habits {
    reads_reasoning: bool,
    deleted: Option<DeletedReasoning>,
    generation_prompt: String,
    /// White space between the prompt and the completion that is the model's to write.
    gap: String,
    end_of_turn: String,
}

impl ChatTemplate {
    /// Loads the chat template of a model folder: `chat_template.jinja`, or else `chat_template` in
    /// `tokenizer_config.json` (a text, or a list of named texts of which `default` is taken). `None` without either.
    pub fn load(folder: &Path) -> Result<Option<Self>, ChatError> {
        let config = read_object(&folder.join("tokenizer_config.json"))?;
        let path = folder.join("chat_template.jinja");
        let source = match std::fs::read_to_string(&path) {
            Ok(source) => Some(source),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => config.get("chat_template").and_then(default),
            Err(source) => return Err(ChatError::Read { path, source }),
        };
        let Some(source) = source else { return Ok(None) };
        let mut maps = vec![config, read_object(&folder.join("special_tokens_map.json"))?];
        if maps[0].get("char_ords").is_some() {
            maps.push(serde_json::json!({"sep_token": "S", "eos_token": "E", "pad_token": "P", "unk_token": "U"}));
        }
        let special = SPECIAL_TOKENS
            .into_iter()
            .filter_map(|name| Some((name, maps.iter().find_map(|map| special_text(map.get(name)?))?)));
        Self::build(source, special.collect(), Date::default()).map(Some)
    }

    /// Compiles a template text. `special_tokens` are names such as `eos_token` with the token's text; names that no
    /// template knows are ignored.
    pub fn from_source(source: &str, special_tokens: &[(&str, &str)]) -> Result<Self, ChatError> {
        let special = SPECIAL_TOKENS.into_iter().filter_map(|name| {
            special_tokens.iter().find(|(given, _)| *given == name).map(|(_, text)| (name, (*text).to_owned()))
        });
        Self::build(source.to_owned(), special.collect(), Date::default())
    }

    /// The same template on another day, for templates that print the date.
    pub fn on(self, date: Date) -> Result<Self, ChatError> {
        Self::build(self.source, self.special, date)
    }

    fn build(source: String, special: Vec<(&'static str, String)>, date: Date) -> Result<Self, ChatError> {
        let environment = jinja::environment(&source, date)?;
        let day = format!("{}-{}-{}", date.year, date.month, date.day);
        let mut parts = vec![source.as_bytes(), day.as_bytes()];
        parts.extend(special.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]));
        let id = id_of("template", &parts);
        let mut template = Self { source, special, environment, id, habits: Habits::default() };
        template.habits = template.probe();
        Ok(template)
    }

    /// Hexadecimal hash of the template's text, its special tokens and its date.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Renders a conversation. An error means that the template refuses these messages.
    pub fn render(&self, messages: &[ChatMessage], options: RenderOptions) -> Result<String, ChatError> {
        let messages = messages.iter().map(|message| {
            let mut fields =
                vec![("role", Value::from(message.role.as_str())), ("content", Value::from(message.content.as_str()))];
            fields.extend(message.reasoning.as_ref().map(|text| ("reasoning_content", Value::from(text.as_str()))));
            Value::from_pairs(fields)
        });
        let mut context = vec![
            ("messages", Value::from(messages.collect::<Vec<_>>())),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(options.add_generation_prompt)),
        ];
        context.extend(options.enable_thinking.map(|enabled| ("enable_thinking", Value::from(enabled))));
        context.extend(self.special.iter().map(|(name, text)| (*name, Value::from(text.as_str()))));
        jinja::render(&self.environment, Value::from_pairs(context))
    }

    /// Whether the template deletes reasoning from the turn that is trained: the last assistant turn.
    /// (DeepSeek-R1's shipped template does.) [`crate::encode_example`] restores it and warns.
    pub fn deletes_reasoning(&self) -> bool {
        self.deleted_reasoning().is_some_and(|deleted| deleted.final_turn)
    }

    /// Where the template deletes reasoning; `None` when it refuses the conversation that would tell.
    pub fn deleted_reasoning(&self) -> Option<DeletedReasoning> {
        self.habits.deleted
    }

    /// Whether the text that opens the assistant's turn already holds `<think>`, so that completions start inside it.
    pub fn prefills_think(&self) -> bool {
        self.generation_prompt().trim_end().ends_with(THINK_OPEN)
    }

    /// The text that opens the assistant's turn, such as `<|im_start|>assistant\n`.
    pub fn generation_prompt(&self) -> &str {
        &self.habits.generation_prompt
    }

    /// White space that stands between the rendered prompt and the assistant's text, such as the space that
    /// Mistral's templates write behind `[/INST]`: the model writes it, so it counts in the loss.
    pub(crate) fn gap(&self) -> &str {
        &self.habits.gap
    }

    /// The text after the last assistant message, such as `<|im_end|>\n`.
    pub(crate) fn end_of_turn(&self) -> &str {
        &self.habits.end_of_turn
    }

    /// Whether the template prints a message's `reasoning_content`.
    pub(crate) fn reads_reasoning(&self) -> bool {
        self.habits.reads_reasoning
    }

    /// Renders small conversations to learn the template's habits. A template that refuses one keeps the default.
    fn probe(&self) -> Habits {
        let say = |role: &str, content: &str, reasoning: Option<&str>| ChatMessage {
            role: role.to_owned(),
            content: content.to_owned(),
            reasoning: reasoning.map(ToOwned::to_owned),
        };
        let render = |messages: &[ChatMessage], add_generation_prompt: bool| {
            self.render(messages, RenderOptions { add_generation_prompt, enable_thinking: None }).unwrap_or_default()
        };
        let user = say("user", "a", None);
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
        let generation_prompt = open.strip_prefix(closed.as_str()).unwrap_or_default().to_owned();
        Habits { reads_reasoning, deleted, generation_prompt, gap: gap.to_owned(), end_of_turn: end_of_turn.to_owned() }
    }
}

/// The default template of a `chat_template` entry.
fn default(value: &Json) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let named = value.as_array()?;
    let default = named.iter().find(|entry| entry["name"] == "default").or_else(|| named.first())?;
    default["template"].as_str().map(ToOwned::to_owned)
}
