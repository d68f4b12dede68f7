//! What signals of the system do to the precision: a small table, and a clock that gives it back.
//!
//! The app says which precisions it can live with ([`Bounds`]) and which one it wants; the system says how
//! scarce memory is and how hot the device ([`Signal`]). [`Governor`] makes one precision of these, above
//! which nothing of the wanted profile is read. It knows no
//! clock and no model: time is an argument, so every rule can be tested.
//!
//! 1. Each level asks for a number of steps down, see [`MemoryPressure::steps`] and [`Thermal::steps`]; the
//!    largest wins, they do not add up. The result is never below the lower bound.
//! 2. Down at once, with the next token.
//! 3. Up by one bit at a time, the first after [`CALM`] without a signal that asks for as much, each further
//!    one after [`RAISE_INTERVAL`]: a signal that comes and goes does not make the precision swing.
//! 4. Memory pressure is over [`CALM`] after it was last heard of, as systems announce that it begins and
//!    seldom that it ends. Heat and the battery saver last until the system says otherwise.

mod policy;
mod signal;

pub use policy::{Bounds, CALM, Decision, Governor, RAISE_INTERVAL};
pub use signal::{MemoryPressure, Signal, Thermal};
