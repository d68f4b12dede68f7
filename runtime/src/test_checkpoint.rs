//! Checkpoints for the tests of the runtime.

use std::sync::Arc;

use sefp::{Reconstruction, Scale};
use tempfile::TempDir;

use crate::{
    Architecture, Checkpoint,
    checkpoint::{Blob, Manifest, WeightSource, write_checkpoint},
};

/// Writes and opens a checkpoint, and returns the folder it lies in. The file is open, so the folder
/// may go where nobody asks for its path.
pub(crate) fn write(
    architecture: &Architecture,
    source: &mut dyn WeightSource,
    blobs: Vec<Blob>,
    tokenizer_fingerprint: &str,
) -> (TempDir, Arc<Checkpoint>) {
    let manifest = Manifest {
        architecture: architecture.clone(),
        reconstruction: Reconstruction::Midpoint,
        scale: Scale::default(),
        blobs,
        tokenizer_fingerprint: tokenizer_fingerprint.to_owned(),
        provenance: "a test".to_owned(),
        profiles: Default::default(),
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.sefp.safetensors");
    write_checkpoint(&path, &manifest, source, &mut |_| Ok(())).expect("a checkpoint");
    let checkpoint = Checkpoint::open(&path).expect("the checkpoint just written");
    (folder, Arc::new(checkpoint))
}
