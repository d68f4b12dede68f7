//! Training data: from files of text and conversations to batches of tokens.
//!
//! ```text
//! files --read--> documents --Encoder--> examples --Dataset--> windows --batch(step)--> one step
//! ```
//!
//! Every stage is deterministic. What a step trains on is a pure function of the data, the seed and
//! the number of the step, so a run is resumed by its step alone.

mod encode;
mod holdout;
mod lines;
pub(crate) mod order;
mod packing;
mod reader;
mod source;
#[cfg(test)]
mod tests;
mod tokenizer;
mod windows;

pub use encode::{Encoder, Example};
pub use holdout::hold_out;
pub use lines::Lines;
pub use reader::{Document, read};
pub use source::{Source, encode_sources};
pub use tokenizer::{CHAT_TEMPLATE, SpecialToken, TokenizerFiles, TokenizerSettings, train_tokenizer};
pub use windows::{Dataset, Window};
