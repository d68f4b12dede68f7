//! Damaged checkpoints: opened, inspected, verified, and run for a token where they open.
//!
//! Two inputs, one for damage anywhere in the file and one for a header that lies.

use std::{fs, num::NonZeroUsize, sync::Arc};

use otaro::{
    CancelToken, Checkpoint, Model, Norm, Precision, WeightMatrix, checkpoint::BLOB_NAMES, cpu::CpuOptions,
};
use serde_json::Value;

use crate::{
    patch::{self, merge},
    seed,
};

/// Damages the file. Input: edits of the valid checkpoint, one after the other, each of six bytes:
///
/// ```text
/// kind (modulo 4), position in the file (u32, little-endian, modulo its length), value
/// 0  puts the value at the position          2  cuts the file there
/// 1  flips the bits of the value there       3  fills the next 64 bytes with the value
/// ```
///
/// A kind of 255 in front of everything makes the rest of the input the whole file.
pub fn run(data: &[u8]) {
    exercise(&damaged(data));
}

fn damaged(data: &[u8]) -> Vec<u8> {
    if let Some(file) = data.strip_prefix(&[255]) {
        return file.to_vec();
    }
    let mut file = seed::checkpoint().to_vec();
    let (edits, _) = data.as_chunks::<6>();
    for &[kind, a, b, c, d, value] in edits {
        if file.is_empty() {
            break;
        }
        let position = u32::from_le_bytes([a, b, c, d]) as usize % file.len();
        let end = file.len().min(position + 64);
        match kind % 4 {
            0 => file[position] = value,
            1 => file[position] ^= value,
            2 => file.truncate(position),
            _ => file[position..end].fill(value),
        }
    }
    file
}

/// Makes the header lie. Input: JSON that is merged into the valid header, field by field; `null`
/// takes a field away. The data behind the header stays.
pub fn run_header(data: &[u8]) {
    if let Ok(patch) = serde_json::from_slice(data) {
        exercise(&lying(patch));
    }
}

fn lying(patch: Value) -> Vec<u8> {
    let mut header = header();
    merge(&mut header, patch);
    seed::safetensors(&header, seed::header_and_data().1)
}

/// A custom mutator for [`run_header`].
pub fn mutate_header(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    patch::mutate(&header(), data, size, max_size, seed, bytes)
}

fn header() -> Value {
    let (header, _) = seed::header_and_data();
    serde_json::from_slice(header).expect("the header of the seed")
}

/// Does with a file what a program would do with it, and says whether it opened. Every refusal must
/// be an error value.
fn exercise(file: &[u8]) -> bool {
    let folder = seed::folder();
    let path = folder.path().join("model.sefp.safetensors");
    fs::write(&path, file).expect("the temporary file takes the bytes");
    let Ok(checkpoint) = Checkpoint::open(&path) else { return false };
    inspect(&checkpoint);
    let checkpoint = Arc::new(checkpoint);
    let options = CpuOptions { threads: Some(NonZeroUsize::MIN), ..CpuOptions::default() };
    let model = Model::on_cpu(Arc::clone(&checkpoint), None, &options).expect("one thread is there");
    let Ok(mut session) = model.session(Precision::MIN) else { return true };
    for precision in Precision::ALL {
        if session.set_precision(precision).is_ok() {
            // Hostile norms may well lead to an error; it is an error value.
            let _ = session.top_k(&[1], 3, &CancelToken::new());
        }
    }
    true
}

/// Reads everything that the file offers.
fn inspect(checkpoint: &Checkpoint) {
    let available = checkpoint.available().expect("an open checkpoint holds some precision");
    assert!(checkpoint.data_start() < checkpoint.complete_bytes());
    assert_eq!(checkpoint.metadata().iter().filter(|(key, _)| *key == "format").count(), 1);
    for name in BLOB_NAMES {
        let _ = checkpoint.blob(name);
    }
    for norm in Norm::all(checkpoint.architecture()) {
        let weights = checkpoint.norm(norm).expect("a norm of an open checkpoint");
        assert_eq!(weights.len(), checkpoint.architecture().hidden_size);
    }
    for matrix in WeightMatrix::all(checkpoint.architecture()) {
        let tiles = checkpoint.tiles(matrix, available).expect("planes that are available");
        assert_eq!(tiles.available(), available);
    }
    let _ = checkpoint.verify(&mut |_| Ok(()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_damaged_opens() {
        assert!(exercise(&damaged(&[])), "no edits");
        assert!(exercise(&lying(json!({}))), "nothing to merge");
        assert!(!exercise(&damaged(&[2, 0, 1, 0, 0, 0])), "cut in the header");
        let layers = json!({"__metadata__": {"architecture": {"layers": 2}}});
        assert!(!exercise(&lying(layers)), "no such layer");
    }

    #[test]
    fn mutated_patches_still_open_now_and_then() {
        let mut opened = 0;
        for seed in 0..200 {
            let mut data = [b' '; 4096];
            data[..2].copy_from_slice(b"{}");
            let size = mutate_header(&mut data, 2, 4096, seed, |_, size, _| size);
            let patch = serde_json::from_slice(&data[..size]).expect("a patch is JSON");
            opened += usize::from(exercise(&lying(patch)));
        }
        assert!((1..200).contains(&opened), "{opened} of 200 mutated headers were accepted");
    }
}
