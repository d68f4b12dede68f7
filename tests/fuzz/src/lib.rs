//! The fuzz targets: functions that take any bytes and must neither panic nor read out of bounds.
//!
//! `cargo test` replays the corpus through them; `cargo xtask fuzz` lets libFuzzer look for more.
//! An input that was once a finding belongs into `corpus/TARGET/`.

pub mod codec;

/// A fuzz target: its name, which is that of its folder of the corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 1] = [("codec", codec::run)];
