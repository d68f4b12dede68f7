//! Random orders that depend on nothing but numbers.

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use sha2::{Digest, Sha256};

/// A random order of `0..count`. `purpose` keeps orders apart that have the same numbers.
///
/// # Panics
/// If `count` does not fit in 32 bits.
pub(crate) fn permutation(purpose: &str, seed: u64, round: u64, count: usize) -> Vec<u32> {
    let count = u32::try_from(count).expect("fewer than four thousand million things to put in order");
    let mut hash = Sha256::new();
    hash.update(purpose);
    hash.update(seed.to_le_bytes());
    hash.update(round.to_le_bytes());
    let mut order: Vec<u32> = (0..count).collect();
    order.shuffle(&mut StdRng::from_seed(hash.finalize().into()));
    order
}
