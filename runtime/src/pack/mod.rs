//! Makes checkpoints: from a Hugging Face folder, or random ones of a given shape.

mod config;
mod folder;
mod huggingface;
mod random;

pub use folder::pack_folder;
pub use huggingface::HuggingFaceFolder;
pub use random::RandomWeights;
