//! Checkpoints whose header lies.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use otaro_fuzz::checkpoint;

fuzz_target!(|data: &[u8]| checkpoint::run_header(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    checkpoint::mutate_header(data, size, max_size, seed, fuzzer_mutate)
});
