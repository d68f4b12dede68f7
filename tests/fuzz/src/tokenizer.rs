//! Hostile tokenizers and hostile text: encoded, decoded whole and token by token.
//!
//! Input: JSON that is merged into this description.
//!
//! ```text
//! tokenizer, tokenizer_config, generation_config    the files of those names
//! text                                              what is encoded
//! ids                                               what is decoded
//! ```

use otaro::{TextFiles, Tokenizer};
use serde_json::{Value, json};

use crate::patch::{self, merge};

/// Reads the tokenizer and uses it.
pub fn run(data: &[u8]) {
    if let Ok(patch) = serde_json::from_slice(data) {
        exercise(patch);
    }
}

/// A custom mutator for [`run`].
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    patch::mutate(&description(), data, size, max_size, seed, bytes)
}

/// Whether the files were accepted. Rules may fail on a text; that is an error value.
fn exercise(patch: Value) -> bool {
    let mut description = description();
    merge(&mut description, patch);
    let file = |name: &str| description[name].to_string().into_bytes();
    let (tokenizer, config, generation) =
        (file("tokenizer"), file("tokenizer_config"), file("generation_config"));
    let files = TextFiles {
        tokenizer: &tokenizer,
        tokenizer_config: Some(&config),
        generation_config: Some(&generation),
        ..TextFiles::default()
    };
    let Ok(tokenizer) = Tokenizer::new(&files) else { return false };
    let text = description["text"].as_str().unwrap_or_default();
    let _ = tokenizer.encode(text);
    let encoded = tokenizer.encode_rendered(text).unwrap_or_default();
    let ids = description["ids"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ids: Vec<_> = ids.iter().filter_map(Value::as_u64).map(|id| id as u32).collect();
    decode(&tokenizer, &[], &encoded);
    decode(&tokenizer, &encoded, &ids);
    true
}

/// What leaves token by token is text, however the tokens cut it; it is a `String`, so whole
/// characters by its type. Special tokens say nothing.
fn decode(tokenizer: &Tokenizer, prompt: &[u32], ids: &[u32]) {
    let _ = tokenizer.decode(ids);
    let Ok(mut decoder) = tokenizer.decoder(prompt) else { return };
    for &id in ids {
        let Ok(piece) = decoder.push(id) else { return };
        assert!(piece.is_empty() || !tokenizer.is_special(id), "special token {id} says {piece:?}");
    }
    let _ = decoder.finish();
}

/// A tokenizer in the manner of SentencePiece with a handful of tokens: merges, bytes for what is
/// unknown, a token added in front.
fn description() -> Value {
    let special = |id: u32, name: &str| {
        json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let pieces = ["<0xC3>", "<0xA9>", "<0xF0>", "▁", "a", "b", "c", "ab", "▁ab"];
    let names = ["<unk>", "<s>", "</s>"].into_iter().chain(pieces);
    let vocab: serde_json::Map<_, _> =
        names.enumerate().map(|(id, name)| (name.to_owned(), json!(id))).collect();
    json!({
        "tokenizer": {
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ]},
            "pre_tokenizer": null,
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
            },
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ]},
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": "<unk>",
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": true,
                "byte_fallback": true,
                "ignore_merges": false,
                "vocab": vocab,
                "merges": [["a", "b"], ["▁", "ab"]],
            },
        },
        "tokenizer_config": {"bos_token": "<s>", "eos_token": {"content": "</s>"}},
        "generation_config": {"eos_token_id": [2]},
        "text": "ab c é <s> \u{1f600}",
        "ids": [1, 11, 6, 3, 4, 5, 8, 2, 99],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokenizer_is_valid() {
        assert!(exercise(json!({})), "nothing to merge");
        assert!(!exercise(json!({"tokenizer": {"model": {"type": "none"}}})), "no such model");
    }
}
