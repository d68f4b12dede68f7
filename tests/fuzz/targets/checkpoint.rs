//! Damage anywhere in a checkpoint.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| otaro_fuzz::checkpoint::run(data));
