//! Writes Hugging Face folders with random weights, in every form that they come in.

use std::{collections::BTreeMap, fs, path::Path};

use half::{bf16, f16};
use otaro::{Architecture, Norm, WeightMatrix, checkpoint::WeightSource, pack::RandomWeights};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

/// The form of a folder.
#[derive(Clone, Debug)]
pub struct Form {
    /// F32, F16 or BF16.
    pub dtype: Dtype,
    /// How many safetensors files.
    pub shards: usize,
    /// Name under which the embedding is stored.
    pub embedding: String,
}

impl Default for Form {
    fn default() -> Self {
        Self { dtype: Dtype::F32, shards: 1, embedding: WeightMatrix::Embedding.to_string() }
    }
}

/// `config.json` of an architecture.
pub fn config(architecture: &Architecture) -> Value {
    let mut config = architecture.to_huggingface();
    config["eos_token_id"] = json!(2);
    config
}

/// A tokenizer of the words `w0`, `w1`, ... that are split at white space.
pub fn tokenizer(vocab_size: usize) -> Value {
    let vocab: BTreeMap<_, _> = (0..vocab_size).map(|id| (format!("w{id}"), id)).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "w0"},
    })
}

/// Writes a whole folder; the weights are those of [`RandomWeights`] with this seed, rounded to
/// the type of the form.
pub fn write(folder: &Path, architecture: &Architecture, seed: u64, form: &Form) {
    fs::write(folder.join("config.json"), config(architecture).to_string()).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer(architecture.vocab_size).to_string()).unwrap();
    let tensors = tensors(architecture, seed, form);
    if form.shards == 1 {
        return save(&folder.join("model.safetensors"), &tensors, form.dtype);
    }
    let mut weight_map = BTreeMap::new();
    for (index, shard) in tensors.chunks(tensors.len().div_ceil(form.shards)).enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", index + 1, form.shards);
        save(&folder.join(&file), shard, form.dtype);
        weight_map.extend(shard.iter().map(|(name, ..)| (name.clone(), file.clone())));
    }
    let index = json!({"metadata": {}, "weight_map": weight_map});
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

type Tensor = (String, Vec<usize>, Vec<u8>);

fn tensors(architecture: &Architecture, seed: u64, form: &Form) -> Vec<Tensor> {
    // The order in which the writer of a checkpoint asks: norms first.
    let mut random = RandomWeights::new(architecture, seed);
    let mut tensors = Vec::new();
    for norm in Norm::all(architecture) {
        tensors.push((
            norm.to_string(),
            vec![architecture.hidden_size],
            bytes(&random.norm(norm).unwrap(), form.dtype),
        ));
    }
    for matrix in WeightMatrix::all(architecture) {
        let grid = matrix.grid(architecture);
        let name =
            if matrix == WeightMatrix::Embedding { form.embedding.clone() } else { matrix.to_string() };
        let weights = random.rows(matrix, 0..grid.rows).unwrap();
        tensors.push((name, vec![grid.rows, grid.cols], bytes(&weights, form.dtype)));
    }
    tensors
}

fn bytes(values: &[f32], dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
        other => panic!("no folder has {other:?}"),
    }
}

fn save(path: &Path, tensors: &[Tensor], dtype: Dtype) {
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name.clone(), TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}
