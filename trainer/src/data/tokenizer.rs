//! A tokenizer learned from the training text: byte-level BPE with the special tokens of a chat.

use std::{fs, path::Path};

use anyhow::{Context, Result, anyhow, ensure};
use otaro::{TextFiles, Tokenizer};
use serde_json::{Value, json};
use tokenizers::{
    AddedToken, TokenizerBuilder, TokenizerImpl,
    models::bpe::{BPE, BpeTrainerBuilder},
    normalizers::NormalizerWrapper,
    pre_tokenizers::{PreTokenizerWrapper, byte_level::ByteLevel, digits::Digits, sequence::Sequence},
    processors::template::TemplateProcessing,
};

/// The special tokens, which have no text. Their ids are their places in [`SpecialToken::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialToken {
    /// Fills windows.
    Pad,
    /// Begins every text and every conversation.
    Begin,
    /// Ends every text and every message.
    End,
    /// Begins a message of the system.
    System,
    /// Begins a message of the person.
    User,
    /// Begins an answer.
    Assistant,
}

impl SpecialToken {
    /// All of them, in the order of their ids.
    pub const ALL: [Self; 6] = [Self::Pad, Self::Begin, Self::End, Self::System, Self::User, Self::Assistant];

    /// How it is written.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Pad => "<|pad|>",
            Self::Begin => "<|bos|>",
            Self::End => "<|end|>",
            Self::System => "<|system|>",
            Self::User => "<|user|>",
            Self::Assistant => "<|assistant|>",
        }
    }

    /// Its id.
    pub const fn id(self) -> u32 {
        self as u32
    }
}

/// The chat template of the tokenizers made here. A special token stands on both sides of every
/// content, so a conversation cut between messages has the same tokens as in one piece.
pub const CHAT_TEMPLATE: &str = "{{ bos_token }}\
    {% for message in messages %}\
    {{ '<|' + message['role'] + '|>' + message['content'] | trim + eos_token }}\
    {% endfor %}\
    {% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

/// What tokenizer to make.
#[derive(Clone, Debug)]
pub struct TokenizerSettings {
    /// Tokens, the special ones and the 256 bytes included.
    pub vocab_size: usize,
    /// How often two tokens must stand together to become one.
    pub least_frequency: u64,
    /// `model_max_length` of the model, in tokens.
    pub context_length: usize,
}

impl TokenizerSettings {
    /// The smallest vocabulary: the special tokens and every byte, so no text is unknown.
    pub const LEAST_VOCAB_SIZE: usize = SpecialToken::ALL.len() + 256;
}

impl Default for TokenizerSettings {
    fn default() -> Self {
        Self { vocab_size: 4096, least_frequency: 2, context_length: 512 }
    }
}

/// The files of a tokenizer, as transformers and [`otaro::Tokenizer`] read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizerFiles {
    /// `tokenizer.json`.
    pub tokenizer: String,
    /// `tokenizer_config.json`, with the chat template.
    pub config: String,
    /// `special_tokens_map.json`.
    pub special_tokens_map: String,
}

impl TokenizerFiles {
    /// The files for [`otaro::Tokenizer::new`] and [`otaro::ChatTemplate::new`].
    pub fn text_files(&self) -> TextFiles<'_> {
        TextFiles {
            tokenizer: self.tokenizer.as_bytes(),
            tokenizer_config: Some(self.config.as_bytes()),
            ..TextFiles::default()
        }
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// If the files are not those of a tokenizer.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        Ok(Tokenizer::new(&self.text_files())?)
    }

    /// Writes the files to a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let files = [
            ("tokenizer.json", &self.tokenizer),
            ("tokenizer_config.json", &self.config),
            ("special_tokens_map.json", &self.special_tokens_map),
        ];
        for (name, content) in files {
            let path = folder.join(name);
            fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// Learns a tokenizer from texts: byte-level BPE, every digit a token of its own. `progress` is
/// called with the number of texts taken so far.
///
/// The vocabulary is smaller than asked for when the texts hold too few pairs that repeat: ask the
/// tokenizer for its size.
///
/// # Errors
/// If the vocabulary is too small for the bytes, or there is no text.
pub fn train_tokenizer(
    texts: impl Iterator<Item = String> + Send,
    settings: &TokenizerSettings,
    mut progress: impl FnMut(usize) + Send,
) -> Result<TokenizerFiles> {
    ensure!(
        settings.vocab_size >= TokenizerSettings::LEAST_VOCAB_SIZE,
        "a vocabulary of {} tokens is too small: the bytes and the special tokens take {}",
        settings.vocab_size,
        TokenizerSettings::LEAST_VOCAB_SIZE
    );
    let special = SpecialToken::ALL.map(|token| AddedToken::from(token.text(), true));
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(settings.vocab_size)
        .min_frequency(settings.least_frequency)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(special.to_vec())
        .build();
    let mut tokenizer = untrained()?;
    let mut count = 0;
    let texts = texts.inspect(|_| {
        count += 1;
        progress(count);
    });
    tokenizer.train(&mut trainer, texts).map_err(library)?;
    ensure!(count > 0, "there is no text to learn a tokenizer from");
    Ok(TokenizerFiles {
        tokenizer: tokenizer.to_string(true).map_err(library)?,
        config: format!("{:#}\n", config(settings.context_length)),
        special_tokens_map: format!("{:#}\n", special_tokens_map()),
    })
}

type ByteLevelBpe = TokenizerImpl<BPE, NormalizerWrapper, PreTokenizerWrapper, TemplateProcessing, ByteLevel>;

fn untrained() -> Result<ByteLevelBpe> {
    let begin = SpecialToken::Begin;
    let processor = TemplateProcessing::builder()
        .try_single(format!("{} $A", begin.text()))
        .map_err(|error| anyhow!(error))?
        .special_tokens(vec![(begin.text(), begin.id())])
        .build()?;
    let byte_level = ByteLevel::default().add_prefix_space(false);
    let pre_tokenizer = Sequence::new(vec![Digits::new(true).into(), byte_level.into()]);
    TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(None)
        .with_pre_tokenizer(Some(pre_tokenizer.into()))
        .with_post_processor(Some(processor))
        .with_decoder(Some(byte_level))
        .build()
        .map_err(library)
}

fn config(context_length: usize) -> Value {
    let mut config = special_tokens_map();
    config["tokenizer_class"] = json!("PreTrainedTokenizerFast");
    config["model_max_length"] = json!(context_length);
    config["model_input_names"] = json!(["input_ids", "attention_mask"]);
    config["clean_up_tokenization_spaces"] = json!(false);
    config["chat_template"] = json!(CHAT_TEMPLATE);
    config
}

fn special_tokens_map() -> Value {
    json!({
        "bos_token": SpecialToken::Begin.text(),
        "eos_token": SpecialToken::End.text(),
        "pad_token": SpecialToken::Pad.text(),
    })
}

/// An error of the `tokenizers` crate, which boxes them.
fn library(error: tokenizers::Error) -> anyhow::Error {
    anyhow!(error).context("cannot make the tokenizer")
}
