//! Text on its way in and out of a model: tokens, incremental decoding, stop strings, chat templates.

mod chat_template;
mod checkpoint;
mod decoder;
mod stop;
#[cfg(test)]
pub(crate) mod test_files;
mod tokenizer;

pub use chat_template::{ChatTemplate, Message, Role};
pub use decoder::TextDecoder;
pub use stop::{StopFilter, StopOutcome};
pub use tokenizer::Tokenizer;

use crate::checkpoint::Blob;

/// The files of a Hugging Face checkpoint that say how its text works, as bytes.
///
/// They travel inside the model file, so nothing here is a path.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextFiles<'a> {
    /// `tokenizer.json`: the vocabulary and the rules.
    pub tokenizer: &'a [u8],
    /// `tokenizer_config.json`: names of the special tokens, often the chat template.
    pub tokenizer_config: Option<&'a [u8]>,
    /// `generation_config.json`: the ids that end an answer.
    pub generation_config: Option<&'a [u8]>,
    /// `config.json`: ids that end an answer, where nothing else names them.
    pub config: Option<&'a [u8]>,
    /// `chat_template.jinja`: the chat template, where it is a file of its own.
    pub chat_template: Option<&'a [u8]>,
}

impl<'a> TextFiles<'a> {
    /// The files among those that travel inside a checkpoint. A tokenizer that is not there is empty, and
    /// refused when it is used.
    pub fn from_blobs(blobs: &'a [Blob]) -> Self {
        let blob = |name: &str| blobs.iter().find(|blob| blob.name == name).map(|blob| blob.bytes.as_slice());
        Self {
            tokenizer: blob("tokenizer.json").unwrap_or_default(),
            tokenizer_config: blob("tokenizer_config.json"),
            generation_config: blob("generation_config.json"),
            config: blob("config.json"),
            chat_template: blob("chat_template.jinja"),
        }
    }
}
