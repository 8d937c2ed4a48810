//! Chat templates that Retort itself knows by name, and the choice of one to train with.

use std::path::Path;

use crate::ChatError;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

/// A chat template that Retort knows by name.
struct BuiltIn {
    name: &'static str,
    source: &'static str,
    /// Tokens that the tokenizer must have for it.
    tokens: &'static [&'static str],
}

const BUILT_IN: [BuiltIn; 3] = [
    BuiltIn { name: "chatml", source: include_str!("templates/chatml.jinja"), tokens: &["<|im_start|>", "<|im_end|>"] },
    BuiltIn {
        name: "llama3",
        source: include_str!("templates/llama3.jinja"),
        tokens: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    },
    BuiltIn { name: "instruction", source: include_str!("templates/instruction.jinja"), tokens: &[] },
];

/// The word that asks for training without a template: texts follow one another.
const PLAIN: &str = "plain";

impl ChatTemplate {
    /// The names that [`ChatTemplate::for_training`] takes: those of the built-in templates, and `plain`.
    pub fn choices() -> Vec<&'static str> {
        BUILT_IN.iter().map(|template| template.name).chain([PLAIN]).collect()
    }

    /// The template to train with: the one named, or the model's own when `named` is `None`.
    ///
    /// `plain` says that the rows are plain texts and gives no template. A model without a template of its own is an
    /// error that lists the choices, because prompt and answer would be glued together; so is a built-in template
    /// whose tokens the tokenizer does not have.
    pub fn for_training(folder: &Path, named: Option<&str>) -> Result<Option<Self>, ChatError> {
        let Some(name) = named else {
            return match Self::load(folder)? {
                Some(template) => template.problem().map_or(Ok(Some(template)), Err),
                None => {
                    Err(ChatError::NoTemplate { path: folder.to_path_buf(), choices: Self::choices().join("`, `") })
                }
            };
        };
        if name == PLAIN {
            return Ok(None);
        }
        Self::built_in(name, &Tokenizer::load(folder)?).map(Some)
    }

    /// A built-in template: `chatml`, `llama3`, or `instruction` (`### Instruction:` and `### Response:`, for
    /// tokenizers without tokens for turns).
    pub fn built_in(name: &str, tokenizer: &Tokenizer) -> Result<Self, ChatError> {
        let Some(template) = BUILT_IN.iter().find(|template| template.name == name) else {
            return Err(ChatError::UnknownTemplate { name: name.into(), choices: Self::choices().join("`, `") });
        };
        if let Some(missing) = template.tokens.iter().find(|token| tokenizer.token_id(token).is_none()) {
            return Err(ChatError::MissingToken { name: name.into(), token: (*missing).into() });
        }
        let mut special = Vec::new();
        special.extend(tokenizer.bos().filter(|_| tokenizer.writes_bos()).map(|bos| ("bos_token", bos.text.as_str())));
        special.push(("eos_token", tokenizer.eos().ok_or(ChatError::NoEndOfSequence)?.text.as_str()));
        Self::from_source(template.source, &special)
    }
}
