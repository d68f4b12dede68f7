//! The `otaro-train` command: reading its flags, running, leaving files behind.

pub mod arguments;
mod calibrate;
mod card;
mod evaluate;
mod finish;
mod run;
mod signals;
mod start;

pub use arguments::{Arguments, Chore, RunArguments};
pub use calibrate::{CalibrateArguments, calibrate};
pub use finish::{steps_path, summary_path};
pub use run::{Outcome, device, run, threads};
pub use signals::stop_on_signals;
pub(crate) use start::copy_text_files;
pub use start::{Start, weights};
