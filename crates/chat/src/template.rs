//! A model's chat template: messages to text.

use std::path::Path;

use retort_records::id_of;
use serde_json::{Map, Value as Json};

use crate::ChatError;
use crate::conversation::{ChatMessage, Conversation, Inputs, Origin, Part};
use crate::habits::{DeletedReasoning, Habits};
use crate::jinja::{Cause, Date, Dict, Template, Text, Value};
use crate::template_files::{self, Named};
use crate::tokenizer::{read_object, special_text};

/// The special tokens that templates may print.
pub(crate) const SPECIAL_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What a template is asked for besides the conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// Whether to end with the text that opens the assistant's turn.
    pub add_generation_prompt: bool,
    /// The template's own `enable_thinking`; `None` leaves it as the template or the conversation has it.
    pub enable_thinking: Option<bool>,
}

/// A compiled chat template with the special tokens it may print and the arguments it is given.
#[derive(Debug)]
pub struct ChatTemplate {
    source: String,
    special: Vec<(&'static str, String)>,
    kwargs: Map<String, Json>,
    date: Date,
    parsed: Result<Template, String>,
    id: String,
    habits: Habits,
    /// The template that the model has for conversations with tools, where it is another one.
    tool_use: Option<Box<ChatTemplate>>,
}

impl ChatTemplate {
    /// Loads the chat template of a model folder: `chat_template.jinja` with the files of `additional_chat_templates`,
    /// or else `chat_template` in `tokenizer_config.json` (a text, or named texts of which `default` is taken, and
    /// `tool_use` where there are tools). `None` without any.
    ///
    /// A template that cannot be compiled is loaded all the same, because rows of token ids do not need it:
    /// [`ChatTemplate::problem`] says what is wrong, and rendering fails with the same error.
    pub fn load(folder: &Path) -> Result<Option<Self>, ChatError> {
        let config = read_object(&folder.join("tokenizer_config.json"))?;
        let Some(named) = template_files::find(folder, &config)? else { return Ok(None) };
        let Named { default, tool_use } = named;
        let mut maps = vec![config, read_object(&folder.join("special_tokens_map.json"))?];
        if maps[0].get("char_ords").is_some() {
            maps.push(serde_json::json!({"sep_token": "S", "eos_token": "E", "pad_token": "P", "unk_token": "U"}));
        }
        let special: Vec<_> = SPECIAL_TOKENS
            .into_iter()
            .filter_map(|name| Some((name, maps.iter().find_map(|map| special_text(map.get(name)?))?)))
            .collect();
        let mut template = Self::build(default, special.clone(), Map::new(), Date::default());
        template.tool_use = tool_use.map(|source| Box::new(Self::build(source, special, Map::new(), Date::default())));
        Ok(Some(template))
    }

    /// Compiles a template text. `special_tokens` are names such as `eos_token` with the token's text; names that no
    /// template knows are ignored.
    pub fn from_source(source: &str, special_tokens: &[(&str, &str)]) -> Result<Self, ChatError> {
        let special = SPECIAL_TOKENS.into_iter().filter_map(|name| {
            special_tokens.iter().find(|(given, _)| *given == name).map(|(_, text)| (name, (*text).to_owned()))
        });
        let template = Self::build(source.to_owned(), special.collect(), Map::new(), Date::default());
        template.problem().map_or(Ok(()), Err)?;
        Ok(template)
    }

    /// The same template on another day, for templates that print the date.
    pub fn on(self, date: Date) -> Result<Self, ChatError> {
        let tool_use = self.tool_use.map(|template| template.on(date)).transpose()?.map(Box::new);
        Ok(Self { tool_use, ..Self::build(self.source, self.special, self.kwargs, date) })
    }

    /// The same template with these variables, such as `enable_thinking`, for every conversation: what
    /// `transformers`, vLLM and SGLang call `chat_template_kwargs`. A conversation's own go before them.
    #[must_use]
    pub fn with_kwargs(self, kwargs: Map<String, Json>) -> Self {
        let tool_use = self.tool_use.map(|template| Box::new(template.with_kwargs(kwargs.clone())));
        Self { tool_use, ..Self::build(self.source, self.special, kwargs, self.date) }
    }

    /// The same template with its `enable_thinking` set: the switch of models that answer with and without reasoning.
    #[must_use]
    pub fn with_thinking(self, enabled: bool) -> Self {
        let mut kwargs = self.kwargs.clone();
        kwargs.insert("enable_thinking".into(), enabled.into());
        self.with_kwargs(kwargs)
    }

    fn build(source: String, special: Vec<(&'static str, String)>, kwargs: Map<String, Json>, date: Date) -> Self {
        let parsed = Template::parse(&source).map_err(|error| error.to_string());
        let day = format!("{}-{}-{}", date.year, date.month, date.day);
        let arguments = serde_json::to_string(&kwargs).unwrap_or_default();
        let mut parts = vec![source.as_bytes(), day.as_bytes()];
        parts.extend(special.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]));
        if !kwargs.is_empty() {
            parts.push(arguments.as_bytes());
        }
        let id = id_of("template", &parts);
        let habits = Habits::default();
        let mut template = Self { source, special, kwargs, date, parsed, id, habits, tool_use: None };
        template.habits = template.probe(&Map::new());
        template
    }

    /// Hexadecimal hash of the template's text, its special tokens, its arguments and its date.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Why the template cannot be used at all, if so.
    pub fn problem(&self) -> Option<ChatError> {
        self.parsed.as_ref().err().map(|reason| ChatError::TemplateSyntax { reason: reason.clone() })
    }

    /// Renders messages. An error means that the template refuses them.
    pub fn render(&self, messages: &[ChatMessage], options: RenderOptions) -> Result<String, ChatError> {
        self.render_conversation(&messages.iter().collect(), options)
    }

    /// Renders a conversation: messages with all they hold, tools, documents and arguments.
    pub fn render_conversation(
        &self,
        conversation: &Conversation,
        options: RenderOptions,
    ) -> Result<String, ChatError> {
        let template = self.for_tools(conversation);
        template.rendered(conversation, options, &mut Inputs::default()).map(|text| text.as_str().to_owned())
    }

    /// The template for this conversation: another one where there are tools and the model has one for them.
    pub(crate) fn for_tools(&self, conversation: &Conversation) -> &Self {
        match &self.tool_use {
            Some(tool_use) if conversation.tools.is_some() => tool_use,
            _ => self,
        }
    }

    /// Renders a conversation with every text marked by where it came from.
    pub(crate) fn rendered(
        &self,
        conversation: &Conversation,
        options: RenderOptions,
        inputs: &mut Inputs,
    ) -> Result<Text, ChatError> {
        let parsed = self.parsed.as_ref().map_err(|reason| ChatError::TemplateSyntax { reason: reason.clone() })?;
        let other = Origin { turn: None, part: Part::Other };
        let mut context = Dict::default();
        let list = |items: &Option<Vec<Json>>, inputs: &mut Inputs| match items {
            Some(items) => Value::list(items.iter().map(|item| inputs.value(item, other)).collect()),
            None => Value::None,
        };
        let tools = list(&conversation.tools, inputs);
        inputs.of_tools = inputs.origins.len();
        let documents = list(&conversation.documents, inputs);
        for (name, text) in &self.special {
            context.insert((*name).into(), Value::from(text.as_str()));
        }
        for (name, value) in self.kwargs.iter().chain(&conversation.template_kwargs) {
            context.insert(name.as_str().into(), inputs.value(value, other));
        }
        if let Some(enabled) = options.enable_thinking {
            context.insert("enable_thinking".into(), Value::Bool(enabled));
        }
        context.insert("messages".into(), inputs.messages(&conversation.turns));
        context.insert("tools".into(), tools);
        context.insert("documents".into(), documents);
        context.insert("add_generation_prompt".into(), Value::Bool(options.add_generation_prompt));
        parsed.render(&context, self.date).map_err(|error| {
            let reason = error.to_string();
            match error.cause {
                Cause::Refused => ChatError::TemplateRefused { reason },
                Cause::Raised | Cause::Limit => ChatError::TemplateFails { reason },
            }
        })
    }

    /// The habits of the template under a conversation's own arguments and tools.
    pub(crate) fn habits(&self, conversation: &Conversation) -> Habits {
        if conversation.template_kwargs.is_empty() {
            return self.habits.clone();
        }
        self.probe(&conversation.template_kwargs)
    }

    /// Learns the template's habits under these arguments.
    fn probe(&self, arguments: &Map<String, Json>) -> Habits {
        Habits::of(|messages, add_generation_prompt| {
            let conversation = Conversation { template_kwargs: arguments.clone(), ..messages.iter().collect() };
            let options = RenderOptions { add_generation_prompt, enable_thinking: None };
            self.render_conversation(&conversation, options).unwrap_or_default()
        })
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
        self.habits.prefills_think()
    }

    /// The text that opens the assistant's turn, such as `<|im_start|>assistant\n`.
    pub fn generation_prompt(&self) -> &str {
        &self.habits.generation_prompt
    }

    /// The text after the last assistant message, such as `<|im_end|>\n`.
    pub(crate) fn end_of_turn(&self) -> &str {
        &self.habits.end_of_turn
    }
}
