//! From logits to an answer: sampling and measuring.

mod metrics;
mod sampler;

pub use metrics::Metrics;
pub use sampler::{Sampler, SamplerSettings};
