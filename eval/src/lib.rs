//! Measures what quantisation costs a language model.
//!
//! [`evaluate`] takes a text once: for each window the unquantised model runs first, then every
//! candidate, and what is compared are two distributions over the same next token. [`task`] asks
//! multiple-choice questions. Nothing here knows files of models or devices: logits come from a
//! [`LogitSource`], which a [`Session`](otaro::Session) is.

mod distribution;
mod error;
mod evaluate;
mod saved;
mod scores;
mod statistics;
pub mod task;
mod text;
mod windows;

pub use distribution::{Distribution, ReferenceRows};
pub use evaluate::{LogitSource, ModelSource, Outcome, evaluate};
pub use saved::{LogitsWriter, Origin, Recording, SavedLogits};
pub use scores::{Comparison, Scores};
pub use statistics::{Estimate, quantile};
pub use text::{BosPolicy, read_text, without_bom};
pub use windows::{Window, Windows};
