//! Damaged checkpoints: opened, inspected, verified, and run for a token where they open.
//!
//! Two inputs, one for damage anywhere in the file and one for a header that lies.

use std::{fs::File, io::Write, path::Path, sync::Arc};

use otaro::{CancelToken, Checkpoint, Model, Norm, Precision, WeightMatrix, checkpoint::BLOB_NAMES};
use serde_json::Value;

use crate::{
    json::{mutate_value, nested, store},
    random::Random,
    seed::{self, LENGTH_BYTES},
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
    let (header, data) = seed::header_and_data();
    let mut header = serde_json::from_slice(header).expect("the header of the seed");
    merge(&mut header, patch);
    let json = header.to_string().into_bytes();
    // The tensors keep their alignment behind a header of another length.
    let data_start = (LENGTH_BYTES + json.len()).next_multiple_of(64);
    let mut file = ((data_start - LENGTH_BYTES) as u64).to_le_bytes().to_vec();
    file.extend_from_slice(&json);
    file.resize(data_start, b' ');
    file.extend_from_slice(data);
    file
}

/// A custom mutator for [`run_header`]: takes a field of the valid header, changes it and puts it
/// into the patch, or changes the patch itself.
pub fn mutate_header(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let random = &mut Random::new(seed);
    let patch = serde_json::from_slice(&data[..size]).ok().filter(Value::is_object);
    let Some(mut patch) = patch else { return bytes(data, size, max_size) };
    if random.once_in(4) {
        mutate_value(&mut patch, random);
    } else {
        let (header, _) = seed::header_and_data();
        let header = serde_json::from_slice(header).expect("the header of the seed");
        lie(&mut patch, &header, random);
    }
    store(&patch, data, max_size).unwrap_or(size)
}

/// Puts a changed copy of some field of `truth` into `patch`.
fn lie(patch: &mut Value, truth: &Value, random: &mut Random) {
    let (Value::Object(patch), Value::Object(fields)) = (patch, truth) else { return };
    let names: Vec<_> = fields.keys().collect();
    // The fields of the format lie in one entry, the tensors in all the others.
    let metadata = "__metadata__".to_owned();
    let name = match random.once_in(2) && fields.contains_key(&metadata) {
        true => &metadata,
        false => *random.pick(&names),
    };
    let opened = fields[name].as_str().and_then(nested);
    let truth = opened.as_ref().unwrap_or(&fields[name]);
    let place = patch.entry(name.clone()).or_insert_with(|| truth.clone());
    if truth.is_object() && !random.once_in(8) {
        if !place.is_object() {
            *place = Value::Object(Default::default());
        }
        return lie(place, truth, random);
    }
    *place = truth.clone();
    mutate_value(place, random);
}

/// Merges a patch into a value; inside of a string that holds JSON, too.
fn merge(value: &mut Value, patch: Value) {
    let structured = patch.is_object() || patch.is_array();
    if let (Value::String(text), true) = (&mut *value, structured) {
        let mut inside = nested(text).unwrap_or_default();
        merge(&mut inside, patch);
        *text = inside.to_string();
        return;
    }
    let Value::Object(patch) = patch else {
        *value = patch;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Default::default());
    }
    let Value::Object(fields) = value else { return };
    for (name, patch) in patch {
        match patch {
            Value::Null => drop(fields.remove(&name)),
            patch => merge(fields.entry(name).or_insert(Value::Null), patch),
        }
    }
}

/// Does with a file what a program would do with it, and says whether it opened. Every refusal must
/// be an error value.
fn exercise(file: &[u8]) -> bool {
    let mut temporary = tempfile::Builder::new().tempfile_in(scratch()).expect("a temporary file");
    write(temporary.as_file_mut(), file);
    let Ok(checkpoint) = Checkpoint::open(temporary.path()) else { return false };
    inspect(&checkpoint);
    let checkpoint = Arc::new(checkpoint);
    let model = Model::on_cpu(Arc::clone(&checkpoint), None);
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

fn write(file: &mut File, bytes: &[u8]) {
    file.write_all(bytes).expect("the temporary file takes the bytes");
}

/// Memory rather than a disk, where there is such a folder.
fn scratch() -> std::path::PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() }
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
    fn a_patch_reaches_into_strings_that_hold_json() {
        let mut value = json!({"a": {"b": "{\"c\":1,\"d\":2}", "e": 3}});
        merge(&mut value, json!({"a": {"b": {"c": [4]}, "e": null}}));
        assert_eq!(value, json!({"a": {"b": "{\"c\":[4],\"d\":2}"}}));
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
