//! The threads of the CPU device: a pool that forks and joins hundreds of times a token.
//!
//! `workers.rs` says how.

mod workers;

#[cfg(test)]
mod tests;

use std::{
    num::NonZeroUsize,
    panic::resume_unwind,
    sync::Arc,
    thread::{Builder, JoinHandle},
};

use self::workers::{Job, Shared};
use crate::{Error, ErrorKind, Result};

/// Threads at most; the state of a job has 15 bits to count them.
const MAX_THREADS: usize = 1 << 10;

/// Threads that share the work of an operation. Which thread does which part never changes a result.
///
/// Dropping the pool ends its threads.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of some threads, the caller's among them.
    pub(crate) fn new(threads: NonZeroUsize) -> Result<Self> {
        let mut pool = Self { shared: Arc::default(), workers: Vec::new() };
        for index in 1..threads.get().min(MAX_THREADS) {
            let shared = Arc::clone(&pool.shared);
            let worker = Builder::new().name(format!("otaro-cpu-{index}")).spawn(move || shared.work());
            // On an error, dropping the pool ends the threads so far.
            pool.workers.push(
                worker.map_err(|error| {
                    Error::new(ErrorKind::Device, format!("cannot start a thread: {error}"))
                })?,
            );
        }
        Ok(pool)
    }

    /// How many threads compute.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` with every number below `tasks`, each once, on any thread and in any order.
    ///
    /// A caller that finds the pool at work for another, or that is itself a task of it, does all the
    /// work alone. A panic of a task is passed on when all threads are done; numbers may be left out then.
    pub(crate) fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        let worth_it = tasks > 1 && !self.workers.is_empty();
        match worth_it.then(|| self.shared.lead(Job { task: &task, tasks })).flatten() {
            None => (0..tasks).for_each(task),
            Some(Ok(())) => {}
            Some(Err(panic)) => resume_unwind(panic),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.end();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so it has none of its own.
            let _ = worker.join();
        }
    }
}
