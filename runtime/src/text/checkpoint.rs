//! The text files of a checkpoint.

use super::{ChatTemplate, TextFiles, Tokenizer};
use crate::{Checkpoint, Error, ErrorKind, Result};

/// The fingerprint of a model that has no tokenizer.
const NO_TOKENIZER: &str = "none";

impl Checkpoint {
    /// The text files that travel inside.
    ///
    /// # Errors
    /// [`Tokenizer`](ErrorKind::Tokenizer) when there is no `tokenizer.json`, [`Io`](ErrorKind::Io).
    pub fn text_files(&self) -> Result<TextFiles<'_>> {
        let tokenizer = self.blob("tokenizer.json")?.ok_or_else(|| {
            let what = format!("{} holds no tokenizer: it takes token ids only", self.path().display());
            Error::new(ErrorKind::Tokenizer, what)
        })?;
        Ok(TextFiles {
            tokenizer,
            tokenizer_config: self.blob("tokenizer_config.json")?,
            generation_config: self.blob("generation_config.json")?,
            config: self.blob("config.json")?,
            chat_template: self.blob("chat_template.jinja")?,
        })
    }

    /// The tokenizer of the model, after a check that this build makes the same ids of text as the
    /// one that packed it.
    ///
    /// # Errors
    /// [`Tokenizer`](ErrorKind::Tokenizer), [`Io`](ErrorKind::Io).
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let tokenizer = Tokenizer::new(&self.text_files()?)?;
        let fingerprint = tokenizer.fingerprint()?;
        if self.tokenizer_fingerprint() != NO_TOKENIZER && self.tokenizer_fingerprint() != fingerprint {
            let what = format!(
                "the tokenizer of {} makes other ids than when the model was packed (fingerprint {fingerprint}, \
                 packed with {}): the file is damaged, or this build of otaro splits text differently; pack it again",
                self.path().display(),
                self.tokenizer_fingerprint()
            );
            return Err(Error::new(ErrorKind::Tokenizer, what));
        }
        Ok(tokenizer)
    }

    /// The chat template of the model, or `None` for one that only continues text.
    ///
    /// # Errors
    /// [`ChatTemplate`](ErrorKind::ChatTemplate) when it cannot be read, [`Io`](ErrorKind::Io).
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        ChatTemplate::new(&self.text_files()?)
    }
}
