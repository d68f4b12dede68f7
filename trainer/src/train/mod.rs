//! Training: gradients, updates, and the loop around them.

mod gradient;
mod optimizer;

pub use gradient::{BatchGradient, GradientEngine, Passes, scored};
pub use optimizer::{Moments, Optimizer, OptimizerSettings};
