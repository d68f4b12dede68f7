//! Arbitrary precision profiles, as text and as JSON.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use otaro_fuzz::{json, profile};

fuzz_target!(|data: &[u8]| profile::run(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    json::mutate(data, size, max_size, seed, fuzzer_mutate)
});
