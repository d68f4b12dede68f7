//! The runtime as an app uses it: nothing blocks for long, everything may be called from any thread.
//!
//! [`Engine`] is an opened model with its text; [`Opening`] the way there, with progress and cancel. An
//! [`EngineSession`] is a conversation on a thread of its own: questions go to it in order, tokens come back through a
//! [`TokenStream`] that is pulled. The precision, signals and figures go past that thread and never wait for it.
//!
//! What is thrown away is closed: a dropped stream cancels, a dropped session ends its thread. A stream keeps its session
//! and a session its model alive.

mod canary;
mod diagnostics;
mod guard;
mod open;
mod opening;
mod session;
mod shared;
mod status;
mod stream;
#[cfg(test)]
mod tests;
mod watched;
mod worker;

pub use diagnostics::{ModelInfo, diagnostics};
pub use guard::guard;
pub use open::{Engine, EngineOptions, OpenProgress, OpenStage};
pub use opening::Opening;
pub use session::{EngineSession, SessionOptions};
pub use status::SessionMetrics;
pub use stream::{BATCH_TIME, MOST_UNREAD, TokenBatch, TokenStream};
pub use worker::Request;
