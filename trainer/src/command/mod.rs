//! The `otaro-train` command: reading its flags, running, leaving files behind.

pub mod arguments;
mod finish;
mod run;
mod start;

pub use arguments::{Arguments, Chore};
pub use run::{Outcome, run};
