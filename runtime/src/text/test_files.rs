//! Tokenizers for the tests: two tiny ones made here, and real ones where `../shared` is.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;

use otaro_tests::shared;
use serde_json::{Value, json};

use super::{TextFiles, Tokenizer};

/// Text that is awkward to cut into tokens.
pub(crate) const TEXTS: [&str; 12] = [
    "Once upon a time, there was a little girl named Lily.",
    "  two leading spaces, and   several   inside  ",
    "\n\n\tdef f(x):\n\t\treturn x ** 2  # Größe\r\n",
    "naïve café, nai\u{308}ve cafe\u{301}",
    "Привет, мир! Γειά σου Κόσμε.",
    "你好，世界。日本語のテキスト、한국어 텍스트",
    "مرحبا بالعالم، שלום עולם. नमस्ते दुनिया। สวัสดีชาวโลก",
    "😀👩\u{200d}👩\u{200d}👧\u{200d}👦🇩🇪🏳\u{fe0f}\u{200d}🌈",
    "a😀b 😀 c😀😀😀",
    "½ ∑x² ≤ 10⁻³ €9.99 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𓀀𓀁",
    "0123456789 3.14159 0xFF",
    " ",
];

/// A `tokenizer.json` in the manner of SentencePiece: `▁` for spaces, bytes for what is unknown.
pub(crate) fn byte_fallback_json() -> Value {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).into();
    tokens.extend((0..=255).map(|byte: u8| format!("<0x{byte:02X}>")));
    tokens.push("▁".into());
    tokens.extend(('!'..='~').map(String::from));
    tokens.extend(["é", "th", "the", "▁the", "on", "▁on"].map(str::to_owned));
    let merges = [["t", "h"], ["th", "e"], ["▁", "the"], ["o", "n"], ["▁", "on"]];
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added_tokens(&["<unk>", "<s>", "</s>"], 0),
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        ] },
        "pre_tokenizer": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] } },
        },
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "ByteFallback" },
            { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ] },
        "model": model(&tokens, json!(merges), json!("<unk>"), true),
    })
}

/// A `tokenizer.json` in the manner of GPT-2 and Llama 3: bytes as letters. One merge joins the end
/// of a character with the start of the next, as trained vocabularies do for CJK text.
pub(crate) fn byte_level_json() -> Value {
    let letter = byte_letters();
    let spell = |bytes: &[u8]| bytes.iter().map(|byte| letter[usize::from(*byte)]).collect::<String>();
    let pairs: [(&[u8], &[u8]); 4] = [(b"t", b"h"), (b"th", b"e"), (b" ", b"the"), (&[0xbd], &[0xe4])];
    let mut tokens: Vec<String> = (0..=255).map(|byte| spell(&[byte])).collect();
    tokens.extend(pairs.map(|(left, right)| spell(&[left, right].concat())));
    let merges = pairs.map(|(left, right)| [spell(left), spell(right)]);
    let names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added_tokens(&names, tokens.len()),
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": model(&tokens, json!(merges), Value::Null, false),
    })
}

pub(crate) fn byte_fallback() -> Tokenizer {
    tokenizer(&byte_fallback_json())
}

pub(crate) fn byte_level() -> Tokenizer {
    tokenizer(&byte_level_json())
}

pub(crate) fn tokenizer(json: &Value) -> Tokenizer {
    Tokenizer::new(&TextFiles { tokenizer: json.to_string().as_bytes(), ..TextFiles::default() }).unwrap()
}

/// The real tokenizers at hand, and the two tiny ones.
pub(crate) fn all() -> Vec<(&'static str, Tokenizer)> {
    let mut all = vec![("byte fallback", byte_fallback()), ("byte level", byte_level())];
    let names = [
        "models/stories260K",
        "data/tokenizers/llama3",
        "data/tokenizers/smollm",
        "data/tokenizers/llama2-spm-32k",
    ];
    for name in names {
        let Some(path) = shared(&format!("{name}/tokenizer.json")) else { return all };
        let bytes = fs::read(path).unwrap();
        all.push((name, Tokenizer::new(&TextFiles { tokenizer: &bytes, ..TextFiles::default() }).unwrap()));
    }
    all
}

fn added_tokens(names: &[&str], first: usize) -> Value {
    let token = |(index, name)| {
        json!({ "id": first + index, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
    };
    names.iter().enumerate().map(token).collect()
}

fn model(tokens: &[String], merges: Value, unknown: Value, byte_fallback: bool) -> Value {
    let vocab: serde_json::Map<_, _> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    json!({
        "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": byte_fallback, "byte_fallback": byte_fallback,
        "ignore_merges": false, "vocab": vocab, "merges": merges,
    })
}

/// GPT-2's alphabet: printable bytes are themselves, the others follow from U+0100 on.
fn byte_letters() -> Vec<char> {
    let mut next = 0x100;
    (0..=255_u8)
        .map(|byte| match byte {
            33..=126 | 161..=172 | 174..=255 => char::from(byte),
            _ => {
                next += 1;
                char::from_u32(next - 1).unwrap()
            }
        })
        .collect()
}
