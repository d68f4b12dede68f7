//! Stopping long work from elsewhere.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{Error, ErrorKind, Gate, Result};

/// A flag that another thread or a signal handler sets to stop work. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    cancelled: Arc<AtomicBool>,
    gate: Option<Gate>,
}

impl CancelToken {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that is not cancelled, of work that also waits at a gate. Not for signal handlers.
    pub fn with_gate(gate: Gate) -> Self {
        Self { gate: Some(gate), ..Self::default() }
    }

    /// Asks the work to stop. It does so between two layers on the CPU, between two batches on a GPU.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.wake();
        }
    }

    /// Makes the token usable again.
    pub fn reset(&self) {
        self.cancelled.store(false, Ordering::SeqCst);
    }

    /// Whether the work was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// An error of kind [`Cancelled`](ErrorKind::Cancelled) if the work was asked to stop. Waits first
    /// while the gate is closed, if there is one.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<()> {
        if let Some(gate) = &self.gate {
            gate.pass(|| self.is_cancelled());
        }
        match self.is_cancelled() {
            true => Err(Error::new(ErrorKind::Cancelled, "cancelled")),
            false => Ok(()),
        }
    }
}
