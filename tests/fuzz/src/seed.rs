//! The smallest checkpoint that is one: what the mutations of checkpoints start from. It is made by
//! the writer, so that the targets follow the format without anybody's help.

use std::{fs, path::Path, sync::OnceLock};

use otaro::{
    Architecture, Reconstruction,
    checkpoint::{Blob, Manifest, write_checkpoint},
    pack::RandomWeights,
};

/// Bytes of the length in front of a safetensors header.
pub const LENGTH_BYTES: usize = 8;

/// One layer, a handful of values wide.
pub fn architecture() -> Architecture {
    Architecture {
        vocab_size: 20,
        hidden_size: 12,
        intermediate_size: 16,
        layers: 1,
        heads: 2,
        kv_heads: 1,
        head_dim: 6,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        context_length: 32,
        tied_head: true,
    }
}

/// The bytes of a checkpoint of that shape.
pub fn checkpoint() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("seed.sefp.safetensors");
        write(&path);
        fs::read(&path).expect("the checkpoint that was just written")
    })
}

fn write(path: &Path) {
    let architecture = architecture();
    let manifest = Manifest {
        reconstruction: Reconstruction::Midpoint,
        blobs: vec![Blob { name: "config.json".to_owned(), bytes: b"{}".to_vec() }],
        tokenizer_fingerprint: "none".to_owned(),
        provenance: "a seed for fuzzing".to_owned(),
        architecture: architecture.clone(),
    };
    let mut weights = RandomWeights::new(&architecture, 1);
    write_checkpoint(path, &manifest, &mut weights, &mut |_| Ok(())).expect("a valid checkpoint");
}

/// The header of that checkpoint, and the data behind it.
pub fn header_and_data() -> (&'static [u8], &'static [u8]) {
    let bytes = checkpoint();
    let length = bytes.first_chunk::<LENGTH_BYTES>().expect("a safetensors file starts with a length");
    bytes[LENGTH_BYTES..].split_at(u64::from_le_bytes(*length) as usize)
}
