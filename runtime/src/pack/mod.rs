//! Makes checkpoints: from a Hugging Face folder, or random ones of a given shape.

mod random;

pub use random::RandomWeights;
