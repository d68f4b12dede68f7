//! Arbitrary files of multiple-choice questions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| otaro_fuzz::questions::run(data));
