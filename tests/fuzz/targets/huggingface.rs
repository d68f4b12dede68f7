//! Damaged Hugging Face folders.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use otaro_fuzz::{huggingface, panics};

fuzz_target!(init: panics::note(), |data: &[u8]| panics::abort_on_escape(|| huggingface::run(data)));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    huggingface::mutate(data, size, max_size, seed, fuzzer_mutate)
});
