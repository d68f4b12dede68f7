use std::{fs, time::SystemTime};

use otaro::{Message, Role, TextFiles};
use proptest::prelude::*;

use super::{FILES, VOCAB_SIZE, sentences, template};
use crate::data::{SpecialToken, TokenizerSettings, train_tokenizer};

#[test]
fn special_tokens_have_their_ids_and_their_meaning() {
    let tokenizer = FILES.tokenizer().unwrap();
    assert_eq!(tokenizer.vocab_size(), VOCAB_SIZE);
    for token in SpecialToken::ALL {
        assert_eq!(tokenizer.token_id(token.text()), Some(token.id()));
        assert!(tokenizer.is_special(token.id()));
        assert_eq!(tokenizer.encode_rendered(token.text()).unwrap(), [token.id()]);
    }
    assert_eq!(tokenizer.bos(), Some(SpecialToken::Begin.id()));
    assert_eq!(tokenizer.eos().iter().copied().collect::<Vec<_>>(), [SpecialToken::End.id()]);
    assert_eq!(tokenizer.encode("dog").unwrap()[0], SpecialToken::Begin.id());
}

#[test]
fn words_become_tokens_and_digits_stay_alone() {
    let tokenizer = FILES.tokenizer().unwrap();
    let tokens = |text| {
        let ids = tokenizer.encode_rendered(text).unwrap();
        ids.into_iter().map(|id| tokenizer.token(id).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(tokens("The balls 2026"), ["The", "\u{120}balls", "\u{120}", "2", "0", "2", "6"]);
}

#[test]
fn the_template_puts_a_special_token_on_both_sides_of_every_content() {
    let messages = [
        Message::new(Role::System, "Be happy."),
        Message::new(Role::User, "  Hi!\n"),
        Message::new(Role::Assistant, "It was red."),
    ];
    let template = template(&FILES);
    let now = SystemTime::now();
    assert_eq!(
        template.render(&messages, false, now).unwrap(),
        "<|bos|><|system|>Be happy.<|end|><|user|>Hi!<|end|><|assistant|>It was red.<|end|>"
    );
    assert_eq!(
        template.render(&messages[1..2], true, now).unwrap(),
        "<|bos|><|user|>Hi!<|end|><|assistant|>"
    );
}

#[test]
fn saved_files_are_those_that_were_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder");
    FILES.save(&path).unwrap();
    let tokenizer = fs::read(path.join("tokenizer.json")).unwrap();
    let config = fs::read(path.join("tokenizer_config.json")).unwrap();
    let files = TextFiles { tokenizer: &tokenizer, tokenizer_config: Some(&config), ..TextFiles::default() };
    let read = otaro::Tokenizer::new(&files).unwrap();
    assert_eq!(read.fingerprint().unwrap(), FILES.tokenizer().unwrap().fingerprint().unwrap());
    let map = fs::read_to_string(path.join("special_tokens_map.json")).unwrap();
    assert!(map.contains("<|pad|>"), "{map}");
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(FILES.save(file.path()).is_err());
}

#[test]
fn the_same_texts_make_the_same_tokenizer() {
    let settings = TokenizerSettings { vocab_size: VOCAB_SIZE, ..TokenizerSettings::default() };
    let mut seen = 0;
    let again = train_tokenizer(sentences(), &settings, |count| seen = count).unwrap();
    assert_eq!(&again, &*FILES);
    assert_eq!(seen, sentences().count());
}

#[test]
fn settings_out_of_range_are_explained() {
    let small = TokenizerSettings { vocab_size: 261, ..TokenizerSettings::default() };
    let error = train_tokenizer(sentences(), &small, |_| {}).unwrap_err().to_string();
    assert!(error.contains("262"), "{error}");
    let none = train_tokenizer(std::iter::empty(), &TokenizerSettings::default(), |_| {}).unwrap_err();
    assert!(none.to_string().contains("no text"), "{none}");
    let least = TokenizerSettings { vocab_size: 262, ..TokenizerSettings::default() };
    let bytes = train_tokenizer(sentences(), &least, |_| {}).unwrap().tokenizer().unwrap();
    assert_eq!(bytes.encode_rendered("dog").unwrap().len(), 3);
    let huge = TokenizerSettings { vocab_size: 100_000, ..TokenizerSettings::default() };
    assert!(train_tokenizer(sentences(), &huge, |_| {}).unwrap().tokenizer().unwrap().vocab_size() < 500);
}

proptest! {
    #[test]
    fn any_text_survives(text in "\\PC{0,40}") {
        let tokenizer = FILES.tokenizer().unwrap();
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap()).unwrap(), text);
    }
}
