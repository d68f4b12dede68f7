//! From logits to an answer: sampling, cancelling, measuring.

mod cancel;
mod metrics;
mod sampler;

pub use cancel::CancelToken;
pub use metrics::Metrics;
pub use sampler::{Sampler, SamplerSettings};
