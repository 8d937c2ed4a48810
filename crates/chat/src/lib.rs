//! Messages to tokens and back: the chat template, the tokenizer, and which tokens the loss counts.
//!
//! Text is rendered by the model's own Jinja template and tokenised as `transformers` would, with two differences that
//! are deliberate: reasoning in a trained turn is never deleted, and text inside a message that happens to look like a
//! control token (`<|im_end|>`) stays text. This crate knows nothing about tensors, checkpoints or the network.

mod built_in;
mod conversation;
mod encode;
mod error;
mod habits;
mod jinja;
mod layout;
mod reasoning;
mod stream;
mod template;
mod template_files;
mod tokenizer;

pub use conversation::{ChatMessage, Conversation, Turn};
pub use encode::{
    Encoded, Warning, encode_completion, encode_conversation, encode_conversation_prompt, encode_example, encode_pair,
    encode_prompt, stop_ids,
};
pub use error::ChatError;
pub use habits::DeletedReasoning;
pub use jinja::Date;
pub use stream::{StopTexts, TextStream};
pub use template::{ChatTemplate, RenderOptions};
pub use tokenizer::{SpecialToken, Tokenizer};
