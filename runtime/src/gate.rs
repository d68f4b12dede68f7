//! Holding work without ending it.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A gate that work has to pass between any two of its steps. Closed, it holds the work where it is, with
/// nothing submitted to a device; opened, the work goes on as if nothing had been. Clones share the gate.
///
/// A [`CancelToken`](crate::CancelToken) takes work through it, so whoever looks at the token stops here too.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<State>);

#[derive(Debug, Default)]
struct State {
    closed: AtomicBool,
    /// Held while the gate changes, so that nobody falls asleep past a change.
    lock: Mutex<()>,
    changed: Condvar,
    /// Nanoseconds that work has waited here.
    waited: AtomicU64,
}

impl Gate {
    /// An open gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds the work from its next step on.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
    }

    /// Lets the work go on.
    pub fn open(&self) {
        self.0.closed.store(false, Ordering::SeqCst);
        self.wake();
    }

    /// Whether work is held.
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst)
    }

    /// How long work has waited here, all waits together: what a clock of the work must leave out.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.0.waited.load(Ordering::Relaxed))
    }

    /// Waits until the gate is open or `given_up` says so; call [`wake`](Self::wake) when that changes.
    pub(crate) fn pass(&self, given_up: impl Fn() -> bool) {
        if !self.is_closed() {
            return;
        }
        let start = Instant::now();
        let guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |_: &mut ()| self.is_closed() && !given_up();
        drop(self.0.changed.wait_while(guard, held).unwrap_or_else(PoisonError::into_inner));
        let waited = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.waited.fetch_add(waited, Ordering::Relaxed);
    }

    /// Makes whoever waits look again.
    pub(crate) fn wake(&self) {
        drop(self.0.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::{CancelToken, ErrorKind};

    #[test]
    fn a_closed_gate_holds_work_until_it_opens() {
        let gate = Gate::new();
        let token = CancelToken::with_gate(gate.clone());
        token.check().expect("an open gate holds nothing");
        assert_eq!(gate.waited(), Duration::ZERO);
        gate.close();
        let worker = thread::spawn(move || token.check());
        thread::sleep(Duration::from_millis(30));
        assert!(!worker.is_finished(), "the work went past a closed gate");
        gate.open();
        worker.join().expect("no panic").expect("the work goes on");
        assert!(gate.waited() >= Duration::from_millis(20), "{:?}", gate.waited());
    }

    #[test]
    fn a_cancel_reaches_work_that_is_held() {
        let gate = Gate::new();
        gate.close();
        let token = CancelToken::with_gate(gate.clone());
        let worker = thread::spawn({
            let token = token.clone();
            move || token.check()
        });
        thread::sleep(Duration::from_millis(10));
        token.cancel();
        let error = worker.join().expect("no panic").expect_err("it was cancelled");
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(gate.is_closed(), "the gate itself stays as it was");
    }
}
