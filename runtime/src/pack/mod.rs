//! Makes checkpoints: from a Hugging Face folder, or random ones of a given shape.

mod config;
mod folder;
mod huggingface;
mod random;
mod shapes;

pub use folder::{PackOptions, pack_folder, read_text_files};
pub use huggingface::HuggingFaceFolder;
pub use random::RandomWeights;
pub use shapes::{SHAPES, Shape};
