//! Training: gradients, updates, and the loop around them.

mod checkpoint;
mod gradient;
mod optimizer;
mod reducer;
mod settings;
mod trainer;

pub use checkpoint::{Progress, State};
pub use gradient::{BatchGradient, GradientEngine, Passes, scored};
pub use optimizer::{Moments, Optimizer, OptimizerSettings, Rule};
pub use reducer::{Alone, GradientReducer};
pub use settings::RunSettings;
pub use trainer::{StepReport, Trainer};
