//! A value that threads and futures wait for.

use std::{
    future::poll_fn,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// A value under a lock. Whoever waits for something about it looks again after every change.
#[derive(Debug, Default)]
pub(super) struct Watched<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State<T> {
    value: T,
    wakers: Vec<Waker>,
}

impl<T> Watched<T> {
    pub(super) fn new(value: T) -> Self {
        Self { state: Mutex::new(State { value, wakers: Vec::new() }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the value and wakes everybody.
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state.value);
        self.wake(state);
        result
    }

    /// Changes the value; wakes everybody if that made it worth a look.
    pub(super) fn update_if(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut state = self.lock();
        if change(&mut state.value) {
            self.wake(state);
        }
    }

    /// Looks at the value.
    pub(super) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock().value)
    }

    /// Wakers run code of whoever waits, so no lock is held meanwhile.
    fn wake(&self, mut state: MutexGuard<'_, State<T>>) {
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Blocks until `ready` sees what it looks for.
    pub(super) fn wait<R>(&self, mut ready: impl FnMut(&T) -> Option<R>) -> R {
        let mut state = self.lock();
        loop {
            if let Some(result) = ready(&state.value) {
                return result;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Blocks until `take` finds what it takes out of the value.
    pub(super) fn take_blocking<R>(&self, mut take: impl FnMut(&mut T) -> Option<R>) -> R {
        let mut state = self.lock();
        loop {
            if let Some(result) = take(&mut state.value) {
                self.wake(state);
                return result;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same without blocking a thread. May be dropped at any time: nothing was taken then.
    pub(super) async fn take<R>(&self, mut take: impl FnMut(&mut T) -> Option<R>) -> R {
        poll_fn(|context| self.poll(context, &mut take)).await
    }

    fn poll<R>(&self, context: &Context<'_>, take: &mut impl FnMut(&mut T) -> Option<R>) -> Poll<R> {
        let mut state = self.lock();
        if let Some(result) = take(&mut state.value) {
            self.wake(state);
            return Poll::Ready(result);
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            state.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use super::*;

    #[test]
    fn whoever_waits_sees_every_change() {
        let watched = Arc::new(Watched::new(0));
        let blocking = thread::spawn({
            let watched = Arc::clone(&watched);
            move || watched.wait(|value| (*value >= 10).then_some(*value))
        });
        let future = thread::spawn({
            let watched = Arc::clone(&watched);
            move || pollster::block_on(watched.take(|value| (*value >= 5).then_some(*value)))
        });
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(2));
            watched.update(|value| *value += 1);
        }
        assert_eq!(blocking.join().expect("no panic"), 10);
        assert!(future.join().expect("no panic") >= 5);
    }

    #[test]
    fn a_dropped_future_leaves_one_waker_at_most() {
        let watched = Watched::new(());
        for _ in 0..100 {
            let mut future = Box::pin(watched.take(|()| None::<()>));
            let mut context = Context::from_waker(Waker::noop());
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(watched.lock().wakers.len(), 1);
    }
}
