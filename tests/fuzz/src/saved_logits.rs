//! Damaged files of saved logits: opened, and read through.
//!
//! Input: JSON that is merged into this description of a valid file.
//!
//! ```text
//! header      the header
//! fill        the value of every byte of data
//! bytes       bytes of data
//! ```

use otaro_eval::{LogitSource, SavedLogits, Windows};
use serde_json::{Value, json};

use crate::{
    patch::{self, merge},
    seed,
};

/// Tokens of a window of the valid file, and logits of a row.
const CONTEXT: usize = 4;
const VOCAB: usize = 5;
/// Windows of the valid file.
const WINDOWS: usize = 2;

/// Opens the file and reads all of it.
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

/// The rows that the file hands out for the windows that it says it has; none where it is refused.
fn exercise(patch: Value) -> usize {
    let mut description = description();
    merge(&mut description, patch);
    let bytes = description["bytes"].as_u64().unwrap_or(0).min(1 << 16);
    let fill = vec![description["fill"].as_u64().unwrap_or(0) as u8; bytes as usize];
    let Ok(mut saved) = SavedLogits::new(seed::safetensors(&description["header"], &fill)) else { return 0 };
    // Every token is that which the filling makes.
    let token = u32::from_le_bytes([fill.first().copied().unwrap_or(0); 4]);
    let mut rows = 0;
    for context in 2..8 {
        let windows = Windows::new(vec![token; 4 * context], context, None, None);
        for count in (1..=4).rev() {
            let windows = Windows::new(vec![token; 4 * context], context, Some(count), None);
            if saved.check(&windows).is_err() {
                continue;
            }
            let vocab_size = saved.origin().vocab_size;
            for window in windows.iter() {
                let count = &mut |logits: &[f32]| {
                    assert_eq!(logits.len(), vocab_size);
                    rows += 1;
                    Ok(())
                };
                saved.logits(&window, count).expect("windows that were checked");
            }
            break;
        }
        for window in windows.iter() {
            // Of a window that is not there it is an error, not a panic.
            let _ = saved.logits(&window, &mut |_| Ok(()));
        }
    }
    rows
}

/// A valid file.
fn description() -> Value {
    let tokens = WINDOWS * CONTEXT * 4;
    let end = tokens + WINDOWS * (CONTEXT - 1) * VOCAB * 2;
    json!({
        "header": {
            "__metadata__": {"format": "otaro-logits", "version": "1", "model": "m", "tokenizer": "none"},
            "tokens": {"dtype": "U32", "shape": [WINDOWS, CONTEXT], "data_offsets": [0, tokens]},
            "logits": {"dtype": "F16", "shape": [WINDOWS, CONTEXT - 1, VOCAB], "data_offsets": [tokens, end]},
        },
        "fill": 0,
        "bytes": end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_file_is_read() {
        assert_eq!(exercise(json!({})), WINDOWS * (CONTEXT - 1), "nothing to merge");
        assert_eq!(exercise(json!({"fill": 0x3c})), WINDOWS * (CONTEXT - 1), "other tokens and logits");
        assert_eq!(exercise(json!({"bytes": 40})), 0, "the data is cut");
        assert_eq!(exercise(json!({"header": {"logits": {"shape": [2, 5, 3]}}})), 0, "rows for no token");
    }
}
