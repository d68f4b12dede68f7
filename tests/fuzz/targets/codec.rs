//! The codec on arbitrary weights.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| otaro_fuzz::codec::run(data));
