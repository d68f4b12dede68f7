//! Random models of a few thousand weights, with every irregularity that a real one may have.

use std::path::Path;

use otaro::{
    Architecture, Checkpoint, Reconstruction, RopeScaling, Scale,
    checkpoint::{Manifest, write_checkpoint},
    pack::RandomWeights,
};

/// Hidden size and head_dim * heads differ, neither is a multiple of 64, queries are grouped, rope
/// is scaled, the head is its own matrix.
pub fn irregular() -> Architecture {
    Architecture {
        vocab_size: 99,
        hidden_size: 72,
        intermediate_size: 100,
        layers: 2,
        heads: 6,
        kv_heads: 2,
        head_dim: 10,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: Some(RopeScaling {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context_length: 64,
        }),
        context_length: 300,
        tied_head: false,
    }
}

/// The plainest of shapes: everything a multiple of 64, one key and value head per query head, tied.
pub fn regular() -> Architecture {
    Architecture {
        vocab_size: 128,
        hidden_size: 64,
        intermediate_size: 128,
        layers: 2,
        heads: 4,
        kv_heads: 4,
        head_dim: 16,
        rms_norm_eps: 1e-5,
        rope_theta: 500_000.0,
        rope_scaling: None,
        context_length: 256,
        tied_head: true,
    }
}

/// Everything of a checkpoint but its weights, without a tokenizer.
pub fn manifest(architecture: &Architecture) -> Manifest {
    Manifest {
        architecture: architecture.clone(),
        reconstruction: Reconstruction::Midpoint,
        scale: Scale::default(),
        blobs: Vec::new(),
        tokenizer_fingerprint: "none".to_string(),
        provenance: "random weights".to_string(),
        profiles: Default::default(),
    }
}

/// Writes a random model and opens it.
pub fn checkpoint(path: &Path, architecture: &Architecture, seed: u64) -> Checkpoint {
    let mut weights = RandomWeights::new(architecture, seed);
    write_checkpoint(path, &manifest(architecture), &mut weights, &mut |_| Ok(())).unwrap();
    Checkpoint::open(path).unwrap()
}
