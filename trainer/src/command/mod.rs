//! The `otaro-train` command: reading its flags, running, leaving files behind.

pub mod arguments;
mod calibrate;
mod card;
mod evaluate;
mod finish;
mod gradients;
mod run;
mod start;
mod study;

pub use arguments::{Arguments, Chore, RunArguments};
pub use calibrate::{CalibrateArguments, calibrate};
pub use gradients::analyse as gradients;
pub use run::{Outcome, run};
pub(crate) use start::copy_text_files;
pub use study::{Part, Plan, study};
