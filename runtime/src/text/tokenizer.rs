//! The tokenizer of a model: text to token ids and back, and the ids that have a meaning of their own.

use std::{
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{TextDecoder, TextFiles};
use crate::{Error, ErrorKind, Result, hex::hex};

/// The text whose token ids identify a tokenizer: scripts of several families, composed and
/// decomposed accents, emoji with joiners, digits, runs of white space, code. Never change it:
/// model files carry the hash of its ids.
const FINGERPRINT_TEXT: &str = "Once upon a time, the year was 1984; it isn't 2026 yet. \
    Größe, naïve café, nai\u{308}ve cafe\u{301}. Привет, мир! Γειά σου Κόσμε. \
    你好，世界。日本語のテキスト、한국어 텍스트. مرحبا بالعالم، שלום עולם. नमस्ते दुनिया। สวัสดีชาวโลก \
    😀👩\u{200d}👩\u{200d}👧\u{200d}👦🇩🇪🏳\u{fe0f}\u{200d}🌈 ½ ∑x² ≤ 10⁻³ €9.99\n\n\n   three spaces\t\ttabs\r\n\
    fn main() {\n    let mut x: u64 = 0xFF_u64 << 3; // 00000 123456789\n    println!(\"{}\", x);\n}\n\
    <s></s><|im_start|>user [INST] <<SYS>> https://example.org/?q=a%20b&c=1#d \u{a0}end ";

/// Text to token ids and back, as Hugging Face's `tokenizers` does it. A cheap handle to clone.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    special: Arc<BTreeSet<u32>>,
    bos: Option<u32>,
    eos: Arc<BTreeSet<u32>>,
}

impl Tokenizer {
    /// Reads a tokenizer from the bytes of its files. Only [`TextFiles::tokenizer`] is necessary.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if a file is not what its name says.
    pub fn new(files: &TextFiles<'_>) -> Result<Self> {
        let mut inner =
            guard("cannot read tokenizer.json", || tokenizers::Tokenizer::from_bytes(files.tokenizer))?;
        // Some checkpoints carry the truncation and padding of their training: text is never cut here.
        inner.with_padding(None);
        guard("cannot read tokenizer.json", || inner.with_truncation(None).map(|_| ()))?;
        let tokenizer_config = parse_config("tokenizer_config.json", files.tokenizer_config)?;
        let generation_config = parse_config("generation_config.json", files.generation_config)?;
        let config = parse_config("config.json", files.config)?;

        let named =
            |key: &str| special_token(&tokenizer_config, key).and_then(|token| inner.token_to_id(&token));
        let bos = named("bos_token")
            .or_else(|| first_id(&generation_config["bos_token_id"]))
            .or_else(|| first_id(&config["bos_token_id"]));
        let eos = ids(&generation_config["eos_token_id"])
            .chain(ids(&config["eos_token_id"]))
            .chain(named("eos_token"))
            .collect();
        let special = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter_map(|(id, token)| token.special.then_some(id))
            .collect();
        Ok(Self { inner: Arc::new(inner), special: Arc::new(special), bos, eos: Arc::new(eos) })
    }

    /// The ids of raw text, with the special tokens that the tokenizer adds of its own accord
    /// (usually the begin-of-sequence token).
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if the rules of the tokenizer fail on this text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_with(text, true)
    }

    /// The ids of text that a chat template rendered: special tokens written in the text are
    /// recognised, none is added.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if the rules of the tokenizer fail on this text.
    pub fn encode_rendered(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_with(text, false)
    }

    fn encode_with(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        let encoding =
            guard("cannot turn this text into tokens", || self.inner.encode_fast(text, add_special_tokens))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of a whole sequence of ids, without special tokens. Bytes that are not UTF-8 become
    /// U+FFFD, ids outside the vocabulary nothing. For text that arrives token by token use
    /// [`Tokenizer::decoder`].
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if the rules of the tokenizer fail on these ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        guard("cannot turn these tokens into text", || self.inner.decode(ids, true))
    }

    /// A decoder for tokens that follow `prompt`, one at a time.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if the rules of the tokenizer fail on the end of the prompt.
    pub fn decoder(&self, prompt: &[u32]) -> Result<TextDecoder> {
        TextDecoder::new(self.clone(), prompt)
    }

    /// The string of one token as the vocabulary spells it, for logs; `None` outside the vocabulary.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a token as the vocabulary spells it.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Tokens of the vocabulary, added ones included. A model may have more rows than that.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The token that begins a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that begins a sequence, if [`encode`](Self::encode) puts one before every text by itself.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if the rules of the tokenizer fail.
    pub fn added_bos(&self) -> Result<Option<u32>> {
        Ok(self.encode("")?.first().copied().filter(|&first| Some(first) == self.bos))
    }

    /// The tokens that end an answer: those of `generation_config.json`, `config.json` and
    /// `tokenizer_config.json` together.
    pub fn eos(&self) -> &BTreeSet<u32> {
        &self.eos
    }

    /// Whether a token is a control token that has no text.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// SHA-256, in hex, of the ids (little-endian u32) of a fixed multilingual text: two tokenizers
    /// with the same fingerprint cut text in the same way.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if the rules of the tokenizer fail.
    pub fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for id in self.encode(FINGERPRINT_TEXT)? {
            hash.update(id.to_le_bytes());
        }
        Ok(hex(&hash.finalize()))
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("bos", &self.bos)
            .field("eos", &self.eos)
            .finish_non_exhaustive()
    }
}

/// Calls into the `tokenizers` crate. Rules come from a file, and some make the crate panic (a
/// `Strip` decoder at the end of an empty token does): that too is an error of the file.
fn guard<T>(what: &str, call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(Error::new(ErrorKind::Tokenizer, what).with_source(source)),
        Err(_) => Err(Error::new(
            ErrorKind::Tokenizer,
            format!("{what}: the rules of tokenizer.json contradict themselves"),
        )),
    }
}

/// A JSON file, or null where there is none.
pub(super) fn parse_config(name: &str, bytes: Option<&[u8]>) -> Result<Value> {
    let Some(bytes) = bytes else { return Ok(Value::Null) };
    serde_json::from_slice(bytes)
        .map_err(|source| Error::new(ErrorKind::Tokenizer, format!("cannot read {name}")).with_source(source))
}

/// A special token of `tokenizer_config.json`: a string, or an object with its `content`.
pub(super) fn special_token(tokenizer_config: &Value, key: &str) -> Option<String> {
    let token = &tokenizer_config[key];
    token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned)
}

/// The ids of a field that holds one id, a list of ids, or nothing.
fn ids(value: &Value) -> impl Iterator<Item = u32> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_else(|| std::slice::from_ref(value));
    list.iter().filter_map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()))
}

fn first_id(value: &Value) -> Option<u32> {
    ids(value).next()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use serde_json::json;

    use super::*;
    use crate::text::test_files;

    #[test]
    fn eos_set_is_the_union_of_every_source() {
        let json = test_files::byte_fallback_json().to_string();
        let files = TextFiles { tokenizer: json.as_bytes(), ..TextFiles::default() };
        let tokenizer = Tokenizer::new(&TextFiles {
            tokenizer_config: Some(br#"{"bos_token": {"content": "<s>"}, "eos_token": {"content": "</s>"}}"#),
            generation_config: Some(br#"{"eos_token_id": [7, 9], "bos_token_id": 5}"#),
            config: Some(br#"{"eos_token_id": 11}"#),
            ..files
        })
        .unwrap();
        assert_eq!(tokenizer.eos().iter().copied().collect::<Vec<_>>(), [2, 7, 9, 11]);
        assert_eq!(tokenizer.bos(), Some(1));
        assert!(tokenizer.is_special(2) && !tokenizer.is_special(3));

        let config = Some(br#"{"eos_token_id": null, "bos_token_id": 1}"#.as_slice());
        let plain = Tokenizer::new(&TextFiles { config, ..files }).unwrap();
        assert!(plain.eos().is_empty());
        assert_eq!(plain.bos(), Some(1));
    }

    #[test]
    fn bad_bytes_are_errors_of_the_file_that_has_them() {
        let json = test_files::byte_fallback_json().to_string();
        let good = TextFiles { tokenizer: json.as_bytes(), ..TextFiles::default() };
        let cases: [(TextFiles<'_>, &str); 6] = [
            (TextFiles { tokenizer: b"", ..good }, "tokenizer.json"),
            (TextFiles { tokenizer: b"{}", ..good }, "tokenizer.json"),
            (TextFiles { tokenizer: &good.tokenizer[..good.tokenizer.len() / 2], ..good }, "tokenizer.json"),
            (TextFiles { tokenizer: b"\xff\xfe", ..good }, "tokenizer.json"),
            (TextFiles { tokenizer_config: Some(b"["), ..good }, "tokenizer_config.json"),
            (TextFiles { config: Some(b"nope"), ..good }, "config.json"),
        ];
        for (files, name) in cases {
            let error = Tokenizer::new(&files).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Tokenizer);
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_panic_of_the_rules_is_an_error() {
        // `Strip` looks before the start of a token when asked to cut more than there is.
        let mut hostile = test_files::byte_fallback_json();
        hostile["decoder"] = json!({ "type": "Strip", "content": "a", "start": 0, "stop": 9 });
        let tokenizer = test_files::tokenizer(&hostile);
        let a = tokenizer.token_id("a").unwrap();
        assert_eq!(tokenizer.decode(&[a]).unwrap_err().kind(), ErrorKind::Tokenizer);
    }

    #[test]
    fn truncation_and_padding_of_the_file_are_ignored() {
        let mut cut = test_files::byte_fallback_json();
        cut["truncation"] =
            json!({ "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0 });
        cut["padding"] = json!({ "strategy": { "Fixed": 64 }, "direction": "Right", "pad_to_multiple_of": null,
                                 "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>" });
        let whole = test_files::byte_fallback();
        assert_eq!(test_files::tokenizer(&cut).encode("a b c d").unwrap(), whole.encode("a b c d").unwrap());
    }

    #[test]
    fn raw_text_gets_special_tokens_and_rendered_text_does_not() {
        let tokenizer = test_files::byte_fallback();
        let raw = tokenizer.encode("ab").unwrap();
        let rendered = tokenizer.encode_rendered("ab").unwrap();
        assert_eq!(raw[0], 1);
        assert_eq!(raw[1..], rendered);
        let json = test_files::byte_fallback_json().to_string();
        let files = TextFiles {
            tokenizer: json.as_bytes(),
            tokenizer_config: Some(br#"{"bos_token": "<s>"}"#),
            ..TextFiles::default()
        };
        assert_eq!(Tokenizer::new(&files).unwrap().added_bos().unwrap(), Some(1));
        assert_eq!(tokenizer.added_bos().unwrap(), None, "no token is named to be the first");
        assert_eq!(test_files::byte_level().added_bos().unwrap(), None);
        let written = tokenizer.encode_rendered("<s>ab</s>").unwrap();
        assert_eq!((written.first(), written.last()), (Some(&1), Some(&2)));
    }

    #[test]
    fn fingerprints_tell_tokenizers_apart() {
        let one = test_files::byte_fallback().fingerprint().unwrap();
        assert_eq!(one.len(), 64);
        assert_eq!(one, test_files::byte_fallback().fingerprint().unwrap());
        assert_ne!(one, test_files::byte_level().fingerprint().unwrap());
    }

    #[test]
    fn text_survives_a_round_trip() {
        for (name, tokenizer) in test_files::all() {
            for text in test_files::TEXTS {
                let decoded = tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap();
                assert_eq!(decoded, text, "{name}");
            }
        }
    }
}
