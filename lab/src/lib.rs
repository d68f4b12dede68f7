//! otaro-lab: what the trainer's methods are compared with, and what the model that ships is made from.
//!
//! It ships to nobody. It knows the trainer as a library; nothing knows it.

pub mod corpus;
pub mod gradients;
pub mod plot;
pub mod report;
pub mod results;
pub mod study;

/// What made a result.
const REVISION: &str = concat!("otaro-lab ", env!("CARGO_PKG_VERSION"));
