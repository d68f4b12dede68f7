//! Training: gradients, updates, and the loop around them.

mod agreement;
pub(crate) mod checkpoint;
mod exchange;
pub(crate) mod gradient;
#[cfg(feature = "mpi")]
mod mpi;
mod optimizer;
pub(crate) mod pass;
mod reducer;
pub(crate) mod settings;
mod trainer;

pub use agreement::agree;
pub use checkpoint::{Progress, State};
pub use exchange::{enough_work, share_from_first, sum_at_first};
pub use gradient::{BatchGradient, GradientEngine, Passes, scored};
#[cfg(feature = "mpi")]
pub use mpi::MpiReducer;
pub use optimizer::{Moments, Optimizer, OptimizerSettings, Rule};
pub use pass::PassSettings;
pub use reducer::{Alone, GradientReducer, launched_processes};
pub use settings::RunSettings;
pub use trainer::{StepReport, Trainer};
