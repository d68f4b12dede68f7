//! Arbitrary `config.json` files. Input: the bytes of one.

use otaro::{Architecture, WeightMatrix};

/// Reads the file; what it accepts must hold together.
pub fn run(data: &[u8]) {
    let Ok(architecture) = Architecture::from_huggingface(data) else { return };
    architecture.check().expect("what was read was checked");
    assert_eq!(architecture.heads % architecture.kv_heads, 0);
    let matrices = 7 * architecture.layers + if architecture.tied_head { 1 } else { 2 };
    assert_eq!(WeightMatrix::all(&architecture).count(), matrices);
    // Sizes are products of what the file says: they must not wrap.
    let weights: u128 = WeightMatrix::all(&architecture)
        .map(|matrix| matrix.grid(&architecture))
        .map(|grid| grid.rows as u128 * grid.cols as u128)
        .sum();
    assert_eq!(architecture.packed_weights() as u128, weights);
}
