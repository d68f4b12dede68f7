//! The `otaro-train` command: reading its flags, running, leaving files behind.

pub mod arguments;
mod card;
mod evaluate;
mod finish;
mod run;
mod signals;
mod start;

pub use arguments::{Arguments, Chore, RunArguments};
pub use finish::{steps_path, summary_path};
pub use run::{Outcome, device, run, threads};
pub use signals::stop_on_signals;
pub use start::{Start, weights};
