//! Damaged Hugging Face folders: packed, and the result opened where packing succeeds.
//!
//! Input: JSON that is merged into this description of a valid folder.
//!
//! ```text
//! config      config.json
//! header      the header of model.safetensors
//! index       model.safetensors.index.json, or false for none
//! tokenizer   tokenizer.json
//! fill        the value of every byte of data
//! bytes       bytes of data
//! ```

use std::{fs, path::Path};

use otaro::{
    Architecture, Checkpoint, Norm, WeightMatrix,
    pack::{PackOptions, pack_folder},
};
use serde_json::{Value, json};

use crate::{
    patch::{self, merge},
    seed,
};

/// Packs the folder.
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

/// Whether a folder could be packed. What was packed is a checkpoint that opens.
fn exercise(patch: Value) -> bool {
    let mut description = description();
    merge(&mut description, patch);
    let folder = seed::folder();
    write(folder.path(), &description);
    let output = folder.path().join("model.sefp.safetensors");
    match pack_folder(folder.path(), &output, &PackOptions::default(), &mut |_| Ok(())) {
        Ok(()) => {
            Checkpoint::open(&output).expect("what was packed opens");
            true
        }
        Err(_) => {
            assert!(!output.exists(), "a failure leaves no file behind");
            false
        }
    }
}

fn write(folder: &Path, description: &Value) {
    let put = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("the file is written");
    put("config.json", description["config"].to_string().as_bytes());
    put("tokenizer.json", description["tokenizer"].to_string().as_bytes());
    if description["index"] != json!(false) {
        put("model.safetensors.index.json", description["index"].to_string().as_bytes());
    }
    let bytes = description["bytes"].as_u64().unwrap_or(0).min(1 << 16);
    let data = vec![description["fill"].as_u64().unwrap_or(0) as u8; bytes as usize];
    put("model.safetensors", &seed::safetensors(&description["header"], &data));
}

/// A valid folder.
fn description() -> Value {
    let architecture = seed::architecture();
    let matrices = WeightMatrix::all(&architecture).map(|matrix| {
        let grid = matrix.grid(&architecture);
        (matrix.to_string(), vec![grid.rows, grid.cols])
    });
    let norms = Norm::all(&architecture).map(|norm| (norm.to_string(), vec![architecture.hidden_size]));
    let mut header = json!({});
    let mut end = 0;
    for (name, shape) in matrices.chain(norms) {
        let begin = end;
        end += 2 * shape.iter().product::<usize>();
        header[name] = json!({"dtype": "F16", "shape": shape, "data_offsets": [begin, end]});
    }
    json!({
        "config": config(&architecture),
        "header": header,
        "index": false,
        "tokenizer": tokenizer(),
        "fill": 0x3c,
        "bytes": end,
    })
}

/// A tokenizer of whole words.
fn tokenizer() -> Value {
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "a": 1, "b": 2}, "unk_token": "<unk>"},
    })
}

fn config(architecture: &Architecture) -> Value {
    json!({
        "model_type": "llama",
        "vocab_size": architecture.vocab_size,
        "hidden_size": architecture.hidden_size,
        "intermediate_size": architecture.intermediate_size,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "num_key_value_heads": architecture.kv_heads,
        "head_dim": architecture.head_dim,
        "rms_norm_eps": architecture.rms_norm_eps,
        "rope_theta": architecture.rope_theta,
        "max_position_embeddings": architecture.context_length,
        "tie_word_embeddings": architecture.tied_head,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_folder_is_packed() {
        assert!(exercise(json!({})), "nothing to merge");
        assert!(!exercise(json!({"fill": 0xff})), "every weight is not a number");
        assert!(!exercise(json!({"bytes": 100})), "the data is cut");
        let index = json!({"weight_map": {"model.norm.weight": "model.safetensors"}});
        assert!(exercise(json!({"index": index})), "through an index");
        let index = json!({"weight_map": {"model.norm.weight": "../model.safetensors"}});
        assert!(!exercise(json!({"index": index})), "an index that leaves the folder");
    }
}
