//! Models for the tests: a tiny random one with a tokenizer inside, and the real one of `../shared`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;

use otaro_tests::shared;
use serde_json::{Value, json};

use crate::{
    Architecture, Model, TextFiles, Tokenizer,
    checkpoint::Blob,
    cpu::{CpuOptions, FullWeights},
    pack::{HuggingFaceFolder, RandomWeights},
    test_checkpoint,
    text::test_files,
};

/// Positions of the tiny model.
pub(crate) const CONTEXT: usize = 400;

/// Every message between special tokens; two questions in a row are refused.
pub(crate) const TEMPLATE: &str = "{% for m in messages %}\
{% if not loop.first and m.role == loop.previtem.role %}{{ raise_exception('twice ' ~ m.role) }}{% endif %}\
<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant: {% endif %}";

/// A random model of which every token is a byte, a letter or a short word. `eos` ends its answers.
pub(crate) fn tiny(template: Option<&str>, eos: &[u32]) -> Model {
    let mut config = json!({ "bos_token": "<s>" });
    if let Some(template) = template {
        config["chat_template"] = template.into();
    }
    let blobs = [
        ("tokenizer.json", test_files::byte_fallback_json()),
        ("tokenizer_config.json", config),
        ("generation_config.json", json!({ "eos_token_id": eos })),
    ];
    let architecture = Architecture {
        vocab_size: 360,
        hidden_size: 64,
        intermediate_size: 96,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        context_length: CONTEXT,
        tied_head: false,
    };
    model(&architecture, &blobs, &test_files::byte_fallback().fingerprint().unwrap())
}

/// A random model.
pub(crate) fn model(architecture: &Architecture, blobs: &[(&str, Value)], fingerprint: &str) -> Model {
    let blob = |(name, json): &(&str, Value)| Blob {
        name: (*name).to_owned(),
        bytes: json.to_string().into_bytes(),
    };
    let mut weights = RandomWeights::new(architecture, 7);
    let blobs = blobs.iter().map(blob).collect();
    let (_folder, checkpoint) = test_checkpoint::write(architecture, &mut weights, blobs, fingerprint);
    Model::on_cpu(checkpoint, None, &CpuOptions::default()).unwrap()
}

/// stories260K in full precision, its tokenizer, and what PyTorch says about it.
pub(crate) fn stories() -> Option<(Model, Tokenizer, Value)> {
    let folder = shared("models/stories260K")?;
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let (json, config) = (read("tokenizer.json"), read("tokenizer_config.json"));
    let files = TextFiles { tokenizer: &json, tokenizer_config: Some(&config), ..TextFiles::default() };
    let mut source = HuggingFaceFolder::open(&folder).unwrap();
    let architecture = source.architecture().clone();
    let weights = FullWeights::load(&architecture, &mut source).unwrap();
    let model = Model::full_precision(&architecture, weights, &CpuOptions::PLAIN).unwrap();
    let reference = fs::read(shared("reference/stories260K.json")?).unwrap();
    Some((model, Tokenizer::new(&files).unwrap(), serde_json::from_slice(&reference).unwrap()))
}
