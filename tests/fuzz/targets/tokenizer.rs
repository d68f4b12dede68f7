//! Hostile tokenizers.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use otaro_fuzz::{panics, tokenizer};

fuzz_target!(init: panics::note(), |data: &[u8]| panics::abort_on_escape(|| tokenizer::run(data)));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    tokenizer::mutate(data, size, max_size, seed, fuzzer_mutate)
});
