#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod encode;
mod reader;
mod source;
mod tokenizer;
mod windows;

use std::sync::LazyLock;

use otaro::ChatTemplate;

use super::{Encoder, TokenizerFiles, TokenizerSettings, train_tokenizer};

/// Most of the pairs that repeat in the sentences.
const VOCAB_SIZE: usize = 296;

/// A small tokenizer of simple sentences.
static FILES: LazyLock<TokenizerFiles> = LazyLock::new(|| {
    let settings = TokenizerSettings { vocab_size: VOCAB_SIZE, ..TokenizerSettings::default() };
    train_tokenizer(sentences(), &settings, |_| {}).unwrap()
});

fn sentences() -> impl Iterator<Item = String> + Send {
    let animals = ["dog", "cat", "bird", "fish"].into_iter();
    animals.flat_map(|animal| (0..20).map(move |n| format!("The {animal} saw {n} red balls.\nIt was happy!")))
}

fn template(files: &TokenizerFiles) -> ChatTemplate {
    ChatTemplate::new(&files.text_files()).unwrap().unwrap()
}

fn encoder() -> Encoder {
    Encoder::new(FILES.tokenizer().unwrap(), Some(template(&FILES)), VOCAB_SIZE).unwrap()
}
