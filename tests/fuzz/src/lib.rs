//! The fuzz targets: functions that take any bytes and must neither panic nor read out of bounds.
//!
//! `cargo test` replays the corpus through them; `cargo xtask fuzz` lets libFuzzer look for more.
//! An input that was once a finding belongs into `corpus/TARGET/`.

pub mod architecture;
pub mod chat_template;
pub mod checkpoint;
pub mod codec;
pub mod huggingface;
pub mod json;
pub mod panics;
mod patch;
pub mod profile;
pub mod questions;
mod random;
pub mod saved_logits;
pub mod seed;
pub mod tokenizer;

/// A fuzz target: its name, which is that of its folder of the corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 10] = [
    ("architecture", architecture::run),
    ("chat_template", chat_template::run),
    ("checkpoint", checkpoint::run),
    ("checkpoint_header", checkpoint::run_header),
    ("codec", codec::run),
    ("huggingface", huggingface::run),
    ("profile", profile::run),
    ("questions", questions::run),
    ("saved_logits", saved_logits::run),
    ("tokenizer", tokenizer::run),
];
