//! The smallest checkpoint that is one: what the mutations of checkpoints start from. It is made by
//! the writer, so that the targets follow the format without anybody's help. And helpers to put
//! files together and to put them somewhere.

use std::{fs, path::Path, sync::OnceLock};

use otaro::{
    Architecture, NamedProfiles, Reconstruction, Scale,
    checkpoint::{Blob, Manifest, write_checkpoint},
    pack::RandomWeights,
};
use serde_json::Value;
use tempfile::TempDir;

/// Bytes of the length in front of a safetensors header.
const LENGTH_BYTES: usize = 8;

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
        let folder = folder();
        let path = folder.path().join("seed.sefp.safetensors");
        write(&path);
        fs::read(&path).expect("the checkpoint that was just written")
    })
}

fn write(path: &Path) {
    let architecture = architecture();
    let manifest = Manifest {
        reconstruction: Reconstruction::Midpoint,
        scale: Scale::default(),
        blobs: vec![Blob { name: "config.json".to_owned(), bytes: b"{}".to_vec() }],
        tokenizer_fingerprint: "none".to_owned(),
        provenance: "a seed for fuzzing".to_owned(),
        profiles: NamedProfiles::from_json(r#"{"mixed": {"all": 3, "head": 8, "layers.0": 4}}"#)
            .expect("profiles"),
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

/// A safetensors file of a header and data. The data starts at a multiple of 64 bytes, so tensors
/// keep their alignment behind a header of another length.
pub(crate) fn safetensors(header: &Value, data: &[u8]) -> Vec<u8> {
    let json = header.to_string().into_bytes();
    let data_start = (LENGTH_BYTES + json.len()).next_multiple_of(64);
    let mut file = ((data_start - LENGTH_BYTES) as u64).to_le_bytes().to_vec();
    file.extend_from_slice(&json);
    file.resize(data_start, b' ');
    file.extend_from_slice(data);
    file
}

/// A temporary folder, in memory rather than on a disk where there is such a thing.
pub(crate) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a temporary folder")
}
