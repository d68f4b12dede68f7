//! Fused operations of a training step on the CPU, each with its own gradient.
//!
//! The framework's automatic differentiation takes softmax, norms and activations apart into single
//! passes over memory, each of them scalar where it needs `exp`. Here such an operation is one pass
//! forward and one pass backward. [`apply`] records a [`Kernel`] in the framework's graph; where
//! tensors do not live on the CPU it returns nothing, and the caller composes plain operations
//! instead. That composition is also what the tests hold a kernel against.
//!
//! A kernel runs on the thread that calls it and sums in a fixed order: micro-batches already keep
//! every core busy, and results must not depend on the number of threads.

mod apply;
mod attention;
mod cross_entropy;
mod distillation;
mod exp;
mod linear;
mod matrix;
mod rms_norm;
mod swiglu;
#[cfg(test)]
mod tests;
mod vector;

pub use apply::{Kernel, apply};
pub use attention::Attention;
pub use cross_entropy::CrossEntropy;
pub use distillation::Distillation;
pub use exp::exp;
pub use linear::Linear;
pub use rms_norm::RmsNorm;
pub use swiglu::SwiGlu;
