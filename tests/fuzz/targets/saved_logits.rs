//! Damaged files of saved logits.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use otaro_fuzz::saved_logits;

fuzz_target!(|data: &[u8]| saved_logits::run(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    saved_logits::mutate(data, size, max_size, seed, fuzzer_mutate)
});
