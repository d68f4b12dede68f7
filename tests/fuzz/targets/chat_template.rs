//! Hostile chat templates.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| otaro_fuzz::chat_template::run(data));
