//! The checkpoint: one safetensors file, `NAME.sefp.safetensors`, that holds a whole model at every
//! precision. `models/FORMAT.md` describes the bytes.
//!
//! [`Checkpoint`] reads, [`write_checkpoint`] writes. The reader trusts nothing: every offset,
//! shape, type and size is checked before use, and a hostile file is an error value.

mod check;
mod header;
mod layout;
mod memory;
mod reader;
mod section;
mod source;
mod verify;
mod writer;

pub use reader::Checkpoint;
pub use section::{Section, SectionInfo};
pub use source::{ModelSource, OFFSET_ALIGNMENT};
pub use verify::SectionCheck;
pub use writer::{Blob, Manifest, WeightSource, WriteProgress, write_checkpoint};

/// Names of the files of a Hugging Face folder that travel inside a checkpoint.
pub const BLOB_NAMES: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "config.json",
    "chat_template.jinja",
];
