//! The `otaro-train` command: reading its flags, running, leaving files behind.

pub mod arguments;
mod card;
mod evaluate;
mod finish;
mod gradients;
mod run;
mod start;
mod study;

pub use arguments::{Arguments, Chore, RunArguments};
pub use gradients::analyse as gradients;
pub use run::{Outcome, run};
pub use study::{Part, Plan, study};
