//! From logits to an answer: sampling, the loop of tokens, conversations, figures.

mod conversation;
mod generator;
mod metrics;
mod sampler;
#[cfg(test)]
pub(crate) mod test_models;

pub use conversation::{Answer, Conversation};
pub use generator::{FinishReason, GenerateOptions, Generator, Token};
pub use metrics::Metrics;
pub use sampler::{Sampler, SamplerSettings};
